//! What all connections of one server share: settings, log, buffers, and the register of who is there.

pub(crate) mod accept_error;
mod accept_loop;
mod builder;
pub(crate) mod options;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use wsgi_proto::{Buffers, CloseReason, Config, Head, LogFormat, Lost, Peer, Record};

use crate::context::catch_panic;
use crate::context::clock::Clock;
use crate::context::log::{Log, LogEntry};
use crate::exchange::shared::Shared;
use crate::registry::{Permit, Register, Report, ServerHandle};
use crate::server::accept_error::{AcceptFailure, accept_failure};
use crate::server::options::{OptionError, Options};
use crate::sync::{Mutex, lock};

/// Idle sets of buffers that are kept for the next busy connections.
const POOLED: usize = 64;

/// One running server: the application and what its connections share. Made by an adapter, which accepts connections
/// and runs [`serve_connection`](crate::serve_connection) for each.
#[derive(Debug)]
pub struct Server<A> {
    pub(crate) application: A,
    pub(crate) core: Arc<Core>,
}

/// Where a listener accepts connections.
#[derive(Clone, Debug)]
pub struct Place {
    /// The internet address that it is bound to, if that is what it is bound to.
    pub address: Option<SocketAddr>,
    /// The path of its unix socket; else empty.
    pub path: String,
    /// Whether it speaks TLS.
    pub encrypted: bool,
}

impl Place {
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

/// The part that does not depend on the application.
pub(crate) struct Core {
    pub(crate) config: Arc<Config>,
    pub(crate) clock: Clock,
    pub(crate) debug: bool,
    /// Stands where a head is no longer needed.
    pub(crate) no_head: Arc<Head>,
    log: Option<Arc<dyn Log>>,
    format: LogFormat,
    buffers: Mutex<Vec<Buffers>>,
    max_size: usize,
    handshake_timeout: Duration,
    graceful_timeout: Duration,
    pub(crate) register: Arc<Register>,
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
    pub fn new(
        mut options: Options,
        handle: &ServerHandle,
        application: A,
    ) -> Result<Arc<Self>, OptionError> {
        let format = options.check()?;
        catch_panic::note_places();
        let core = Core {
            clock: Clock::new(),
            debug: options.debug,
            no_head: Arc::default(),
            log: options.take_log(),
            format,
            buffers: Mutex::default(),
            max_size: options.max_size,
            handshake_timeout: options.handshake_timeout,
            graceful_timeout: options.graceful_timeout,
            register: Arc::clone(&handle.register),
            config: Arc::new(options.config),
        };
        Ok(Arc::new(Self { application, core: Arc::new(core) }))
    }

    /// Tells the log and the handle where the server accepts.
    pub fn announce(&self, handle: &ServerHandle, place: &Place) {
        let core = &self.core;
        let scheme = if place.encrypted { "https" } else { "http" };
        let text = match place.address {
            Some(address) => format!("{scheme}://{address}"),
            None => format!("{scheme}:{}", place.path),
        };
        place.address.into_iter().for_each(|address| handle.add_address(address));
        core.info(&format!("({}) wsgi starting up on {text}", std::process::id()));
        if core.debug && place.address.is_some_and(|address| !address.ip().is_loopback()) {
            core.info("warning: debug is on, errors of the application are shown to every client");
        }
    }

    /// Logs a failure of the listener, and says what it means.
    pub fn accept_failed(&self, error: &io::Error) -> AcceptFailure {
        let failure = accept_failure(error);
        match failure {
            AcceptFailure::Peer => self.core.debug(|| format!("cannot accept a connection: {error}")),
            _ => self.core.error(&format!("cannot accept connections: {error}")),
        }
        failure
    }

    /// Ready when the server stops: then nothing more is accepted.
    pub fn poll_stop(&self, context: &mut Context<'_>) -> Poll<()> {
        self.core.register.poll_stop(context)
    }

    /// Asked for a connection that was accepted: ready when there is room for it (`true`), or when the server stops
    /// (`false`). At `max_size` the connection that has waited longest for a request is asked to leave.
    pub fn poll_admission(&self, context: &mut Context<'_>) -> Poll<bool> {
        self.core.register.poll_admission(self.core.max_size, self.core.clock.now().instant, context)
    }

    /// Takes a connection into the register.
    pub fn admit(&self, peer: Peer) -> Permit {
        let shared = Arc::new(Shared::new(Arc::clone(&self.core), peer));
        self.core.debug(|| format!("({}) accepted {}", std::process::id(), Remote(&peer.remote)));
        Permit::new(shared, &self.core.register)
    }

    /// How many connections there may be.
    pub fn max_size(&self) -> usize {
        self.core.max_size
    }

    /// How long a TLS handshake may take.
    pub fn handshake_timeout(&self) -> Duration {
        self.core.handshake_timeout
    }

    /// How long a graceful stop may take.
    pub fn graceful_timeout(&self) -> Duration {
        self.core.graceful_timeout
    }

    /// Waits until the last connection is gone.
    pub async fn drained(&self) {
        poll_fn(|context| self.core.register.poll_drained(context)).await;
    }

    /// Cuts every connection that is left: what the application does for it is dropped.
    pub fn abort(&self) {
        self.core.register.abort();
    }

    /// Logs the end, and tells how it went.
    pub fn report(&self) -> Report {
        let report = self.core.register.report();
        self.core.info(&format!(
            "({}) wsgi exited, {} finished and {} cut after the stop",
            std::process::id(),
            report.finished,
            report.cut
        ));
        report
    }
}

impl Core {
    pub(crate) fn lend(&self) -> Buffers {
        let pooled = lock(&self.buffers).pop();
        pooled.unwrap_or_default()
    }

    pub(crate) fn give_back(&self, buffers: Buffers) {
        let mut pool = lock(&self.buffers);
        if pool.len() < POOLED {
            pool.push(buffers.trimmed());
        }
    }

    /// Whether anything is logged, so that what only the log needs can be left undone.
    pub(crate) fn logs(&self) -> bool {
        self.log.is_some()
    }

    pub(crate) fn access(&self, record: &Record) {
        let Some(log) = &self.log else { return };
        let mut line = String::with_capacity(128);
        // Writing to a string cannot fail.
        let _ = self.format.write(record, self.config.log_x_forwarded_for, &mut line);
        tell(&**log, &LogEntry::Access { record, line: &line });
    }

    pub(crate) fn info(&self, text: &str) {
        if let Some(log) = &self.log {
            tell(&**log, &LogEntry::Info(text));
        }
    }

    pub(crate) fn error(&self, text: &str) {
        if let Some(log) = &self.log {
            tell(&**log, &LogEntry::Error(text));
        }
    }

    pub(crate) fn debug(&self, text: impl FnOnce() -> String) {
        if let Some(log) = &self.log {
            tell(&**log, &LogEntry::Debug(&text()));
        }
    }

    /// One client's trouble with TLS is nothing to bother the operator with.
    pub(crate) fn handshake_failed(&self, peer: &Peer, error: &io::Error) {
        self.debug(|| format!("({}) handshake failed {}: {error}", std::process::id(), Remote(&peer.remote)));
    }

    /// Tells why a connection ended, where that is not the ordinary course.
    pub(crate) fn closed(&self, peer: &Peer, reason: CloseReason) {
        match reason {
            CloseReason::IdleTimeout | CloseReason::Lost(Lost::TimedOut) => {
                self.debug(|| format!("({}) timed out {}", std::process::id(), Remote(&peer.remote)));
            }
            CloseReason::Lost(lost) => {
                self.debug(|| format!("({}) {lost} {}", std::process::id(), Remote(&peer.remote)));
            }
            CloseReason::Refused(error) => {
                self.debug(|| format!("({}) refused {}: {error}", std::process::id(), Remote(&peer.remote)));
            }
            _ => {}
        }
    }
}

/// A log that panics must not take a connection, or the server, along; there is nowhere left to tell it.
fn tell(log: &dyn Log, entry: &LogEntry<'_>) {
    let _ = catch_panic::catch(|| log.log(entry));
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("config", &self.config).finish_non_exhaustive()
    }
}

struct Remote<'a>(&'a wsgi_proto::Address);

impl fmt::Display for Remote<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            wsgi_proto::Address::Ip(address) => address.fmt(f),
            wsgi_proto::Address::Unix => f.write_str("unix"),
        }
    }
}
