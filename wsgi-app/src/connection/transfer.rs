//! Moves the bytes of one connection: performs the I/O that the machine waits for.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use wsgi_proto::{Io, Lost, Now};

use crate::context::ServerContext;
use crate::exchange::shared::Inner;
use crate::io::transport::Transport;

/// I/O budget: the number of transfers and requests after which a connection yields to the others.
const BUDGET: u32 = 64;

/// A transfer costs one more for each full block of this many bytes.
const BYTES_A_MOVE: usize = 16 * 1024;

/// A transport, the last clock reading, and the I/O budget that is left before other connections have their turn.
pub(crate) struct Transfer<T> {
    /// `None` once the application has taken it over.
    pub(crate) transport: Option<T>,
    pub(crate) server_context: Arc<ServerContext>,
    pub(crate) now: Now,
    budget: u32,
    /// Bytes that the transport has accepted but may still buffer, like TLS. They count as sent once they are flushed;
    /// until then the machine waits for them and does not close the connection.
    taken: usize,
}

impl<T: Transport> Transfer<T> {
    pub(crate) fn new(transport: T, server_context: Arc<ServerContext>) -> Self {
        Self { transport: Some(transport), server_context, now: Now::default(), budget: BUDGET, taken: 0 }
    }

    pub(crate) fn read_clocks(&mut self) {
        self.now = self.server_context.clock.now();
    }

    /// Whether the I/O budget is spent.
    pub(crate) fn is_spent(&self) -> bool {
        self.budget == 0
    }

    /// Charges a transfer of `bytes` to the I/O budget.
    pub(crate) fn spend(&mut self, bytes: usize) {
        self.budget = self.budget.saturating_sub(1 + (bytes / BYTES_A_MOVE) as u32);
    }

    /// Yields to the other connections, and schedules this one after them.
    pub(crate) fn give_way<R>(&mut self, inner: &mut Inner, context: &mut Context<'_>) -> Poll<R> {
        self.sleep(inner, context);
        let yielded =
            self.transport.as_mut().map_or(Poll::Ready(()), |transport| transport.poll_yield(context));
        if yielded.is_ready() {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Puts the task to sleep and renews its I/O budget.
    pub(crate) fn sleep(&mut self, inner: &mut Inner, context: &Context<'_>) {
        self.budget = BUDGET;
        inner.sleep(context);
    }

    /// Hands the transport to the application after a takeover. A second call has no effect.
    pub(crate) fn hand_over(&mut self, inner: &mut Inner) {
        if let Some(transport) = self.transport.take() {
            inner.hand_over(transport);
        }
    }

    /// Performs the I/O of one wait. `woken` is true for the first call after a sleep. Returns false if nothing could
    /// be done.
    pub(crate) fn move_bytes(
        &mut self,
        inner: &mut Inner,
        io: Io,
        woken: bool,
        context: &mut Context<'_>,
    ) -> bool {
        let Some(transport) = &mut self.transport else { return false };
        if io.last_read {
            self.read_last(inner, context);
            return true;
        }
        if io.write
            && self.taken == 0
            && let Poll::Ready(written) = write(transport, inner, context)
        {
            match written {
                Ok(count) => self.taken = count,
                Err(error) => {
                    inner.machine.lost(loss(&error));
                    return true;
                }
            }
        }
        if self.taken > 0
            && let Poll::Ready(flushed) = transport.poll_flush(context)
        {
            let count = std::mem::take(&mut self.taken);
            match flushed {
                Ok(()) => {
                    inner.machine.transmitted(count);
                    self.spend(count);
                }
                Err(error) => inner.machine.lost(loss(&error)),
            }
            // The machine may need something else first.
            return true;
        }
        if io.read
            && let Poll::Ready(read) = read(transport, &self.server_context, inner, woken, context)
        {
            self.received(inner, read);
            return true;
        }
        if let Some((at, _)) = io.deadline
            && let Some(deadline) = self.server_context.clock.deadline(at)
            && transport.poll_deadline(context, deadline).is_ready()
        {
            self.read_clocks();
            // A timer that runs ahead of the clock must not starve the other connections.
            self.spend(0);
            return true;
        }
        false
    }

    /// Reads a last time before the machine gives up waiting for the peer.
    fn read_last(&mut self, inner: &mut Inner, context: &mut Context<'_>) {
        let read = match (&mut self.transport, space(&self.server_context, inner)) {
            (Some(transport), Some(space)) => transport.poll_last_read(context, space),
            _ => Poll::Pending,
        };
        match read {
            Poll::Ready(read) => self.received(inner, read),
            Poll::Pending => inner.machine.recv_nothing(),
        }
    }

    fn received(&mut self, inner: &mut Inner, read: io::Result<usize>) {
        match read {
            Ok(0) => inner.machine.recv_eof(),
            Ok(count) => {
                inner.machine.recv_commit(count);
                self.spend(count);
            }
            Err(error) => inner.machine.lost(loss(&error)),
        }
    }
}

fn write<T: Transport>(
    transport: &mut T,
    inner: &Inner,
    context: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let transmit = inner.machine.transmit();
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
    server_context: &ServerContext,
    inner: &mut Inner,
    woken: bool,
    context: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    // Waiting needs no buffer: one is borrowed when there is something to read. A task that was just woken most likely
    // has something to read, so it skips this wait.
    if !woken {
        ready!(transport.poll_readable(context))?;
    }
    let Some(space) = space(server_context, inner) else { return Poll::Pending };
    transport.poll_read(context, space)
}

fn space<'c>(server_context: &ServerContext, inner: &'c mut Inner) -> Option<&'c mut [u8]> {
    if !inner.machine.has_buffers() {
        inner.machine.provide_buffers(server_context.buffers.take());
    }
    inner.machine.recv_space()
}

fn loss(error: &io::Error) -> Lost {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => Lost::Reset,
        io::ErrorKind::BrokenPipe | io::ErrorKind::WriteZero => Lost::BrokenPipe,
        io::ErrorKind::TimedOut => Lost::TimedOut,
        _ => Lost::Transport,
    }
}
