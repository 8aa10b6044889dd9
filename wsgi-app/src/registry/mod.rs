//! The registry of a server's connections, and the handle that stops and watches the server.

pub(crate) mod candidates;

use std::fmt;
use std::mem;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use wsgi_proto::Instant;

use crate::exchange::shared::{ConnShared, Directive};
use crate::io::blocking::BlockingTransport;
use crate::registry::candidates::Candidates;
use crate::sync::{AtomicBool, Mutex, MutexGuard, Ordering, lock};

/// A connection's entry in the registry. It is removed when this is dropped, or later: when the application drops the stream of
/// a connection that it took over.
#[derive(Debug)]
pub struct ConnectionGuard {
    pub(crate) shared: Arc<ConnShared>,
    pub(crate) registry: Arc<Registry>,
    slot: usize,
}

impl ConnectionGuard {
    /// Sets the transport that blocking calls of the application use.
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
        let Some(directive) = self.shared.end() else {
            let Self { shared, registry, slot } = &*self;
            let entry = Self { shared: Arc::clone(shared), registry: Arc::clone(registry), slot: *slot };
            return self.shared.keep(Box::new(entry));
        };
        let aborted = directive == Directive::Abort;
        let mut state = self.registry.lock();
        state.leave(self.slot, aborted);
        let waits_for_room = self.registry.is_crowded();
        let acceptors = if waits_for_room { mem::take(&mut state.acceptors) } else { Vec::new() };
        let drainers = state.drained();
        drop(state);
        acceptors.into_iter().chain(drainers).for_each(Waker::wake);
    }
}

/// A handle that stops and observes a server from any thread or task. Clones refer to the same server.
///
/// `Server::handle` of each adapter returns one, before the server runs. A handle does not keep the server running.
///
/// ```
/// # use wsgi_app::ServerHandle;
/// # let handle = ServerHandle::new();
/// // let handle = server.handle();
/// let stopper = handle.clone();
/// std::thread::spawn(move || {
///     // On a signal, or when an operator requests it:
///     stopper.shutdown();
/// })
/// # .join().unwrap();
/// # assert!(handle.is_stopping());
/// // For a status page:
/// let status = format!("{} requests, {} connections", handle.requests(), handle.connections());
/// # assert_eq!(status, "0 requests, 0 connections");
/// ```
#[derive(Clone, Debug, Default)]
pub struct ServerHandle {
    pub(crate) registry: Arc<Registry>,
}

impl ServerHandle {
    /// Creates a handle for a server that an adapter builds later, with
    /// [`adapter::Server::new`](crate::adapter::Server::new). Applications use `Server::handle` of their adapter.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a graceful stop and returns immediately. The server closes its listeners, after it
    /// has accepted the connections in their queues, and idle connections 1 s after their last response. Requests that
    /// begin until then are finished, with `Connection: close`, or cut at
    /// [`Options::graceful_timeout`](crate::Options::graceful_timeout), and so are streams that were taken over.
    /// [`Environ::stopping`](crate::Environ::stopping) notifies applications. `serve` then returns a [`Report`].
    ///
    /// A server that does not run yet stops as soon as it starts. Further calls do nothing.
    pub fn shutdown(&self) {
        self.registry.direct_all(Stage::Stopping, Directive::Finish);
    }

    /// Whether the server is stopping or has stopped. An endless response can check it, and finish before it is cut.
    pub fn is_stopping(&self) -> bool {
        self.registry.lock().stage != Stage::Running
    }

    /// The number of open connections.
    pub fn connections(&self) -> usize {
        self.registry.lock().live
    }

    /// The number of requests that the application is handling.
    pub fn requests(&self) -> usize {
        let state = self.registry.lock();
        state.slots.iter().flatten().filter(|connection| connection.has_request()).count()
    }

    /// The addresses of the TCP listeners, with the ports that the system chose for port 0. Empty before the server
    /// runs.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.registry.lock().addresses.clone()
    }

    /// Adds an address where the server accepts connections.
    pub(crate) fn add_address(&self, address: SocketAddr) {
        self.registry.lock().addresses.push(address);
    }
}

/// The result of a stop: the connections that finished and those that were cut.
///
/// Connections that ended before the stop began are not counted.
///
/// ```
/// # use wsgi_app::Report;
/// fn log(report: Report) {
///     if report.cut > 0 {
///         eprintln!("{} connections did not finish in time", report.cut);
///     }
/// }
/// # log(Report::default());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Connections that ended without being cut after the stop began.
    pub finished: usize,
    /// Connections that were cut at the deadline, including those whose application still had not returned.
    pub cut: usize,
}

#[derive(Default)]
pub(crate) struct Registry {
    state: Mutex<Members>,
    /// A new connection is waiting for another one to leave. Changed under the lock.
    crowded: AtomicBool,
}

#[derive(Default)]
struct Members {
    slots: Vec<Option<Arc<ConnShared>>>,
    free: Vec<usize>,
    live: usize,
    /// The number of places for accepted connections that have not entered yet.
    reserved: usize,
    /// The number of accept loops beside the main one.
    accepting: usize,
    /// The number of connections that have left.
    departures: u64,
    candidates: Candidates,
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

    /// Ready with `true` when there is room for another connection, with `false` when the server stops. If `reserves`,
    /// the place is kept for the next connection that enters, so that two accept loops do not find the same one. Until then
    /// a connection is directed to make room, where `makes_room` has the time.
    pub(crate) fn poll_admission(
        &self,
        max_size: usize,
        reserves: bool,
        makes_room: Option<Instant>,
        context: &mut Context<'_>,
    ) -> Poll<bool> {
        let mut state = self.lock();
        if state.stage != Stage::Running {
            return Poll::Ready(false);
        }
        let crowded = state.is_full(max_size);
        self.crowded.store(crowded, Ordering::Relaxed);
        if !crowded {
            state.reserved += usize::from(reserves);
            return Poll::Ready(true);
        }
        self.make_room(state, makes_room, context);
        Poll::Pending
    }

    /// Like [`poll_admission`](Self::poll_admission) after the server was stopped: connections leave by themselves.
    pub(crate) fn poll_room(&self, max_size: usize, reserves: bool, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        let crowded = state.is_full(max_size);
        self.crowded.store(crowded, Ordering::Relaxed);
        if !crowded {
            state.reserved += usize::from(reserves);
            return Poll::Ready(());
        }
        note(&mut state.acceptors, context);
        Poll::Pending
    }

    /// The number of connections that have left, for [`poll_departure`](Self::poll_departure).
    pub(crate) fn departures(&self) -> u64 {
        self.lock().departures
    }

    /// Ready when another connection has left since [`departures`](Self::departures). Until then the server is crowded,
    /// however many connections it has.
    pub(crate) fn poll_departure(
        &self,
        since: u64,
        makes_room: Option<Instant>,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        let state = self.lock();
        if state.departures != since {
            return Poll::Ready(());
        }
        self.crowded.store(true, Ordering::Relaxed);
        self.make_room(state, makes_room, context);
        Poll::Pending
    }

    /// Ends a wait by [`poll_departure`](Self::poll_departure), successful or not.
    pub(crate) fn end_crowding(&self) {
        let mut state = self.lock();
        self.crowded.store(false, Ordering::Relaxed);
        // Another accept loop may wait for room: it finds out by itself whether the server is still crowded.
        let acceptors = mem::take(&mut state.acceptors);
        drop(state);
        acceptors.into_iter().for_each(Waker::wake);
    }

    /// Directs one connection to make room, if one can and is to do so now. During a stop, all of them leave anyway.
    fn make_room(&self, mut state: MutexGuard<'_, Members>, now: Option<Instant>, context: &Context<'_>) {
        note(&mut state.acceptors, context);
        let Some(now) = now else { return };
        let Members { slots, candidates, .. } = &mut *state;
        let chosen = candidates.choose(slots, now);
        drop(state);
        if let Some(connection) = chosen {
            connection.direct(Directive::MakeRoom);
        }
    }

    /// Whether a new connection is waiting for room.
    pub(crate) fn is_crowded(&self) -> bool {
        self.crowded.load(Ordering::Relaxed)
    }

    /// Makes the acceptor check again which connection can make room. Must not be called under a connection's lock.
    pub(crate) fn look_for_room(&self) {
        let acceptors = mem::take(&mut self.lock().acceptors);
        acceptors.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn poll_drained(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.is_drained() {
            return Poll::Ready(());
        }
        note(&mut state.drainers, context);
        Poll::Pending
    }

    /// Counts an accept loop beside the main one. Until the guard is dropped, connections can arrive.
    pub(crate) fn accept_beside(self: &Arc<Self>) -> AcceptGuard {
        self.lock().accepting += 1;
        AcceptGuard(Arc::clone(self))
    }

    pub(crate) fn report(&self) -> Report {
        let state = self.lock();
        // The remaining connections have not noticed yet that they were cut.
        Report { finished: state.finished, cut: state.cut + state.live }
    }

    pub(crate) fn abort(&self) {
        self.direct_all(Stage::Aborting, Directive::Abort);
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

/// One accept loop beside the main one, made by [`Server::accepts_beside`](crate::adapter::Server::accepts_beside).
#[derive(Debug)]
pub struct AcceptGuard(Arc<Registry>);

impl Drop for AcceptGuard {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.accepting -= 1;
        let drainers = state.drained();
        drop(state);
        drainers.into_iter().for_each(Waker::wake);
    }
}

/// Remembers a waiting task, once.
fn note(waiting: &mut Vec<Waker>, context: &Context<'_>) {
    if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
        waiting.push(context.waker().clone());
    }
}

impl Members {
    fn enter(&mut self, shared: &Arc<ConnShared>) -> usize {
        self.live += 1;
        self.reserved = self.reserved.saturating_sub(1);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(Arc::clone(shared));
        // A connection that is accepted while the stop begins is treated like the others.
        match self.stage {
            Stage::Running => {}
            Stage::Stopping => shared.direct(Directive::Finish),
            Stage::Aborting => shared.direct(Directive::Abort),
        }
        slot
    }

    /// Whether there is no room for another connection.
    fn is_full(&self, max_size: usize) -> bool {
        self.live + self.reserved >= max_size
    }

    /// Whether there is no connection, and none can arrive.
    fn is_drained(&self) -> bool {
        self.live == 0 && self.accepting == 0
    }

    /// The tasks that wait for the end, once it is reached.
    fn drained(&mut self) -> Vec<Waker> {
        if self.is_drained() { mem::take(&mut self.drainers) } else { Vec::new() }
    }

    fn leave(&mut self, slot: usize, aborted: bool) {
        self.live -= 1;
        self.departures += 1;
        self.slots[slot] = None;
        self.candidates.left(slot);
        self.free.push(slot);
        match self.stage {
            Stage::Running => {}
            _ if aborted => self.cut += 1,
            _ => self.finished += 1,
        }
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

#[cfg(all(test, not(loom)))]
mod tests {
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_loop_that_waits_for_room_looks_again_when_another_one_has_waited_for_descriptors() {
        let (registry, woken) = (Registry::default(), Arc::new(Woken::default()));
        let waker = Waker::from(Arc::clone(&woken));
        let full = || registry.poll_admission(0, false, None, &mut Context::from_waker(&waker)).is_pending();
        assert!(full() && registry.is_crowded());
        registry.end_crowding();
        assert!(woken.0.load(Ordering::Relaxed));
        assert!(full() && registry.is_crowded(), "a connection that leaves wakes it");
    }
}
