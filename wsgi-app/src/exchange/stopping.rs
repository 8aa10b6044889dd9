//! The wait for a stop of the server, as one connection sees it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::exchange::shared::ConnShared;

/// A future that is ready when the server begins to stop, made by [`Environ::stopping`](crate::Environ::stopping) and
/// [`Stream::stopping`](crate::Stream::stopping).
///
/// It is ready at once if the stop has already begun, and whenever it is polled after that. It is also ready when its
/// connection is over, so that no task waits for a stop on behalf of a client that has left.
///
/// Clones wait for the same stop. The future belongs to no task, and can be moved to any. Dropping it ends the wait.
pub struct Stopping {
    shared: Arc<ConnShared>,
    /// The place of its waker, while it waits.
    key: Option<u64>,
}

impl Stopping {
    pub(crate) fn new(shared: Arc<ConnShared>) -> Self {
        Self { shared, key: None }
    }
}

impl Future for Stopping {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Self { shared, key } = &mut *self;
        let mut inner = shared.lock();
        if inner.is_stopping() || inner.is_over() {
            *key = None;
            return Poll::Ready(());
        }
        let before = inner.stop_waiters.get_or_insert_default().set(key, context.waker().clone());
        drop(inner);
        // Not under the lock: it may be the last reference to a task that holds handles of this connection.
        drop(before);
        Poll::Pending
    }
}

impl Clone for Stopping {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.shared))
    }
}

impl Drop for Stopping {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let mut inner = self.shared.lock();
        let waker = inner.stop_waiters.as_mut().and_then(|waiters| waiters.remove(key));
        drop(inner);
        // Not under the lock, for the same reason.
        drop(waker);
    }
}

impl fmt::Debug for Stopping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stopping").field("waits", &self.key.is_some()).finish_non_exhaustive()
    }
}
