//! WSGI's `start_response` and `write` for blocking applications.

use std::io;

use bytes::Bytes;
use wsgi_proto::{Field, SendError, StartError};

use crate::application::start_response::StartResponse as AsyncStartResponse;
use crate::application::start_response::Write as AsyncWrite;
use crate::exchange::error::Error;
use crate::exchange::handle::Handle;

/// Starts the response of one request.
///
/// It can be cloned and sent anywhere; kept too long it finds the exchange over ([`StartError::Over`]).
#[derive(Clone, Debug)]
pub struct StartResponse(pub(super) AsyncStartResponse);

impl StartResponse {
    /// Starts the response: status `"200 OK"` and header fields. Nothing is sent before the first block of the body.
    ///
    /// The status is a code from 200 to 599, or 101, a space and a reason; `"200"` without a reason is allowed.
    ///
    /// Header fields are pairs of a name and a value, of any type that is [`FieldBytes`](crate::FieldBytes): text
    /// or bytes, borrowed or owned. For a response without header fields, write [`NO_HEADERS`](crate::NO_HEADERS).
    ///
    /// `Date`, `Connection`, `Transfer-Encoding` and, where the length is known, `Content-Length` are added.
    /// `Connection: close` among the headers closes the connection after the response. An `Upgrade` is listed in
    /// `Connection`. Of several `Date` or `Content-Type` headers the last one counts.
    ///
    /// # Errors
    ///
    /// [`StartError::AlreadyStarted`] at the second call; the other variants when HTTP does not allow the head, and
    /// then nothing is started.
    pub fn start(
        &self,
        status: impl AsRef<str>,
        headers: impl IntoIterator<Item = impl Field>, // none: `NO_HEADERS`
    ) -> Result<Write, StartError> {
        self.0.start(status, headers).map(Write)
    }

    /// Starts the response anew because `error` came up: WSGI's `exc_info`.
    ///
    /// # Errors
    ///
    /// `error` itself when the head was sent already; a [`StartError`] when the new head is not allowed.
    pub fn restart(
        &self,
        status: impl AsRef<str>,
        headers: impl IntoIterator<Item = impl Field>, // none: `NO_HEADERS`
        error: impl Into<Error>,
    ) -> Result<Write, Error> {
        self.0.restart(status, headers, error).map(Write)
    }

    /// Sends an interim response now: `103 Early Hints`, `102 Processing`. HTTP/1.0 clients are spared it.
    ///
    /// # Errors
    ///
    /// A [`StartError`] when it is no interim status, or a field is malformed.
    pub fn inform(
        &self,
        status: impl AsRef<str>,
        headers: impl IntoIterator<Item = impl Field>, // none: `NO_HEADERS`
    ) -> Result<(), StartError> {
        self.0.inform(status, headers)?;
        self.0.0.flush();
        Ok(())
    }
}

/// Sends blocks of the body before, or instead of, the body that the application returns. It is [`io::Write`], too.
#[derive(Clone, Debug)]
pub struct Write(AsyncWrite);

impl Write {
    /// Sends one block as its own chunk, whatever `minimum_chunk_size` says; an empty one sends the head. It has
    /// been handed to the system when this returns (PEP 3333).
    ///
    /// # Errors
    ///
    /// [`SendError::TooLong`] when there is more than the `Content-Length`; [`SendError::Lost`] when the client is
    /// gone; [`SendError::Finished`] when the exchange is over.
    pub fn write(&self, block: impl Into<Bytes>) -> Result<(), SendError> {
        self.0.0.block_on(self.0.write(block))?;
        self.0.0.flush();
        Ok(())
    }

    /// Keeps trailer fields, which are sent after the body if it is chunked; they replace those kept before.
    ///
    /// # Errors
    ///
    /// [`SendError::Trailer`] when one is malformed or may not be a trailer.
    pub fn set_trailers(&self, trailers: impl IntoIterator<Item = impl Field>) -> Result<(), SendError> {
        self.0.set_trailers(trailers)
    }

    /// Waits until everything that was sent has gone to the client, including blocks that waited to be joined with others, or
    /// the connection is lost.
    pub fn flush(&self) {
        self.0.0.block_on(self.0.flush());
    }
}

impl io::Write for Write {
    fn write(&mut self, block: &[u8]) -> io::Result<usize> {
        if !block.is_empty() {
            Self::write(self, Bytes::copy_from_slice(block)).map_err(io::Error::other)?;
        }
        Ok(block.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Self::flush(self);
        Ok(())
    }
}

impl Handle {
    pub(super) fn flush(&self) {
        self.block_on(std::future::poll_fn(|context| {
            self.poll_until(context, |exchange| exchange.is_flushed())
        }));
    }
}
