//! How a stream of futures-io reads, writes and waits.

use std::fs::File;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{Shutdown, TcpStream};
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::num::NonZeroUsize;
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use smol::io::{AsyncRead, AsyncWrite};
use smol::{Async, Timer};
use socket2::SockRef;
use wsgi_app::Tls;
use wsgi_app::adapter::Transport;

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

/// A stream in both directions: the traits of `futures-io`, and operations that they lack. All methods have defaults:
/// write `impl Duplex for MyStream {}`, or put the stream in a [`Box`] if its type is foreign. Check whether the default
/// of [`poll_shutdown`](Self::poll_shutdown) is right for it.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Ready when a read would probably return something. Polled again, it waits for the bytes after that. It is polled
    /// only if the last read returned less than it had room for. A stream that cannot detect this is always ready; its
    /// connection then keeps a buffer while it waits.
    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = context;
        Poll::Ready(Ok(()))
    }

    /// Makes the connection end with a reset when the stream is dropped: a partial response must not look complete.
    /// Does nothing where that is not possible.
    fn reset(&mut self) {}

    /// What TLS has negotiated; `None` if this is not an encrypted stream. Called once, after the handshake.
    fn tls(&self) -> Option<Tls> {
        None
    }

    /// Sends up to `length` bytes of `file`, from `offset`, without copying them, and returns their number; 0 means that the
    /// file ends there. If this is an error that is not one of the connection, such as
    /// [`Unsupported`](io::ErrorKind::Unsupported), the server reads files itself and writes their bytes.
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

    /// Corks or uncorks the stream, as TCP_CORK does. While it is corked, it may keep back the last bytes if they do not
    /// fill a packet; uncorking sends them. It is corked between the parts of a file only.
    fn cork(&mut self, corked: bool) {
        let _ = corked;
    }

    /// Closes our half of the connection; the peer's half stays open.
    ///
    /// After the last response, the server closes its half by this method and then continues to read, so that unread
    /// input of the client does not turn the close into a reset, which could destroy the response. The default calls
    /// [`poll_close`](AsyncWrite::poll_close), which for some types also ends reading, or closes the socket. Implement
    /// this method for such a type, for TCP by `shutdown(Shutdown::Write)`.
    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self).poll_close(context)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + ?Sized + 'static> Duplex for Box<S> {}

macro_rules! socket {
    ($socket:ty, $reset:expr, $cork:expr) => {
        impl Duplex for Async<$socket> {
            fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                (*self).poll_readable(context)
            }

            fn reset(&mut self) {
                let reset: fn(&$socket) = $reset;
                reset(self.get_ref());
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
                    match send_file(&SockRef::from(&*self), file, offset, length) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                        sent => return Poll::Ready(sent),
                    }
                    ready!(self.poll_writable(context))?;
                }
            }

            fn cork(&mut self, corked: bool) {
                let cork: fn(&$socket, bool) = $cork;
                cork(self.get_ref(), corked);
            }

            fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(self.get_ref().shutdown(Shutdown::Write))
            }
        }
    };
}

// If a reset fails, the connection is already lost.
socket!(
    TcpStream,
    |stream| drop(SockRef::from(stream).set_linger(Some(Duration::ZERO))),
    |stream, corked| cork(&SockRef::from(stream), corked)
);
// Unix sockets have neither a reset nor packets.
#[cfg(unix)]
socket!(UnixStream, |_| {}, |_, _| {});

/// A stream, and the one timer of its connection.
pub(crate) struct Socket<S> {
    stream: S,
    /// There is probably something to read: the stream reported it, or the last read filled all the space it had.
    readable: bool,
    timer: Option<Timer>,
    /// The time that the timer is set to, until it has fired.
    set: Option<Instant>,
}

impl<S> Socket<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, readable: true, timer: None, set: None }
    }
}

impl<S: Duplex> Transport for Socket<S> {
    fn tls(&self) -> Option<Tls> {
        self.stream.tls()
    }

    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.readable {
            ready!(self.stream.poll_readable(context))?;
            self.readable = true;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, context: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        // If the task was woken for this read, the readiness of the stream has to be used up. Otherwise the next wait
        // would end immediately, with a useless read.
        if !self.readable {
            let _ = self.stream.poll_readable(context)?;
        }
        let read = Pin::new(&mut self.stream).poll_read(context, space);
        // A short read took everything that had arrived.
        self.readable = matches!(read, Poll::Ready(Ok(count)) if count == space.len());
        read
    }

    fn poll_write(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut self.stream);
        match slices {
            [slice] => stream.poll_write(context, slice),
            slices => stream.poll_write_vectored(context, slices),
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
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

    fn cork(&mut self, corked: bool) {
        self.stream.cork(corked);
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_shutdown(context)
    }

    fn poll_abort(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.reset();
        Poll::Ready(Ok(()))
    }

    fn poll_yield(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // The reactor ends this wait, and looks at all sockets then. A task that only woke itself would come before
        // them: an executor looks at the reactor when no task is ready, or after 200 tasks.
        let timer = self.timer.get_or_insert_with(Timer::never);
        timer.set_after(Duration::from_micros(1));
        self.set = None;
        Pin::new(timer).poll(context).map(drop)
    }

    fn poll_deadline(&mut self, context: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(Timer::never);
        loop {
            // A timer that fires too early is set again then. Most deadlines move on before they are reached.
            if self.set.is_none_or(|set| deadline < set) {
                timer.set_at(deadline);
                self.set = Some(deadline);
            }
            let fired = ready!(Pin::new(&mut *timer).poll(context));
            self.set = None;
            if fired >= deadline {
                return Poll::Ready(());
            }
        }
    }
}
