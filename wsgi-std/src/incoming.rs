//! Connections from an iterator, which runs on its own thread and may block.

use std::fmt;
use std::io;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;

use socket2::Socket;
use wsgi_app::Endpoints;

use crate::sync::{Condvar, Mutex, MutexGuard, lock, wait};

type Connection = (Socket, Endpoints);

/// The accept loop's end of an iterator. Dropping it does not wait for the iterator.
pub(crate) struct Incoming {
    iterator: Option<Box<dyn Iterator<Item = io::Result<Connection>> + Send>>,
    handover: Arc<Handover>,
}

/// Where the thread of the iterator puts one connection at a time.
#[derive(Default)]
struct Handover {
    state: Mutex<State>,
    /// The accept loop has taken the connection, or has ended.
    taken: Condvar,
}

#[derive(Default)]
struct State {
    next: Option<io::Result<Connection>>,
    /// The iterator has ended.
    ended: bool,
    /// The accept loop has ended.
    closed: bool,
    acceptor: Option<Waker>,
}

impl Incoming {
    pub(crate) fn new(iterator: impl Iterator<Item = io::Result<Connection>> + Send + 'static) -> Self {
        Self { iterator: Some(Box::new(iterator)), handover: Arc::default() }
    }

    /// Starts the thread.
    pub(crate) fn begin(&mut self) -> io::Result<()> {
        let Some(iterator) = self.iterator.take() else { return Ok(()) };
        let end = End(Arc::clone(&self.handover));
        let run = move || {
            for accepted in iterator {
                if !end.0.put(accepted) {
                    return;
                }
            }
        };
        thread::Builder::new().name("wsgi-std incoming".into()).spawn(run).map(drop)
    }

    pub(crate) fn poll_accept(&self, context: &Context<'_>) -> Poll<io::Result<Connection>> {
        let mut state = self.handover.lock();
        if let Some(accepted) = state.next.take() {
            self.handover.taken.notify_one();
            return Poll::Ready(accepted);
        }
        if !state.acceptor.as_ref().is_some_and(|acceptor| acceptor.will_wake(context.waker())) {
            state.acceptor = Some(context.waker().clone());
        }
        Poll::Pending
    }

    /// Whether the iterator has ended, and its last connection was accepted.
    pub(crate) fn has_ended(&self) -> bool {
        let state = self.handover.lock();
        state.ended && state.next.is_none()
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let unused = {
            let mut state = self.handover.lock();
            state.closed = true;
            mem::take(&mut state.next)
        };
        self.handover.taken.notify_one();
        drop(unused);
    }
}

impl Handover {
    /// Waits until the previous connection was taken. Returns false if the accept loop has ended.
    fn put(&self, accepted: io::Result<Connection>) -> bool {
        let mut state = self.lock();
        while state.next.is_some() && !state.closed {
            state = wait(&self.taken, state);
        }
        let open = !state.closed;
        if open {
            state.next = Some(accepted);
        }
        Self::wake(state);
        open
    }

    fn wake(state: MutexGuard<'_, State>) {
        let acceptor = state.acceptor.clone();
        drop(state);
        acceptor.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// Reports the end of the iterator, even after a panic.
struct End(Arc<Handover>);

impl Drop for End {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.ended = true;
        Handover::wake(state);
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("ended", &self.has_ended()).finish_non_exhaustive()
    }
}
