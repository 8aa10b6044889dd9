//! One running server, and the calls that an adapter makes while it accepts connections.

pub(crate) mod accept_error;
pub(crate) mod accept_loop;
pub(crate) mod alpn;
pub(crate) mod options;
#[cfg(feature = "proxy-protocol")]
pub(crate) mod proxy_sources;
pub(crate) mod serving;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use wsgi_proto::{Endpoints, Instant};

use crate::context::catch_panic;
use crate::context::clock::Clocks;
use crate::context::lifetime::Lifetimes;
use crate::context::runtime::Runtime;
use crate::context::{Remote, ServerContext};
use crate::exchange::shared::ConnShared;
use crate::registry::{ConnectionGuard, Registry, Report, ServerHandle};
use crate::server::accept_error::{AcceptFailure, accept_failure};
use crate::server::options::{OptionError, Options};
use crate::sync::{Mutex, lock};

/// Descriptors that are reserved for other uses than connections: listeners, the runtime, the log, files of the
/// application.
const OTHER_DESCRIPTORS: usize = 32;

/// The shortest time between two log entries about missing descriptors.
const COMPLAINTS: Duration = Duration::from_secs(10);

/// One running server: the application and the state shared by its connections. An adapter creates it, accepts
/// connections, and runs [`serve_connection`](crate::adapter::serve_connection) for each.
#[derive(Debug)]
pub struct Server<A> {
    pub(crate) application: A,
    pub(crate) context: Arc<ServerContext>,
    pub(crate) registry: Arc<Registry>,
    max_size: usize,
    handshake_timeout: Duration,
    graceful_timeout: Duration,
    drain_backlog: bool,
    /// The time of the last log entry about missing descriptors.
    complained: Mutex<Option<Instant>>,
}

/// The address of a listener.
#[derive(Clone, Debug)]
pub struct BoundAddr {
    /// The IP address and port, if it is an internet listener.
    pub address: Option<SocketAddr>,
    /// The path of its unix socket; otherwise empty.
    pub path: String,
    /// Whether the listener speaks TLS.
    pub encrypted: bool,
}

impl BoundAddr {
    /// The address of an internet listener without TLS.
    pub fn tcp(address: io::Result<SocketAddr>) -> Self {
        Self { address: address.ok(), ..Self::local(None) }
    }

    /// The address of a listener without TLS that is bound to a unix socket or accepts connections from another source.
    pub fn local(path: Option<&Path>) -> Self {
        let path = path.map(|path| path.display().to_string()).unwrap_or_default();
        Self { address: None, path, encrypted: false }
    }
}

impl<A> Server<A> {
    /// Creates a server with these options. If `handle` was already shut down, the server stops immediately.
    ///
    /// The first server of a process installs a panic hook that records the location of a panic for the log, and then
    /// calls the previous hook.
    ///
    /// # Errors
    ///
    /// The first option whose value is not allowed.
    pub fn new(options: Options, handle: &ServerHandle, application: A) -> Result<Arc<Self>, OptionError> {
        Self::with_runtime(options, handle, application, Runtime::default())
    }

    /// Like [`new`](Self::new), on a runtime that has its own clock or a descriptor limit.
    ///
    /// # Errors
    ///
    /// The first option whose value is not allowed.
    pub fn with_runtime(
        mut options: Options,
        handle: &ServerHandle,
        application: A,
        runtime: Runtime,
    ) -> Result<Arc<Self>, OptionError> {
        let format = options.check()?;
        catch_panic::note_places();
        let log = options.take_log();
        options.config.record_response_head =
            log.as_ref().is_some_and(|log| log.passes_records() || format.uses_response_head());
        // An idle connection has closed in order when the others are cut.
        let config = &mut options.config;
        config.last_request_timeout = config.last_request_timeout.min(options.graceful_timeout / 2);
        let context = ServerContext {
            clock: Clocks::new(runtime.clock),
            debug: options.debug,
            log,
            format,
            lifetimes: Lifetimes::new(options.max_connection_age, options.max_requests),
            config: Arc::new(options.config),
            makes_room: options.make_room,
            receive_before_call: options.receive_before_call,
            blocking: runtime.blocking,
        };
        let wanted = if runtime.ignores_max_size { usize::MAX } else { options.max_size };
        let room = runtime.descriptor_limit.map(|limit| limit.saturating_sub(OTHER_DESCRIPTORS).max(1));
        let max_size = room.map_or(wanted, |room| room.min(wanted));
        if let Some(limit) = runtime.descriptor_limit.filter(|_| max_size < wanted) {
            let pid = std::process::id();
            context.info(&format!(
                "({pid}) at most {max_size} connections at a time, since at most {limit} descriptors may be open for them (ulimit -n)"
            ));
        }
        Ok(Arc::new(Self {
            application,
            context: Arc::new(context),
            registry: Arc::clone(&handle.registry),
            max_size,
            handshake_timeout: options.handshake_timeout,
            graceful_timeout: options.graceful_timeout,
            drain_backlog: options.drain_backlog,
            complained: Mutex::default(),
        }))
    }

    /// Records the address of a listener in the log and in the handle.
    pub fn announce(&self, handle: &ServerHandle, bound_addr: &BoundAddr) {
        let scheme = if bound_addr.encrypted { "https" } else { "http" };
        let text = match bound_addr.address {
            Some(address) => format!("{scheme}://{address}"),
            None => format!("{scheme}:{}", bound_addr.path),
        };
        bound_addr.address.into_iter().for_each(|address| handle.add_address(address));
        self.context.info(&format!("({}) wsgi starting up on {text}", std::process::id()));
        if self.context.debug && bound_addr.address.is_some_and(|address| !address.ip().is_loopback()) {
            self.context.info("warning: debug is on, so application errors are shown to every client");
        }
    }

    /// Logs an error of `accept(2)` and classifies it. Missing descriptors or memory are logged once in 10 s.
    pub fn accept_failed(&self, error: &io::Error) -> AcceptFailure {
        let failure = accept_failure(error);
        match failure {
            AcceptFailure::Peer => self.context.debug(|| format!("cannot accept a connection: {error}")),
            AcceptFailure::Exhausted if !self.may_complain() => {}
            AcceptFailure::Exhausted | AcceptFailure::Listener => {
                self.context.error(&format!("cannot accept connections: {error}"));
            }
        }
        failure
    }

    fn may_complain(&self) -> bool {
        let now = self.context.clock.now().instant;
        let mut complained = lock(&self.complained);
        let due = complained.is_none_or(|last| now.since(last) >= COMPLAINTS);
        if due {
            *complained = Some(now);
        }
        due
    }

    /// Ready when the server stops and accepts no more connections.
    pub fn poll_stop(&self, context: &mut Context<'_>) -> Poll<()> {
        self.registry.poll_stop(context)
    }

    /// Waits for room for a connection that was accepted: ready with `true` when there is room, with `false` when the
    /// server stops. At `max_size`, one connection is directed to make room, as the option describes, unless
    /// `make_room` is off.
    pub fn poll_admission(&self, context: &mut Context<'_>) -> Poll<bool> {
        self.look_for_room(false, context)
    }

    /// Like [`poll_admission`](Self::poll_admission). If `reserves`, the next connection that is admitted has the place.
    pub(crate) fn look_for_room(&self, reserves: bool, context: &mut Context<'_>) -> Poll<bool> {
        self.registry.poll_admission(self.max_size, reserves, self.makes_room(), context)
    }

    /// The time, if open connections make room for new ones.
    pub(crate) fn makes_room(&self) -> Option<Instant> {
        self.context.makes_room.then(|| self.context.clock.now().instant)
    }

    /// Adds a connection to the registry.
    pub fn admit(&self, endpoints: Endpoints) -> ConnectionGuard {
        let shared = Arc::new(ConnShared::new(Arc::clone(&self.context), endpoints));
        self.context.debug(|| format!("({}) accepted {}", std::process::id(), Remote(&endpoints.remote)));
        ConnectionGuard::new(shared, &self.registry)
    }

    /// The largest number of connections at a time.
    pub fn max_size(&self) -> usize {
        self.max_size
    }

    /// Whether an option limits how long a client may not read. Adapters then keep few unsent bytes in the system, since
    /// bytes that it holds look like progress, and hide the progress of a client that reads slowly.
    pub fn limits_slow_readers(&self) -> bool {
        let config = &self.context.config;
        config.socket_timeout.is_some() || config.min_response_rate.is_some()
    }

    /// How long a TLS handshake may take.
    pub fn handshake_timeout(&self) -> Duration {
        self.handshake_timeout
    }

    /// How long a graceful stop may take.
    pub fn graceful_timeout(&self) -> Duration {
        self.graceful_timeout
    }

    /// Waits until the last connection has closed.
    pub async fn drained(&self) {
        poll_fn(|context| self.registry.poll_drained(context)).await;
    }

    /// Cuts all remaining connections, and drops the application's futures that serve them.
    pub fn abort(&self) {
        self.registry.abort();
    }

    /// Logs the end of the server and returns the report. The last lines of the log are written when the server is
    /// dropped, if not before.
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
