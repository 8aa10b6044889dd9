//! Connections that a blocking application has taken over.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice, Read, Write};
#[cfg(unix)]
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use wsgi_proto::SendError;

use crate::application::upgrade;
use crate::blocking::taken_over::TakenOver;
use crate::exchange::handle::{EndHttp, Handle};
use crate::exchange::stopping::Stopping;
use crate::exchange::taken::Taken;
use crate::io::blocking::BlockingTransport;
use crate::sync::{AtomicBool, Mutex, MutexGuard, Ordering, lock, try_lock};

/// The raw stream of a connection that was taken over from HTTP, made by
/// [`Input::take_over`](crate::blocking::Input::take_over) and
/// [`take_over_unanswered`](crate::blocking::Input::take_over_unanswered).
///
/// ```
/// use wsgi_app::blocking::{Environ, StartResponse};
/// use wsgi_app::{Body, Result};
///
/// /// Speaks a protocol that sends everything back.
/// fn echo(environ: Environ, start_response: StartResponse) -> Result<Body> {
///     if environ.header("Upgrade").as_deref() != Some("echo") {
///         start_response.start("426 Upgrade Required", [("Upgrade", "echo")])?;
///         return Ok(Body::empty());
///     }
///     start_response.start("101 Switching Protocols", [("Upgrade", "echo")])?;
///     let stream = environ.input().take_over()?;
///     std::io::copy(&mut &stream, &mut &stream)?;
///     stream.shutdown()?;
///     Ok(Body::empty()) // ignored
/// }
/// # fn is_an_application(_: impl wsgi_app::blocking::Application) {}
/// # is_an_application(echo);
/// ```
///
/// Like the sockets of std, `&Stream` implements [`Read`] and [`Write`] too: one thread may read while another writes.
///
/// The stream begins with the bytes that the client has already sent. Options of the server, such as `socket_timeout`,
/// no longer apply: a read can wait indefinitely, unless [`set_read_timeout`](Self::set_read_timeout) bounds it. Over TLS, the stream is that of the decrypted bytes.
///
/// Dropping the stream closes the connection. Call [`shutdown`](Self::shutdown) before that: over TLS only that sends
/// `close_notify`.
///
/// # Stopping
///
/// The connection counts for `max_size` until the stream is dropped, wherever it was moved. A graceful stop waits for it until
/// `graceful_timeout`, then cuts it, with a reset unless its sending half was closed: reads and writes fail. A thread that
/// waits in a read notices the stop earlier after [`set_stop_ends_reads`](Self::set_stop_ends_reads).
pub struct Stream {
    unread: Mutex<Bytes>,
    timeouts: Mutex<Timeouts>,
    /// Held during a write: over TLS, a write that would block has to be repeated with the same bytes.
    writing: Mutex<()>,
    /// Whether a stop ends a read that waits.
    stop_ends_reads: AtomicBool,
    transport: Arc<dyn BlockingTransport>,
    /// After the transport: the server then knows one connection less.
    taken: Taken,
}

/// How long a call may wait.
#[derive(Clone, Copy, Default)]
struct Timeouts {
    read: Option<Duration>,
    write: Option<Duration>,
}

pub(super) fn take_over(handle: &Handle, end: EndHttp) -> Result<Stream, SendError> {
    let blocking = handle.blocking_transport();
    let (unread, transport, taken) = handle.block_on(upgrade::take_over(handle, end))?.into_parts();
    let transport = match blocking {
        Some(blocking) => {
            drop(transport);
            blocking.leave();
            blocking
        }
        None => {
            let transport: Arc<dyn BlockingTransport> = Arc::new(TakenOver::new(transport));
            handle.cut_at_abort(&transport);
            transport
        }
    };
    Ok(Stream {
        unread: Mutex::new(unread),
        timeouts: Mutex::default(),
        writing: Mutex::default(),
        stop_ends_reads: AtomicBool::new(false),
        transport,
        taken,
    })
}

impl Stream {
    /// Closes the sending half. Bytes that the client sends can still be read.
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub fn shutdown(&self) -> io::Result<()> {
        self.wait_until(false, || self.transport.shutdown())
    }

    /// Limits the time of each read. `None`: no limit, the default. Zero: a read does not wait.
    ///
    /// A read that takes longer fails with [`TimedOut`](io::ErrorKind::TimedOut), and can be repeated.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) {
        lock(&self.timeouts).read = timeout;
    }

    /// Limits the time of each write, and of [`shutdown`](Self::shutdown), like
    /// [`set_read_timeout`](Self::set_read_timeout). Over TLS, a write that timed out has to be repeated with the same
    /// bytes.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) {
        lock(&self.timeouts).write = timeout;
    }

    /// Whether a stop of the server ends a read that waits; by default it does not.
    ///
    /// With it, a read that has to wait fails with [`TimedOut`](io::ErrorKind::TimedOut), as at the end of its
    /// [time](Self::set_read_timeout), when the stop begins and from then on. [`is_stopping`](Self::is_stopping) tells the two
    /// apart. No byte is lost: switched off again, the read can be repeated. It has no effect on a read that another thread has
    /// begun before.
    ///
    /// ```
    /// use std::io::{ErrorKind, Read, Result, Write};
    /// use wsgi_app::blocking::Stream;
    ///
    /// fn converse(mut stream: Stream) -> Result<()> {
    ///     let mut space = [0; 4096];
    ///     stream.set_stop_ends_reads(true);
    ///     loop {
    ///         match stream.read(&mut space) {
    ///             Ok(0) => break,
    ///             Ok(count) => stream.write_all(&space[..count])?,
    ///             Err(error) if error.kind() == ErrorKind::TimedOut && stream.is_stopping() => {
    ///                 stream.write_all(b"goodbye\n")?;
    ///                 break;
    ///             }
    ///             Err(error) => return Err(error),
    ///         }
    ///     }
    ///     stream.shutdown()
    /// }
    /// ```
    pub fn set_stop_ends_reads(&self, ends: bool) {
        self.stop_ends_reads.store(ends, Ordering::Relaxed);
    }

    /// Whether the server has begun to stop.
    pub fn is_stopping(&self) -> bool {
        self.taken.is_stopping()
    }

    /// A future that is ready when the server begins to stop, for code that can poll it.
    pub fn stopping(&self) -> Stopping {
        self.taken.stopping()
    }

    /// Takes the bytes that the client sent early, with which the stream begins, for programs that continue with the
    /// [`descriptor`](Self::descriptor). Empty if they were read.
    pub fn take_unread(&self) -> Bytes {
        std::mem::take(&mut *lock(&self.unread))
    }

    /// The socket, for programs that make a socket object of another kind from a duplicate of it; `None` over TLS, whose
    /// bytes differ. It does not block (`O_NONBLOCK`), and closes with this stream.
    ///
    /// Also `None` where [`blocking()`](fn@crate::blocking) runs the application on an asynchronous adapter: there a stop may drop
    /// the socket at any time, so it cannot be lent. Read and write this stream, or use `wsgi-std`.
    #[cfg(unix)]
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.transport.descriptor()
    }

    /// Waits until no other thread writes.
    fn turn(&self) -> MutexGuard<'_, ()> {
        let mut turn = try_lock(&self.writing);
        if turn.is_none() {
            self.transport.block(&mut || turn = Some(lock(&self.writing)));
        }
        turn.unwrap_or_else(|| lock(&self.writing))
    }

    fn wait_until<R>(&self, read: bool, mut call: impl FnMut() -> io::Result<R>) -> io::Result<R> {
        let mut deadline = None;
        let mut stopping = None;
        loop {
            match call() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            // The clock is read only if the call has to wait.
            let until = *deadline.get_or_insert_with(|| {
                let timeouts = *lock(&self.timeouts);
                let timeout = if read { timeouts.read } else { timeouts.write };
                timeout.and_then(|timeout| Instant::now().checked_add(timeout))
            });
            if until.is_some_and(|until| until <= Instant::now()) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            if read && self.stop_ends_reads.load(Ordering::Relaxed) {
                // A stop that begins after this wakes the thread.
                let stopping = stopping.get_or_insert_with(|| self.taken.stopping());
                let waker = self.transport.waker();
                if Pin::new(stopping).poll(&mut Context::from_waker(&waker)).is_ready() {
                    return Err(io::ErrorKind::TimedOut.into());
                }
            }
            let is_over = || stopping.is_some() && self.taken.is_stopping();
            self.transport.wait_unless(read, !read, until, &is_over)?;
        }
    }
}

impl Read for &Stream {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let mut unread = lock(&self.unread);
        if !unread.is_empty() {
            let count = unread.len().min(space.len());
            unread.copy_to_slice(&mut space[..count]);
            return Ok(count);
        }
        drop(unread);
        match self.wait_until(true, || self.transport.read(space)) {
            // A cut may have closed both halves. The client has not closed its own.
            Ok(0) if !space.is_empty() && self.taken.is_cut() => Err(io::ErrorKind::ConnectionAborted.into()),
            read => read,
        }
    }
}

impl Write for &Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let _turn = self.turn();
        self.wait_until(false, || self.transport.write(&[IoSlice::new(bytes)]))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        (&*self).read(space)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}
