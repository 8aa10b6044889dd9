//! Starting, sending and ending the response.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::error::{AnswerError, Lost, RequestError, SendError, StartError};
use crate::event::{Event, Flow, Io};
use crate::exchange::Exchange;
use crate::http::field::Field;
use crate::http::framing::Framing;
use crate::http::response_head::{Draft, ResponseHead, ResponseInfo};
use crate::http::response_lines;
use crate::machine::memory::Memory;
use crate::machine::outbox::Piece;
use crate::machine::progress::Expectation;
use crate::machine::send::send_chunk;
use crate::machine::state::{OurEvent, OurHalf, PeerEvent, PeerHalf};
use crate::time::Now;

impl Exchange<'_> {
    /// Sends an interim response now: any 1xx except 101, for instance `"103 Early Hints"`. May be called repeatedly.
    ///
    /// No effect if the client or [`Config::max_http_version`](crate::Config::max_http_version) is HTTP/1.0, if the
    /// head of the final response was sent, or if the connection is lost.
    ///
    /// # Errors
    ///
    /// [`StartError::NotInterim`], the errors of malformed fields, [`StartError::Over`], and [`StartError::Full`]:
    /// flush the outbox, then call again. Nothing was sent.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_driver!()]
    /// let mut connection = open(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    /// let mut exchange = connection.exchange().expect("a request is open");
    /// exchange.inform("103 Early Hints", [("Link", "</a.css>; rel=preload")])?;
    /// assert!(matches!(exchange.inform("200 OK", NO_HEADERS), Err(StartError::NotInterim(_))));
    /// assert_eq!(flush(&mut connection), "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n");
    /// # Ok::<(), StartError>(())
    /// ```
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
            let Memory { outbox, progress, .. } = self.memory();
            outbox.copy(&text);
            if code == 100 {
                progress.expectation = Expectation::None;
            }
        }
        Ok(())
    }

    /// Sends a 100 now, with the fields of [`continue_headers`](Self::continue_headers), even if the client does not
    /// wait for one. May be called repeatedly. No effect where [`inform`](Self::inform) has none.
    ///
    /// # Errors
    ///
    /// [`StartError::Over`], and [`StartError::Full`]: flush the outbox, then call again.
    pub fn send_continue(&mut self) -> Result<(), StartError> {
        self.0.may_start()?;
        if self.0.is_full() {
            return Err(StartError::Full);
        }
        if self.may_inform() {
            self.copy_continue();
        }
        Ok(())
    }

    /// Whether an interim response can be sent: both sides speak HTTP/1.1, and the final head was not sent.
    fn may_inform(&self) -> bool {
        self.0.speaks_http11() && self.0.state.ours() == OurHalf::Open && self.0.state.lost().is_none()
    }

    /// Sets the fields of the 100 that the first [`body`](Self::body) sends. They replace the fields of an earlier
    /// call.
    ///
    /// # Errors
    ///
    /// The errors of malformed fields: then no fields are kept. [`StartError::Over`].
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_driver!()]
    /// let request = b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    /// let mut connection = open(request);
    /// let mut exchange = connection.exchange().expect("a request is open");
    /// assert!(exchange.expects_continue());
    /// exchange.continue_headers([("X-Quota", "1000")])?;
    /// assert!(matches!(exchange.body(Now::default()), Ok(BodyEvent::Io(_))));
    /// assert!(!exchange.expects_continue());
    /// assert_eq!(flush(&mut connection), "HTTP/1.1 100 Continue\r\nX-Quota: 1000\r\n\r\n");
    /// # Ok::<(), StartError>(())
    /// ```
    pub fn continue_headers(
        &mut self,
        headers: impl IntoIterator<Item = impl Field>,
    ) -> Result<(), StartError> {
        self.0.may_start()?;
        let capitalize = self.0.config.capitalize_response_headers;
        let fields = &mut self.memory().progress.continue_fields;
        fields.clear();
        response_lines::interim_fields(fields, capitalize, headers)
    }

    /// Whether the client waits for a 100 that was not sent yet.
    pub fn expects_continue(&self) -> bool {
        self.0.memory.get().is_some_and(|memory| memory.progress.expectation == Expectation::Pending)
    }

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
    fn discard_response(&mut self) {
        let reply = &mut self.memory().reply;
        reply.total = None;
        reply.length_is_open = false;
        reply.joined.clear();
        reply.trailers.clear();
        reply.forget();
    }

    #[inline]
    fn start_with(&mut self, head: Cow<'_, ResponseHead>) -> Result<(), StartError> {
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

    /// Sets how many bytes blocks are joined up to before they are sent, for this response. 0 sends each block as it
    /// is; the largest value is [`Limits::outbox`](crate::Limits::outbox).
    ///
    /// Each exchange begins with [`Config::minimum_chunk_size`](crate::Config::minimum_chunk_size). No effect if the
    /// exchange is over.
    pub fn set_minimum_chunk_size(&mut self, bytes: usize) {
        if !self.0.state.exchange_is_open() {
            return;
        }
        let limit = self.0.config.limits.outbox;
        self.memory().reply.minimum_chunk_size = bytes.min(limit);
    }

    /// Sends one block of the body, as one chunk if the response is chunked.
    ///
    /// The first block sends the head, even if it is empty. A later empty block has no effect. A block below the
    /// [minimum chunk size](Self::set_minimum_chunk_size) waits to be joined with others, and an unsent head waits with
    /// it. Where no body is allowed (HEAD, 204, 304) the block is dropped. Owned blocks (`Vec<u8>`, `Bytes`) of more
    /// than 4096 bytes are queued without a copy.
    ///
    /// Returns [`Flow::Full`] if the outbox is full now: this block was taken, and the next one has to wait until the
    /// driver has written.
    ///
    /// # Errors
    ///
    /// [`SendError::TooLong`] if the body exceeds the `Content-Length`: the part that fits was taken.
    /// [`SendError::Full`], [`SendError::NotStarted`], [`SendError::Finished`] and [`SendError::Lost`]: nothing was
    /// taken.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_driver!()]
    /// let mut connection = open(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    /// let mut exchange = connection.exchange().expect("a request is open");
    /// assert_eq!(exchange.send("too early"), Err(SendError::NotStarted));
    /// exchange.respond("200 OK", NO_HEADERS)?;
    /// assert_eq!(exchange.send("small"), Ok(Flow::Ready));
    /// assert_eq!(exchange.send(vec![b'x'; 100_000]), Ok(Flow::Full)); // `Limits::outbox` is 64 KiB.
    /// assert_eq!(exchange.send("next"), Err(SendError::Full));
    ///
    /// flush(&mut connection);
    /// let mut exchange = connection.exchange().expect("it is still open");
    /// assert_eq!(exchange.send("next"), Ok(Flow::Ready));
    /// # Ok::<(), StartError>(())
    /// ```
    pub fn send<'p>(&mut self, piece: impl Into<Piece<'p>>) -> Result<Flow, SendError> {
        let piece = piece.into();
        // Most blocks of a long response.
        let limit = self.0.outbox_limit();
        if let Some(memory) = self.0.memory_for_chunk(piece.len(), limit) {
            send_chunk(memory, piece);
            return Ok(if memory.outbox.len() < limit { Flow::Ready } else { Flow::Full });
        }
        self.send_any(piece)
    }

    /// Sends any block.
    #[inline]
    fn send_any(&mut self, piece: Piece<'_>) -> Result<Flow, SendError> {
        self.0.may_send()?;
        if !piece.is_empty() && self.0.is_full() {
            return Err(SendError::Full);
        }
        if self.0.state.ours() == OurHalf::Open {
            let reply = &mut self.memory().reply;
            if !piece.is_empty() && reply.joined.len() + piece.len() < reply.minimum_chunk_size {
                // The head waits together with the block, so an error can still replace it.
                reply.joined.extend_from_slice(piece.as_slice());
                return Ok(Flow::Ready);
            }
            let ended = reply.total.is_some();
            self.0.seal(ended)?;
        }
        self.0.accept(piece)?;
        Ok(self.0.flow())
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

    /// Sends a block of `length` bytes that only the driver has, such as a part of a file. Blocks that wait to be joined
    /// are sent first.
    ///
    /// The block is counted, framed and bounded in time like any other, but the driver writes its bytes when
    /// [`Connection::external`](crate::Connection::external) requests them. The exchange stays open until they are
    /// transmitted, so that it can be [aborted](Self::abort) if they turn out to be missing: until then
    /// [`finish`](Self::finish) returns [`SendError::Full`].
    ///
    /// Returns [`Flow::Full`] like [`send`](Self::send): the bytes count towards the outbox, although they take no memory.
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send); [`SendError::Full`] even if only an earlier block of this kind was not
    /// transmitted. A block of more than `i64::MAX` bytes, longer than any file, returns [`SendError::TooLong`].
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_driver!()]
    /// let mut connection = open(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    /// let mut exchange = connection.exchange().expect("a request is open");
    /// exchange.respond("200 OK", [("Content-Length", "1073741824")])?;
    /// assert_eq!(exchange.send_external(1 << 30)?, Flow::Full);
    /// assert_eq!(exchange.finish(), Err(SendError::Full));
    /// flush(&mut connection);
    /// connection.transmitted(1000); // of the driver's own bytes
    ///
    /// // The file has become shorter.
    /// connection.exchange().expect("it is still open").abort();
    /// assert_eq!(connection.poll(Now::default()), Event::Done);
    /// let record = connection.take_record().expect("it was announced");
    /// assert!(record.cut && record.body_length == 1000);
    /// # Ok::<(), AnswerError>(())
    /// ```
    pub fn send_external(&mut self, length: u64) -> Result<Flow, SendError> {
        self.0.may_send()?;
        if self.external_left() > 0 {
            return Err(SendError::Full);
        }
        let _ = self.send_joined()?;
        self.0.accept_external(length).map(|()| self.0.flow())
    }

    /// The number of bytes of [`send_external`](Self::send_external) that were neither transmitted nor
    /// [supplied](Self::supply_external).
    pub fn external_left(&self) -> u64 {
        self.0.memory.get().map_or(0, |memory| memory.outbox.external_left())
    }

    /// Supplies the next bytes of [`send_external`](Self::send_external), for a driver that turns out to be unable to send
    /// them by itself. They are returned by [`Connection::transmit`](crate::Connection::transmit).
    ///
    /// A surplus is dropped. No effect if no such bytes wait.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_driver!()]
    /// let mut connection = open(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    /// let mut exchange = connection.exchange().expect("a request is open");
    /// exchange.respond("200 OK", NO_HEADERS)?;
    /// let _ = exchange.send_external(6)?;
    /// exchange.supply_external("abc");
    /// assert_eq!(exchange.external_left(), 3);
    /// exchange.supply_external("def");
    /// exchange.finish()?;
    /// assert!(flush(&mut connection).ends_with("\r\n\r\n6\r\nabcdef\r\n0\r\n\r\n"));
    /// # Ok::<(), AnswerError>(())
    /// ```
    pub fn supply_external<'p>(&mut self, piece: impl Into<Piece<'p>>) {
        self.memory().outbox.supply_external(match piece.into() {
            Piece::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
            Piece::Owned(bytes) => bytes,
        });
    }

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

    fn complete(&mut self) -> Result<(), SendError> {
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
    /// If the response could look complete to the client, [`Event::Abort`] follows, otherwise
    /// [`Event::ShutdownWrite`]. No effect if the exchange is over.
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

    /// Delays [`Event::Done`] of this exchange until the response is transmitted or the connection is lost. It then
    /// follows even if the driver [skips records](crate::Connection::skip_records).
    pub fn flush_before_record(&mut self) {
        self.0.state.flush_before_record();
    }

    /// Ends HTTP on this connection: sends the 101 that was started, and returns the bytes that were received after the
    /// request. [`Event::TakenOver`] follows when the 101 is transmitted.
    ///
    /// The exchange is over. Its [record](crate::Connection::take_record) can be taken at any time, and is not
    /// announced.
    ///
    /// # Errors
    ///
    /// [`SendError::NotSwitching`] if the response that was started is not a 101, or its head was sent.
    /// [`SendError::BodyUnread`] if the request body was not read to its end. [`SendError::NotStarted`],
    /// [`SendError::Finished`], [`SendError::Lost`]. After an error nothing has changed.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_driver!()]
    /// let mut connection = open(b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\n\r\nhello");
    /// let mut exchange = connection.exchange().expect("a request is open");
    /// exchange.respond("101 Switching Protocols", [("Upgrade", "echo")])?;
    /// assert_eq!(exchange.take_over()?, b"hello");
    /// assert!(matches!(connection.poll(Now::default()), Event::Io(Io { write: true, .. })));
    /// assert!(flush(&mut connection).contains("\r\nUpgrade: echo\r\n"));
    /// assert_eq!(connection.poll(Now::default()), Event::TakenOver);
    /// # Ok::<(), AnswerError>(())
    /// ```
    pub fn take_over(&mut self) -> Result<Vec<u8>, SendError> {
        self.0.may_send()?;
        let (state, Memory { reply, .. }) = (&self.0.state, self.0.memory.get_or_make());
        if state.peer() != PeerHalf::Done {
            return Err(SendError::BodyUnread);
        }
        if state.ours() != OurHalf::Open || reply.status() != 101 {
            return Err(SendError::NotSwitching);
        }
        self.0.seal(true)?;
        Ok(self.end_http())
    }

    /// Like [`take_over`](Self::take_over), but without a response: the application sends its own, such as a 101, on the
    /// raw stream. A response that was started and not sent is discarded.
    ///
    /// The exchange is over. Its record has the status 0 and no bytes, since the machine does not see the response.
    ///
    /// # Errors
    ///
    /// [`SendError::NotSwitching`] if the head of a response was sent. [`SendError::BodyUnread`] if the request body was
    /// not read to its end. [`SendError::Finished`], [`SendError::Lost`]. After an error nothing has changed.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_driver!()]
    /// let mut connection = open(b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\n\r\nhello");
    /// let mut exchange = connection.exchange().expect("a request is open");
    /// assert_eq!(exchange.take_over_unanswered()?, b"hello");
    /// assert_eq!(connection.poll(Now::default()), Event::TakenOver);
    /// assert_eq!(flush(&mut connection), "");
    /// # Ok::<(), SendError>(())
    /// ```
    pub fn take_over_unanswered(&mut self) -> Result<Vec<u8>, SendError> {
        match self.0.may_send() {
            Ok(()) | Err(SendError::NotStarted) => {}
            Err(error) => return Err(error),
        }
        if self.0.state.peer() != PeerHalf::Done {
            return Err(SendError::BodyUnread);
        }
        if self.0.state.ours() != OurHalf::Open {
            return Err(SendError::NotSwitching);
        }
        self.discard_response();
        Ok(self.end_http())
    }

    /// Hands over what was received after the request.
    fn end_http(&mut self) -> Vec<u8> {
        let inbox = &mut self.memory().inbox;
        let unread = inbox.bytes().to_vec();
        inbox.consume(unread.len());
        self.0.state.on_ours(OurEvent::TakenOver);
        unread
    }

    /// The [`Io`] that the exchange waits for: room in the outbox, and body bytes if [`body`](Self::body) waits for
    /// them.
    ///
    /// For applications that run the driver's transfer themselves. It is the same `Io` that
    /// [`Connection::poll`](crate::Connection::poll) returns, and `now` is used alike.
    ///
    /// # Errors
    ///
    /// The cause, if the connection is lost.
    pub fn wait(&mut self, now: Now) -> Result<Io, Lost> {
        self.0.now = now;
        loop {
            if let Some(lost) = self.0.state.lost() {
                return Err(lost);
            }
            if let Some(Event::Io(io)) = self.0.wait(self.0.memory.wants_body()) {
                return Ok(io);
            }
        }
    }

    /// Sends the head and the blocks that wait to be joined, even if they are below the minimum size.
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send).
    pub fn send_joined(&mut self) -> Result<Flow, SendError> {
        self.0.may_send()?;
        if self.0.is_full() {
            return Err(SendError::Full);
        }
        if self.0.state.ours() == OurHalf::Open {
            let ended = self.memory().reply.total.is_some();
            self.0.seal(ended)?;
        }
        self.0.emit_joined();
        Ok(self.0.flow())
    }

    /// Like [`send`](Self::send), for a block that is not joined with others: `write` of PEP 3333. Blocks that wait to
    /// be joined are sent first.
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send).
    pub fn send_now<'p>(&mut self, piece: impl Into<Piece<'p>>) -> Result<Flow, SendError> {
        let _ = self.send_joined()?;
        let minimum = core::mem::take(&mut self.memory().reply.minimum_chunk_size);
        // This block is taken even if the blocks before it have filled the outbox. The next one has to wait.
        let taken = self.0.accept(piece.into());
        self.memory().reply.minimum_chunk_size = minimum;
        taken.map(|()| self.0.flow())
    }

    /// Whether the head was sent and allows no body (HEAD, 204, 304), so that every block is dropped.
    pub fn drops_body(&self) -> bool {
        self.0.memory.get().is_some_and(|memory| memory.reply.framing == Framing::Bodyless)
    }

    /// Whether the outbox has reached [`Limits::outbox`](crate::Limits::outbox), so that [`send`](Self::send) would
    /// fail with [`SendError::Full`].
    pub fn is_full(&self) -> bool {
        self.0.is_full()
    }

    /// The number of bytes that can be sent before the outbox [is full](Self::is_full).
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_driver!()]
    /// let mut connection = open(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    /// let mut exchange = connection.exchange().expect("a request is open");
    /// assert_eq!(exchange.room(), 65_536); // `Limits::outbox`
    /// exchange.respond("200 OK", NO_HEADERS)?;
    /// let _ = exchange.send(vec![b'x'; 60_000])?;
    /// assert!((5_000..5_536).contains(&exchange.room()));
    /// # Ok::<(), AnswerError>(())
    /// ```
    pub fn room(&self) -> usize {
        let queued = self
            .0
            .memory
            .get()
            .map_or(0, |memory| usize::try_from(memory.outbox.len()).unwrap_or(usize::MAX));
        self.0.config.limits.outbox.max(1).saturating_sub(queued)
    }

    /// Whether the driver has transmitted everything that was sent. Blocks that wait to be joined do not count.
    pub fn is_flushed(&self) -> bool {
        self.0.memory.is_flushed()
    }
}

/// Whether the response consists of this head and body.
#[inline]
fn is_whole(info: ResponseInfo, body: &Piece<'_>) -> bool {
    info.status != 101 && info.content_length.is_none_or(|announced| announced == body.len() as u64)
}
