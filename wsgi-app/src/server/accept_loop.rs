//! The main loop of an asynchronous server: accepts until the server is stopped, then waits for requests that have
//! begun.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::context::log::ServerLog;
use crate::context::log_writer::FLUSH;
use crate::registry::{AcceptGuard, Report, ServerHandle};
use crate::server::accept_error::AcceptFailure;
use crate::server::{BoundAddr, Server};

/// How long cut connections have to notice the cut.
const CUT: Duration = Duration::from_secs(1);

/// How often the server checks again which connection can make room for a waiting one.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Without descriptors, accepting is tried again after this many times [`LOOK_AGAIN`].
const TRIES_TO_MAKE_ROOM: u32 = 2;

/// How long a stop accepts connections from the queues of the listeners.
const DRAIN: Duration = Duration::from_secs(1);

/// After this many connections from a queue, those that were accepted have their turn.
const DRAIN_TURN: u32 = 64;

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

    /// Whether `listener` has ended: it will never accept another connection. By default it never ends.
    fn has_ended(&self, listener: &Self::Listener) -> bool {
        let _ = listener;
        false
    }

    /// Accepts one connection from the queue of `listener` before it is closed. Pending means that the queue is empty:
    /// do not rely on an earlier notification of a reactor, which may not know of the newest connections yet. By default
    /// [`poll_accept`](Self::poll_accept).
    fn poll_queued(
        &self,
        listener: &mut Self::Listener,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Self::Accepted>> {
        self.poll_accept(listener, context)
    }

    /// Serves a connection in its own task. It calls [`Server::admit`] once: a place among the
    /// [`max_size`](crate::Options::max_size) connections is reserved for it.
    fn start(&self, accepted: Self::Accepted);

    /// Returns a future that is ready after `time`.
    fn sleep(&self, time: Duration) -> impl Future;
}

impl<A> Server<A> {
    /// Accepts on all `listeners` until `handle` stops the server, a listener becomes unusable, or all listeners have ended
    /// and the last connection has closed. Then it empties the queues of the listeners, closes them and the idle
    /// connections, and finishes requests that have begun. At `graceful_timeout` it cuts the remaining connections.
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
        handle.shutdown();
        let mut grace = pin!(adapter.sleep(self.graceful_timeout()));
        let accepted = self.stop_accepting(accepted, listeners, adapter).await;
        if !within(&mut grace, self.drained()).await {
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

    /// Counts an accept loop beside [`run`](Self::run), for [`accept_beside`](Self::accept_beside). Call it before `run`
    /// begins: as long as the guard exists, the server waits for connections of that loop.
    pub fn accepts_beside(&self) -> AcceptGuard {
        self.registry.accept_beside()
    }

    /// Accepts on more listeners, in another task or thread than [`run`](Self::run), until the server has stopped and the
    /// queues of these listeners are empty. Announce the listeners with [`announce`](Self::announce).
    ///
    /// # Errors
    ///
    /// The failure of a listener, which stops the whole server.
    pub async fn accept_beside<D: Adapter>(
        &self,
        guard: AcceptGuard,
        handle: &ServerHandle,
        mut listeners: Vec<D::Listener>,
        adapter: &D,
    ) -> io::Result<()> {
        let _guard = guard;
        let accepted = self.accept(&mut listeners, adapter).await;
        handle.shutdown();
        self.stop_accepting(accepted, listeners, adapter).await
    }

    /// Serves what waits in the queues of `listeners`, and closes them. `accepted` is the result of
    /// [`accept`](Self::accept).
    async fn stop_accepting<D: Adapter>(
        &self,
        accepted: io::Result<Option<D::Accepted>>,
        mut listeners: Vec<D::Listener>,
        adapter: &D,
    ) -> io::Result<()> {
        let waiting = accepted?;
        if !self.drain_backlog {
            listeners.clear();
        }
        let time = adapter.sleep(DRAIN.min(self.graceful_timeout()));
        within(time, self.drain_backlog(waiting, &mut listeners, adapter)).await;
        // The descriptors are closed, never shut down: a duplicate of one stays usable.
        drop(listeners);
        Ok(())
    }

    /// Waits until there is room for another connection (`true`), which is reserved, or until the server stops (`false`).
    async fn admission(&self, adapter: &impl Adapter) -> bool {
        let mut admitted = poll_fn(|context| Poll::Ready(self.look_for_room(true, context))).await;
        loop {
            if let Poll::Ready(admitted) = admitted {
                return admitted;
            }
            let asked = poll_fn(|context| {
                admitted = self.look_for_room(true, context);
                admitted.map(drop)
            });
            // A connection that was too new to be closed may be closed later.
            within(adapter.sleep(LOOK_AGAIN), asked).await;
        }
    }

    /// Accepts until the server stops. Returns the connection that was waiting for room then.
    async fn accept<D: Adapter>(
        &self,
        listeners: &mut [D::Listener],
        adapter: &D,
    ) -> io::Result<Option<D::Accepted>> {
        loop {
            let accepted = poll_fn(|context| {
                if self.poll_stop(context).is_ready() {
                    return Poll::Ready(None);
                }
                // Where none makes room, a client waits in the queue of its listener.
                if !self.context.makes_room && self.look_for_room(false, context).is_pending() {
                    return Poll::Pending;
                }
                // Each pass begins with another listener, so that a busy one does not starve the others.
                listeners.rotate_left(1.min(listeners.len()));
                for listener in &mut *listeners {
                    if let Poll::Ready(accepted) = adapter.poll_accept(listener, context) {
                        return Poll::Ready(Some(accepted));
                    }
                }
                if listeners.iter().all(|listener| adapter.has_ended(listener)) {
                    // Nothing more can arrive. Open connections are served to their end.
                    return self.registry.poll_drained(context).map(|()| None);
                }
                Poll::Pending
            });
            match accepted.await {
                None => return Ok(None),
                // Another connection may have to make room, but only once the new one has really arrived.
                Some(Ok(accepted)) => match self.admission(adapter).await {
                    true => adapter.start(accepted),
                    false => return Ok(Some(accepted)),
                },
                Some(Err(error)) => match self.accept_failed(&error) {
                    AcceptFailure::Peer => {}
                    AcceptFailure::Exhausted => self.departure(adapter).await,
                    AcceptFailure::Listener => return Err(error),
                },
            }
        }
    }

    /// Without descriptors, waits until one connection has made room, or for a moment: the application may have closed
    /// a file.
    async fn departure(&self, adapter: &impl Adapter) {
        let since = self.registry.departures();
        for _ in 0..TRIES_TO_MAKE_ROOM {
            let departure = poll_fn(|context| {
                if self.poll_stop(context).is_ready() {
                    return Poll::Ready(());
                }
                self.registry.poll_departure(since, self.makes_room(), context)
            });
            if within(adapter.sleep(LOOK_AGAIN), departure).await {
                break;
            }
        }
        self.registry.end_crowding();
    }

    /// After the stop has begun, serves the connection that was waiting for room, and the connections in the queues of
    /// `listeners`. Closes each listener whose queue is empty.
    async fn drain_backlog<D: Adapter>(
        &self,
        waiting: Option<D::Accepted>,
        listeners: &mut Vec<D::Listener>,
        adapter: &D,
    ) {
        let mut accepted = waiting;
        let mut turn = 0;
        loop {
            turn += 1;
            if turn % DRAIN_TURN == 0 {
                give_way().await;
            }
            if let Some(accepted) = accepted.take() {
                poll_fn(|context| self.registry.poll_room(self.max_size, true, context)).await;
                adapter.start(accepted);
            }
            let Some(listener) = listeners.last_mut() else { return };
            if !self.context.makes_room {
                // A client without a place stays in the queue, where another process may accept it.
                poll_fn(|context| self.registry.poll_room(self.max_size, false, context)).await;
            }
            match poll_fn(|context| Poll::Ready(adapter.poll_queued(listener, context))).await {
                Poll::Ready(Ok(next)) => accepted = Some(next),
                // Closed without delay: a connection that arrives now is still lost.
                Poll::Pending => drop(listeners.pop()),
                Poll::Ready(Err(error)) => match self.accept_failed(&error) {
                    AcceptFailure::Peer => {}
                    AcceptFailure::Exhausted => {
                        let (since, makes_room) = (self.registry.departures(), self.makes_room());
                        poll_fn(|context| self.registry.poll_departure(since, makes_room, context)).await;
                    }
                    AcceptFailure::Listener => drop(listeners.pop()),
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

/// Lets the other tasks run once.
async fn give_way() {
    let mut waited = false;
    poll_fn(|context| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
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
