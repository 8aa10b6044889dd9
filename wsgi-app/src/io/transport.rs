//! The transport interface: how one connection moves bytes and waits.

use std::fs::File;
use std::io::{self, IoSlice};
use std::task::{Context, Poll};
use std::time::Instant;

use crate::io::tls::Tls;

/// One accepted connection on a runtime. Every method is called from the connection's own task only.
pub trait Transport: Send + 'static {
    /// Ready when a read would probably return something. Waiting here needs no buffer. A transport that cannot detect
    /// this is always ready.
    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = context;
        Poll::Ready(Ok(()))
    }

    /// Reads into `space`; 0 means that the peer closed its half.
    fn poll_read(&mut self, context: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Like [`poll_read`](Self::poll_read), but called once before the server gives up waiting for the client's bytes:
    /// at a deadline, at a stop, or to make room. Bytes that the system has received count, even if the runtime has not
    /// reported them. It never waits.
    fn poll_last_read(&mut self, context: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_read(context, space)
    }

    /// Writes from `slices`, all of which are non-empty.
    fn poll_write(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;

    /// Flushes bytes that `poll_write` accepted and still buffers, like TLS. It is called after each write until it is
    /// ready. Only then do the bytes count as sent, and more is written.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = context;
        Poll::Ready(Ok(()))
    }

    /// Like [`poll_write`](Self::poll_write), but called once before the server gives up waiting for room. Room that the
    /// system has counts, even if the runtime has not reported it. It never waits.
    fn poll_last_write(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write(context, slices)
    }

    /// Like [`poll_flush`](Self::poll_flush), but called after [`poll_last_write`](Self::poll_last_write), or instead of
    /// it if the bytes of an earlier write are not flushed. It never waits.
    fn poll_last_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }

    /// Sends up to `length` bytes of `file`, from `offset`, without copying them, as sendfile(2) does, and returns their
    /// number. 0 means that the file ends there. Nothing that `poll_write` accepted is still buffered then.
    ///
    /// # Errors
    ///
    /// Those of the connection, by their kind. After any other error, such as [`io::ErrorKind::Unsupported`], the server
    /// reads files itself and writes their bytes.
    fn poll_send_file(
        &mut self,
        context: &mut Context<'_>,
        file: &File,
        offset: u64,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        let _ = (context, file, offset, length);
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    /// Like [`poll_send_file`](Self::poll_send_file), but called once before the server gives up waiting for room. Room
    /// that the system has counts, even if the runtime has not reported it. It never waits.
    fn poll_last_send_file(
        &mut self,
        context: &mut Context<'_>,
        file: &File,
        offset: u64,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        self.poll_send_file(context, file, offset, length)
    }

    /// Corks or uncorks the transport, as TCP_CORK does. While it is corked, it may keep back the last bytes if they do not
    /// fill a packet; uncorking sends them. The server corks it between the parts of a file: otherwise every
    /// acknowledgement in between sends a packet that is nearly empty. It has uncorked it when it writes other bytes.
    fn cork(&mut self, corked: bool) {
        let _ = corked;
    }

    /// What TLS has negotiated; `None` for a connection that is not encrypted. Called once, after the handshake of
    /// [`serve_after_handshake`](crate::adapter::serve_after_handshake).
    fn tls(&self) -> Option<Tls> {
        None
    }

    /// Closes our half of the connection; the peer's half stays open. Bytes written before still arrive.
    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Makes the connection end with a reset when the transport is dropped, which happens next: a partial response must
    /// not look complete. TCP closes with a linger of zero, TLS without its `close_notify`. Where a reset does not
    /// exist, as on unix sockets, there is nothing to do.
    fn poll_abort(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = context;
        Poll::Ready(Ok(()))
    }

    /// Lets the runtime's other tasks and its I/O have their turn. Pending: this task is woken after them. Ready: the
    /// runtime needs nothing special, and this task is woken immediately, behind the tasks that are ready.
    fn poll_yield(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let _ = context;
        Poll::Ready(())
    }

    /// Ready at `deadline` or later, by the clock of the [`Runtime`](crate::adapter::Runtime) that the server was built
    /// with. The last deadline counts. A runtime's timer need not be moved to a later deadline, since the clock is
    /// compared again.
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

    fn poll_last_write(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        (**self).poll_last_write(context, slices)
    }

    fn poll_last_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_last_flush(context)
    }

    fn poll_send_file(
        &mut self,
        context: &mut Context<'_>,
        file: &File,
        offset: u64,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        (**self).poll_send_file(context, file, offset, length)
    }

    fn poll_last_send_file(
        &mut self,
        context: &mut Context<'_>,
        file: &File,
        offset: u64,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        (**self).poll_last_send_file(context, file, offset, length)
    }

    fn cork(&mut self, corked: bool) {
        (**self).cork(corked);
    }

    fn tls(&self) -> Option<Tls> {
        (**self).tls()
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
