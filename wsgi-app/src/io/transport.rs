//! What an adapter brings: one connection's way to move bytes and to wait.

use std::io::{self, IoSlice};
use std::task::{Context, Poll};
use std::time::Instant;

/// One accepted connection on some runtime. Every method is called from the connection's own task only.
pub trait Transport: Send + 'static {
    /// Ready when a read would probably bring something. Waiting here needs no buffer; a transport that cannot tell
    /// is always ready.
    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = context;
        Poll::Ready(Ok(()))
    }

    /// Reads into `space`; 0 is the end of the peer's half.
    fn poll_read(&mut self, context: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>>;

    /// As [`poll_read`](Self::poll_read), once before a deadline of the client ends a wait for its bytes, or a stop or an
    /// eviction closes the connection: bytes that the system has received count, even if the runtime has not reported
    /// them. It never waits.
    fn poll_last_read(&mut self, context: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_read(context, space)
    }

    /// Writes from `slices`, of which none is empty.
    fn poll_write(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;

    /// Sends on what `poll_write` took and keeps, as TLS does; called after each write until it is ready. Only then the
    /// bytes count as sent, and more is written.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = context;
        Poll::Ready(Ok(()))
    }

    /// Closes our half; the other may go on. What was written before still arrives.
    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Has the connection end with a reset when the transport is dropped, which is next: what was sent must not look
    /// complete. TCP closes with a linger of zero, TLS without its `close_notify`. Where there is no such thing, as on unix
    /// sockets, nothing is to be done.
    fn poll_abort(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = context;
        Poll::Ready(Ok(()))
    }

    /// Lets the runtime's other tasks, and its I/O, have their turn. Pending: this task is woken after them. Ready: nothing
    /// special is to be done, and it is woken at once, behind those that are ready.
    fn poll_yield(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let _ = context;
        Poll::Ready(())
    }

    /// Ready at `deadline` or later, by the clock of the [`Runtime`](crate::adapter::Runtime) that the server was built with. The
    /// last deadline counts; a runtime's timer need not be moved forward, since the clock is compared again.
    fn poll_deadline(&mut self, context: &mut Context<'_>, deadline: Instant) -> Poll<()>;
}

impl Transport for Box<dyn Transport> {
    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_readable(context)
    }

    fn poll_read(&mut self, context: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        (**self).poll_read(context, space)
    }

    fn poll_last_read(&mut self, context: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        (**self).poll_last_read(context, space)
    }

    fn poll_write(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        (**self).poll_write(context, slices)
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_flush(context)
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_shutdown(context)
    }

    fn poll_abort(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_abort(context)
    }

    fn poll_yield(&mut self, context: &mut Context<'_>) -> Poll<()> {
        (**self).poll_yield(context)
    }

    fn poll_deadline(&mut self, context: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        (**self).poll_deadline(context, deadline)
    }
}
