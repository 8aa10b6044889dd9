//! The I/O traits of tokio, for [`Input`] and [`Stream`].

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::application::input::Input;
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
