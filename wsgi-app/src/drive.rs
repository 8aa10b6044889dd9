//! Runs one connection: the machine says what to do, the transport does it, the application is asked in between.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use wsgi_proto::{Event, Io, Lost, Now};

use crate::Application;
use crate::environ::Environ;
use crate::register::Permit;
use crate::run;
use crate::server::Server;
use crate::shared::{Cell, Handle, Order, Shared};
use crate::transport::Transport;

/// Moves and requests after which a connection lets the others run.
const BUDGET: u32 = 64;

/// A move of this many bytes counts as one more.
const BYTES_A_MOVE: usize = 16 * 1024;

/// Serves one connection until it ends. `permit` comes from [`Server::admit`].
///
/// Only this future moves bytes; the application runs in it. It takes part in a graceful stop by itself.
pub async fn serve_connection<A: Application>(
    server: Arc<Server<A>>,
    permit: Permit,
    transport: impl Transport,
) {
    let mut driver = Driver {
        transport: Some(transport),
        shared: Arc::clone(&permit.shared),
        budget: BUDGET,
        now: Now::default(),
        woken: true,
        wants_record: server.core.logs(),
        spare: None,
    };
    let mut current: Option<Environ> = None;
    loop {
        match poll_fn(|context| driver.poll_event(context)).await {
            Event::Request => {
                let Some((environ, handle)) = driver.take_request() else { continue };
                run::request(&server, &mut driver, &environ, &handle).await;
                driver.wants_record = server.core.logs() || environ.is_changed();
                if driver.wants_record {
                    current = Some(environ);
                } else {
                    driver.spare = environ.into_spare(&server.core.no_head);
                }
            }
            Event::Done => driver.settle(current.take()),
            Event::ShutdownWrite => poll_fn(|context| driver.poll_shutdown(context)).await,
            Event::TakenOver => {
                driver.settle(current.take());
                return;
            }
            Event::Closed(reason) => {
                let peer = *driver.shared.lock().machine.peer();
                server.core.closed(&peer, reason);
                return;
            }
            Event::Io(_) => {}
        }
    }
}

/// One connection's transport and what its task remembers between wake-ups.
pub(crate) struct Driver<T> {
    /// `None` once the application has taken it over.
    transport: Option<T>,
    shared: Arc<Shared>,
    budget: u32,
    now: Now,
    /// Whether the task slept since the clocks were read.
    woken: bool,
    /// Whether the log or the hooks are going to read the record of the exchange.
    wants_record: bool,
    /// The environ of the last request, if it can be used again.
    spare: Option<Environ>,
}

impl<T: Transport> Driver<T> {
    /// Moves bytes until the machine says something else.
    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        let Self { transport, shared, budget, now, woken, wants_record, .. } = self;
        // The clocks are read once a wake-up.
        let mut fresh = std::mem::take(woken);
        if fresh {
            *now = shared.core.clock.now();
        }
        let mut cell = shared.lock();
        cell.awake();
        loop {
            obey(&mut cell);
            let io = match cell.machine.poll(*now) {
                Event::Io(io) => io,
                Event::Done if !*wants_record => {
                    cell.machine.pass_record();
                    continue;
                }
                event => return Poll::Ready(event),
            };
            if *budget == 0 {
                *woken = true;
                return give_way(budget, &mut cell, context);
            }
            if move_bytes(transport, shared, &mut cell, now, budget, io, std::mem::take(&mut fresh), context)
            {
                continue;
            }
            let idle = !cell.machine.is_busy();
            if idle && cell.order > Order::Serve {
                // It was read once more, and nothing was there.
                cell.machine.shutdown();
                if cell.machine.poll(*now) != Event::Io(io) {
                    continue;
                }
            }
            if idle {
                cell.idle_since.get_or_insert(now.instant);
            }
            if let Some(buffers) = cell.machine.rest() {
                shared.core.give_back(buffers);
            }
            cell.sleep(context);
            *woken = true;
            return Poll::Pending;
        }
    }

    /// Polls the application, and moves bytes while it waits. `None`: the server stops and does not wait for it.
    pub(crate) fn poll_with<R>(
        &mut self,
        context: &mut Context<'_>,
        mut application: impl FnMut(&mut Context<'_>) -> Poll<R>,
    ) -> Poll<Option<R>> {
        loop {
            if let Poll::Ready(result) = application(context) {
                // It may have computed for long; only deadlines would notice.
                self.woken |= self.shared.core.has_timeouts();
                return Poll::Ready(Some(result));
            }
            let Self { transport, shared, budget, now, .. } = self;
            *now = shared.core.clock.now();
            let mut cell = shared.lock();
            cell.awake();
            let mut moved = false;
            loop {
                obey(&mut cell);
                if cell.order == Order::Abort {
                    return Poll::Ready(None);
                }
                match cell.machine.poll(*now) {
                    Event::Io(io) if *budget > 0 => {
                        if !move_bytes(transport, shared, &mut cell, now, budget, io, false, context) {
                            break;
                        }
                        moved = true;
                    }
                    Event::TakenOver if transport.is_some() => {
                        cell.stream =
                            transport.take().map(|transport| Box::new(transport) as Box<dyn Transport>);
                        moved = true;
                    }
                    _ => break,
                }
            }
            if moved {
                cell.wake_application(context);
            }
            if *budget == 0 {
                return give_way(budget, &mut cell, context);
            }
            if !moved {
                cell.sleep(context);
                return Poll::Pending;
            }
        }
    }

    fn take_request(&mut self) -> Option<(Environ, Handle)> {
        let mut cell = self.shared.lock();
        let head = cell.machine.take_request()?;
        cell.serial += 1;
        cell.idle_since = None;
        self.budget = self.budget.saturating_sub(1);
        let handle = Handle::new(Arc::clone(&self.shared), cell.serial);
        let environ = Environ::new(self.spare.take(), head, *cell.machine.peer(), handle.clone());
        Some((environ, handle))
    }

    /// What follows a response: the post hooks, and the access line.
    fn settle(&mut self, environ: Option<Environ>) {
        let core = &self.shared.core;
        let mut cell = self.shared.lock();
        self.now = core.clock.local_now();
        cell.machine.poll(self.now);
        let record = cell.machine.take_record();
        drop(cell);
        if let Some(record) = record {
            run::settle(core, environ, &record);
        }
    }

    /// Closes our half; a transport that takes too long to say goodbye is not waited for.
    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(transport) = &mut self.transport {
            if transport.poll_shutdown(context).is_pending() {
                let linger = self.now.instant.after(self.shared.core.config.linger_timeout);
                if let Some(deadline) = self.shared.core.clock.deadline(linger) {
                    ready!(transport.poll_deadline(context, deadline));
                }
            }
        }
        self.shared.lock().machine.write_closed();
        Poll::Ready(())
    }
}

/// Carries out what the server wants of this connection, as far as it is time for it.
fn obey(cell: &mut Cell) {
    match cell.order {
        Order::Serve => {}
        // Busy again: another one has to leave.
        Order::Leave if cell.machine.is_busy() => cell.order = Order::Serve,
        Order::Finish if cell.machine.is_busy() => cell.machine.shutdown(),
        Order::Leave | Order::Finish => {}
        Order::Abort => cell.machine.lost(Lost::Aborted),
    }
}

/// Lets the other connections run, and comes back at once.
fn give_way<R>(budget: &mut u32, cell: &mut Cell, context: &mut Context<'_>) -> Poll<R> {
    *budget = BUDGET;
    cell.sleep(context);
    context.waker().wake_by_ref();
    Poll::Pending
}

/// Does what one wait asks for. False when nothing could be done.
fn move_bytes<T: Transport>(
    transport: &mut Option<T>,
    shared: &Shared,
    cell: &mut Cell,
    now: &mut Now,
    budget: &mut u32,
    io: Io,
    woken: bool,
    context: &mut Context<'_>,
) -> bool {
    let Some(transport) = transport else { return false };
    let mut moved = false;
    if io.write {
        match write(transport, cell, context) {
            Poll::Ready(Ok(count)) => {
                cell.machine.transmitted(count);
                spend(budget, count);
                moved = true;
            }
            Poll::Ready(Err(error)) => {
                cell.machine.lost(loss(&error));
                return true;
            }
            Poll::Pending => {}
        }
    }
    // After a write the machine may want something else first.
    if io.read && !moved {
        match read(transport, shared, cell, woken, context) {
            Poll::Ready(Ok(0)) => {
                cell.machine.recv_eof();
                moved = true;
            }
            Poll::Ready(Ok(count)) => {
                cell.machine.recv_commit(count);
                spend(budget, count);
                moved = true;
            }
            Poll::Ready(Err(error)) => {
                cell.machine.lost(loss(&error));
                return true;
            }
            Poll::Pending => {}
        }
    }
    if let (false, Some((at, _))) = (moved, io.deadline) {
        if let Some(deadline) = shared.core.clock.deadline(at) {
            if transport.poll_deadline(context, deadline).is_ready() {
                *now = shared.core.clock.now();
                moved = true;
            }
        }
    }
    moved
}

fn spend(budget: &mut u32, bytes: usize) {
    *budget = budget.saturating_sub(1 + (bytes / BYTES_A_MOVE) as u32);
}

fn write<T: Transport>(transport: &mut T, cell: &Cell, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
    let transmit = cell.machine.transmit();
    let written = match transmit.slices() {
        [slice] => ready!(transport.poll_write(context, &[IoSlice::new(slice)]))?,
        slices => {
            let mut vectored = [IoSlice::new(&[]); 16];
            let count = slices.len().min(vectored.len());
            for (to, from) in vectored.iter_mut().zip(slices) {
                *to = IoSlice::new(from);
            }
            ready!(transport.poll_write(context, &vectored[..count]))?
        }
    };
    Poll::Ready(if written == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) })
}

fn read<T: Transport>(
    transport: &mut T,
    shared: &Shared,
    cell: &mut Cell,
    woken: bool,
    context: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    // Waiting needs no buffer; one is borrowed when there is something to read. That is most likely what a sleeping
    // task was woken for.
    if !woken {
        ready!(transport.poll_readable(context))?;
    }
    if !cell.machine.has_buffers() {
        cell.machine.lend(shared.core.lend());
    }
    let space = cell.machine.recv_space();
    if space.is_empty() {
        return Poll::Pending;
    }
    transport.poll_read(context, space)
}

fn loss(error: &io::Error) -> Lost {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => Lost::Reset,
        io::ErrorKind::BrokenPipe | io::ErrorKind::WriteZero => Lost::BrokenPipe,
        io::ErrorKind::TimedOut => Lost::TimedOut,
        _ => Lost::Transport,
    }
}
