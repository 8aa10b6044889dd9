//! How a tokio socket reads, writes and waits.

use std::fs::File;
use std::future::Future;
use std::io::{self, IoSlice, Read, Write};
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::num::NonZeroUsize;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

#[cfg(any(target_os = "linux", target_os = "android"))]
use rustix::net::{RecvFlags, SendFlags};
use socket2::SockRef;
#[cfg(any(target_os = "linux", target_os = "android"))]
use tokio::io::Interest;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::task::coop;
use tokio::time::{Sleep, sleep_until};
use wsgi_app::Tls;
use wsgi_app::adapter::Transport;

/// A socket, and the one timer of its connection.
pub(crate) struct Socket<S> {
    stream: S,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> Socket<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, timer: None }
    }
}

/// Whether connections inherit the options of their listener.
pub(crate) const INHERITS: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// The number of unsent bytes up to which the system takes more, for clients whose reading is limited in time.
#[cfg(any(target_os = "linux", target_os = "android"))]
const MOST_UNSENT: u32 = 128 * 1024;

/// Sets the options of a TCP connection, or of the listener that passes them on. If a client that reads slowly has a time
/// limit, the system holds few unsent bytes, so that progress shows in time.
pub(crate) fn set_options(socket: &socket2::Socket, limits_slow_readers: bool) {
    // Responses are written whole, so there is nothing to wait for. If an option fails, responses are slower, or a lost
    // client is noticed later.
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_keepalive(true);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if limits_slow_readers {
        let _ = socket.set_tcp_notsent_lowat(MOST_UNSENT);
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = limits_slow_readers;
}

/// sendfile(2), without waiting.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn send_file(socket: &socket2::Socket, file: &File, offset: u64, length: usize) -> io::Result<usize> {
    // A length of `None` would mean the whole file.
    let Some(length) = NonZeroUsize::new(length) else { return Ok(0) };
    let offset = usize::try_from(offset).map_err(|_| io::ErrorKind::Unsupported)?;
    socket.sendfile(file, offset, Some(length))
}

/// Lets the system keep back a packet that is not full. If that fails, it sends more packets.
fn cork(socket: &socket2::Socket, corked: bool) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket.set_tcp_cork(corked);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = (socket, corked);
}

/// A byte stream of tokio that can wait for something to read without a buffer.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    fn poll_read_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Reads what the system has received, even if the runtime has not reported it yet, where that is possible.
    fn read_now(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let _ = space;
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Writes as far as the system has room, even if the runtime has not reported it yet, where that is possible.
    fn write_now(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let _ = slices;
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Flushes by [`write_now`](Self::write_now), where that is possible.
    fn flush_now(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Sets the options of a TCP connection that this crate did not accept.
    fn prepare(&self, limits_slow_readers: bool) {
        let _ = limits_slow_readers;
    }

    /// Makes the system reset the connection when it is closed, where that is possible.
    fn reset(&self) {}

    /// Sends bytes of a file without copying them, where that is possible.
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

    /// Sends bytes of a file if the system has room, even if the runtime has not reported it, where that is possible.
    fn send_file_now(&self, file: &File, offset: u64, length: usize) -> io::Result<usize> {
        let _ = (file, offset, length);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// What TLS has negotiated, if this is an encrypted stream.
    fn tls(&self) -> Option<Tls> {
        None
    }

    /// Corks or uncorks a TCP connection, where that is possible.
    fn cork(&self, corked: bool) {
        let _ = corked;
    }

    /// Reads without waiting, if the runtime has reported bytes, where that is possible.
    fn try_read(&self, space: &mut [u8]) -> io::Result<usize> {
        let _ = space;
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Writes without waiting, where that is possible.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let _ = bytes;
        Err(io::ErrorKind::WouldBlock.into())
    }
}

macro_rules! stream {
    ($socket:ty, $prepare:expr, $reset:expr, $cork:expr) => {
        impl Stream for $socket {
            fn poll_read_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                Self::poll_read_ready(self, context)
            }

            fn read_now(&mut self, space: &mut [u8]) -> io::Result<usize> {
                (&*SockRef::from(&*self)).read(space)
            }

            fn write_now(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
                (&*SockRef::from(&*self)).write_vectored(slices)
            }

            fn prepare(&self, limits_slow_readers: bool) {
                let prepare: fn(&Self, bool) = $prepare;
                prepare(self, limits_slow_readers);
            }

            fn reset(&self) {
                let reset: fn(&Self) = $reset;
                reset(self);
            }

            #[cfg(any(target_os = "linux", target_os = "android"))]
            fn send_file_now(&self, file: &File, offset: u64, length: usize) -> io::Result<usize> {
                send_file(&SockRef::from(self), file, offset, length)
            }

            #[cfg(any(target_os = "linux", target_os = "android"))]
            fn poll_send_file(
                &mut self,
                context: &mut Context<'_>,
                file: &File,
                offset: u64,
                length: usize,
            ) -> Poll<io::Result<usize>> {
                loop {
                    ready!(self.poll_write_ready(context))?;
                    let send = || self.send_file_now(file, offset, length);
                    match self.try_io(Interest::WRITABLE, send) {
                        Err(error)
                            if matches!(
                                error.kind(),
                                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                            ) => {}
                        sent => return Poll::Ready(sent),
                    }
                }
            }

            fn cork(&self, corked: bool) {
                let cork: fn(&Self, bool) = $cork;
                cork(self, corked);
            }

            // Not the functions of libc, which prepare for the end of the thread (pthread_cancel) at each call.
            #[cfg(any(target_os = "linux", target_os = "android"))]
            fn try_read(&self, space: &mut [u8]) -> io::Result<usize> {
                let mut short = None;
                let read = self.try_io(Interest::READABLE, || {
                    let (count, _) = rustix::net::recv(self, &mut *space, RecvFlags::empty())?;
                    if 0 < count && count < space.len() {
                        // It clears tokio's readiness, so the next wait costs no system call.
                        short = Some(count);
                        return Err(io::ErrorKind::WouldBlock.into());
                    }
                    Ok(count)
                });
                short.map_or(read, Ok)
            }

            #[cfg(any(target_os = "linux", target_os = "android"))]
            fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
                self.try_io(Interest::WRITABLE, || Ok(rustix::net::send(self, bytes, SendFlags::NOSIGNAL)?))
            }

            #[cfg(not(any(target_os = "linux", target_os = "android")))]
            fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
                Self::try_write(self, bytes)
            }
        }
    };
}

// If a reset fails, the connection is already lost.
stream!(
    TcpStream,
    |stream, limits| set_options(&SockRef::from(stream), limits),
    |stream| drop(SockRef::from(stream).set_linger(Some(Duration::ZERO))),
    |stream, corked| cork(&SockRef::from(stream), corked)
);
// Unix sockets have neither a reset nor packets.
#[cfg(unix)]
stream!(UnixStream, |_, _| {}, |_| {}, |_, _| {});

/// A stream of any kind. It cannot wait without a buffer.
pub(crate) struct Other<S>(pub(crate) S);

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for Other<S> {
    fn poll_read_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Other<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Other<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// A stream of a connection that was accepted elsewhere.
impl Stream for Box<dyn Stream> {
    fn poll_read_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_read_ready(context)
    }

    fn read_now(&mut self, space: &mut [u8]) -> io::Result<usize> {
        (**self).read_now(space)
    }

    fn write_now(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        (**self).write_now(slices)
    }

    fn flush_now(&mut self) -> io::Result<()> {
        (**self).flush_now()
    }

    fn prepare(&self, limits_slow_readers: bool) {
        (**self).prepare(limits_slow_readers);
    }

    fn reset(&self) {
        (**self).reset();
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

    fn send_file_now(&self, file: &File, offset: u64, length: usize) -> io::Result<usize> {
        (**self).send_file_now(file, offset, length)
    }

    fn cork(&self, corked: bool) {
        (**self).cork(corked);
    }

    fn try_read(&self, space: &mut [u8]) -> io::Result<usize> {
        (**self).try_read(space)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        (**self).try_write(bytes)
    }
}

fn unless_it_blocks<R>(result: io::Result<R>) -> Poll<io::Result<R>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}

impl<S: Stream> Transport for Socket<S> {
    fn tls(&self) -> Option<Tls> {
        self.stream.tls()
    }

    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_read_ready(context)
    }

    fn poll_read(&mut self, context: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        // Usually there are bytes, and the short path finds them. Reads that fill the space may follow each other without end:
        // they count for tokio's budget, as on the long path, which yields when it is used up.
        if coop::has_budget_remaining() {
            match self.stream.try_read(space) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(count) if count == space.len() => {
                    if let Poll::Ready(budget) = coop::poll_proceed(context) {
                        budget.made_progress();
                    }
                    return Poll::Ready(Ok(count));
                }
                read => return Poll::Ready(read),
            }
        }
        // A short read clears tokio's readiness, so the next wait costs no system call.
        let mut buffer = ReadBuf::new(space);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    fn poll_last_read(&mut self, context: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        if let Poll::Ready(read) = self.poll_read(context, space) {
            return Poll::Ready(read);
        }
        unless_it_blocks(self.stream.read_now(space))
    }

    fn poll_write(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match slices {
            // Usually there is room, and the short path finds it.
            [slice] => match self.stream.try_write(slice) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    Pin::new(&mut self.stream).poll_write(context, slice)
                }
                written => Poll::Ready(written),
            },
            slices => Pin::new(&mut self.stream).poll_write_vectored(context, slices),
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_last_write(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = self.poll_write(context, slices) {
            return Poll::Ready(written);
        }
        unless_it_blocks(self.stream.write_now(slices))
    }

    fn poll_last_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(flushed) = self.poll_flush(context) {
            return Poll::Ready(flushed);
        }
        unless_it_blocks(self.stream.flush_now())
    }

    fn poll_send_file(
        &mut self,
        context: &mut Context<'_>,
        file: &File,
        offset: u64,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        self.stream.poll_send_file(context, file, offset, length)
    }

    fn poll_last_send_file(
        &mut self,
        context: &mut Context<'_>,
        file: &File,
        offset: u64,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(sent) = self.poll_send_file(context, file, offset, length) {
            return Poll::Ready(sent);
        }
        unless_it_blocks(self.stream.send_file_now(file, offset, length))
    }

    fn cork(&mut self, corked: bool) {
        self.stream.cork(corked);
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_abort(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.reset();
        Poll::Ready(Ok(()))
    }

    fn poll_yield(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // The first poll makes tokio wake this task after its I/O driver has run, so the future need not be kept.
        pin!(tokio::task::yield_now()).poll(context)
    }

    fn poll_deadline(&mut self, context: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let deadline = tokio::time::Instant::from_std(deadline);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        // A timer that fires too early is set again then. Most deadlines move on before they are reached.
        if deadline < timer.deadline() || timer.is_elapsed() {
            timer.as_mut().reset(deadline);
        }
        loop {
            ready!(timer.as_mut().poll(context));
            if timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }
}
