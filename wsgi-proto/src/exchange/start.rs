//! Starting the response: its head, a head that replaces it, and the length of the body.

use alloc::borrow::Cow;

use crate::error::StartError;
use crate::exchange::Exchange;
use crate::http::field::Field;
use crate::http::response_head::{Draft, ResponseHead};
use crate::machine::state::tables::OurHalf;

impl Exchange<'_> {
    /// Starts the response with a status such as `"200 OK"` and its fields. Nothing is sent before the first
    /// [`send`](Self::send) or [`finish`](Self::finish).
    ///
    /// The head that is sent then also has `Date`, `Connection`, the framing, and a `Content-Length` if the length is
    /// known. `Connection: close` among the fields closes the connection after the response. An `Upgrade` is listed in
    /// `Connection`. If `Date` or `Content-Type` is repeated, the last one counts. For a response without fields, pass
    /// [`NO_HEADERS`](crate::NO_HEADERS).
    ///
    /// # Errors
    ///
    /// [`StartError::AlreadyStarted`] if a response was started (PEP 3333; see [`replace`](Self::replace)),
    /// [`StartError::Over`] if the exchange is over, the other variants if HTTP does not allow the head. After an
    /// error, this call has started nothing.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_driver!()]
    /// let mut connection = open(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    /// let mut exchange = connection.exchange().expect("a request is open");
    /// assert!(matches!(exchange.respond("200 OK", [("X-A", "1\n2")]), Err(StartError::FieldValue(_))));
    /// assert!(!exchange.is_started());
    /// exchange.respond("200 OK", [("Content-Type", "text/plain")])?;
    /// assert_eq!(exchange.respond("200 OK", NO_HEADERS), Err(StartError::AlreadyStarted));
    /// assert_eq!(flush(&mut connection), "", "nothing is sent yet");
    ///
    /// let mut exchange = connection.exchange().expect("it is still open");
    /// let _ = exchange.send("one\n")?;
    /// let _ = exchange.send("two\n")?;
    /// exchange.finish()?;
    /// let sent = flush(&mut connection);
    /// assert!(sent.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"));
    /// assert!(sent.ends_with("\r\n\r\n4\r\none\n\r\n4\r\ntwo\n\r\n0\r\n\r\n"), "each block is a chunk");
    /// # Ok::<(), AnswerError>(())
    /// ```
    pub fn respond(
        &mut self,
        status: &str,
        headers: impl IntoIterator<Item = impl Field>, // none: `NO_HEADERS`
    ) -> Result<(), StartError> {
        self.0.may_start()?;
        if self.0.is_started() {
            return Err(StartError::AlreadyStarted);
        }
        let head = self.draft().write(status, headers)?;
        self.start_with(head.into())
    }

    /// A draft to write status and fields into, for [`respond_with`](Self::respond_with). It uses the settings of this
    /// connection, and its memory if no response was started.
    pub fn draft(&mut self) -> Draft {
        let config = &self.0.config;
        self.0.memory.get_or_make().reply.draft(config.max_http_version, config.capitalize_response_headers)
    }

    /// Like [`respond`](Self::respond), with a head that was written before, by [`ResponseHead::new`] or
    /// [`draft`](Self::draft), by value or by reference.
    ///
    /// # Errors
    ///
    /// [`StartError::AlreadyStarted`], [`StartError::Over`], and [`StartError::CannotSwitch`] for a 101 to a client of
    /// HTTP/1.0.
    pub fn respond_with<'h>(&mut self, head: impl Into<Cow<'h, ResponseHead>>) -> Result<(), StartError> {
        self.0.may_start()?;
        if self.0.is_started() { Err(StartError::AlreadyStarted) } else { self.start_with(head.into()) }
    }

    /// Starts another response instead of the one that was started, because of an error (`exc_info` of PEP 3333).
    ///
    /// Blocks, trailers and a length that were kept for the first response are discarded.
    ///
    /// # Errors
    ///
    /// [`StartError::HeadSent`] if the head was sent, [`StartError::Over`] if the exchange is over: then nothing has
    /// changed. The other variants if HTTP does not allow the head: then no response is started any more.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_driver!()]
    /// let mut connection = open(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    /// let mut exchange = connection.exchange().expect("a request is open");
    /// exchange.respond("200 OK", NO_HEADERS)?;
    /// exchange.replace("503 Service Unavailable", [("Retry-After", "5")])?;
    /// let _ = exchange.send("")?;
    /// assert_eq!(exchange.replace("500 Internal Server Error", NO_HEADERS), Err(StartError::HeadSent));
    /// assert!(flush(&mut connection).starts_with("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\n"));
    /// # Ok::<(), AnswerError>(())
    /// ```
    pub fn replace(
        &mut self,
        status: &str,
        headers: impl IntoIterator<Item = impl Field>, // none: `NO_HEADERS`
    ) -> Result<(), StartError> {
        self.0.may_replace()?;
        self.discard_response();
        let head = self.draft().write(status, headers)?;
        self.start_with(head.into())
    }

    /// Like [`replace`](Self::replace), with a head that was written before.
    ///
    /// # Errors
    ///
    /// [`StartError::HeadSent`], [`StartError::Over`], and [`StartError::CannotSwitch`] for a 101 to a client of
    /// HTTP/1.0: then no response is started any more.
    pub fn replace_with<'h>(&mut self, head: impl Into<Cow<'h, ResponseHead>>) -> Result<(), StartError> {
        self.0.may_replace()?;
        self.discard_response();
        self.start_with(head.into())
    }

    /// Discards the response that was started, with its length, blocks and trailers, even if the next head is refused.
    pub(super) fn discard_response(&mut self) {
        let reply = &mut self.memory().reply;
        reply.total = None;
        reply.length_is_open = false;
        reply.joined.clear();
        reply.trailers.clear();
        reply.forget();
    }

    #[inline]
    pub(super) fn start_with(&mut self, head: Cow<'_, ResponseHead>) -> Result<(), StartError> {
        // RFC 9110, 15.2: no 1xx to HTTP/1.0, which cannot upgrade.
        if head.info.status == 101 && !self.0.speaks_http11() {
            return Err(StartError::CannotSwitch);
        }
        let version = self.0.config.max_http_version;
        self.memory().reply.start(head, version);
        Ok(())
    }

    /// Whether a response was started, even if its head was not sent.
    pub fn is_started(&self) -> bool {
        self.0.is_started()
    }

    /// Whether the head is in the outbox, so that it cannot be replaced.
    pub fn head_is_sent(&self) -> bool {
        self.0.state.ours() == OurHalf::Sending
    }

    /// Announces that exactly `total` more bytes of body follow. Together with the blocks that wait to be joined, they
    /// become the `Content-Length`, unless the application set one.
    ///
    /// Call it before the head is sent, before or after [`respond`](Self::respond); [`replace`](Self::replace) discards
    /// an earlier announcement. Later it has no effect.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_driver!()]
    /// let mut connection = open(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    /// let mut exchange = connection.exchange().expect("a request is open");
    /// exchange.respond("200 OK", NO_HEADERS)?;
    /// exchange.announce_length(8);
    /// let _ = exchange.send("one\n")?;
    /// let _ = exchange.send("two\n")?;
    /// exchange.finish()?;
    /// let sent = flush(&mut connection);
    /// assert!(sent.contains("Content-Length: 8\r\n") && sent.ends_with("\r\n\r\none\ntwo\n"));
    /// # Ok::<(), AnswerError>(())
    /// ```
    pub fn announce_length(&mut self, total: u64) {
        // Blocks that wait to be joined are part of the body.
        let reply = &mut self.memory().reply;
        reply.total = Some(total.saturating_add(reply.joined.len() as u64));
    }

    /// Keeps the length of the body open, even if [`finish`](Self::finish) follows before the head was sent. Otherwise the
    /// blocks that waited to be joined then become the whole body, with their length as `Content-Length`.
    ///
    /// So a response of unknown length is framed in one way, whatever
    /// [the minimum chunk size](Self::set_minimum_chunk_size) and the number of its blocks: with chunks, or for HTTP/1.0 by
    /// the end of the connection. No effect on a length that the application sets itself, by a field,
    /// [`announce_length`](Self::announce_length) or [`send_whole`](Self::send_whole). [`replace`](Self::replace) discards
    /// it, and after the head was sent it has no effect.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_driver!()]
    /// let mut connection = open(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    /// let mut exchange = connection.exchange().expect("a request is open");
    /// exchange.set_minimum_chunk_size(4096);
    /// exchange.respond("200 OK", NO_HEADERS)?;
    /// exchange.leave_length_open();
    /// let _ = exchange.send("one\n")?;
    /// let _ = exchange.send("two\n")?;
    /// exchange.finish()?;
    /// assert!(flush(&mut connection).ends_with("\r\n\r\n8\r\none\ntwo\n\r\n0\r\n\r\n"));
    /// # Ok::<(), AnswerError>(())
    /// ```
    pub fn leave_length_open(&mut self) {
        self.memory().reply.length_is_open = true;
    }
}
