//! Who is connected, and what a server's handle can do about it.

use std::fmt;
use std::mem;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use wsgi_proto::Instant;

use crate::exchange::shared::{ConnShared, Directive};
use crate::io::blocking::BlockingTransport;
use crate::sync::{AtomicBool, AtomicUsize, Mutex, MutexGuard, Ordering, lock};

/// How long a connection may wait before it has to make room for another: a new one for its handshake and its first
/// request, one whose response has promised to persist for the next, and one that lingers for the peer to close.
const PATIENCE: Duration = Duration::from_millis(500);

/// A connection's place in the registry; it is left when this is dropped.
#[derive(Debug)]
pub struct ConnectionGuard {
    pub(crate) shared: Arc<ConnShared>,
    pub(crate) registry: Arc<Registry>,
    slot: usize,
}

impl ConnectionGuard {
    /// Says what the connection's bytes are moved over when its application blocks.
    pub(crate) fn set_blocking_transport(&self, transport: Weak<dyn BlockingTransport>) {
        self.shared.set_blocking_transport(transport);
    }

    pub(crate) fn new(shared: Arc<ConnShared>, registry: &Arc<Registry>) -> Self {
        let slot = registry.lock().enter(&shared);
        Self { shared, registry: Arc::clone(registry), slot }
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        let aborted = self.shared.end() == Directive::Abort;
        let mut state = self.registry.lock();
        state.leave(self.slot, aborted);
        let acceptors = mem::take(&mut state.acceptors);
        let drainers = if state.live == 0 { mem::take(&mut state.drainers) } else { Vec::new() };
        drop(state);
        acceptors.into_iter().chain(drainers).for_each(Waker::wake);
    }
}

/// Stops and watches a server from any thread. It can be made before the server runs, and be cloned.
#[derive(Clone, Debug, Default)]
pub struct ServerHandle {
    pub(crate) registry: Arc<Registry>,
}

impl ServerHandle {
    /// A handle for a server that is going to be built.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops gracefully: no connection is accepted any more, idle ones are closed, requests that have begun are
    /// finished with `Connection: close`, and cut at `graceful_timeout`. Returns at once; `serve` ends with the report.
    pub fn shutdown(&self) {
        self.registry.direct_all(Stage::Stopping, Directive::Finish);
    }

    /// Whether the server was told to stop.
    pub fn is_stopping(&self) -> bool {
        self.registry.lock().stage != Stage::Running
    }

    /// Connections that are open now.
    pub fn connections(&self) -> usize {
        self.registry.lock().live
    }

    /// Requests that are with the application now.
    pub fn requests(&self) -> usize {
        self.registry.requests.load(Ordering::Relaxed)
    }

    /// Where the server accepts connections; empty before it runs.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.registry.lock().addresses.clone()
    }

    /// Notes where the server accepts connections.
    pub(crate) fn add_address(&self, address: SocketAddr) {
        self.registry.lock().addresses.push(address);
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
pub(crate) struct Registry {
    state: Mutex<Members>,
    requests: AtomicUsize,
    /// A new connection waits until one of those that are there may leave.
    crowded: AtomicBool,
}

#[derive(Default)]
struct Members {
    slots: Vec<Option<Arc<ConnShared>>>,
    free: Vec<usize>,
    live: usize,
    stage: Stage,
    /// The tasks that accept, and those that wait for the end, each once.
    acceptors: Vec<Waker>,
    drainers: Vec<Waker>,
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

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Members> {
        lock(&self.state)
    }

    /// Ready when the server stops.
    pub(crate) fn poll_stop(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.stage != Stage::Running {
            return Poll::Ready(());
        }
        // An acceptor waits at its listener or for room; a stop has to wake it in either case.
        note(&mut state.acceptors, context);
        Poll::Pending
    }

    /// Ready when there is room for another connection (`true`), or when the server stops (`false`).
    pub(crate) fn poll_admission(
        &self,
        max_size: usize,
        now: Instant,
        context: &mut Context<'_>,
    ) -> Poll<bool> {
        if self.poll_stop(context).is_ready() {
            return Poll::Ready(false);
        }
        let state = self.lock();
        let crowded = state.live >= max_size;
        // Before anyone is looked at: who begins to wait for a request later sees it.
        self.crowded.store(crowded, Ordering::Relaxed);
        if !crowded {
            return Poll::Ready(true);
        }
        let longest_waiting = state.longest_waiting(now);
        drop(state);
        longest_waiting.into_iter().for_each(|connection| connection.direct(Directive::MakeRoom));
        Poll::Pending
    }

    /// Whether a new connection waits for room.
    pub(crate) fn is_crowded(&self) -> bool {
        self.crowded.load(Ordering::Relaxed)
    }

    /// Has the acceptor look again who may leave. Not to be called under a connection's lock.
    pub(crate) fn look_for_room(&self) {
        let acceptors = mem::take(&mut self.lock().acceptors);
        acceptors.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn poll_drained(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.live == 0 {
            return Poll::Ready(());
        }
        note(&mut state.drainers, context);
        Poll::Pending
    }

    pub(crate) fn report(&self) -> Report {
        let state = self.lock();
        // Who is left has not noticed that it was cut.
        Report { finished: state.finished, cut: state.cut + state.live }
    }

    pub(crate) fn abort(&self) {
        self.direct_all(Stage::Aborting, Directive::Abort);
    }

    pub(crate) fn request_began(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn request_ended(&self) {
        self.requests.fetch_sub(1, Ordering::Relaxed);
    }

    fn direct_all(&self, stage: Stage, directive: Directive) {
        let mut state = self.lock();
        state.stage = state.stage.max(stage);
        let connections: Vec<_> = state.slots.iter().flatten().cloned().collect();
        let acceptors = mem::take(&mut state.acceptors);
        drop(state);
        acceptors.into_iter().for_each(Waker::wake);
        for connection in connections {
            connection.direct(directive);
        }
    }
}

/// Remembers a task that waits.
fn note(waiting: &mut Vec<Waker>, context: &Context<'_>) {
    if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
        waiting.push(context.waker().clone());
    }
}

impl Members {
    fn enter(&mut self, shared: &Arc<ConnShared>) -> usize {
        self.live += 1;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(Arc::clone(shared));
        // A connection that came in while the stop began is treated like the others.
        match self.stage {
            Stage::Running => {}
            Stage::Stopping => shared.direct(Directive::Finish),
            Stage::Aborting => shared.direct(Directive::Abort),
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

    fn longest_waiting(&self, now: Instant) -> Option<Arc<ConnShared>> {
        // Those that only linger leave first.
        let mut longest: Option<((bool, Instant), &Arc<ConnShared>)> = None;
        for shared in self.slots.iter().flatten() {
            // One that is being used just now does not wait.
            let Some(inner) = shared.try_lock() else { continue };
            if inner.directive == Directive::MakeRoom && inner.waits_since.is_some() {
                // It is on its way out, and one is enough.
                return None;
            }
            if let Some(since) = inner.waits_since
                // Its handshake, its next request, or the end of what it sends may be on the way.
                && now.since(since) >= PATIENCE
            {
                let order = (!inner.machine.lingers(), since);
                if longest.is_none_or(|(longest, _)| order < longest) {
                    longest = Some((order, shared));
                }
            }
        }
        longest.map(|(_, shared)| Arc::clone(shared))
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Registry")
            .field("live", &state.live)
            .field("stage", &state.stage)
            .finish_non_exhaustive()
    }
}
