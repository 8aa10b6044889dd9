//! Sending the server's response instead of the application's, because the application or the request failed.

use alloc::borrow::Cow;

use crate::error::{AnswerError, RequestError, SendError, StartError};
use crate::exchange::Exchange;
use crate::http::response_head::ResponseHead;
use crate::http::response_lines;
use crate::machine::state::tables::{OurHalf, PeerEvent, PeerHalf};

impl Exchange<'_> {
    /// Answers 500 because the application failed, instead of the response that was started.
    ///
    /// `text` is the body of the 500. The client sees it, so pass an empty string unless you debug. The connection
    /// closes unless the request body was read to its end (or it has no body). If the head was sent already, the
    /// response is cut as by [`abort`](Self::abort). In any case the exchange is over; no effect if it was over before.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_driver!()]
    /// let mut connection = open(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    /// let mut exchange = connection.exchange().expect("a request is open");
    /// exchange.respond("200 OK", NO_HEADERS)?;
    /// exchange.fail("the database is down\n");
    /// assert!(connection.exchange().is_none());
    /// let sent = flush(&mut connection);
    /// assert!(sent.starts_with("HTTP/1.1 500 Internal Server Error\r\n"));
    /// assert!(sent.ends_with("\r\n\r\nthe database is down\n"));
    /// # Ok::<(), StartError>(())
    /// ```
    pub fn fail(&mut self, text: &str) {
        if !self.may_send_own() || self.answer_failure(text).is_err() {
            self.abort();
        }
    }

    /// Sends the 500, even if the outbox is full.
    fn answer_failure(&mut self, text: &str) -> Result<(), AnswerError> {
        self.do_not_persist_after_failure();
        let mut length = itoa::Buffer::new();
        let fields = [("Content-Type", "text/plain"), ("Content-Length", length.format(text.len()))];
        self.replace(response_lines::own_status(500), fields)?;
        Ok(self.send_own(text)?)
    }

    fn do_not_persist_after_failure(&mut self) {
        if self.0.state.peer() != PeerHalf::Done {
            // It is not known why the application did not read the rest of the body.
            self.0.state.do_not_persist();
        }
    }

    /// Sends a response that was started, with `text` as its body, even if the outbox is full.
    fn send_own(&mut self, text: &str) -> Result<(), SendError> {
        self.0.seal(true)?;
        self.0.accept(text.as_bytes().into())?;
        self.complete()
    }

    /// Like [`fail`](Self::fail), with a head that was written before instead of that of the 500. The length of `text`
    /// becomes the `Content-Length`, unless the head has one.
    ///
    /// # Errors
    ///
    /// [`StartError::CannotSwitch`] for a 101 to a client of HTTP/1.0. The exchange is still open then.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_driver!()]
    /// let mut connection = open(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    /// let mut exchange = connection.exchange().expect("a request is open");
    /// let head = exchange.draft().write("503 Service Unavailable", [("Retry-After", "5")])?;
    /// exchange.fail_with(head, "later\n")?;
    /// let sent = flush(&mut connection);
    /// assert!(sent.starts_with("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\n"));
    /// assert!(sent.contains("Content-Length: 6\r\n") && sent.ends_with("\r\n\r\nlater\n"));
    /// # Ok::<(), StartError>(())
    /// ```
    pub fn fail_with<'h>(
        &mut self,
        head: impl Into<Cow<'h, ResponseHead>>,
        text: &str,
    ) -> Result<(), StartError> {
        if !self.may_send_own() {
            self.abort();
            return Ok(());
        }
        self.replace_with(head)?;
        self.do_not_persist_after_failure();
        self.finish_own(text);
        Ok(())
    }

    /// Sends a response of the server that was started. If that is not possible, nothing else would end the exchange.
    fn finish_own(&mut self, text: &str) {
        self.announce_length(text.len() as u64);
        if self.send_own(text).is_err() {
            self.abort();
        }
    }

    /// Whether the server can still send its own response instead of the application's.
    fn may_send_own(&self) -> bool {
        self.0.state.ours() == OurHalf::Open && self.0.state.lost().is_none()
    }

    /// Answers with the [status](RequestError::status) and message of `error`, typically of a
    /// [`BodyError::Request`](crate::BodyError::Request). The connection closes.
    ///
    /// It replaces the response that was started. If the head was sent already, the response is cut as by
    /// [`abort`](Self::abort). In any case the exchange is over; no effect if it was over before.
    pub fn refuse(&mut self, error: RequestError) {
        if self.may_send_own() {
            self.0.refuse(error);
        } else {
            self.abort();
        }
    }

    /// Like [`refuse`](Self::refuse), with a head that was written before instead of the one for `error`. The length of the
    /// message becomes the `Content-Length`, unless the head has one.
    ///
    /// # Errors
    ///
    /// Those of [`fail_with`](Self::fail_with).
    pub fn refuse_with<'h>(
        &mut self,
        error: RequestError,
        head: impl Into<Cow<'h, ResponseHead>>,
    ) -> Result<(), StartError> {
        if !self.may_send_own() {
            self.abort();
            return Ok(());
        }
        self.replace_with(head)?;
        self.memory().account.refused = Some(error);
        if self.0.state.peer() != PeerHalf::Failed {
            self.0.state.on_peer(PeerEvent::Failed);
        }
        self.0.state.do_not_persist();
        self.finish_own(&alloc::format!("{error}\n"));
        Ok(())
    }
}
