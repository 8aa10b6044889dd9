//! The main loop of an asynchronous server: accepts until the server is stopped, then waits for requests that have
//! begun.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::context::log::ServerLog;
use crate::context::log_writer::FLUSH;
use crate::registry::{Report, ServerHandle};
use crate::server::accept_error::AcceptFailure;
use crate::server::{BoundAddr, Server};

/// How long cut connections have to notice the cut.
const CUT: Duration = Duration::from_secs(1);

/// How often the server checks again which connection can make room for a waiting one.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How long accepting pauses after descriptors or memory ran out.
const PAUSE: Duration = Duration::from_millis(100);

/// The interface to a runtime: how its listeners accept, how a connection is started, and how it sleeps.
pub trait Adapter {
    /// A listener that is bound and listening.
    type Listener;
    /// A connection that was just accepted.
    type Accepted;

    /// The address of `listener`, for the log and the [`ServerHandle`].
    fn bound_addr(&self, listener: &Self::Listener) -> BoundAddr;

    /// Accepts one connection. Errors are those of `accept(2)`.
    fn poll_accept(
        &self,
        listener: &mut Self::Listener,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Self::Accepted>>;

    /// Serves a connection in its own task.
    fn start(&self, accepted: Self::Accepted);

    /// Returns a future that is ready after `time`.
    fn sleep(&self, time: Duration) -> impl Future;
}

impl<A> Server<A> {
    /// Accepts on all `listeners` until `handle` stops the server or a listener becomes unusable. Then it closes the
    /// listeners and the idle connections, and finishes requests that have begun. At `graceful_timeout` it cuts the
    /// remaining connections.
    ///
    /// # Errors
    ///
    /// The failure of a listener. Errors of single clients never end the loop.
    pub async fn run<D: Adapter>(
        &self,
        handle: &ServerHandle,
        mut listeners: Vec<D::Listener>,
        adapter: &D,
    ) -> io::Result<Report> {
        for listener in &listeners {
            self.announce(handle, &adapter.bound_addr(listener));
        }
        let mut guard = StopOnDrop { server: self, finished: false };
        let accepted = self.accept(&mut listeners, adapter).await;
        // The descriptors are closed, never shut down: a duplicate of one stays usable.
        drop(listeners);
        handle.shutdown();
        if !within(adapter.sleep(self.graceful_timeout()), self.drained()).await {
            self.abort();
            // An application that blocks its thread cannot be cut; it is not waited for.
            within(adapter.sleep(CUT), self.drained()).await;
        }
        guard.finished = true;
        let report = self.report();
        if let Some(log) = &self.context.log {
            within(adapter.sleep(FLUSH), poll_fn(|context| log.poll_flushed(context))).await;
        }
        accepted.map(|()| report)
    }

    /// Waits until there is room for another connection (`true`), or until the server stops (`false`).
    async fn admission(&self, adapter: &impl Adapter) -> bool {
        let mut admitted = poll_fn(|context| Poll::Ready(self.poll_admission(context))).await;
        loop {
            if let Poll::Ready(admitted) = admitted {
                return admitted;
            }
            let asked = poll_fn(|context| {
                admitted = self.poll_admission(context);
                admitted.map(drop)
            });
            // A connection that was too new to be closed may be closed later.
            within(adapter.sleep(LOOK_AGAIN), asked).await;
        }
    }

    async fn accept<D: Adapter>(&self, listeners: &mut [D::Listener], adapter: &D) -> io::Result<()> {
        loop {
            let accepted = poll_fn(|context| {
                if self.poll_stop(context).is_ready() {
                    return Poll::Ready(None);
                }
                // Each pass begins with another listener, so that a busy one does not starve the others.
                listeners.rotate_left(1.min(listeners.len()));
                for listener in &mut *listeners {
                    if let Poll::Ready(accepted) = adapter.poll_accept(listener, context) {
                        return Poll::Ready(Some(accepted));
                    }
                }
                Poll::Pending
            });
            match accepted.await {
                None => return Ok(()),
                // Another connection may have to make room, but only once the new one has really arrived.
                Some(Ok(accepted)) => match self.admission(adapter).await {
                    true => adapter.start(accepted),
                    false => return Ok(()),
                },
                Some(Err(error)) => match self.accept_failed(&error) {
                    AcceptFailure::Peer => {}
                    AcceptFailure::Exhausted => {
                        within(adapter.sleep(PAUSE), poll_fn(|context| self.poll_stop(context))).await;
                    }
                    AcceptFailure::Listener => return Err(error),
                },
            }
        }
    }
}

/// Cuts all connections if the server's future is dropped before it has finished.
struct StopOnDrop<'a, A> {
    server: &'a Server<A>,
    finished: bool,
}

impl<A> Drop for StopOnDrop<'_, A> {
    fn drop(&mut self) {
        if !self.finished {
            self.server.abort();
            // Dropping the log would do that, but an application may keep it for longer than the process lives.
            self.server.context.log.iter().for_each(ServerLog::flush);
        }
    }
}

/// Returns whether `work` completes before `timer`.
async fn within(timer: impl Future, work: impl Future<Output = ()>) -> bool {
    let (mut timer, mut work) = (pin!(timer), pin!(work));
    poll_fn(|context| {
        if work.as_mut().poll(context).is_ready() {
            return Poll::Ready(true);
        }
        timer.as_mut().poll(context).map(|_| false)
    })
    .await
}
