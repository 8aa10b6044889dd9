//! Moves the bytes of one connection: performs the I/O that the machine waits for.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use wsgi_proto::{Instant, Io, Lost, Now};

use crate::context::ServerContext;
use crate::exchange::shared::Inner;
use crate::io::transport::Transport;

/// The bounds of a turn, after which a connection yields if more is waiting: requests, processing time, bytes moved.
const REQUESTS: u32 = 64;
const TIME: Duration = Duration::from_micros(300);
const BYTES: usize = 1024 * 1024;

/// Pieces shorter than [`SMALL`] count [`DEARER`] times their length, but at least that of [`LEAST`] bytes: moving a
/// piece has a price of its own.
const SMALL: usize = 4 * 1024;
const LEAST: usize = 1024;
const DEARER: usize = 16;

/// How far the turn of a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// It goes on.
    Open,
    /// A bound is reached. The answers in the outbox are still written.
    Closing,
    /// A bound is reached, and the outbox was written since.
    Over,
}

/// The result of one step of I/O.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// Bytes were moved, or the machine has something else to learn.
    Some,
    /// Nothing could be done: the connection waits.
    Nothing,
    /// More could be done, but the turn is over.
    TurnOver,
}

/// A transport, the last clock reading, and what is left of the turn of this connection.
pub(crate) struct Transfer<T> {
    /// `None` once the application has taken it over.
    pub(crate) transport: Option<T>,
    pub(crate) server_context: Arc<ServerContext>,
    pub(crate) now: Now,
    turn: Turn,
    requests_left: u32,
    bytes_left: usize,
    turn_ends: Instant,
    /// Bytes that the transport has accepted but may still buffer, like TLS. They count as sent once they are flushed;
    /// until then the machine waits for them and does not close the connection.
    taken: usize,
}

impl<T: Transport> Transfer<T> {
    pub(crate) fn new(transport: T, server_context: Arc<ServerContext>) -> Self {
        Self {
            transport: Some(transport),
            server_context,
            now: Now::default(),
            turn: Turn::Open,
            requests_left: REQUESTS,
            bytes_left: BYTES,
            turn_ends: Instant::default(),
            taken: 0,
        }
    }

    /// Reads the clocks after a sleep: a turn begins.
    pub(crate) fn begin_turn(&mut self) {
        self.now = self.server_context.clock.now();
        (self.turn, self.requests_left, self.bytes_left) = (Turn::Open, REQUESTS, BYTES);
        self.turn_ends = self.now.instant.after(TIME);
    }

    /// Reads the clocks within a turn.
    pub(crate) fn read_clocks(&mut self) {
        self.now = self.server_context.clock.now();
        if self.now.instant >= self.turn_ends {
            self.end_turn();
        }
    }

    /// Whether the turn has reached one of its bounds.
    pub(crate) fn is_turn_over(&self) -> bool {
        self.turn != Turn::Open
    }

    /// Counts a request to the turn.
    pub(crate) fn count_request(&mut self) {
        self.requests_left = self.requests_left.saturating_sub(1);
        if self.requests_left == 0 {
            self.end_turn();
        }
    }

    /// Counts a piece of `bytes` bytes that was moved to the turn.
    fn count(&mut self, bytes: usize) {
        let cost = if bytes < SMALL { bytes.max(LEAST) * DEARER } else { bytes };
        self.bytes_left = self.bytes_left.saturating_sub(cost);
        if self.bytes_left == 0 {
            self.end_turn();
        }
    }

    fn end_turn(&mut self) {
        if self.turn == Turn::Open {
            self.turn = Turn::Closing;
        }
    }

    /// Ends the turn before a request that is waiting: writes the answers of the earlier ones.
    pub(crate) fn close_turn(&mut self, inner: &mut Inner, context: &mut Context<'_>) {
        if self.taken > 0 || !inner.machine.transmit().slices().is_empty() {
            let _ = self.send(inner, context);
        }
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

    /// Puts the task to sleep.
    pub(crate) fn sleep(&mut self, inner: &mut Inner, context: &Context<'_>) {
        inner.sleep(context);
    }

    /// Hands the transport to the application after a takeover. A second call has no effect.
    pub(crate) fn hand_over(&mut self, inner: &mut Inner) {
        if let Some(transport) = self.transport.take() {
            inner.hand_over(transport);
        }
    }

    /// Performs the I/O of one wait. `woken` is true for the first call after a sleep.
    pub(crate) fn move_bytes(
        &mut self,
        inner: &mut Inner,
        io: Io,
        woken: bool,
        context: &mut Context<'_>,
    ) -> Moved {
        if self.transport.is_none() {
            return Moved::Nothing;
        }
        if io.last_read {
            if self.is_turn_over() {
                return Moved::TurnOver;
            }
            self.read_last(inner, context);
            return Moved::Some;
        }
        if io.write && self.taken == 0 && self.turn == Turn::Over {
            return Moved::TurnOver;
        }
        if (io.write || self.taken > 0) && self.send(inner, context) {
            // The machine may need something else first.
            return Moved::Some;
        }
        let Some(transport) = &mut self.transport else { return Moved::Nothing };
        if io.read {
            if self.turn != Turn::Open {
                if transport.poll_readable(context).is_ready() {
                    return Moved::TurnOver;
                }
            } else if let Poll::Ready(read) = read(transport, &self.server_context, inner, woken, context) {
                self.received(inner, read);
                return Moved::Some;
            }
        }
        if let Some((at, _)) = io.deadline
            && let Some(deadline) = self.server_context.clock.deadline(at)
            && transport.poll_deadline(context, deadline).is_ready()
        {
            self.read_clocks();
            // A timer that runs ahead of the clock must not starve the other connections.
            if self.is_turn_over() {
                return Moved::TurnOver;
            }
            self.count(0);
            return Moved::Some;
        }
        Moved::Nothing
    }

    /// Writes the outbox, which is not empty, and flushes. Returns false if nothing could be done.
    fn send(&mut self, inner: &mut Inner, context: &mut Context<'_>) -> bool {
        let Some(transport) = &mut self.transport else { return false };
        if self.taken == 0
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
                    self.count(count);
                    if self.turn == Turn::Closing {
                        self.turn = Turn::Over;
                    }
                }
                Err(error) => inner.machine.lost(loss(&error)),
            }
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
                self.count(count);
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
