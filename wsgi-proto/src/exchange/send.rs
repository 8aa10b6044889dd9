//! Sending the body block by block, including blocks that only the driver has.

use bytes::Bytes;

use crate::error::SendError;
use crate::event::Flow;
use crate::exchange::Exchange;
use crate::http::framing::Framing;
use crate::machine::piece::Piece;
use crate::machine::send::send_chunk;
use crate::machine::state::tables::OurHalf;

impl Exchange<'_> {
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
