//! Who is connected, and what a server's handle can do about it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::shared::{Order, Shared};

/// A connection's place in the register; it is left when this is dropped.
#[derive(Debug)]
pub struct Permit {
    pub(crate) shared: Arc<Shared>,
    slot: usize,
}

impl Permit {
    pub(crate) fn new(shared: Arc<Shared>, register: &Register) -> Self {
        let slot = register.lock().enter(&shared);
        Self { shared, slot }
    }
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
    pub(crate) register: Arc<Register>,
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
pub(crate) struct Register {
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

    /// Ready when another connection may be accepted (`true`), or when the server stops (`false`).
    pub(crate) fn poll_admission(&self, max_size: usize, context: &mut Context<'_>) -> Poll<bool> {
        let mut entries = self.lock();
        if entries.stage != Stage::Running {
            return Poll::Ready(false);
        }
        // The acceptor waits at its listener or here; a stop has to wake it in either case.
        entries.acceptor = Some(context.waker().clone());
        if entries.live < max_size {
            return Poll::Ready(true);
        }
        if let Some(waiting) = entries.longest_waiting() {
            waiting.order(Order::Leave);
        }
        Poll::Pending
    }

    pub(crate) fn poll_drained(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut entries = self.lock();
        if entries.live == 0 {
            return Poll::Ready(());
        }
        entries.drainer = Some(context.waker().clone());
        Poll::Pending
    }

    pub(crate) fn report(&self) -> Report {
        let entries = self.lock();
        Report { finished: entries.finished, cut: entries.cut }
    }

    pub(crate) fn abort(&self) {
        self.order_all(Stage::Aborting, Order::Abort);
    }

    pub(crate) fn request_began(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn request_ended(&self) {
        self.requests.fetch_sub(1, Ordering::Relaxed);
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

    fn longest_waiting(&self) -> Option<Arc<Shared>> {
        let waiting = self.slots.iter().flatten().filter_map(|shared| {
            let cell = shared.lock();
            // One that was asked already is on its way out.
            if cell.order == Order::Leave { None } else { cell.waits_since.map(|since| (since, shared)) }
        });
        waiting.min_by_key(|(since, _)| *since).map(|(_, shared)| Arc::clone(shared))
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
