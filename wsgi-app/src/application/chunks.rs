//! The request body as a stream.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;

use crate::application::input::Input;
use crate::exchange::error::InputError;

/// The chunks that [`chunk`](Self::chunk) returns, until the end of the body or the first error. For libraries that read
/// streams, such as `multer` and `tokio-util`.
///
/// ```
/// use futures_core::Stream;
/// use wsgi_app::{Bytes, Environ, InputError};
///
/// fn body(environ: &Environ) -> impl Stream<Item = Result<Bytes, InputError>> {
///     environ.input()
/// }
/// ```
impl Stream for Input {
    type Item = Result<Bytes, InputError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let chunk = ready!(self.poll_read_some(context, usize::MAX));
        self.ended = chunk.as_ref().map_or(true, Bytes::is_empty);
        Poll::Ready(Some(chunk).filter(|chunk| chunk.as_ref().map_or(true, |chunk| !chunk.is_empty())))
    }
}
