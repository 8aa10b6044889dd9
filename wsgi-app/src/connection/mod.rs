//! Runs one connection: the machine decides, the transport moves bytes, and the application runs in between.

mod any_thread;
mod call;
mod closing;
mod file;
pub(crate) mod handshake;
mod own_response;
pub(crate) mod proxy;
#[cfg(feature = "proxy-protocol")]
pub(crate) mod proxy_header;
pub(crate) mod pump;
mod request;
mod sending;
pub(crate) mod transfer;
mod turn;

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use wsgi_proto::{CloseReason, Event, Instant, Io, LastExchange, Lost, Now, SendError};

use crate::application::Application;
use crate::application::body::{Body, Kind};
use crate::application::raw::is_raw;
use crate::connection::call::Request;
use crate::connection::pump::{Pumped, pump};
use crate::connection::request::{Failure, conclude, drop_caught, run_hooks, settle};
use crate::connection::transfer::Transfer;
use crate::context::catch_panic::catch;
use crate::context::pool;
use crate::exchange::error::Result;
use crate::exchange::handle::Handle;
use crate::exchange::shared::{Directive, Inner, WakeList};
use crate::io::transport::Transport;
use crate::registry::ConnectionGuard;
use crate::server::Server;

/// Serves one connection until it ends. `guard` is returned by [`Server::admit`].
///
/// Only this future moves bytes, and the application runs inside it. It reacts to a graceful stop without further
/// calls.
pub fn serve_connection<A: Application>(
    server: Arc<Server<A>>,
    guard: ConnectionGuard,
    transport: impl Transport,
) -> impl Future<Output = ()> + Send {
    if !server.context.logs() {
        guard.shared.lock().machine.skip_records();
    }
    let transfer = Transfer::new(transport, Arc::clone(&server.context));
    Task(Some(Connection {
        request: None,
        stage: Stage::Open,
        resting: false,
        transfer,
        guard,
        lent: None,
        server,
    }))
}

/// The future of a connection; `None` when it has ended.
///
/// It is small, because most connections are idle most of the time. [`Request`] has what a request needs.
struct Task<A, T>(Option<Connection<A, T>>);

/// Nothing in it is pinned: the future of the application is in a box.
impl<A, T> Unpin for Task<A, T> {}

impl<A: Application, T: Transport> Future for Task<A, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Some(connection) = &mut self.0 {
            ready!(connection.poll(context));
            self.0 = None;
        }
        Poll::Ready(())
    }
}

/// The next step of a connection's task.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Read and write; no request is with the application.
    Open,
    /// Receive the request body; the application has not been called.
    Receive,
    /// Poll the application.
    Call,
    /// Send the body that the application returned.
    Body,
    /// Close the sending half, which began at this time.
    ShutdownWrite(Instant),
    /// Reset the connection, and continue.
    Abort,
    /// Reset the connection, and end.
    AbortAndEnd(CloseReason),
    /// End. There is no reason if the application has taken over the connection.
    End(Option<CloseReason>),
}

struct Connection<A, T> {
    /// While a request is open, and until the connection waits for the next one.
    request: Option<Box<Request<A>>>,
    stage: Stage,
    /// When the task went to sleep, the machine waited only for bytes to read, for any time.
    resting: bool,
    transfer: Transfer<T>,
    /// Dropped after the transport: the registry then counts one connection less.
    guard: ConnectionGuard,
    /// A reference for the next call of the application, which returns it. So a request does not change a count that
    /// all connections share.
    lent: Option<Arc<Server<A>>>,
    server: Arc<Server<A>>,
}

/// A body that is available immediately; `None` if it has no bytes.
type Whole = Option<Bytes>;

impl<A: Application, T: Transport> Connection<A, T> {
    /// Continues until nothing more is possible without waiting, or until the turn is over. Ready at the end of the
    /// connection.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // The clocks are read once per wake-up, and again after the application, which may have run for long.
        self.transfer.begin_turn();
        let mut woken = true;
        loop {
            let woken = mem::take(&mut woken);
            match self.stage {
                Stage::Open => ready!(self.poll_open(woken, None, context)),
                Stage::Receive => ready!(self.poll_receive(woken, context)),
                Stage::Call => ready!(self.poll_call(woken, context)),
                Stage::Body => ready!(self.poll_body(woken, context)),
                Stage::ShutdownWrite(since) => {
                    ready!(self.poll_shutdown(since, context));
                    self.stage = Stage::Open;
                }
                Stage::Abort => {
                    ready!(self.poll_abort(context));
                    self.stage = Stage::Open;
                }
                Stage::AbortAndEnd(reason) => {
                    ready!(self.poll_abort(context));
                    self.stage = Stage::End(Some(reason));
                }
                Stage::End(reason) => {
                    self.end(reason);
                    return Poll::Ready(());
                }
            }
        }
    }

    /// Moves bytes until the machine returns an event other than I/O, and handles the event. If the application has
    /// returned a whole body, it is sent first, under the same lock.
    fn poll_open(&mut self, mut woken: bool, answer: Option<Whole>, context: &mut Context<'_>) -> Poll<()> {
        let Self { request, stage, resting, transfer, guard, lent, server } = self;
        let mut inner = guard.shared.lock();
        match answer {
            None => {
                let touched = inner.awake();
                if mem::take(resting) && !touched {
                    // The machine would return the same wait again.
                    transfer.read_more(&mut inner, mem::take(&mut woken), context);
                }
            }
            Some(whole) => match send_whole(&mut inner, transfer.now, whole) {
                Ok(None) => {
                    guard.shared.set_has_request(false);
                    write_answers(&mut inner, transfer, context);
                    if !request.as_mut().is_none_or(|request| request.release(&mut inner)) {
                        drop(inner);
                        self.drop_values();
                        return Poll::Ready(());
                    }
                }
                Ok(Some(unsent)) => {
                    drop(inner);
                    self.begin_body(unsent.into());
                    return Poll::Ready(());
                }
                Err(error) => {
                    drop(inner);
                    self.fail(error.into());
                    return Poll::Ready(());
                }
            },
        }
        // No exchange is open here. Tasks that still wait for one must be woken to see that it is over.
        inner.forget_peeked();
        if inner.has_waiting() {
            let waiting = inner.take_waiting(context);
            drop(inner);
            drop(waiting);
            inner = guard.shared.lock();
        }
        match pump(&mut inner, transfer, woken, context) {
            Pumped::Waits(io) => {
                if inner.machine.can_make_room() {
                    inner.waits_since.get_or_insert(transfer.now.instant);
                } else {
                    inner.waits_since = None;
                }
                if let Some(buffers) = inner.machine.take_buffers() {
                    pool::put_buffers(buffers);
                }
                inner.sleep(context);
                drop(inner);
                *resting = io == Io { read: true, ..Io::default() };
                if let Some(request) = request.take_if(|request| !request.has_hooks) {
                    request.keep();
                }
                return Poll::Pending;
            }
            Pumped::TurnOver => return transfer.give_way(&mut inner, context),
            Pumped::Event(Event::Request) => {
                let Some(head) = inner.machine.take_request() else { return Poll::Ready(()) };
                let makes_room = begin_exchange(&mut inner, guard);
                transfer.turn.count_request();
                let (endpoints, serial) = (*inner.machine.endpoints(), inner.serial);
                let receives = transfer.server_context.receive_before_call > 0
                    // Elsewhere an application that waits holds no thread, unless `blocking` has wrapped it.
                    && transfer.server_context.blocking.is_in_place()
                    && inner.receives_before_call();
                drop(inner);
                if makes_room {
                    // This connection is busy again, so another one has to make room.
                    guard.registry.look_for_room();
                }
                guard.shared.set_has_request(true);
                let server = lent.take().unwrap_or_else(|| Arc::clone(server));
                let handle = Handle::new(Arc::clone(&guard.shared), serial);
                *request = Some(Request::begin(request.take(), server, head, endpoints, handle));
                *stage = if receives { Stage::Receive } else { Stage::Call };
            }
            Pumped::Event(Event::Done) => {
                // Its record shows whether it was sent.
                write_answers(&mut inner, transfer, context);
                drop(inner);
                self.settle();
            }
            Pumped::Event(Event::TakenOver) => {
                // A task that outlives the application may be about to fetch the stream.
                let waiting = inner.take_waiting(context);
                drop(inner);
                drop(waiting);
                *stage = Stage::End(None);
                self.settle();
            }
            Pumped::Event(Event::ShutdownWrite) => *stage = Stage::ShutdownWrite(transfer.now.instant),
            Pumped::Event(Event::Abort) => *stage = Stage::Abort,
            // The server gave up on it: a partial response must not look complete, and nothing more may be sent.
            Pumped::Event(Event::Closed(reason @ CloseReason::Lost(Lost::Aborted | Lost::TimedOut))) => {
                *stage = Stage::AbortAndEnd(reason);
            }
            Pumped::Event(Event::Closed(reason)) => *stage = Stage::End(Some(reason)),
            Pumped::Event(Event::Io(_)) => {}
        }
        Poll::Ready(())
    }

    /// Receives the request body, up to the option, before the application is called.
    fn poll_receive(&mut self, woken: bool, context: &mut Context<'_>) -> Poll<()> {
        if woken {
            self.wake_up(context);
        }
        let failure = loop {
            let request = self.request.as_mut().expect("a request is open");
            match request.poll_receive(self.transfer.server_context.receive_before_call, context) {
                Poll::Ready(Ok(())) => {
                    self.stage = Stage::Call;
                    return Poll::Ready(());
                }
                Poll::Ready(Err(error)) => break Failure::Application(error.into()),
                Poll::Pending if ready!(self.poll_wait(context)) => {}
                Poll::Pending => break Failure::Aborted,
            }
        };
        self.fail(failure);
        Poll::Ready(())
    }

    /// Polls the application and moves bytes while it waits.
    fn poll_call(&mut self, woken: bool, context: &mut Context<'_>) -> Poll<()> {
        if woken {
            self.wake_up(context);
        }
        let failure = loop {
            let request = self.request.as_mut().expect("a request is open");
            match catch(|| request.poll_call(context)) {
                Ok(Poll::Ready((server, result))) => {
                    self.lent = Some(server);
                    return self.poll_returned(result, context);
                }
                Ok(Poll::Pending) if ready!(self.poll_wait(context)) => {}
                Ok(Poll::Pending) => break Failure::Aborted,
                Err(panic) => break Failure::Panic(panic),
            }
        };
        self.transfer.read_clocks();
        self.fail(failure);
        Poll::Ready(())
    }

    /// Continues with what the application has returned.
    #[inline(always)]
    fn poll_returned(&mut self, result: Result<Body>, context: &mut Context<'_>) -> Poll<()> {
        self.transfer.read_clocks();
        self.stage = Stage::Open;
        match result {
            Ok(Body(Kind::Empty)) => return self.poll_open(false, Some(None), context),
            Ok(Body(Kind::Bytes(bytes))) => return self.poll_open(false, Some(Some(bytes)), context),
            Ok(body) => self.begin_body(body),
            Err(error) if is_raw::<A>() => self.fail(Failure::Raw(error)),
            Err(error) => self.fail(Failure::Application(error)),
        }
        Poll::Ready(())
    }

    #[cold]
    fn begin_body(&mut self, body: Body) {
        // The time for `Date`.
        self.guard.shared.lock().machine.set_now(self.transfer.now);
        self.request.as_mut().expect("a request is open").body().0.begin(body);
        self.stage = Stage::Body;
    }

    /// Sends the body and moves bytes while it waits.
    fn poll_body(&mut self, woken: bool, context: &mut Context<'_>) -> Poll<()> {
        if woken {
            self.wake_up(context);
        }
        let outcome = loop {
            let (body, handle) = self.request.as_mut().expect("a request is open").body();
            let polled = catch(|| body.poll(handle, context)).unwrap_or_else(|panic| {
                body.send_rest(handle);
                Poll::Ready(Err(Failure::Panic(panic)))
            });
            match polled {
                Poll::Ready(outcome) => break outcome,
                Poll::Pending if ready!(self.poll_wait(context)) => {}
                Poll::Pending => break Err(Failure::Aborted),
            }
        };
        self.transfer.read_clocks();
        match outcome {
            Ok(()) => self.end_request(),
            Err(failure) => self.fail(failure),
        }
        Poll::Ready(())
    }

    /// Moves bytes while the application waits. Ready with true if it has to be polled again, and with false if the
    /// server stops without waiting for it.
    fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        let Self { transfer, guard, .. } = self;
        transfer.read_clocks();
        let mut wake_list = WakeList::default();
        let mut inner = guard.shared.lock();
        inner.awake();
        let pumped = pump(&mut inner, transfer, false, context);
        if inner.directive == Directive::Abort {
            return Poll::Ready(false);
        }
        let noticed = inner.take_notice();
        if noticed {
            inner.wake_application(context, &mut wake_list);
        }
        if matches!(pumped, Pumped::TurnOver) || (noticed && transfer.turn.is_over()) {
            return transfer.give_way(&mut inner, context);
        }
        if !noticed {
            inner.sleep(context);
            return Poll::Pending;
        }
        Poll::Ready(true)
    }

    /// Updates the machine's clock after a sleep during an exchange, before the application is polled.
    fn wake_up(&mut self, context: &mut Context<'_>) {
        let mut wake_list = WakeList::default();
        let mut inner = self.guard.shared.lock();
        inner.awake();
        inner.machine.poll(self.transfer.now);
        if inner.take_notice() {
            inner.wake_application(context, &mut wake_list);
        }
    }

    /// Ends the exchange of an application that failed.
    #[cold]
    fn fail(&mut self, failure: Failure) {
        let request = self.request.as_mut().expect("a request is open");
        // Dropping the application's values may panic, too.
        let failure = catch(|| request.clear()).map_or_else(Failure::Panic, |()| failure);
        let (head, handle) = request.opened();
        conclude(&self.transfer.server_context, head, handle, failure);
        self.end_request();
    }

    /// Continues after the end of an exchange.
    fn end_request(&mut self) {
        self.stage = Stage::Open;
        let Self { request, guard, .. } = self;
        guard.shared.set_has_request(false);
        let mut inner = guard.shared.lock();
        if !request.as_mut().is_none_or(|request| request.release(&mut inner)) {
            drop(inner);
            self.drop_values();
        }
    }

    /// Drops the functions of middleware, and an environ that the application has kept or put values into, unless hooks need
    /// it.
    #[cold]
    fn drop_values(&mut self) {
        let server_context = &self.transfer.server_context;
        let maps = mem::take(&mut self.guard.shared.lock().maps);
        drop_caught(server_context, "a function of `StartResponse::map`", maps);
        let request = self.request.as_mut().filter(|request| !request.has_hooks);
        let environ = request.and_then(|request| request.environ.take());
        drop_caught(server_context, "a value in the environ", environ);
    }

    /// Takes the record of an exchange, runs its post hooks and writes its access line.
    fn settle(&mut self) {
        let Self { request, transfer, guard, .. } = self;
        transfer.now = transfer.server_context.clock.local(transfer.now);
        let mut inner = guard.shared.lock();
        inner.machine.set_now(transfer.now);
        let record = inner.machine.take_record();
        // The next wait is a new one.
        inner.waits_since = None;
        let hooks = if inner.hooks.is_empty() { Vec::new() } else { mem::take(&mut inner.hooks) };
        drop(inner);
        let environ = request.as_mut().and_then(|request| request.take_hooked());
        if let Some(record) = record {
            run_hooks(&transfer.server_context, hooks, &record);
            settle(&transfer.server_context, environ, &record);
        }
    }
}

/// Opens the exchange of a request that was taken. Returns true if this connection was chosen to make room.
#[inline(always)]
fn begin_exchange(inner: &mut Inner, guard: &ConnectionGuard) -> bool {
    inner.begin_exchange();
    inner.waits_since = None;
    let makes_room = inner.directive == Directive::MakeRoom;
    if makes_room {
        inner.directive = Directive::Serve;
    }
    if guard.registry.is_crowded() && guard.shared.server_context.makes_room {
        // Another connection is waiting for room: this one closes after its response.
        inner.machine.last_exchange(LastExchange::Crowded);
    }
    if inner.serial >= inner.max_requests {
        inner.machine.last_exchange(LastExchange::Requests);
    }
    makes_room
}

/// Writes as much of the response as possible without waiting. The responses to pipelined requests share a write later.
fn write_answers<T: Transport>(inner: &mut Inner, transfer: &mut Transfer<T>, context: &mut Context<'_>) {
    if !inner.machine.has_unread() {
        transfer.write_answers(inner, context);
    }
}

/// Sends a whole body and ends the response. Returns the body, without effect, if other handles have filled the outbox.
#[inline(always)]
fn send_whole(inner: &mut Inner, now: Now, whole: Whole) -> Result<Whole, SendError> {
    inner.machine.set_now(now);
    // Otherwise the exchange is already over: the application took over the connection.
    if let Some(mut exchange) = inner.machine.exchange() {
        match whole {
            Some(bytes) if exchange.is_full() => return Ok(Some(bytes)),
            Some(bytes) => exchange.send_whole(bytes)?,
            None => exchange.finish()?,
        }
    }
    Ok(None)
}
