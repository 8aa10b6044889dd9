//! What all connections of one server share: settings, log, buffers, and the register of who is there.

use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use wsgi_proto::{Buffers, CloseReason, Config, Head, KeepAlive, LogFormat, Lost, Peer, Record};

use crate::clock::Clock;
use crate::log::{Log, LogEntry};
use crate::shared::{Order, Shared};
use crate::{OptionError, Options, guard};

/// Idle sets of buffers that are kept for the next busy connections.
const POOLED: usize = 64;

/// One running server: the application and what its connections share. Made by an adapter, which accepts connections
/// and runs [`serve_connection`](crate::serve_connection) for each.
#[derive(Debug)]
pub struct Server<A> {
    pub(crate) application: A,
    pub(crate) core: Arc<Core>,
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
    register: Arc<Register>,
}

impl<A> Server<A> {
    /// A server with these options. `handle` may have been pulled already; then it stops at once.
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
        guard::note_places();
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

    /// Logs that the server accepts on `address` (`http://127.0.0.1:80`). `public`: others than this machine reach it.
    pub fn log_start(&self, address: &str, public: bool) {
        let core = &self.core;
        core.info(&format!("({}) wsgi starting up on {address}", std::process::id()));
        if core.debug && public {
            core.info("warning: debug is on, errors of the application are shown to every client");
        }
    }

    /// Logs a failure of the listener, and says what it means.
    pub fn accept_failed(&self, error: &std::io::Error) -> crate::AcceptFailure {
        let failure = crate::accept_failure(error);
        match failure {
            crate::AcceptFailure::Peer => self.core.debug(|| format!("cannot accept a connection: {error}")),
            _ => self.core.error(&format!("cannot accept connections: {error}")),
        }
        failure
    }

    /// Ready when another connection may be accepted (`true`), or when the server stops (`false`). At `max_size` the
    /// connection that has been idle longest is asked to leave.
    pub fn poll_admission(&self, context: &mut Context<'_>) -> Poll<bool> {
        let mut entries = self.core.register.lock();
        entries.acceptor = None;
        if entries.stage != Stage::Running {
            return Poll::Ready(false);
        }
        let full = entries.live >= self.core.max_size;
        // The acceptor waits at its listener or here; a stop has to wake it in either case.
        entries.acceptor = Some(context.waker().clone());
        if !full {
            return Poll::Ready(true);
        }
        if let Some(idle) = entries.longest_idle() {
            idle.order(Order::Leave);
        }
        Poll::Pending
    }

    /// Takes a connection into the register.
    pub fn admit(&self, peer: Peer) -> Permit {
        let shared = Arc::new(Shared::new(Arc::clone(&self.core), peer));
        self.core.debug(|| format!("({}) accepted {}", std::process::id(), Place(&peer.remote)));
        let slot = self.core.register.lock().enter(&shared);
        Permit { shared, slot }
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
        poll_fn(|context| {
            let mut entries = self.core.register.lock();
            if entries.live == 0 {
                return Poll::Ready(());
            }
            entries.drainer = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Cuts every connection that is left: what the application does for it is dropped.
    pub fn abort(&self) {
        self.core.register.order_all(Stage::Aborting, Order::Abort);
    }

    /// Logs the end, and tells how it went.
    pub fn report(&self) -> Report {
        let entries = self.core.register.lock();
        let report = Report { finished: entries.finished, cut: entries.cut };
        drop(entries);
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
        let pooled = self.buffers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        pooled.unwrap_or_default()
    }

    pub(crate) fn give_back(&self, buffers: Buffers) {
        let mut pool = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.len() < POOLED {
            pool.push(buffers.trimmed());
        }
    }

    /// Whether a wait between two wake-ups of a connection can end by time.
    pub(crate) fn has_timeouts(&self) -> bool {
        self.config.socket_timeout.is_some() || matches!(self.config.keepalive, KeepAlive::For(_))
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
        log.log(&LogEntry::Access { record, line: &line });
    }

    pub(crate) fn info(&self, text: &str) {
        if let Some(log) = &self.log {
            log.log(&LogEntry::Info(text));
        }
    }

    pub(crate) fn error(&self, text: &str) {
        if let Some(log) = &self.log {
            log.log(&LogEntry::Error(text));
        }
    }

    pub(crate) fn debug(&self, text: impl FnOnce() -> String) {
        if let Some(log) = &self.log {
            log.log(&LogEntry::Debug(&text()));
        }
    }

    /// Tells why a connection ended, where that is not the ordinary course.
    pub(crate) fn closed(&self, peer: &Peer, reason: CloseReason) {
        match reason {
            CloseReason::IdleTimeout | CloseReason::Lost(Lost::TimedOut) => {
                self.debug(|| format!("({}) timed out {}", std::process::id(), Place(&peer.remote)));
            }
            CloseReason::Lost(lost) => {
                self.debug(|| format!("({}) {lost} {}", std::process::id(), Place(&peer.remote)));
            }
            CloseReason::Refused(error) => {
                self.debug(|| format!("({}) refused {}: {error}", std::process::id(), Place(&peer.remote)));
            }
            _ => {}
        }
    }

    pub(crate) fn count_request(&self, by: isize) {
        let requests = &self.register.requests;
        if by > 0 {
            requests.fetch_add(1, Ordering::Relaxed);
        } else {
            requests.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("config", &self.config).finish_non_exhaustive()
    }
}

struct Place<'a>(&'a wsgi_proto::Address);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            wsgi_proto::Address::Ip(address) => address.fmt(f),
            wsgi_proto::Address::Unix => f.write_str("unix"),
        }
    }
}

/// A connection's place in the register; it is left when this is dropped.
#[derive(Debug)]
pub struct Permit {
    pub(crate) shared: Arc<Shared>,
    slot: usize,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let aborted = self.shared.lock().order == Order::Abort;
        let register = &self.shared.core.register;
        let mut entries = register.lock();
        entries.leave(self.slot, aborted);
        let wakers = [entries.acceptor.take(), (entries.live == 0).then(|| entries.drainer.take()).flatten()];
        drop(entries);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

/// Stops and watches a server from any thread. It can be made before the server runs, and be cloned.
#[derive(Clone, Debug, Default)]
pub struct ServerHandle {
    register: Arc<Register>,
}

impl ServerHandle {
    /// A handle for a server that is going to be built.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops gracefully: no connection is accepted any more, idle ones are closed, requests that have begun are
    /// finished with `Connection: close`, and cut at `graceful_timeout`. Returns at once; `serve` ends with the report.
    pub fn shutdown(&self) {
        self.register.order_all(Stage::Stopping, Order::Finish);
    }

    /// Whether the server was told to stop.
    pub fn is_stopping(&self) -> bool {
        self.register.lock().stage != Stage::Running
    }

    /// Connections that are open now.
    pub fn connections(&self) -> usize {
        self.register.lock().live
    }

    /// Requests that are with the application now.
    pub fn requests(&self) -> usize {
        self.register.requests.load(Ordering::Relaxed)
    }

    /// Where the server accepts connections; empty before it runs.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.register.lock().addresses.clone()
    }

    /// Notes where the server accepts connections.
    #[doc(hidden)]
    pub fn add_address(&self, address: SocketAddr) {
        self.register.lock().addresses.push(address);
    }
}

/// How a stop went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Connections that ended by themselves after the stop began.
    pub finished: usize,
    /// Connections that were cut at the deadline.
    pub cut: usize,
}

#[derive(Default)]
struct Register {
    entries: Mutex<Entries>,
    requests: AtomicUsize,
}

#[derive(Default)]
struct Entries {
    slots: Vec<Option<Arc<Shared>>>,
    free: Vec<usize>,
    live: usize,
    stage: Stage,
    acceptor: Option<Waker>,
    drainer: Option<Waker>,
    finished: usize,
    cut: usize,
    addresses: Vec<SocketAddr>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    #[default]
    Running,
    Stopping,
    Aborting,
}

impl Register {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn order_all(&self, stage: Stage, order: Order) {
        let mut entries = self.lock();
        entries.stage = entries.stage.max(stage);
        let connections: Vec<_> = entries.slots.iter().flatten().cloned().collect();
        let acceptor = entries.acceptor.take();
        drop(entries);
        acceptor.into_iter().for_each(Waker::wake);
        for connection in connections {
            connection.order(order);
        }
    }
}

impl Entries {
    fn enter(&mut self, shared: &Arc<Shared>) -> usize {
        self.live += 1;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(Arc::clone(shared));
        // A connection that came in while the stop began is treated like the others.
        match self.stage {
            Stage::Running => {}
            Stage::Stopping => shared.order(Order::Finish),
            Stage::Aborting => shared.order(Order::Abort),
        }
        slot
    }

    fn leave(&mut self, slot: usize, aborted: bool) {
        self.live -= 1;
        self.slots[slot] = None;
        self.free.push(slot);
        match self.stage {
            Stage::Running => {}
            _ if aborted => self.cut += 1,
            _ => self.finished += 1,
        }
    }

    fn longest_idle(&self) -> Option<Arc<Shared>> {
        let idle = self.slots.iter().flatten().filter_map(|shared| {
            let cell = shared.lock();
            // One that was asked already is on its way out.
            if cell.order == Order::Leave { None } else { cell.idle_since.map(|since| (since, shared)) }
        });
        idle.min_by_key(|(since, _)| *since).map(|(_, shared)| Arc::clone(shared))
    }
}

impl fmt::Debug for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.lock();
        f.debug_struct("Register")
            .field("live", &entries.live)
            .field("stage", &entries.stage)
            .finish_non_exhaustive()
    }
}
