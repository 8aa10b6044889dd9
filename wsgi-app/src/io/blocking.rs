//! The transport interface for blocking applications.

use std::fs::File;
use std::io::{self, IoSlice};
#[cfg(unix)]
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::io::tls::Tls;
use crate::io::transport::Transport;

/// Writes the bytes of a connection that wait to be sent. Returns true if none are left.
pub type Flush = Box<dyn Fn() -> bool + Send>;

/// One accepted connection whose bytes any thread may move. No method blocks, except [`wait`](Self::wait) and
/// [`block`](Self::block).
pub trait BlockingTransport: Send + Sync + 'static {
    /// Whether a read would probably return something; true if that is unknown.
    fn is_readable(&self) -> bool {
        true
    }

    /// Reads into `space`; 0 means that the peer closed its half.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if there is nothing to read, or an error of the socket.
    fn read(&self, space: &mut [u8]) -> io::Result<usize>;

    /// Writes from `slices`, all of which are non-empty. After [`io::ErrorKind::WouldBlock`], the next write begins
    /// with the same bytes and may add more.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if there is no room, or an error of the socket.
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Sends up to `length` bytes of `file`, from `offset`, without copying them, as sendfile(2) does, and returns their
    /// number. 0 means that the file ends there.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if there is no room, or an error of the socket. After any other error, such as
    /// [`io::ErrorKind::Unsupported`], the server reads files itself and writes their bytes.
    fn send_file(&self, file: &File, offset: u64, length: usize) -> io::Result<usize> {
        let _ = (file, offset, length);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Corks or uncorks the transport, as TCP_CORK does. While it is corked, it may keep back the last bytes if they do not
    /// fill a packet; uncorking sends them. It is corked between the parts of a file only.
    fn cork(&self, corked: bool) {
        let _ = corked;
    }

    /// What TLS has negotiated; `None` for a connection that is not encrypted. Called once, after the handshake of
    /// [`serve_blocking_after_handshake`](crate::adapter::serve_blocking_after_handshake).
    fn tls(&self) -> Option<Tls> {
        None
    }

    /// Closes our half of the connection; the peer's half stays open. Bytes written before still arrive.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if there is no room for a closing message, as in TLS, and the call has to be
    /// repeated; or an error of the socket.
    fn shutdown(&self) -> io::Result<()>;

    /// Makes the connection end with a reset when its last handle is dropped: a partial response must not look
    /// complete.
    fn reset(&self) {}

    /// Closes both halves immediately, even for threads that are waiting.
    fn cut(&self);

    /// The socket, if its bytes are those of the application: not under TLS.
    #[cfg(unix)]
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Ends HTTP on this transport: from now on only the application reads, writes and waits.
    fn leave(&self);

    /// Schedules a check of the connection at `deadline`, in case no thread is serving it then.
    fn remind(&self, deadline: Instant);

    /// Has another thread call `flush` in about a millisecond, and repeatedly until it returns true. It writes bytes that
    /// wait to be sent, and does not block. Returns false if the transport has no such thread, as by default; then the caller
    /// writes the bytes immediately.
    fn flush_soon(&self, flush: Flush) -> bool {
        drop(flush);
        false
    }

    /// Blocks this thread until the socket is readable (if `read`) or writable (if `write`), until `deadline`, or until
    /// this thread's [`waker`](Self::waker) is woken, even if that happened before the wait began.
    ///
    /// # Errors
    ///
    /// Errors of the system.
    fn wait(&self, read: bool, write: bool, deadline: Option<Instant>) -> io::Result<()>;

    /// Runs `wait`, which may block this thread for reasons other than the transport, such as another thread that writes to
    /// it. By default it only calls `wait`.
    fn block(&self, wait: &mut dyn FnMut()) {
        wait();
    }

    /// Like [`wait`](Self::wait), but ends when `over` is true after a wake-up. For a transport whose wakers are those of all
    /// threads that wait, where another thread may have used up the wake-up.
    ///
    /// # Errors
    ///
    /// Those of [`wait`](Self::wait).
    fn wait_unless(
        &self,
        read: bool,
        write: bool,
        deadline: Option<Instant>,
        over: &dyn Fn() -> bool,
    ) -> io::Result<()> {
        let _ = over;
        self.wait(read, write, deadline)
    }

    /// A waker that ends a [`wait`](Self::wait) of the calling thread.
    fn waker(&self) -> Waker;
}

/// Adapts a [`BlockingTransport`] to [`Transport`]. It is only polled, and never wakes a task.
#[derive(Debug)]
pub(crate) struct Polled<T: ?Sized>(pub(crate) Arc<T>);

impl<T: BlockingTransport + ?Sized> Transport for Polled<T> {
    fn poll_readable(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.0.is_readable() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn poll_read(&mut self, _: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        unless_it_blocks(|| self.0.read(space))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        unless_it_blocks(|| self.0.write(slices))
    }

    fn poll_send_file(
        &mut self,
        _: &mut Context<'_>,
        file: &File,
        offset: u64,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        unless_it_blocks(|| self.0.send_file(file, offset, length))
    }

    fn cork(&mut self, corked: bool) {
        self.0.cork(corked);
    }

    fn tls(&self) -> Option<Tls> {
        self.0.tls()
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        unless_it_blocks(|| self.0.shutdown())
    }

    fn poll_abort(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.reset();
        Poll::Ready(Ok(()))
    }

    fn poll_yield(&mut self, _: &mut Context<'_>) -> Poll<()> {
        // A deadline that has passed follows everything that is ready, and after a look at the sockets.
        self.0.remind(Instant::now());
        Poll::Pending
    }

    fn poll_deadline(&mut self, _: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        self.0.remind(deadline);
        Poll::Pending
    }
}

pub(crate) fn unless_it_blocks<R>(mut call: impl FnMut() -> io::Result<R>) -> Poll<io::Result<R>> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return Poll::Ready(result),
        }
    }
}
