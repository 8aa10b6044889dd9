//! WSGI's `wsgi.input`: the request body, without its framing.

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;
use wsgi_proto::{Field, SendError, StartError, Trailers};

use crate::application::fields::Fields;
use crate::application::upgrade::{self, Stream};
use crate::exchange::error::InputError;
use crate::exchange::handle::Handle;

/// The request body. Reading it for the first time sends the `100 Continue` that a client may wait for.
///
/// A cheap handle: it can be cloned and moved to another task, and reading and writing may go on at the same time. Kept
/// too long, it finds the exchange over. Every wait is bounded by `socket_timeout`.
///
/// All reads fail in the same way: [`InputError`] says whether the client sent a malformed, too large, cut off or late
/// body (an application that returns this error has it answered with its status), or left.
#[derive(Clone, Debug)]
pub struct Input {
    pub(crate) handle: Handle,
}

impl Input {
    pub(crate) fn new(handle: Handle) -> Self {
        Self { handle }
    }

    /// What has arrived, at most `limit` bytes of it, as soon as there is something; empty at the end of the body.
    ///
    /// # Errors
    ///
    /// See [`Input`].
    pub async fn read_some(&self, limit: usize) -> Result<Bytes, InputError> {
        poll_fn(|context| self.poll_read_some(context, limit)).await
    }

    /// As [`read_some`](Self::read_some), for those who write futures by hand.
    pub fn poll_read_some(&self, context: &mut Context<'_>, limit: usize) -> Poll<Result<Bytes, InputError>> {
        if limit == 0 {
            return Poll::Ready(Ok(Bytes::new()));
        }
        self.handle
            .poll_body(context, |data| {
                let part = &data[..data.len().min(limit)];
                (part.len(), Bytes::copy_from_slice(part))
            })
            .map_ok(Option::unwrap_or_default)
    }

    /// Exactly `size` bytes, or what there is until the end of the body: WSGI's `read(size)`.
    ///
    /// # Errors
    ///
    /// See [`Input`].
    pub async fn read(&self, size: usize) -> Result<Bytes, InputError> {
        if size == 0 {
            return Ok(Bytes::new());
        }
        self.gather(|data, gathered| {
            let wanted = data.len().min(size - gathered);
            (wanted, gathered + wanted == size)
        })
        .await
    }

    /// The whole rest of the body: WSGI's `read()`. Its size is bounded by `max_body_size` alone.
    ///
    /// # Errors
    ///
    /// See [`Input`].
    pub async fn read_to_end(&self) -> Result<Bytes, InputError> {
        self.gather(|data, _| (data.len(), false)).await
    }

    /// The next line with its line feed, of at most `limit` bytes; empty at the end of the body: WSGI's
    /// `readline(size)`.
    ///
    /// # Errors
    ///
    /// See [`Input`].
    pub async fn read_line(&self, limit: usize) -> Result<Bytes, InputError> {
        if limit == 0 {
            return Ok(Bytes::new());
        }
        self.gather(|data, gathered| {
            let data = &data[..data.len().min(limit - gathered)];
            match data.iter().position(|&byte| byte == b'\n') {
                Some(at) => (at + 1, true),
                None => (data.len(), gathered + data.len() == limit),
            }
        })
        .await
    }

    /// The lines that are left, one after the other: iteration over `wsgi.input`.
    pub fn lines(&self) -> Lines {
        Lines { input: self.clone() }
    }

    /// Collects data until `take` says that it is enough; it tells how much of the data at hand to take.
    async fn gather(&self, mut take: impl FnMut(&[u8], usize) -> (usize, bool)) -> Result<Bytes, InputError> {
        let mut gathered = Vec::new();
        loop {
            let part = poll_fn(|context| {
                self.handle.poll_body(context, |data| {
                    let (count, enough) = take(data, gathered.len());
                    gathered.extend_from_slice(&data[..count]);
                    (count, enough)
                })
            });
            match part.await? {
                Some(false) => {}
                Some(true) | None => return Ok(gathered.into()),
            }
        }
    }

    /// Header fields for the `100 Continue` that the first read sends; they replace those set before. Once set, a
    /// client that waits for it always gets them.
    ///
    /// # Errors
    ///
    /// A [`StartError`] when a field is malformed.
    pub fn set_hundred_continue_response_headers(
        &self,
        headers: impl IntoIterator<Item = impl Field>,
    ) -> Result<(), StartError> {
        let headers = Fields::collect(headers);
        let set = self.handle.with(|mut exchange| exchange.continue_headers(headers));
        set.unwrap_or(Err(StartError::Over))
    }

    /// Sends a `100 Continue` now, with the fields that were set, as often as it is called. HTTP/1.0 clients are
    /// spared it, and so are those whose response has begun.
    ///
    /// # Errors
    ///
    /// [`StartError::Over`] when the exchange is over; [`StartError::Full`] when the client takes none of them.
    pub fn send_hundred_continue_response(&self) -> Result<(), StartError> {
        self.handle.with(|mut exchange| exchange.send_continue()).unwrap_or(Err(StartError::Over))
    }

    /// Whether the client waits for a `100 Continue` that was not sent.
    pub fn should_send_hundred_continue(&self) -> bool {
        self.handle.look(|exchange| exchange.expects_continue()).unwrap_or(false)
    }

    /// The trailer fields of a chunked body; `None` before its end was read.
    pub fn trailers(&self) -> Option<Trailers> {
        self.handle.look(|exchange| exchange.trailers().cloned())?
    }

    /// Waits until the client closes its side or the connection is lost. A client that half-closed may still read.
    pub async fn client_gone(&self) {
        self.handle.with(|mut exchange| exchange.watch_peer());
        poll_fn(|context| self.handle.poll_until(context, |exchange| exchange.client_gone())).await;
    }

    /// Ends HTTP on this connection after `101 Switching Protocols` was started, and gives the bare stream, which
    /// begins with the bytes that had been received already.
    ///
    /// # Errors
    ///
    /// [`SendError::NotSwitching`] without a started 101, or before the request body was read.
    pub async fn take_over(&self) -> Result<Stream, SendError> {
        upgrade::take_over(&self.handle).await
    }
}

/// The lines of a request body.
#[derive(Debug)]
pub struct Lines {
    input: Input,
}

impl Lines {
    /// The next line with its line feed; the last one may have none. `None` at the end.
    ///
    /// # Errors
    ///
    /// See [`Input`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, InputError> {
        let line = self.input.read_line(usize::MAX).await?;
        Ok(if line.is_empty() { None } else { Some(line) })
    }
}
