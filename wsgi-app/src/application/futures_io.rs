//! The I/O traits of `futures-io`, which smol and async-std use, for [`Input`] and [`Stream`], and as a
//! [`Body`]. On tokio, `tokio_util::compat` converts them to tokio's traits.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

use crate::application::body::Body;
use crate::application::input::Input;
use crate::application::readers::Reads;
use crate::application::upgrade::Stream;

/// Feature `futures-io`. Errors are [`InputError`](crate::InputError) in an [`io::Error`].
impl AsyncRead for Input {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        space: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_read_into(context, space).map_err(io::Error::from)
    }
}

/// Feature `futures-io`.
impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        space: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Self::poll_read(&mut self, context, space)
    }
}

/// Feature `futures-io`. Closing is [`shutdown`](Self::shutdown).
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

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_shutdown(context)
    }
}

impl Body {
    /// Feature `futures-io`. A body of all bytes of `reader`, in blocks of up to 64 KiB, as they arrive: the output of a
    /// process, the response of a client, a file of async-std.
    ///
    /// The length is not known. Errors are those of an [`iterator`](Self::iterator).
    pub fn futures_reader(reader: impl AsyncRead + Send + 'static) -> Self {
        let mut reader = Box::pin(reader);
        let read =
            move |context: &mut Context<'_>, space: &mut [u8]| reader.as_mut().poll_read(context, space);
        Self::stream(Reads::new(read))
    }
}
