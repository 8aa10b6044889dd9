//! Moves the bytes of one connection: performs the I/O that the machine waits for.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use wsgi_proto::{Io, Lost, Now};

use crate::connection::turn::Turn;
use crate::context::{ServerContext, pool};
use crate::exchange::file::{FileBlock, Stopped};
use crate::exchange::shared::Inner;
use crate::io::transport::Transport;

/// The result of one step of I/O.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// Bytes were moved, or the machine must be polled for something else.
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
    pub(crate) turn: Turn,
    /// Bytes that the transport has accepted but may still buffer, like TLS. They count as sent once they are flushed;
    /// until then the machine waits for them and does not close the connection.
    taken: usize,
}

impl<T: Transport> Transfer<T> {
    pub(crate) fn new(transport: T, server_context: Arc<ServerContext>) -> Self {
        let now = Now::default();
        Self { transport: Some(transport), server_context, now, turn: Turn::new(now.instant), taken: 0 }
    }

    /// Reads the clocks after a sleep: a turn begins.
    pub(crate) fn begin_turn(&mut self) {
        self.now = self.server_context.clock.now();
        self.turn = Turn::new(self.now.instant);
    }

    /// Reads the clocks within a turn.
    pub(crate) fn read_clocks(&mut self) {
        self.now = self.server_context.clock.now();
        self.turn.look_at(self.now.instant);
    }

    /// Reads what the peer has sent. `woken` is true for the first call after a sleep.
    pub(crate) fn read_more(&mut self, inner: &mut Inner, woken: bool, context: &mut Context<'_>) -> bool {
        let Some(transport) = &mut self.transport else { return false };
        let Poll::Ready(read) = read(transport, inner, woken, context) else { return false };
        self.received(inner, read);
        true
    }

    /// Writes as much of the answers as possible without waiting.
    pub(crate) fn write_answers(&mut self, inner: &mut Inner, context: &mut Context<'_>) {
        if self.turn.is_over() {
            let _ = self.close_turn(inner, &Io { write: true, ..Io::default() }, context);
        } else {
            self.write_more(inner, context);
        }
    }

    /// Writes what waits to be sent, once. Returns whether the machine has to be polled.
    fn write_more(&mut self, inner: &mut Inner, context: &mut Context<'_>) -> bool {
        if inner.file.is_some() && inner.machine.external() > 0 {
            return self.send_file(inner, |transport, block, length| {
                transport.poll_send_file(context, &block.file, block.offset, length)
            });
        }
        let Some(transport) = &mut self.transport else { return false };
        uncork(transport, inner);
        if self.taken == 0
            && let Poll::Ready(written) = write(inner, |slices| transport.poll_write(context, slices))
        {
            match written {
                Ok(count) => self.taken = count,
                Err(error) => {
                    inner.machine.lost(loss(&error));
                    return true;
                }
            }
        }
        if self.taken == 0 {
            return false;
        }
        let Poll::Ready(flushed) = transport.poll_flush(context) else { return false };
        let count = std::mem::take(&mut self.taken);
        match flushed {
            Ok(()) => {
                inner.machine.transmitted(count);
                self.turn.count_written(count);
            }
            Err(error) => inner.machine.lost(loss(&error)),
        }
        true
    }

    /// Yields to the other connections, and schedules this one after them.
    pub(crate) fn give_way<R>(&mut self, inner: &mut Inner, context: &mut Context<'_>) -> Poll<R> {
        inner.sleep(context);
        let yielded =
            self.transport.as_mut().map_or(Poll::Ready(()), |transport| transport.poll_yield(context));
        if yielded.is_ready() {
            context.waker().wake_by_ref();
        }
        Poll::Pending
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
        io: &Io,
        woken: bool,
        context: &mut Context<'_>,
    ) -> Moved {
        if self.turn.is_over() {
            return self.close_turn(inner, io, context);
        }
        if io.last_read {
            self.read_last(inner, context);
            return Moved::Some;
        }
        if io.last_write {
            self.write_last(inner, context);
            return Moved::Some;
        }
        // The machine may need something else after each of them.
        if (io.write || self.taken > 0) && self.write_more(inner, context)
            || io.read && self.read_more(inner, woken, context)
        {
            return Moved::Some;
        }
        if let Some((at, _)) = io.deadline
            && let Some(deadline) = self.server_context.clock.deadline(at)
            && let Some(transport) = &mut self.transport
            && transport.poll_deadline(context, deadline).is_ready()
        {
            self.read_clocks();
            // A timer that runs ahead of the clock must not starve the other connections.
            self.turn.count(0);
            return Moved::Some;
        }
        Moved::Nothing
    }

    /// Lets the transport send the next bytes of a file. False if it has to wait.
    #[cold]
    fn send_file(
        &mut self,
        inner: &mut Inner,
        send: impl FnOnce(&mut T, &FileBlock, usize) -> Poll<io::Result<usize>>,
    ) -> bool {
        self.read_clocks();
        let begun = self.now.instant;
        let wanted = usize::try_from(inner.machine.external()).unwrap_or(usize::MAX);
        let (Some(transport), Some(block)) = (&mut self.transport, &mut inner.file) else { return false };
        if !block.is_sending() {
            return false;
        }
        let length = wanted.min(block.step);
        if (block.more || length < wanted) && !inner.corked {
            transport.cork(true);
            inner.corked = true;
        }
        match send(transport, block, length) {
            Poll::Pending => return false,
            Poll::Ready(Ok(0)) => {
                let end = block.offset;
                inner.stop_file(Stopped::Ended(end));
            }
            Poll::Ready(Ok(count)) => {
                self.read_clocks();
                block.sent(count, self.now.instant.since(begun));
                let is_whole = count == wanted && !block.more;
                if let Some(transport) = self.transport.as_mut().filter(|_| is_whole) {
                    uncork(transport, inner);
                }
                inner.sends_files = Some(true);
                inner.machine.transmitted(count);
                self.turn.count_written(count);
            }
            Poll::Ready(Err(error)) if is_loss(&error) => inner.machine.lost(loss(&error)),
            Poll::Ready(Err(_)) => {
                let next = block.offset;
                inner.sends_files = Some(false);
                inner.stop_file(Stopped::Unable(next));
            }
        }
        true
    }

    /// Like [`move_bytes`](Self::move_bytes) when the turn is over: writes the answers, once, and reports whether more
    /// could be done.
    #[cold]
    fn close_turn(&mut self, inner: &mut Inner, io: &Io, context: &mut Context<'_>) -> Moved {
        let writes = io.write || self.taken > 0;
        if io.last_read || io.last_write || (writes && self.turn.is_written()) {
            return Moved::TurnOver;
        }
        // The one write is a separate turn; so is the wait for the deadline.
        let turn = std::mem::replace(&mut self.turn, Turn::new(self.now.instant));
        let moved = self.move_bytes(inner, &Io { read: false, ..*io }, false, context);
        self.turn = turn;
        if moved == Moved::Some {
            if !writes {
                return Moved::TurnOver;
            }
            self.turn.end_written();
            return moved;
        }
        if io.read
            && let Some(transport) = &mut self.transport
            && transport.poll_readable(context).is_ready()
        {
            return Moved::TurnOver;
        }
        Moved::Nothing
    }

    /// Reads a last time before the machine gives up waiting for the peer.
    fn read_last(&mut self, inner: &mut Inner, context: &mut Context<'_>) {
        let read = match (&mut self.transport, space(inner)) {
            (Some(transport), Some(space)) => transport.poll_last_read(context, space),
            _ => Poll::Pending,
        };
        match read {
            Poll::Ready(read) => self.received(inner, read),
            Poll::Pending => inner.machine.recv_nothing(),
        }
    }

    /// Writes a last time before the machine gives up waiting for the peer to make room.
    #[cold]
    fn write_last(&mut self, inner: &mut Inner, context: &mut Context<'_>) {
        if inner.file.is_some() && inner.machine.external() > 0 {
            let sent = self.send_file(inner, |transport, block, length| {
                transport.poll_last_send_file(context, &block.file, block.offset, length)
            });
            if !sent {
                inner.machine.transmitted(0);
            }
            return;
        }
        let Some(transport) = &mut self.transport else { return inner.machine.transmitted(0) };
        uncork(transport, inner);
        if self.taken == 0
            && let Poll::Ready(written) = write(inner, |slices| transport.poll_last_write(context, slices))
        {
            match written {
                Ok(count) => self.taken = count,
                Err(error) => return inner.machine.lost(loss(&error)),
            }
        }
        if self.taken == 0 {
            return inner.machine.transmitted(0);
        }
        match transport.poll_last_flush(context) {
            Poll::Ready(Ok(())) => {
                let count = std::mem::take(&mut self.taken);
                inner.machine.transmitted(count);
                self.turn.count_written(count);
            }
            Poll::Ready(Err(error)) => inner.machine.lost(loss(&error)),
            Poll::Pending => inner.machine.transmitted(0),
        }
    }

    #[inline(always)]
    fn received(&mut self, inner: &mut Inner, read: io::Result<usize>) {
        match read {
            Ok(0) => inner.machine.recv_eof(),
            Ok(count) => {
                inner.machine.recv_commit(count);
                self.turn.count(count);
            }
            Err(error) => lose(inner, &error),
        }
    }
}

#[cold]
fn lose(inner: &mut Inner, error: &io::Error) {
    inner.machine.lost(loss(error));
}

/// Sends what the transport keeps back of a file.
#[inline]
fn uncork(transport: &mut impl Transport, inner: &mut Inner) {
    if std::mem::take(&mut inner.corked) {
        transport.cork(false);
    }
}

/// Writes what waits to be sent by one call of `write`.
fn write(
    inner: &Inner,
    mut write: impl FnMut(&[IoSlice<'_>]) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<usize>> {
    let transmit = inner.machine.transmit();
    let written = match transmit.slices() {
        [] => return Poll::Pending,
        [slice] => ready!(write(&[IoSlice::new(slice)]))?,
        slices => {
            let mut vectored = [IoSlice::new(&[]); 16];
            let count = slices.len().min(vectored.len());
            for (to, from) in vectored.iter_mut().zip(slices) {
                *to = IoSlice::new(from);
            }
            ready!(write(&vectored[..count]))?
        }
    };
    Poll::Ready(if written == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) })
}

fn read<T: Transport>(
    transport: &mut T,
    inner: &mut Inner,
    woken: bool,
    context: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    // Waiting needs no buffer: one is borrowed when there is something to read. A task that was just woken most likely
    // has something to read, so it skips this wait.
    if !woken {
        ready!(transport.poll_readable(context))?;
    }
    let Some(space) = space(inner) else { return Poll::Pending };
    transport.poll_read(context, space)
}

#[inline(always)]
fn space(inner: &mut Inner) -> Option<&mut [u8]> {
    if !inner.machine.has_buffers() {
        inner.machine.provide_buffers(pool::take_buffers());
    }
    inner.machine.recv_space()
}

/// Whether the error is certainly one of the connection.
fn is_loss(error: &io::Error) -> bool {
    loss(error) != Lost::Transport || error.kind() == io::ErrorKind::NotConnected
}

/// The loss that an error of the transport means.
pub(crate) fn loss(error: &io::Error) -> Lost {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => Lost::Reset,
        io::ErrorKind::BrokenPipe | io::ErrorKind::WriteZero => Lost::BrokenPipe,
        io::ErrorKind::TimedOut => Lost::TimedOut,
        _ => Lost::Transport,
    }
}
