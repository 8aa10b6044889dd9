//! Ending the response: with trailers, regularly, or cut.

use crate::error::SendError;
use crate::exchange::Exchange;
use crate::http::field::Field;
use crate::http::framing::Framing;
use crate::http::response_lines;
use crate::machine::memory::Memory;
use crate::machine::state::tables::{OurEvent, OurHalf};

impl Exchange<'_> {
    /// Ends the response and with it the exchange.
    ///
    /// Sends the head and the blocks that are still waiting. Without any [`send`](Self::send) the body is empty.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] if bytes of [`send_external`](Self::send_external) wait: flush them, then call again.
    /// [`SendError::TooShort`] if less than the `Content-Length` was sent, [`SendError::TooLong`] if blocks that waited
    /// exceed it: the response is cut, and the connection closes. [`SendError::Lost`]: the exchange is over.
    /// [`SendError::Finished`]: it was over before. [`SendError::NotStarted`]: nothing happened, and it is still open.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_driver!()]
    /// let mut connection = open(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    /// let mut exchange = connection.exchange().expect("a request is open");
    /// assert_eq!(exchange.finish(), Err(SendError::NotStarted));
    /// exchange.respond("200 OK", [("Content-Length", "5")])?;
    /// let _ = exchange.send("abc")?;
    /// assert_eq!(exchange.finish(), Err(SendError::TooShort(2)));
    /// assert_eq!(exchange.finish(), Err(SendError::Finished));
    /// assert_eq!(connection.poll(Now::default()), Event::Done);
    /// assert!(connection.take_record().is_some_and(|record| record.cut));
    /// # Ok::<(), AnswerError>(())
    /// ```
    pub fn finish(&mut self) -> Result<(), SendError> {
        if let Err(error) = self.0.may_send() {
            if matches!(error, SendError::Lost(_)) {
                self.abort();
            }
            return Err(error);
        }
        if self.external_left() > 0 {
            return Err(SendError::Full);
        }
        self.complete()
    }

    /// Like [`finish`](Self::finish), with trailer fields; see [`set_trailers`](Self::set_trailers).
    ///
    /// # Errors
    ///
    /// Those of `finish`, and [`SendError::Trailer`]: then nothing was sent, and the response is not finished.
    pub fn finish_with(&mut self, trailers: impl IntoIterator<Item = impl Field>) -> Result<(), SendError> {
        if self.0.may_send().is_ok() {
            self.set_trailers(trailers)?;
        }
        self.finish()
    }

    /// Sets the trailer fields that follow the body. They replace the fields of an earlier call.
    ///
    /// Call it before or after [`respond`](Self::respond); [`replace`](Self::replace) discards earlier ones. A response
    /// that is not chunked cannot carry trailers, and drops them silently (RFC 9112, 7.1.2).
    ///
    /// # Errors
    ///
    /// [`SendError::Trailer`] if a field is malformed or not allowed as a trailer: then none are kept.
    /// [`SendError::Finished`] if the exchange is over.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_driver!()]
    /// let mut connection = open(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    /// let mut exchange = connection.exchange().expect("a request is open");
    /// exchange.respond("200 OK", [("Trailer", "X-Sum")])?;
    /// let _ = exchange.send("abc")?;
    /// assert_eq!(exchange.set_trailers([("Content-Length", "3")]), Err(SendError::Trailer));
    /// exchange.set_trailers([("X-Sum", "294")])?;
    /// exchange.finish()?;
    /// assert!(flush(&mut connection).ends_with("\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 294\r\n\r\n"));
    /// # Ok::<(), AnswerError>(())
    /// ```
    pub fn set_trailers(&mut self, trailers: impl IntoIterator<Item = impl Field>) -> Result<(), SendError> {
        if !self.0.state.exchange_is_open() {
            return Err(SendError::Finished);
        }
        let capitalize = self.0.config.capitalize_response_headers;
        let kept = &mut self.memory().reply.trailers;
        kept.clear();
        let written = response_lines::trailer_fields(kept, capitalize, trailers);
        if written.is_err() {
            kept.clear();
        }
        written
    }

    pub(super) fn complete(&mut self) -> Result<(), SendError> {
        if self.0.state.ours() == OurHalf::Open {
            let reply = &mut self.memory().reply;
            let waiting = reply.joined.len() as u64;
            if !reply.length_is_open {
                reply.total.get_or_insert(waiting);
            }
            if let Err(error) = self.0.seal(true) {
                self.abort();
                return Err(error);
            }
        }
        self.0.emit_joined();
        let Memory { outbox, reply, .. } = self.memory();
        match reply.framing {
            Framing::Length(missing) if missing > 0 => {
                self.abort();
                return Err(SendError::TooShort(missing));
            }
            Framing::Chunked => {
                outbox.copy(b"0\r\n");
                outbox.copy(&reply.trailers);
                outbox.copy(b"\r\n");
            }
            _ => {}
        }
        self.0.state.on_ours(OurEvent::Finished);
        Ok(())
    }

    /// Cuts the response where it is; the connection closes. If the head was not sent, nothing is sent at all. Bytes of
    /// [`send_external`](Self::send_external) that were not transmitted, and blocks behind them, are discarded.
    ///
    /// If the response could look complete to the client, [`Event::Abort`](crate::Event::Abort) follows, otherwise
    /// [`Event::ShutdownWrite`](crate::Event::ShutdownWrite). No effect if the exchange is over.
    pub fn abort(&mut self) {
        if !self.0.state.exchange_is_open() {
            return;
        }
        if self.0.state.ours() == OurHalf::Sending && self.0.state.lost().is_none() {
            self.0.emit_joined();
            self.0.cut_external();
        }
        self.0.state.on_ours(OurEvent::Cut);
    }

    /// Delays [`Event::Done`](crate::Event::Done) of this exchange until the response is transmitted or the connection is
    /// lost. It then follows even if the driver [skips records](crate::Connection::skip_records).
    pub fn flush_before_record(&mut self) {
        self.0.state.flush_before_record();
    }
}
