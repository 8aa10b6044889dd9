//! The request body as an `http_body::Body`.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame, SizeHint};

use crate::application::input::Input;
use crate::exchange::error::InputError;

/// Feature `http`. The trailers of a chunked body are its last frame.
///
/// A frame is what has arrived, up to the size of the receive buffer (`limits.inbox`).
impl Body for Input {
    type Data = Bytes;
    type Error = InputError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, InputError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let chunk = ready!(self.poll_read_some(context, usize::MAX));
        if let Ok(chunk) = &chunk
            && !chunk.is_empty()
        {
            return Poll::Ready(Some(Ok(Frame::data(chunk.clone()))));
        }
        self.ended = true;
        let last = match chunk {
            Err(error) => Some(Err(error)),
            Ok(_) => self.trailer_map().map(Frame::trailers).map(Ok),
        };
        Poll::Ready(last)
    }

    fn is_end_stream(&self) -> bool {
        self.ended || (self.remaining() == Some(0) && self.trailers().is_none())
    }

    fn size_hint(&self) -> SizeHint {
        match self.remaining() {
            Some(length) => SizeHint::with_exact(length),
            None => SizeHint::default(),
        }
    }
}

impl Input {
    /// The trailers, if there are any.
    fn trailer_map(&self) -> Option<HeaderMap> {
        let trailers = self.trailers()?;
        let mut map = HeaderMap::new();
        for (name, value) in trailers.fields() {
            // A name or value that the types of `http` cannot represent, or too many: left out.
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value))
            {
                let _ = map.try_append(name, value);
            }
        }
        Some(map).filter(|map| !map.is_empty())
    }
}
