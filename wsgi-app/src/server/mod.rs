//! One running server: what an adapter asks it while it accepts connections.

pub(crate) mod accept_error;
pub(crate) mod accept_loop;
pub(crate) mod alpn;
pub(crate) mod options;
pub(crate) mod serving;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use wsgi_proto::Endpoints;

use crate::context::buffers::BufferPool;
use crate::context::catch_panic;
use crate::context::clock::Clocks;
use crate::context::runtime::Runtime;
use crate::context::{Remote, ServerContext};
use crate::exchange::shared::ConnShared;
use crate::registry::{ConnectionGuard, Registry, Report, ServerHandle};
use crate::server::accept_error::{AcceptFailure, accept_failure};
use crate::server::options::{OptionError, Options};

/// Descriptors that are left for what is no connection: listeners, the runtime, the log, files of the application.
const OTHER_DESCRIPTORS: usize = 32;

/// One running server: the application and what its connections share. Made by an adapter, which accepts connections
/// and runs [`serve_connection`](crate::adapter::serve_connection) for each.
#[derive(Debug)]
pub struct Server<A> {
    pub(crate) application: A,
    pub(crate) context: Arc<ServerContext>,
    pub(crate) registry: Arc<Registry>,
    max_size: usize,
    handshake_timeout: Duration,
    graceful_timeout: Duration,
}

/// Where a listener accepts connections.
#[derive(Clone, Debug)]
pub struct BoundAddr {
    /// The internet address that it is bound to, if that is what it is bound to.
    pub address: Option<SocketAddr>,
    /// The path of its unix socket; else empty.
    pub path: String,
    /// Whether it speaks TLS.
    pub encrypted: bool,
}

impl BoundAddr {
    /// That of a listener which is bound to an internet address, and does not speak TLS.
    pub fn tcp(address: io::Result<SocketAddr>) -> Self {
        Self { address: address.ok(), ..Self::local(None) }
    }

    /// That of a listener which is bound to a unix socket, or takes its connections from elsewhere, and does not speak
    /// TLS.
    pub fn local(path: Option<&Path>) -> Self {
        let path = path.map(|path| path.display().to_string()).unwrap_or_default();
        Self { address: None, path, encrypted: false }
    }
}

impl<A> Server<A> {
    /// A server with these options. `handle` may have been pulled already; then it stops at once.
    ///
    /// The first server of a process sets its panic hook to one that notes where a panic was, for the log, and then
    /// calls the hook that was there.
    ///
    /// # Errors
    ///
    /// The first option that is not allowed.
    pub fn new(options: Options, handle: &ServerHandle, application: A) -> Result<Arc<Self>, OptionError> {
        Self::with_runtime(options, handle, application, Runtime::default())
    }

    /// As [`new`](Self::new), on a runtime that has its own clock or a limit of descriptors.
    ///
    /// # Errors
    ///
    /// The first option that is not allowed.
    pub fn with_runtime(
        mut options: Options,
        handle: &ServerHandle,
        application: A,
        runtime: Runtime,
    ) -> Result<Arc<Self>, OptionError> {
        let format = options.check()?;
        catch_panic::note_places();
        let context = ServerContext {
            clock: Clocks::new(runtime.clock),
            debug: options.debug,
            no_head: Arc::default(),
            log: options.take_log(),
            format,
            buffers: BufferPool::default(),
            config: Arc::new(options.config),
        };
        let wanted = if runtime.ignores_max_size { usize::MAX } else { options.max_size };
        let room = runtime.descriptor_limit.map(|limit| limit.saturating_sub(OTHER_DESCRIPTORS).max(1));
        let max_size = room.map_or(wanted, |room| room.min(wanted));
        if let Some(limit) = runtime.descriptor_limit.filter(|_| max_size < wanted) {
            let pid = std::process::id();
            context.info(&format!(
                "({pid}) at most {max_size} connections at a time, since at most {limit} descriptors may be open (ulimit -n)"
            ));
        }
        Ok(Arc::new(Self {
            application,
            context: Arc::new(context),
            registry: Arc::clone(&handle.registry),
            max_size,
            handshake_timeout: options.handshake_timeout,
            graceful_timeout: options.graceful_timeout,
        }))
    }

    /// Tells the log and the handle where the server accepts.
    pub(crate) fn announce(&self, handle: &ServerHandle, bound_addr: &BoundAddr) {
        let scheme = if bound_addr.encrypted { "https" } else { "http" };
        let text = match bound_addr.address {
            Some(address) => format!("{scheme}://{address}"),
            None => format!("{scheme}:{}", bound_addr.path),
        };
        bound_addr.address.into_iter().for_each(|address| handle.add_address(address));
        self.context.info(&format!("({}) wsgi starting up on {text}", std::process::id()));
        if self.context.debug && bound_addr.address.is_some_and(|address| !address.ip().is_loopback()) {
            self.context.info("warning: debug is on, errors of the application are shown to every client");
        }
    }

    /// Logs a failure of the listener, and says what it means.
    pub fn accept_failed(&self, error: &io::Error) -> AcceptFailure {
        let failure = accept_failure(error);
        match failure {
            AcceptFailure::Peer => self.context.debug(|| format!("cannot accept a connection: {error}")),
            _ => self.context.error(&format!("cannot accept connections: {error}")),
        }
        failure
    }

    /// Ready when the server stops: then nothing more is accepted.
    pub fn poll_stop(&self, context: &mut Context<'_>) -> Poll<()> {
        self.registry.poll_stop(context)
    }

    /// Asked for a connection that was accepted: ready when there is room for it (`true`), or when the server stops
    /// (`false`). At `max_size` the connection that has waited longest for a request is asked to leave.
    pub fn poll_admission(&self, context: &mut Context<'_>) -> Poll<bool> {
        self.registry.poll_admission(self.max_size, self.context.clock.now().instant, context)
    }

    /// Takes a connection into the registry.
    pub fn admit(&self, endpoints: Endpoints) -> ConnectionGuard {
        let shared = Arc::new(ConnShared::new(Arc::clone(&self.context), endpoints));
        self.context.debug(|| format!("({}) accepted {}", std::process::id(), Remote(&endpoints.remote)));
        ConnectionGuard::new(shared, &self.registry)
    }

    /// How many connections there may be.
    pub fn max_size(&self) -> usize {
        self.max_size
    }

    /// How long a TLS handshake may take.
    pub fn handshake_timeout(&self) -> Duration {
        self.handshake_timeout
    }

    /// How long a graceful stop may take.
    pub fn graceful_timeout(&self) -> Duration {
        self.graceful_timeout
    }

    /// Waits until the last connection is gone.
    pub async fn drained(&self) {
        poll_fn(|context| self.registry.poll_drained(context)).await;
    }

    /// Cuts every connection that is left: what the application does for it is dropped.
    pub fn abort(&self) {
        self.registry.abort();
    }

    /// Logs the end, and tells how it went.
    pub fn report(&self) -> Report {
        let report = self.registry.report();
        self.context.info(&format!(
            "({}) wsgi exited, {} finished and {} cut after the stop",
            std::process::id(),
            report.finished,
            report.cut
        ));
        report
    }
}
