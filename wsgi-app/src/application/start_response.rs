//! WSGI's `start_response` and the `write` handle that it returns.

use std::future::poll_fn;

use bytes::Bytes;
use wsgi_proto::{Exchange, Field, Flow, SendError, StartError};

use crate::application::fields::Fields;
use crate::exchange::error::Error;
use crate::exchange::handle::Handle;

/// Starts the response of one request.
///
/// It can be cloned and sent anywhere; kept too long it finds the exchange over ([`StartError::Over`]).
#[derive(Clone, Debug)]
pub struct StartResponse(pub(crate) Handle);

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
        // The application's iterator runs while nothing is locked.
        let draft = self.0.look(|mut exchange| match exchange.is_started() {
            true => Err(StartError::AlreadyStarted),
            false => Ok(exchange.draft()),
        });
        let head = draft.unwrap_or(Err(StartError::Over))?.write(status.as_ref(), headers)?;
        let started = self.0.with(|mut exchange| exchange.respond_with(head));
        started.unwrap_or(Err(StartError::Over))?;
        Ok(Write(self.0.clone()))
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
        let Some(draft) = self.0.look(|mut exchange| exchange.draft()) else {
            return Err(StartError::Over.into());
        };
        let head = draft.write(status.as_ref(), headers)?;
        match self.0.with(|mut exchange| exchange.replace_with(head)) {
            Some(Ok(())) => Ok(Write(self.0.clone())),
            Some(Err(StartError::HeadSent)) => Err(error.into()),
            Some(Err(refused)) => Err(refused.into()),
            None => Err(StartError::Over.into()),
        }
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
        let (status, headers) = (status.as_ref(), Fields::collect(headers));
        let informed = self.0.with(|mut exchange| exchange.inform(status, headers));
        informed.unwrap_or(Err(StartError::Over))
    }
}

/// Sends blocks of the body before, or instead of, the body that the application returns.
#[derive(Clone, Debug)]
pub struct Write(pub(crate) Handle);

impl Write {
    /// Sends one block as its own chunk; an empty one sends the head. Waits while the client receives nothing.
    ///
    /// # Errors
    ///
    /// [`SendError::TooLong`] when there is more than the `Content-Length`; [`SendError::Lost`] when the client is
    /// gone; [`SendError::Finished`] when the exchange is over.
    pub async fn write(&self, block: impl Into<Bytes>) -> Result<(), SendError> {
        transfer(&self.0, block.into(), |mut exchange, block| exchange.send_now(block)).await
    }

    /// Keeps trailer fields, which are sent after the body if it is chunked; they replace those kept before.
    ///
    /// # Errors
    ///
    /// [`SendError::Trailer`] when one is malformed or may not be a trailer.
    pub fn set_trailers(&self, trailers: impl IntoIterator<Item = impl Field>) -> Result<(), SendError> {
        let trailers = Fields::collect(trailers);
        let set = self.0.with(|mut exchange| exchange.set_trailers(trailers));
        set.unwrap_or(Err(SendError::Finished))
    }

    /// Waits until everything that was sent has gone to the client, including blocks that waited to be joined with others, or
    /// the connection is lost.
    pub async fn flush(&self) {
        let _ = transfer(&self.0, Bytes::new(), |mut exchange, _| exchange.send_joined()).await;
        poll_fn(|context| self.0.poll_until(context, |exchange| exchange.is_flushed())).await;
    }
}

/// Sends one block, and waits until there is room for the next.
pub(crate) async fn send(handle: &Handle, block: Bytes) -> Result<(), SendError> {
    transfer(handle, block, |mut exchange, block| exchange.send(block)).await
}

async fn transfer(
    handle: &Handle,
    block: Bytes,
    send: impl Fn(Exchange<'_>, Bytes) -> Result<Flow, SendError>,
) -> Result<(), SendError> {
    loop {
        match handle.with(|exchange| send(exchange, block.clone())).unwrap_or(Err(SendError::Finished)) {
            Ok(Flow::Ready) => return Ok(()),
            Ok(Flow::Full) => {
                room(handle).await;
                return Ok(());
            }
            // Another handle filled the outbox meanwhile.
            Err(SendError::Full) => room(handle).await,
            Err(error) => return Err(error),
        }
    }
}

/// Waits until a block can be sent.
pub(crate) async fn room(handle: &Handle) {
    poll_fn(|context| handle.poll_until(context, |exchange| !exchange.is_full())).await;
}
