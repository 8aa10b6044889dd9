//! Connections that an application has taken over.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use wsgi_proto::SendError;

use crate::exchange::handle::{EndHttp, Handle};
use crate::exchange::stopping::Stopping;
use crate::exchange::taken::{Taken, TakenTransport};

/// The raw stream of a connection that was taken over from HTTP, made by [`Input::take_over`](crate::Input::take_over).
///
/// ```
/// use wsgi_app::{Body, Environ, Result, StartResponse};
///
/// /// Speaks a protocol that sends everything back.
/// async fn echo(environ: Environ, start_response: StartResponse) -> Result<Body> {
///     if environ.header("Upgrade").as_deref() != Some("echo") {
///         start_response.start("426 Upgrade Required", [("Upgrade", "echo")])?;
///         return Ok(Body::empty());
///     }
///     start_response.start("101 Switching Protocols", [("Upgrade", "echo")])?;
///     let mut stream = environ.input().take_over().await?;
///     let mut space = [0; 4096];
///     loop {
///         match stream.read(&mut space).await? {
///             0 => break,
///             count => stream.write_all(&space[..count]).await?,
///         }
///     }
///     stream.shutdown().await?;
///     Ok(Body::empty()) // ignored
/// }
/// # fn is_an_application(_: impl wsgi_app::Application) {}
/// # is_an_application(echo);
/// ```
///
/// The stream begins with the bytes that the client has already sent. Options of the server, such as `socket_timeout`,
/// no longer apply: a read can wait indefinitely. Over TLS, the stream is that of the decrypted bytes.
///
/// Dropping the stream closes the connection. Call [`shutdown`](Self::shutdown) before that: over TLS only that sends
/// `close_notify`.
///
/// # Stopping
///
/// The connection counts for `max_size` until the stream is dropped, wherever it was moved. A graceful stop waits for it until
/// `graceful_timeout`: [`stopping`](Self::stopping) is ready when the stop begins, so that a handler can say goodbye. What is
/// left then is cut: the application is dropped, and a stream that another task has fails with
/// [`ConnectionAborted`](io::ErrorKind::ConnectionAborted) from then on. Dropped after a cut, a stream whose sending half is still
/// open ends with a reset, over TLS without `close_notify`, so that nothing unfinished looks complete.
///
/// With the feature `futures-io`, `Stream` implements `AsyncRead` and `AsyncWrite` of that crate, with `tokio-io` those of
/// tokio.
pub struct Stream {
    unread: Bytes,
    transport: TakenTransport,
    /// After the transport: the server then knows one connection less.
    taken: Taken,
}

pub(crate) async fn take_over(handle: &Handle, end: EndHttp) -> Result<Stream, SendError> {
    let (unread, taken) = handle.begin_take_over(end)?;
    let _fetching = Fetching(handle);
    let transport = poll_fn(|context| handle.poll_stream(context)).await;
    let transport = transport.ok_or(SendError::Lost(wsgi_proto::Lost::Transport))?;
    Ok(Stream { unread: unread.into(), transport: TakenTransport::new(transport, &taken), taken })
}

/// Closes the connection if the take-over is cancelled.
struct Fetching<'a>(&'a Handle);

impl Drop for Fetching<'_> {
    fn drop(&mut self) {
        self.0.give_up_stream();
    }
}

impl Stream {
    /// The bytes that were not read, the transport, and what keeps the connection known to the server.
    pub(crate) fn into_parts(self) -> (Bytes, TakenTransport, Taken) {
        (self.unread, self.transport, self.taken)
    }

    /// A future that is ready when the server begins to stop: [`Environ::stopping`](crate::Environ::stopping), for code that has
    /// only the stream.
    ///
    /// ```
    /// # use std::future::{Future, poll_fn};
    /// # use std::io;
    /// # use std::pin::pin;
    /// # use std::task::Poll;
    /// # use wsgi_app::Stream;
    /// async fn ticks(mut stream: Stream, mut tick: impl AsyncFnMut()) -> io::Result<()> {
    ///     let stopping = stream.stopping();
    ///     while !stream.is_stopping() {
    ///         // With tokio: `tokio::select!`.
    ///         let (mut tick, mut stopping) = (pin!(tick()), pin!(stopping.clone()));
    ///         poll_fn(|context| match stopping.as_mut().poll(context) {
    ///             Poll::Ready(()) => Poll::Ready(()),
    ///             Poll::Pending => tick.as_mut().poll(context),
    ///         })
    ///         .await;
    ///         stream.write_all(b"tick\n").await?;
    ///     }
    ///     stream.write_all(b"goodbye\n").await?;
    ///     stream.shutdown().await
    /// }
    /// ```
    pub fn stopping(&self) -> Stopping {
        self.taken.stopping()
    }

    /// Whether the server has begun to stop.
    pub fn is_stopping(&self) -> bool {
        self.taken.is_stopping()
    }

    /// Calls the transport, unless a stop has cut the connection or does so while the call waits.
    fn poll<R>(
        &mut self,
        context: &mut Context<'_>,
        call: impl FnOnce(&mut TakenTransport, &mut Context<'_>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if !self.taken.is_cut() {
            let polled = call(&mut self.transport, context);
            if polled.is_ready() {
                return polled;
            }
        }
        self.taken.poll_cut(context).map(Err)
    }

    /// Reads bytes into `space` as soon as there are any, and returns their number. 0 means that the client closed its
    /// sending side, or that `space` is empty.
    ///
    /// A future that is dropped before it is ready loses no bytes.
    ///
    /// # Errors
    ///
    /// Those of the transport.
    pub async fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        poll_fn(|context| self.poll_read(context, space)).await
    }

    /// Writes all of `bytes` and flushes.
    ///
    /// If the future is dropped before it is ready, any part of `bytes` may have been written.
    ///
    /// # Errors
    ///
    /// Those of the transport; [`io::ErrorKind::WriteZero`] if it takes no bytes.
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = poll_fn(|context| self.poll_write(context, &[IoSlice::new(bytes)])).await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = &bytes[count..];
        }
        poll_fn(|context| self.poll_flush(context)).await
    }

    /// Closes the sending half. Bytes that the client sends can still be read.
    ///
    /// # Errors
    ///
    /// Those of the transport.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        poll_fn(|context| self.poll_shutdown(context)).await
    }

    /// Polls for bytes: [`read`](Self::read) without the future.
    ///
    /// # Errors
    ///
    /// Those of the transport.
    pub fn poll_read(&mut self, context: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.unread.is_empty() {
            return self.poll(context, |transport, context| transport.get().poll_read(context, space));
        }
        let count = self.unread.len().min(space.len());
        self.unread.copy_to_slice(&mut space[..count]);
        Poll::Ready(Ok(count))
    }

    /// Writes from `slices`, in order, and returns the number of bytes that the transport took. None of the slices may
    /// be empty.
    ///
    /// # Errors
    ///
    /// Those of the transport.
    pub fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll(context, |transport, context| transport.get().poll_write(context, slices))
    }

    /// Sends bytes that the transport took and kept, as TLS does. Call it after [`poll_write`](Self::poll_write).
    ///
    /// # Errors
    ///
    /// Those of the transport.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(context, |transport, context| transport.get().poll_flush(context))
    }

    /// Polls [`shutdown`](Self::shutdown) without the future.
    ///
    /// # Errors
    ///
    /// Those of the transport.
    pub fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(context, |transport, context| transport.poll_shutdown(context))
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("unread", &self.unread.len()).finish_non_exhaustive()
    }
}
