//! Runs one connection: the machine decides, the transport moves bytes, and the application runs in between.

pub(crate) mod handshake;
pub(crate) mod proxy;
#[cfg(feature = "proxy-protocol")]
pub(crate) mod proxy_header;
pub(crate) mod pump;
mod request;
pub(crate) mod transfer;
mod turn;

use std::future::poll_fn;
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use wsgi_proto::{CloseReason, Event, Io, LastExchange, Lost};

use crate::application::Application;
use crate::application::environ::Environ;
use crate::connection::pump::{Pumped, apply, pump};
use crate::connection::request::{end_response, leave, poll_response, respond, settle};
use crate::connection::transfer::Transfer;
use crate::exchange::handle::Handle;
use crate::exchange::shared::{Directive, WakeList};
use crate::io::transport::Transport;
use crate::registry::ConnectionGuard;
use crate::server::Server;

/// Serves one connection until it ends. `guard` is returned by [`Server::admit`].
///
/// Only this future moves bytes, and the application runs inside it. It reacts to a graceful stop without further
/// calls.
pub async fn serve_connection<A: Application>(
    server: Arc<Server<A>>,
    guard: ConnectionGuard,
    transport: impl Transport,
) {
    let mut driver = Driver {
        transfer: Transfer::new(transport, Arc::clone(&server.context)),
        woken: true,
        stale: true,
        resting: None,
        spare: None,
        guard,
    };
    if !server.context.logs() {
        driver.guard.shared.lock().machine.skip_records();
    }
    let mut current: Option<Environ> = None;
    loop {
        match poll_fn(|context| driver.poll_event(context)).await {
            Event::Request => {
                let Some((environ, handle)) = driver.take_request() else { continue };
                run_request(&server, &mut driver, &environ, &handle).await;
                let hooks = environ.has_hooks();
                if hooks {
                    // The hooks see what was really sent.
                    driver.guard.shared.lock().machine.flush_before_record();
                }
                if server.context.logs() || hooks {
                    current = Some(environ);
                } else {
                    driver.spare = leave(&server.context, environ);
                }
            }
            Event::Done => {
                poll_fn(|context| driver.write_response(context)).await;
                driver.settle(current.take());
            }
            Event::ShutdownWrite => poll_fn(|context| driver.poll_shutdown(context)).await,
            Event::Abort => poll_fn(|context| driver.poll_abort(context)).await,
            Event::TakenOver => {
                driver.settle(current.take());
                driver.release_buffers();
                return;
            }
            Event::Closed(reason) => {
                if let CloseReason::Lost(Lost::Aborted | Lost::TimedOut) = reason {
                    // The server gave up on it: a partial response must not look complete, and nothing more may be
                    // sent.
                    poll_fn(|context| driver.poll_abort(context)).await;
                }
                driver.release_buffers();
                let endpoints = *driver.guard.shared.lock().machine.endpoints();
                server.context.closed(&endpoints, reason);
                return;
            }
            Event::Io(_) => {}
        }
    }
}

/// Runs the application for one request and ends its exchange.
async fn run_request<A: Application>(
    server: &Server<A>,
    driver: &mut Driver<impl Transport>,
    environ: &Environ,
    handle: &Handle,
) {
    server.registry.request_began();
    let mut response = pin!(Some(respond(&server.application, environ, handle)));
    let outcome =
        poll_fn(|context| driver.poll_with(context, |context| poll_response(response.as_mut(), context)))
            .await;
    end_response(&server.context, environ, handle, response, outcome);
    server.registry.request_ended();
}

/// One connection's transport, and the state that its task keeps between wake-ups.
pub(crate) struct Driver<T> {
    transfer: Transfer<T>,
    /// Whether the task has slept since it last moved bytes.
    woken: bool,
    /// Whether time may have passed since the clocks were last read.
    stale: bool,
    /// The machine's wait when the task went to sleep, if only the peer can change it.
    resting: Option<Io>,
    /// The environ of the last request, if it can be reused.
    spare: Option<Environ>,
    /// Dropped last: the registry then counts one connection less.
    guard: ConnectionGuard,
}

impl<T: Transport> Driver<T> {
    /// Moves bytes until the machine returns an event other than I/O.
    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        let Self { transfer, guard, woken, stale, resting, .. } = self;
        // The clocks are read once per wake-up, and again after the application, which may have run for long.
        let mut fresh = mem::take(woken);
        if mem::take(stale) {
            if fresh { transfer.begin_turn() } else { transfer.read_clocks() }
        }
        let mut wake_list = WakeList::default();
        let mut inner = guard.shared.lock();
        let touched = inner.awake();
        // No exchange is open here. Tasks that still wait for one must be woken to see that it is over.
        inner.forget_peeked();
        inner.wake_application(context, &mut wake_list);
        let rested = resting.take().filter(|_| !touched);
        if let Some(io) = rested {
            // The machine would return the same wait again.
            let _ = transfer.move_bytes(&mut inner, io, mem::take(&mut fresh), context);
        }
        let io = match pump(&mut inner, transfer, fresh, context) {
            Pumped::Event(event) => {
                if event == Event::TakenOver {
                    // A task that outlives the application may be about to fetch the stream.
                    inner.wake_application(context, &mut wake_list);
                }
                return Poll::Ready(event);
            }
            Pumped::TurnOver => {
                (*woken, *stale) = (true, true);
                return transfer.give_way(&mut inner, context);
            }
            Pumped::Waits(io) => io,
        };
        let waits = inner.machine.can_make_room();
        if waits {
            inner.waits_since.get_or_insert(transfer.now.instant);
        } else {
            inner.waits_since = None;
        }
        if let Some(buffers) = inner.machine.take_buffers() {
            guard.shared.server_context.buffers.put(buffers);
        }
        transfer.sleep(&mut inner, context);
        (*woken, *stale) = (true, true);
        *resting = Some(io).filter(|io| io.deadline.is_none());
        Poll::Pending
    }

    /// Polls the application and moves bytes while it waits. Returns `None` if the server stops without waiting for it.
    pub(crate) fn poll_with<R>(
        &mut self,
        context: &mut Context<'_>,
        mut application: impl FnMut(&mut Context<'_>) -> Poll<R>,
    ) -> Poll<Option<R>> {
        if mem::take(&mut self.stale) {
            self.wake_up(context);
        }
        loop {
            if let Poll::Ready(result) = application(context) {
                self.stale = true;
                return Poll::Ready(Some(result));
            }
            let Self { transfer, guard, stale, .. } = self;
            transfer.read_clocks();
            let mut wake_list = WakeList::default();
            let mut inner = guard.shared.lock();
            inner.awake();
            let pumped = pump(&mut inner, transfer, false, context);
            if inner.directive == Directive::Abort {
                return Poll::Ready(None);
            }
            let noticed = inner.take_notice();
            if noticed {
                inner.wake_application(context, &mut wake_list);
            }
            if matches!(pumped, Pumped::TurnOver) || (noticed && transfer.turn.is_over()) {
                *stale = true;
                return transfer.give_way(&mut inner, context);
            }
            if !noticed {
                transfer.sleep(&mut inner, context);
                *stale = true;
                return Poll::Pending;
            }
        }
    }

    /// Updates the machine's clock after a sleep during an exchange, before the application is polled.
    fn wake_up(&mut self, context: &mut Context<'_>) {
        let Self { transfer, guard, .. } = self;
        transfer.begin_turn();
        let mut wake_list = WakeList::default();
        let mut inner = guard.shared.lock();
        inner.awake();
        inner.machine.poll(transfer.now);
        if inner.take_notice() {
            inner.wake_application(context, &mut wake_list);
        }
    }

    fn take_request(&mut self) -> Option<(Environ, Handle)> {
        let mut inner = self.guard.shared.lock();
        let head = inner.machine.take_request()?;
        inner.begin_exchange();
        inner.waits_since = None;
        let stays = inner.directive == Directive::MakeRoom;
        if stays {
            inner.directive = Directive::Serve;
        }
        if self.guard.registry.is_crowded() {
            // Another connection is waiting for room: this one closes after its response.
            inner.machine.last_exchange(LastExchange::Crowded);
        }
        if inner.serial >= inner.max_requests {
            inner.machine.last_exchange(LastExchange::Requests);
        }
        self.transfer.turn.count_request();
        let handle = Handle::new(Arc::clone(&self.guard.shared), inner.serial);
        let environ = Environ::new(self.spare.take(), head, *inner.machine.endpoints(), handle.clone());
        drop(inner);
        if stays {
            // This connection is busy again, so another one has to make room.
            self.guard.registry.look_for_room();
        }
        Some((environ, handle))
    }

    /// Returns the buffers to the pool if they are empty.
    fn release_buffers(&self) {
        let buffers = self.guard.shared.lock().machine.take_buffers();
        buffers.into_iter().for_each(|buffers| self.guard.shared.server_context.buffers.put(buffers));
    }

    /// Writes as much of the response as possible without waiting, so that its record shows whether it was sent. The
    /// responses to pipelined requests share a write later.
    fn write_response(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.guard.shared.lock();
        if !inner.machine.has_unread() && !inner.machine.transmit().slices().is_empty() {
            let _ = self.transfer.move_bytes(&mut inner, Io { write: true, ..Io::default() }, false, context);
        }
        Poll::Ready(())
    }

    /// Finishes an exchange: runs the post hooks and writes the access line.
    fn settle(&mut self, environ: Option<Environ>) {
        let server_context = &self.guard.shared.server_context;
        let mut inner = self.guard.shared.lock();
        self.transfer.now = server_context.clock.local_now();
        inner.machine.poll(self.transfer.now);
        let record = inner.machine.take_record();
        // The next wait is a new one.
        inner.waits_since = None;
        drop(inner);
        if let Some(record) = record {
            settle(server_context, environ, &record);
        }
    }

    /// Closes our half of the connection. Waits at most `linger_timeout` for the transport.
    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Transfer { transport, server_context, now, .. } = &mut self.transfer;
        if let Some(transport) = transport
            && transport.poll_shutdown(context).is_pending()
        {
            let mut inner = self.guard.shared.lock();
            apply(&mut inner);
            if inner.machine.is_lost() {
                return Poll::Ready(());
            }
            inner.sleep(context);
            drop(inner);
            (self.woken, self.stale) = (true, true);
            let clock = &server_context.clock;
            match clock.deadline(now.instant.after(server_context.config.linger_timeout)) {
                // A transport may rely on this comparison with the clock.
                Some(deadline) if deadline <= clock.monotonic() => {}
                Some(deadline) => ready!(transport.poll_deadline(context, deadline)),
                None => return Poll::Pending,
            }
        }
        let mut inner = self.guard.shared.lock();
        inner.machine.write_closed();
        // The wait for the peer's close is a new one.
        inner.waits_since = None;
        Poll::Ready(())
    }

    /// Prepares the transport to reset the connection when it is dropped, which happens next.
    fn poll_abort(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(transport) = &mut self.transfer.transport {
            // If it cannot be reset, dropping it still closes it.
            let _ = ready!(transport.poll_abort(context));
        }
        self.guard.shared.lock().machine.write_closed();
        Poll::Ready(())
    }
}
