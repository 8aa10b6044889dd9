//! The I/O traits of tokio, for [`Input`] and [`Stream`], and as a [`Body`].

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::application::body::Body;
use crate::application::input::Input;
use crate::application::readers::Reads;
use crate::application::upgrade::Stream;

/// Feature `tokio-io`. Errors are [`InputError`](crate::InputError) in an [`io::Error`].
impl AsyncRead for Input {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(self.poll_read_into(context, space.initialize_unfilled())).map_err(io::Error::from);
        Poll::Ready(read.map(|count| space.advance(count)))
    }
}

/// Feature `tokio-io`.
impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Self::poll_read(&mut self, context, space.initialize_unfilled()));
        Poll::Ready(read.map(|count| space.advance(count)))
    }
}

/// Feature `tokio-io`.
impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        Self::poll_write(&mut self, context, &[IoSlice::new(bytes)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_flush(&mut self, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_shutdown(&mut self, context)
    }
}

impl Body {
    /// Feature `tokio-io`. A body of all bytes of `reader`, in blocks of up to 64 KiB, as they arrive: a file of tokio, the
    /// output of a process, the response of a client.
    ///
    /// The length is not known. Errors are those of an [`iterator`](Self::iterator).
    ///
    /// ```
    /// use wsgi_app::{Body, Environ, Result, StartResponse};
    ///
    /// async fn report(_environ: Environ, start_response: StartResponse) -> Result<Body> {
    ///     // Such as `tokio::fs::File::open("report.txt").await?`.
    ///     let reader = &b"Hello, World!\n"[..];
    ///     start_response.start("200 OK", [("Content-Type", "text/plain")])?;
    ///     Ok(Body::tokio_reader(reader))
    /// }
    /// # fn is_an_application(_: impl wsgi_app::Application) {}
    /// # is_an_application(report);
    /// ```
    pub fn tokio_reader(reader: impl AsyncRead + Send + 'static) -> Self {
        let mut reader = Box::pin(reader);
        Self::stream(Reads::new(move |context: &mut Context<'_>, space: &mut [u8]| {
            let mut space = ReadBuf::new(space);
            ready!(reader.as_mut().poll_read(context, &mut space))?;
            Poll::Ready(Ok(space.filled().len()))
        }))
    }
}
