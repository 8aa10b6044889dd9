//! What the server still knows about a connection that the application has taken over.
//!
//! The connection counts for `max_size`, and a stop waits for it, as long as its task runs or the application has its
//! stream, whichever ends later.

use std::any::Any;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::exchange::shared::{ConnShared, Directive, WakeList};
use crate::exchange::stopping::Stopping;
use crate::io::transport::Transport;

/// The application has a connection's stream, or waits for it. Dropped after the transport.
pub(crate) struct Taken(Arc<ConnShared>);

impl Taken {
    /// Called by the one take-over of a connection that succeeds.
    pub(super) fn new(shared: Arc<ConnShared>) -> Self {
        Self(shared)
    }

    pub(crate) fn stopping(&self) -> Stopping {
        Stopping::new(Arc::clone(&self.0))
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.0.lock().is_stopping()
    }

    /// Ready when a stop cuts the connection, because its time is over.
    pub(crate) fn poll_cut(&self, context: &Context<'_>) -> Poll<io::Error> {
        let mut wake_list = WakeList::default();
        let mut inner = self.0.lock();
        if inner.directive == Directive::Abort {
            return Poll::Ready(io::ErrorKind::ConnectionAborted.into());
        }
        inner.note_waiting(context, &mut wake_list);
        Poll::Pending
    }

    /// Whether a stop has cut the connection.
    pub(crate) fn is_cut(&self) -> bool {
        self.0.is_cut()
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.taken = false;
        let entry = inner.entry.take();
        drop(inner);
        drop(entry);
    }
}

/// The transport of a connection that was taken over.
///
/// If a stop cuts the connection, it ends with a reset: what was sent of an unfinished message must not look complete. Where the
/// application has closed its half, all of it was sent.
pub(crate) struct TakenTransport {
    transport: Box<dyn Transport>,
    shared: Arc<ConnShared>,
    is_finished: bool,
}

impl TakenTransport {
    pub(crate) fn new(transport: Box<dyn Transport>, taken: &Taken) -> Self {
        Self { transport, shared: Arc::clone(&taken.0), is_finished: false }
    }

    pub(crate) fn get(&mut self) -> &mut dyn Transport {
        &mut *self.transport
    }

    /// Closes our half.
    pub(crate) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = self.transport.poll_shutdown(context);
        self.is_finished |= matches!(polled, Poll::Ready(Ok(())));
        polled
    }
}

impl Drop for TakenTransport {
    fn drop(&mut self) {
        if self.shared.is_cut() && !self.is_finished {
            // If it cannot be reset now, dropping it still closes it.
            let _ = self.transport.poll_abort(&mut Context::from_waker(Waker::noop()));
        }
    }
}

impl fmt::Debug for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Taken").finish_non_exhaustive()
    }
}

impl ConnShared {
    /// Keeps the connection's entry in the registry until the application drops its stream. If it has none, the entry is
    /// dropped.
    pub(crate) fn keep(&self, entry: Box<dyn Any + Send>) {
        let mut inner = self.lock();
        if inner.taken {
            inner.entry = Some(entry);
        }
        // What is left of the lock is released before an entry that is not kept is dropped: parameters are dropped last.
    }
}
