//! What a connection of a blocking application moves its bytes over.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::io::transport::Transport;

/// One accepted connection whose bytes any thread may move. No method but [`wait`](Self::wait) waits.
pub trait BlockingTransport: Send + Sync + 'static {
    /// Whether a read would probably bring something; true where that is not known.
    fn is_readable(&self) -> bool {
        true
    }

    /// Reads into `space`; 0 is the end of the peer's half.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when nothing is there; those of the socket.
    fn read(&self, space: &mut [u8]) -> io::Result<usize>;

    /// Writes from `slices`, of which none is empty. After [`io::ErrorKind::WouldBlock`] the next write begins with the
    /// same bytes, and perhaps has more.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when there is no room; those of the socket.
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Closes our half; the other may go on. What was written before still arrives.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when a farewell found no room, and it has to be called again; those of the socket.
    fn shutdown(&self) -> io::Result<()>;

    /// Has the connection end with a reset when its last handle is dropped: what was sent must not look complete.
    fn reset(&self) {}

    /// Ends both halves at once, including for threads that wait.
    fn cut(&self);

    /// HTTP is over: from now on the application alone reads, writes and waits.
    fn leave(&self);

    /// The connection, when no thread is with it, has to be looked at again at `deadline`.
    fn remind(&self, deadline: Instant);

    /// Makes this thread wait until the socket can be read from or written to (as `read` and `write` say), until
    /// `deadline`, or until this thread's [`waker`](Self::waker) is woken, even if that was before the wait began.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn wait(&self, read: bool, write: bool, deadline: Option<Instant>) -> io::Result<()>;

    /// What ends a [`wait`](Self::wait) of the thread that calls this.
    fn waker(&self) -> Waker;
}

/// A [`BlockingTransport`] as a [`Transport`]: it is polled, and wakes nobody.
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

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        unless_it_blocks(|| self.0.shutdown())
    }

    fn poll_abort(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.reset();
        Poll::Ready(Ok(()))
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
