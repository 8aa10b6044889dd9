//! Starting, sending and ending the response.

use alloc::vec::Vec;

use crate::error::{AnswerError, Lost, RequestError, SendError, StartError};
use crate::event::{Event, Flow, Io};
use crate::exchange::Exchange;
use crate::http::field::Field;
use crate::http::response::{Draft, Framing, ResponseHead};
use crate::http::response_lines;
use crate::machine::outbox::Piece;
use crate::machine::progress::Expectation;
use crate::machine::state::{OurEvent, OurHalf, PeerHalf};
use crate::time::Now;

impl Exchange<'_> {
    /// Sends an interim response now: 100 with fields (as often as you like), 103, any 1xx but 101. An HTTP/1.0
    /// client is spared it, and so is any client whose final response has begun.
    ///
    /// # Errors
    ///
    /// [`StartError::NotInterim`] and those of malformed fields.
    pub fn inform(
        &mut self,
        status: &str,
        headers: impl IntoIterator<Item = impl Field>, // none: `NO_HEADERS`
    ) -> Result<(), StartError> {
        let capitalize = self.0.config.capitalize_response_headers;
        let mut text = Vec::new();
        let code = response_lines::interim(&mut text, capitalize, status, headers)?;
        self.0.may_start()?;
        if self.0.is_full() {
            return Err(StartError::Full);
        }
        if self.may_inform() {
            self.0.outbox.copy(&text);
            if code == 100 {
                self.0.progress.expectation = Expectation::None;
            }
        }
        Ok(())
    }

    /// Sends a 100 now, with the fields of [`continue_headers`](Self::continue_headers), as often as it is called.
    ///
    /// # Errors
    ///
    /// [`StartError::Full`]: flush first; [`StartError::Over`].
    pub fn send_continue(&mut self) -> Result<(), StartError> {
        self.0.may_start()?;
        if self.0.is_full() {
            return Err(StartError::Full);
        }
        if self.may_inform() {
            self.0.progress.expectation = Expectation::None;
            self.copy_continue();
        }
        Ok(())
    }

    /// Whether an interim response can be sent: the client knows them, and the final one has not begun.
    fn may_inform(&self) -> bool {
        self.0.speaks_http11() && self.0.state.ours() == OurHalf::Open && self.0.state.lost().is_none()
    }

    /// Fields for the 100 that the first read of the body sends; they replace those given before.
    ///
    /// # Errors
    ///
    /// Those of malformed fields; then none are kept.
    pub fn continue_headers(
        &mut self,
        headers: impl IntoIterator<Item = impl Field>,
    ) -> Result<(), StartError> {
        self.0.may_start()?;
        let capitalize = self.0.config.capitalize_response_headers;
        self.0.progress.continue_fields.clear();
        response_lines::interim_fields(&mut self.0.progress.continue_fields, capitalize, headers)
    }

    /// Whether the client waits for a 100 that was not sent.
    pub fn expects_continue(&self) -> bool {
        self.0.progress.expectation == Expectation::Pending
    }

    /// Starts the response: status `"200 OK"` and fields. Nothing is sent before the first [`send`](Self::send) or
    /// [`finish`](Self::finish). `Date`, `Connection`, the framing, and a `Content-Length` that is known otherwise
    /// are added then.
    ///
    /// `Connection: close` among the fields closes the connection after the response. An `Upgrade` is listed in
    /// `Connection`. Of several `Date` or `Content-Type` fields the last one counts.
    ///
    /// # Errors
    ///
    /// [`StartError::AlreadyStarted`] at the second call (PEP 3333; see [`replace`](Self::replace)); the other
    /// variants when HTTP does not allow the head, and then nothing is started.
    pub fn respond(
        &mut self,
        status: &str,
        headers: impl IntoIterator<Item = impl Field>, // none: `NO_HEADERS`
    ) -> Result<(), StartError> {
        self.0.may_start()?;
        if self.0.reply.is_started() {
            return Err(StartError::AlreadyStarted);
        }
        let head = self.draft().write(status, headers)?;
        self.respond_with(head)
    }

    /// The whole response in one call: status, fields, and a body whose length becomes the `Content-Length`.
    ///
    /// ```
    /// # use wsgi_proto::*;
    /// # fn handle(exchange: &mut Exchange<'_>) -> Result<(), AnswerError> {
    /// match exchange.head().path() {
    ///     b"/" => exchange.answer("200 OK", [("Content-Type", "text/plain")], "Hello\n"),
    ///     _ => exchange.answer("404 Not Found", NO_HEADERS, ""),
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`respond`](Self::respond), of [`send`](Self::send) and of [`finish`](Self::finish). After those of
    /// `respond`, and after [`SendError::Full`], nothing has happened.
    pub fn answer<'p>(
        &mut self,
        status: &str,
        headers: impl IntoIterator<Item = impl Field>, // none: `NO_HEADERS`
        body: impl Into<Piece<'p>>,
    ) -> Result<(), AnswerError> {
        self.may_answer()?;
        let head = self.draft().write(status, headers)?;
        self.answer_with(head, body)
    }

    /// As [`answer`](Self::answer), with a head that was written before.
    ///
    /// # Errors
    ///
    /// As those of [`answer`](Self::answer).
    pub fn answer_with<'p>(
        &mut self,
        head: ResponseHead,
        body: impl Into<Piece<'p>>,
    ) -> Result<(), AnswerError> {
        self.may_answer()?;
        self.respond_with(head)?;
        let body = body.into();
        self.announce_length(body.len() as u64);
        let _ = self.send(body)?;
        Ok(self.finish()?)
    }

    fn may_answer(&self) -> Result<(), AnswerError> {
        self.0.may_start()?;
        if self.0.reply.is_started() {
            return Err(StartError::AlreadyStarted.into());
        }
        if self.0.is_full() { Err(SendError::Full.into()) } else { Ok(()) }
    }

    /// What a response's status and fields are written into, for [`respond_with`](Self::respond_with).
    pub fn draft(&mut self) -> Draft {
        let config = &self.0.config;
        self.0.reply.draft(config.max_http_version, config.capitalize_response_headers)
    }

    /// As [`respond`](Self::respond), with a head that was written before.
    ///
    /// # Errors
    ///
    /// [`StartError::AlreadyStarted`], and those of [`replace_with`](Self::replace_with).
    pub fn respond_with(&mut self, head: ResponseHead) -> Result<(), StartError> {
        self.0.may_start()?;
        if self.0.reply.is_started() { Err(StartError::AlreadyStarted) } else { self.replace_with(head) }
    }

    /// Starts the response anew because an error came up (`exc_info` of PEP 3333).
    ///
    /// # Errors
    ///
    /// [`StartError::HeadSent`] when it is too late.
    pub fn replace(
        &mut self,
        status: &str,
        headers: impl IntoIterator<Item = impl Field>, // none: `NO_HEADERS`
    ) -> Result<(), StartError> {
        self.0.may_replace()?;
        // What was announced for the other response no longer holds, even if this one is refused.
        self.0.reply.total = None;
        self.0.reply.joined.clear();
        self.0.reply.trailers.clear();
        self.0.reply.forget();
        let head = self.draft().write(status, headers)?;
        self.replace_with(head)
    }

    /// As [`replace`](Self::replace), with a head that was written before.
    ///
    /// # Errors
    ///
    /// [`StartError::HeadSent`]; [`StartError::CannotSwitch`] for a 101 that the client cannot take.
    pub fn replace_with(&mut self, head: ResponseHead) -> Result<(), StartError> {
        self.0.may_replace()?;
        let may_switch = self.0.speaks_http11();
        let machine = &mut *self.0;
        machine.reply.total = None;
        machine.reply.joined.clear();
        machine.reply.trailers.clear();
        // RFC 9110, 15.2: no 1xx to HTTP/1.0, which cannot upgrade.
        if head.status() == 101 && !may_switch {
            machine.reply.forget();
            return Err(StartError::CannotSwitch);
        }
        machine.reply.start(head, machine.config.max_http_version);
        Ok(())
    }

    /// Whether a response was started.
    pub fn is_started(&self) -> bool {
        self.0.reply.is_started()
    }

    /// Whether the head has gone to the outbox, so that it cannot be replaced.
    pub fn head_is_sent(&self) -> bool {
        self.0.state.ours() == OurHalf::Sending
    }

    /// Tells that the application has given the rest of its response, `total` bytes of body. Before the first send it
    /// becomes the `Content-Length`, unless the application set one.
    pub fn announce_length(&mut self, total: u64) {
        // Blocks that were taken and wait to be joined are part of it.
        self.0.reply.total = Some(total.saturating_add(self.0.reply.joined.len() as u64));
    }

    /// Blocks are joined up to `bytes` from now on, at most up to the limit of the outbox; 0 sends each block as it is.
    pub fn set_minimum_chunk_size(&mut self, bytes: usize) {
        self.0.reply.minimum_chunk_size = bytes.min(self.0.config.limits.outbox);
    }

    /// Takes one block of the body: its own chunk where chunks are used. The first block, even an empty one,
    /// sends the head, unless blocks are joined and this is not enough for one. Where no body is allowed (HEAD, 204,
    /// 304) it is dropped.
    ///
    /// # Errors
    ///
    /// [`SendError::TooLong`] when there is more than the `Content-Length`; what fits was taken. After any other
    /// error nothing was taken.
    pub fn send<'p>(&mut self, piece: impl Into<Piece<'p>>) -> Result<Flow, SendError> {
        let piece = piece.into();
        self.0.may_send()?;
        if !piece.is_empty() && self.0.is_full() {
            return Err(SendError::Full);
        }
        if self.0.state.ours() == OurHalf::Open {
            let reply = &mut self.0.reply;
            if !piece.is_empty() && reply.joined.len() + piece.len() < reply.minimum_chunk_size {
                // The head waits with the block, so that an error can still replace it.
                reply.joined.extend_from_slice(piece.as_slice());
                return Ok(Flow::Ready);
            }
            self.0.seal(self.0.reply.total.is_some())?;
        }
        self.0.accept(piece)?;
        Ok(self.0.flow())
    }

    /// Ends the response.
    ///
    /// # Errors
    ///
    /// [`SendError::TooShort`] when less than the `Content-Length` was sent: the response is cut and the connection
    /// closes. [`SendError::NotStarted`]: nothing happened. [`SendError::Lost`]: the exchange is over.
    /// [`SendError::Finished`]: it was over before.
    pub fn finish(&mut self) -> Result<(), SendError> {
        if let Err(error) = self.0.may_send() {
            if matches!(error, SendError::Lost(_)) {
                self.abort();
            }
            return Err(error);
        }
        self.complete()
    }

    /// As [`finish`](Self::finish), with trailer fields; see [`set_trailers`](Self::set_trailers).
    ///
    /// # Errors
    ///
    /// [`SendError::Trailer`] as well; then nothing happened, and the response can be finished otherwise.
    pub fn finish_with(&mut self, trailers: impl IntoIterator<Item = impl Field>) -> Result<(), SendError> {
        if self.0.may_send().is_ok() {
            self.set_trailers(trailers)?;
        }
        self.finish()
    }

    /// Keeps trailer fields for the end of the response; they replace those kept before. Only a chunked response
    /// carries them (RFC 9112, 7.1.2).
    ///
    /// # Errors
    ///
    /// [`SendError::Trailer`] when one is malformed or may not be a trailer; then none are kept.
    pub fn set_trailers(&mut self, trailers: impl IntoIterator<Item = impl Field>) -> Result<(), SendError> {
        let capitalize = self.0.config.capitalize_response_headers;
        let kept = &mut self.0.reply.trailers;
        kept.clear();
        let written = response_lines::trailer_fields(kept, capitalize, trailers);
        if written.is_err() {
            kept.clear();
        }
        written
    }

    fn complete(&mut self) -> Result<(), SendError> {
        if self.0.state.ours() == OurHalf::Open {
            let waiting = self.0.reply.joined.len() as u64;
            self.0.reply.total.get_or_insert(waiting);
            if let Err(error) = self.0.seal(true) {
                self.abort();
                return Err(error);
            }
        }
        self.0.emit_joined();
        match self.0.reply.framing {
            Framing::Length(missing) if missing > 0 => {
                self.abort();
                return Err(SendError::TooShort(missing));
            }
            Framing::Chunked => {
                let machine = &mut *self.0;
                machine.outbox.copy(b"0\r\n");
                machine.outbox.copy(&machine.reply.trailers);
                machine.outbox.copy(b"\r\n");
            }
            _ => {}
        }
        self.0.state.on_ours(OurEvent::Finished);
        Ok(())
    }

    /// Gives up: the response ends where it is, and the connection closes. Without a head nothing is answered. No
    /// effect when the exchange is over.
    pub fn abort(&mut self) {
        if !self.0.state.exchange_is_open() {
            return;
        }
        if self.0.state.ours() == OurHalf::Sending && self.0.state.lost().is_none() {
            self.0.emit_joined();
        }
        self.0.state.on_ours(OurEvent::Cut);
    }

    /// Answers 500 for an application that failed, with `text` as its body (empty unless `debug`), instead of what was
    /// started before. The connection closes, unless the request has no body or its body was read to the end; then it
    /// goes on as after any other response. If the head has gone out already, the response is cut, so that the client
    /// sees that it is not whole.
    pub fn fail(&mut self, text: &str) {
        if self.0.state.ours() != OurHalf::Open
            || self.0.state.lost().is_some()
            || self.answer_failure(text).is_err()
        {
            self.abort();
        }
    }

    /// Sends the 500, even if the outbox is full.
    fn answer_failure(&mut self, text: &str) -> Result<(), AnswerError> {
        if self.0.state.peer() != PeerHalf::Done {
            // Nobody knows why the application left the rest of the body.
            self.0.state.do_not_persist();
        }
        let mut length = itoa::Buffer::new();
        let fields = [("Content-Type", "text/plain"), ("Content-Length", length.format(text.len()))];
        self.replace(response_lines::own_status(500), fields)?;
        self.0.seal(true)?;
        self.0.accept(text.as_bytes().into())?;
        Ok(self.complete()?)
    }

    /// Answers with the status of `error`: for an application that gives up on a body that it could not read. If
    /// the head has gone out already, the response is cut.
    pub fn refuse(&mut self, error: RequestError) {
        if self.0.state.ours() == OurHalf::Open && self.0.state.lost().is_none() {
            self.0.refuse(error);
        } else {
            self.abort();
        }
    }

    /// The record, and with it the post hooks, wait until the response is flushed or the connection is lost.
    pub fn flush_before_record(&mut self) {
        self.0.state.flush_before_record();
    }

    /// Ends HTTP on this connection: sends the started 101, and gives the bytes that were received and not read.
    /// [`Event::TakenOver`] follows when the 101 is flushed.
    ///
    /// # Errors
    ///
    /// [`SendError::NotSwitching`] without a started 101, or after it was sent; [`SendError::BodyUnread`] before the
    /// end of the request body was read. The exchange goes on.
    pub fn take_over(&mut self) -> Result<Vec<u8>, SendError> {
        self.0.may_send()?;
        let (state, reply) = (&self.0.state, &self.0.reply);
        if state.peer() != PeerHalf::Done {
            return Err(SendError::BodyUnread);
        }
        if state.ours() != OurHalf::Open || reply.status() != 101 {
            return Err(SendError::NotSwitching);
        }
        self.0.seal(true)?;
        let unread = self.0.inbox.bytes().to_vec();
        self.0.inbox.consume(unread.len());
        self.0.state.on_ours(OurEvent::TakenOver);
        Ok(unread)
    }

    /// What a wait for room in the outbox, or for the peer, waits for.
    pub fn wait(&mut self, now: Now) -> Result<Io, Lost> {
        self.0.now = now;
        loop {
            if let Some(lost) = self.0.state.lost() {
                return Err(lost);
            }
            if let Some(Event::Io(io)) = self.0.wait(self.0.progress.wants_body) {
                return Ok(io);
            }
        }
    }

    /// Sends the head and the blocks that wait to be joined, however few bytes they have.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_joined(&mut self) -> Result<Flow, SendError> {
        self.0.may_send()?;
        if self.0.is_full() {
            return Err(SendError::Full);
        }
        if self.0.state.ours() == OurHalf::Open {
            self.0.seal(self.0.reply.total.is_some())?;
        }
        self.0.emit_joined();
        Ok(self.0.flow())
    }

    /// As [`send`](Self::send), for a block that is not joined with others: `write` of PEP 3333. Those that wait to be
    /// joined go out before it.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_now<'p>(&mut self, piece: impl Into<Piece<'p>>) -> Result<Flow, SendError> {
        let _ = self.send_joined()?;
        let minimum = core::mem::take(&mut self.0.reply.minimum_chunk_size);
        // What was full by the blocks before may still take this one; the next has to wait.
        let taken = self.0.accept(piece.into());
        self.0.reply.minimum_chunk_size = minimum;
        taken.map(|()| self.0.flow())
    }

    /// Whether the head was sent and says that there is no body, so that every block is dropped.
    pub fn drops_body(&self) -> bool {
        self.0.reply.framing == Framing::Bodyless
    }

    /// Whether [`send`](Self::send) would be refused with [`SendError::Full`].
    pub fn is_full(&self) -> bool {
        self.0.is_full()
    }

    /// Whether all that was sent has been transmitted.
    pub fn is_flushed(&self) -> bool {
        self.0.outbox.is_empty()
    }
}
