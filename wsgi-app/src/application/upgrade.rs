//! Connections that an application has taken over.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use wsgi_proto::SendError;

use crate::exchange::handle::{EndHttp, Handle};
use crate::io::transport::Transport;

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
/// While the application runs, the connection counts for `max_size`, and a graceful stop waits for it until
/// `graceful_timeout`, then drops the application. A stream that another task keeps after that is no longer known to
/// the server: it counts for nothing, and a stop does not wait for it.
///
/// With the feature `futures-io`, `Stream` implements `AsyncRead` and `AsyncWrite` of that crate, with `tokio-io` those of
/// tokio.
pub struct Stream {
    unread: Bytes,
    transport: Box<dyn Transport>,
}

pub(crate) async fn take_over(handle: &Handle, end: EndHttp) -> Result<Stream, SendError> {
    let unread = handle.begin_take_over(end)?;
    let _fetching = Fetching(handle);
    let transport = poll_fn(|context| handle.poll_stream(context)).await;
    let transport = transport.ok_or(SendError::Lost(wsgi_proto::Lost::Transport))?;
    Ok(Stream { unread: unread.into(), transport })
}

/// Closes the connection if the take-over is cancelled.
struct Fetching<'a>(&'a Handle);

impl Drop for Fetching<'_> {
    fn drop(&mut self) {
        self.0.give_up_stream();
    }
}

impl Stream {
    pub(crate) fn into_unread(self) -> Bytes {
        self.unread
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
        poll_fn(|context| self.transport.poll_shutdown(context)).await
    }

    /// Polls for bytes: [`read`](Self::read) without the future.
    ///
    /// # Errors
    ///
    /// Those of the transport.
    pub fn poll_read(&mut self, context: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.unread.is_empty() {
            return self.transport.poll_read(context, space);
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
        self.transport.poll_write(context, slices)
    }

    /// Sends bytes that the transport took and kept, as TLS does. Call it after [`poll_write`](Self::poll_write).
    ///
    /// # Errors
    ///
    /// Those of the transport.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.transport.poll_flush(context)
    }

    /// Polls [`shutdown`](Self::shutdown) without the future.
    ///
    /// # Errors
    ///
    /// Those of the transport.
    pub fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.transport.poll_shutdown(context)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("unread", &self.unread.len()).finish_non_exhaustive()
    }
}
