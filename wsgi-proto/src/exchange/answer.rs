//! Sending a whole response, or its whole body, and ending it in the same call.

use alloc::borrow::Cow;

use crate::error::{AnswerError, SendError, StartError};
use crate::exchange::Exchange;
use crate::http::field::Field;
use crate::http::response_head::{ResponseHead, ResponseInfo};
use crate::machine::piece::Piece;
use crate::machine::state::tables::OurHalf;

impl Exchange<'_> {
    /// Sends a whole response and ends the exchange: status, fields, and a body whose length becomes the
    /// `Content-Length`.
    ///
    /// The body is dropped if the request is a HEAD or the status allows no body.
    ///
    /// # Errors
    ///
    /// The errors of [`respond`](Self::respond), [`send`](Self::send) and [`finish`](Self::finish). After the errors of
    /// `respond`, and after [`SendError::Full`], nothing has happened, and the exchange is still open. After all others
    /// it is over: the response is cut, and the connection closes.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_driver!()]
    /// fn handle(mut exchange: Exchange<'_>) -> Result<(), AnswerError> {
    ///     match exchange.head().path() {
    ///         b"/" => exchange.answer("200 OK", [("Content-Type", "text/plain")], "Hello\n"),
    ///         _ => exchange.answer("404 Not Found", NO_HEADERS, ""),
    ///     }
    /// }
    ///
    /// let mut connection = open(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    /// handle(connection.exchange().expect("a request is open"))?;
    /// let sent = flush(&mut connection);
    /// assert!(sent.contains("Content-Length: 6\r\n") && sent.ends_with("\r\n\r\nHello\n"));
    ///
    /// let mut connection = open(b"HEAD /b HTTP/1.1\r\nHost: a\r\n\r\n");
    /// handle(connection.exchange().expect("a request is open"))?;
    /// assert!(flush(&mut connection).starts_with("HTTP/1.1 404 Not Found\r\n"));
    /// # Ok::<(), AnswerError>(())
    /// ```
    pub fn answer<'p>(
        &mut self,
        status: &str,
        headers: impl IntoIterator<Item = impl Field>, // none: `NO_HEADERS`
        body: impl Into<Piece<'p>>,
    ) -> Result<(), AnswerError> {
        self.may_answer()?;
        let machine = &mut *self.0;
        let (version, capitalize) =
            (machine.config.max_http_version, machine.config.capitalize_response_headers);
        let mut lines = machine.memory.get_or_make().outbox.begin_head();
        let info = ResponseInfo::write(lines.text(), version, capitalize, status, headers)?;
        let from = lines.keep();
        self.answer_from(from, info, body.into())
    }

    /// Like [`answer`](Self::answer), with a head that was written before, by [`ResponseHead::new`] or
    /// [`draft`](Self::draft). A reference costs no allocation, so a head can be kept for many responses.
    ///
    /// # Errors
    ///
    /// Those of [`answer`](Self::answer) and [`respond_with`](Self::respond_with).
    pub fn answer_with<'h, 'p>(
        &mut self,
        head: impl Into<Cow<'h, ResponseHead>>,
        body: impl Into<Piece<'p>>,
    ) -> Result<(), AnswerError> {
        self.may_answer()?;
        let head = head.into();
        let machine = &mut *self.0;
        let mut lines = machine.memory.get_or_make().outbox.begin_head();
        head.copy_to(lines.text(), machine.config.max_http_version);
        let from = lines.keep();
        self.answer_from(from, head.info, body.into())
    }

    /// Sends a whole response. The lines of its head are at the end of the outbox, from the position `from`.
    fn answer_from(&mut self, from: usize, info: ResponseInfo, body: Piece<'_>) -> Result<(), AnswerError> {
        let length = body.len() as u64;
        if is_whole(info, &body) && self.0.state.lost().is_none() {
            self.0.send_whole(from, info, body);
            return Ok(());
        }
        let text = self.memory().outbox.take_head(from);
        let head = ResponseHead { text, info, version: self.0.config.max_http_version };
        self.start_with(head.into())?;
        self.announce_length(length);
        if let Err(error) = self.send(body) {
            // The caller may drop the error, and nothing else would end the exchange.
            self.abort();
            return Err(error.into());
        }
        Ok(self.finish()?)
    }

    fn may_answer(&self) -> Result<(), AnswerError> {
        self.0.may_start()?;
        if self.0.is_started() {
            return Err(StartError::AlreadyStarted.into());
        }
        if self.0.is_full() { Err(SendError::Full.into()) } else { Ok(()) }
    }

    /// Sends `body` as all that is left of the body, and ends the response:
    /// [`announce_length`](Self::announce_length), [`send`](Self::send) and [`finish`](Self::finish) in one call that
    /// costs less.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`]: nothing was sent, flush the outbox and call again. The other errors of `send` and `finish`.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_driver!()]
    /// let mut connection = open(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    /// let mut exchange = connection.exchange().expect("a request is open");
    /// exchange.respond("200 OK", [("Content-Type", "text/plain")])?;
    /// exchange.send_whole("hello")?;
    /// assert!(connection.exchange().is_none());
    /// assert!(flush(&mut connection).contains("Content-Length: 5\r\n"));
    /// # Ok::<(), AnswerError>(())
    /// ```
    pub fn send_whole<'p>(&mut self, body: impl Into<Piece<'p>>) -> Result<(), SendError> {
        let body = body.into();
        self.0.may_send()?;
        if !body.is_empty() && self.0.is_full() {
            return Err(SendError::Full);
        }
        let reply = &self.0.memory.get_or_make().reply;
        let is_first = self.0.state.ours() == OurHalf::Open && reply.joined.is_empty();
        if is_first && is_whole(reply.head().info, &body) {
            let (from, info) = self.0.copy_head();
            self.0.send_whole(from, info, body);
            return Ok(());
        }
        self.announce_length(body.len() as u64);
        let _ = self.send(body)?;
        self.finish()
    }
}

/// Whether the response consists of this head and body.
#[inline]
fn is_whole(info: ResponseInfo, body: &Piece<'_>) -> bool {
    info.status != 101 && info.content_length.is_none_or(|announced| announced == body.len() as u64)
}
