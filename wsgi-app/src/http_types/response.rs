//! An `http::Response` as a response of this crate, and the parts of both.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_core::Stream;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::response::Parts;
use http_body::Body as HttpBody;

use crate::application::body::Body;
use crate::application::start_response::Write;
use crate::exchange::error::{Error, Result};
use crate::head::headers::Headers;
use crate::head::status::Status;
use crate::response::Response;
use crate::response::into_response::IntoResponse;

/// Feature `http`. A code that is not registered has no reason.
impl From<StatusCode> for Status {
    fn from(status: StatusCode) -> Self {
        status.as_u16().into()
    }
}

/// Feature `http`.
impl IntoResponse for StatusCode {
    fn into_response(self) -> Response {
        Response::new(self)
    }
}

/// Feature `http`. Without `Transfer-Encoding`, which only the server sets.
impl From<&HeaderMap> for Headers {
    fn from(map: &HeaderMap) -> Self {
        fields(StatusCode::OK, map).collect()
    }
}

/// Feature `http`. Trailers of the body are not sent; an application of [`tower`](fn@crate::tower) sends them.
impl<B> IntoResponse for http::Response<B>
where
    B: HttpBody<Error: Into<Error>> + Send + 'static,
{
    fn into_response(self) -> Response {
        let (parts, body) = self.into_parts();
        let mut response = Response::new(parts.status);
        *response.headers_mut() = fields(parts.status, &parts.headers).collect();
        if !body.is_end_stream() {
            if let Some(length) = announced(&parts, &body) {
                response.headers_mut().append("Content-Length", length.to_string());
            }
            response.set_body(Body::stream(Frames { body: Box::pin(body), write: None }));
        }
        response
    }
}

/// The length of `body` that its response has to announce. The server knows that of an empty body.
pub(crate) fn announced<B: HttpBody>(parts: &Parts, body: &B) -> Option<u64> {
    // RFC 9110, 8.6: not in a 1xx or 204; that of a 304 is up to the application.
    if matches!(parts.status.as_u16(), ..200 | 204 | 205 | 304) {
        return None;
    }
    // Responses have few fields: to look at all of them costs less than the hash of one name.
    body.size_hint().exact().filter(|_| parts.headers.keys().all(|name| *name != CONTENT_LENGTH))
}

/// The fields of a response, without `Transfer-Encoding`, which only the server sets.
///
/// Frameworks announce the length of each empty body. In a 304 it would be that of the body that was not sent.
pub(crate) fn fields(status: StatusCode, headers: &HeaderMap) -> impl Iterator<Item = (&str, &[u8])> {
    let is_wrong = move |name: &HeaderName, value: &HeaderValue| {
        *name == TRANSFER_ENCODING
            || (status == StatusCode::NOT_MODIFIED && *name == CONTENT_LENGTH && value == "0")
    };
    let fields = headers.iter().filter(move |(name, value)| !is_wrong(name, value));
    fields.map(text)
}

#[inline]
fn text<'a>((name, value): (&'a HeaderName, &'a HeaderValue)) -> (&'a str, &'a [u8]) {
    (name.as_str(), value.as_bytes())
}

/// The frames of a body as blocks.
pub(crate) struct Frames<B> {
    pub(crate) body: Pin<Box<B>>,
    /// Sends the trailers of the body. Without it, they are dropped.
    pub(crate) write: Option<Write>,
}

impl<B: HttpBody<Error: Into<Error>>> Stream for Frames<B> {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        loop {
            let frame = match ready!(self.body.as_mut().poll_frame(context)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                Some(Ok(frame)) => frame,
            };
            match frame.into_data() {
                Ok(mut data) => match data.remaining() {
                    0 => {}
                    length => return Poll::Ready(Some(Ok(data.copy_to_bytes(length)))),
                },
                Err(frame) => {
                    if let (Some(write), Some(trailers)) = (&self.write, frame.trailers_ref())
                        && let Err(error) = write.set_trailers(trailers.iter().map(text))
                    {
                        return Poll::Ready(Some(Err(error.into())));
                    }
                }
            }
        }
    }
}
