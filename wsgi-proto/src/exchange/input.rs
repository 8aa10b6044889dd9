//! Reading the request body.

use bytes::Bytes;

use crate::error::BodyError;
use crate::error::RequestError;
use crate::event::{BodyEvent, Event};
use crate::exchange::Exchange;
use crate::http::head::BodyLength;
use crate::http::request_body::Step;
use crate::http::trailers::Trailers;
use crate::machine::memory::Memory;
use crate::machine::state::tables::{PeerEvent, PeerHalf};
use crate::time::Now;

/// The result of one attempt to read further.
enum Advance {
    Data(usize),
    End,
    /// More bytes have to arrive.
    More,
}

impl Exchange<'_> {
    /// Returns the body bytes that have arrived, the end of the body, or the [`Io`](crate::Io) that has to happen first.
    ///
    /// Data is decoded (no chunk framing), not empty, and returned again until [`consume`](Self::consume) takes it. A
    /// body without bytes is at its end immediately. After [`BodyEvent::Io`], return to the driver, or do what it
    /// requires, then call again. `now` is used like that of [`Connection::poll`](crate::Connection::poll).
    ///
    /// The first call sends the 100 that a client waits for, whether or not body bytes have arrived (RFC 9110, 10.1.1).
    ///
    /// # Errors
    ///
    /// [`BodyError::Request`] if the body is malformed, too large, too late or incomplete. The application may still
    /// answer, for instance by [`refuse`](Self::refuse); then the connection closes. [`BodyError::Lost`] if the
    /// connection is lost, [`BodyError::Finished`] if the exchange is over. Later calls return the same error.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_driver!()]
    /// let request = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n4;\r";
    /// let (mut connection, now) = (open(request), Now::default());
    /// let mut exchange = connection.exchange().expect("a request is open");
    /// assert!(matches!(exchange.body(now)?, BodyEvent::Data(b"hello")));
    /// exchange.consume(2);
    /// assert!(matches!(exchange.body(now)?, BodyEvent::Data(b"llo")));
    /// exchange.consume(3);
    /// assert!(matches!(exchange.body(now)?, BodyEvent::Io(Io { read: true, .. })));
    ///
    /// connection.recv_eof(); // The client disconnects in the middle of the body.
    /// let mut exchange = connection.exchange().expect("it is still open");
    /// let error = exchange.body(now).unwrap_err();
    /// assert_eq!(error, BodyError::Request(RequestError::Incomplete));
    /// exchange.refuse(RequestError::Incomplete);
    /// assert!(flush(&mut connection).starts_with("HTTP/1.1 400 "));
    /// # Ok::<(), BodyError>(())
    /// ```
    pub fn body(&mut self, now: Now) -> Result<BodyEvent<'_>, BodyError> {
        self.0.now = now;
        self.body_at(|| now)
    }

    /// Like [`body`](Self::body), but the clocks are read, by `now`, only if the time is needed: when more bytes have to
    /// arrive first.
    ///
    /// # Errors
    ///
    /// Like [`body`](Self::body).
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_driver!()]
    /// let mut connection = open(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    /// let mut exchange = connection.exchange().expect("a request is open");
    /// assert!(matches!(exchange.body_at(|| unreachable!())?, BodyEvent::Data(b"hello")));
    /// # Ok::<(), BodyError>(())
    /// ```
    pub fn body_at(&mut self, now: impl FnOnce() -> Now) -> Result<BodyEvent<'_>, BodyError> {
        let mut now = Some(now);
        loop {
            match self.advance_body()? {
                Advance::Data(count) => return Ok(BodyEvent::Data(&self.memory().inbox.bytes()[..count])),
                Advance::End => {
                    return Ok(BodyEvent::End(self.memory().progress.trailers.get_or_insert_default()));
                }
                Advance::More => {
                    let machine = &mut *self.0;
                    if let Some(now) = now.take() {
                        machine.now = now();
                    }
                    machine.memory.get_or_make().progress.wants_body = true;
                    // No `Io`: a deadline has just passed. The next round finds its effect.
                    if let Some(Event::Io(io)) = machine.wait(true) {
                        return Ok(BodyEvent::Io(io));
                    }
                }
            }
        }
    }

    fn advance_body(&mut self) -> Result<Advance, BodyError> {
        if !self.0.state.exchange_is_open() {
            return Err(BodyError::Finished);
        }
        if let Some(lost) = self.0.state.lost() {
            return Err(BodyError::Lost(lost));
        }
        self.send_due_continue();
        loop {
            let machine = &mut *self.0;
            let Memory { inbox, body, progress, .. } = machine.memory.get_or_make();
            if let Some(error) = progress.failure {
                return Err(BodyError::Request(error));
            }
            if machine.state.peer() == PeerHalf::Done {
                return Ok(Advance::End);
            }
            match body.step(inbox, &machine.config.limits) {
                Ok(Step::Data(count)) => return Ok(Advance::Data(count)),
                Ok(Step::End(trailers)) => {
                    progress.trailers = Some(trailers);
                    machine.state.on_peer(PeerEvent::BodyEnded);
                }
                Ok(Step::More) if machine.state.has_ended_input() => self.fail_body(RequestError::Incomplete),
                Ok(Step::More) => return Ok(Advance::More),
                Err(error) => self.fail_body(error),
            }
        }
    }

    /// Takes the first `n` bytes off the data that [`body`](Self::body) returned. A larger `n` counts as all of it.
    ///
    /// No effect at the end of the body, after an error, and when the exchange is over.
    pub fn consume(&mut self, n: usize) {
        let count = self.available().min(n);
        self.memory().inbox.consume(count);
        self.consumed(count);
    }

    /// Like [`consume`](Self::consume), but returns the bytes. They are empty if it has no effect.
    ///
    /// The bytes share the memory of the receive buffer, without a copy, if they are at least a quarter of it. The
    /// machine then continues with another buffer until they are dropped. Fewer bytes are copied, so that `Bytes` that
    /// are kept never hold more than four times their length.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_driver!()]
    /// let mut connection = open(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    /// let mut exchange = connection.exchange().expect("a request is open");
    /// assert!(matches!(exchange.body(Now::default())?, BodyEvent::Data(b"hello")));
    /// assert_eq!(exchange.take_data(4), "hell");
    /// assert_eq!(exchange.take_data(usize::MAX), "o");
    /// assert!(exchange.take_data(1).is_empty());
    /// # Ok::<(), BodyError>(())
    /// ```
    pub fn take_data(&mut self, n: usize) -> Bytes {
        let count = self.available().min(n);
        if count == 0 {
            return Bytes::new();
        }
        let taken = self.memory().inbox.take(count);
        self.consumed(count);
        taken
    }

    /// The number of bytes of the body that were not consumed, whether they have arrived or not; 0 at the end of the body.
    /// `None` before the end of a chunked body, and when the exchange is over.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_driver!()]
    /// let mut connection = open(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel");
    /// let mut exchange = connection.exchange().expect("a request is open");
    /// assert_eq!(exchange.remaining(), Some(5));
    /// assert!(matches!(exchange.body(Now::default())?, BodyEvent::Data(b"hel")));
    /// exchange.consume(2);
    /// assert_eq!(exchange.remaining(), Some(3));
    /// # Ok::<(), BodyError>(())
    /// ```
    pub fn remaining(&self) -> Option<u64> {
        let machine = &*self.0;
        if !machine.state.exchange_is_open() {
            return None;
        }
        match self.head().body_length() {
            _ if machine.state.peer() == PeerHalf::Done => Some(0),
            BodyLength::Known(_) => machine.memory.get().map(|memory| memory.body.declared_remaining()),
            BodyLength::Chunked => None,
        }
    }

    /// The number of bytes that the application may read from the transport itself, instead of the driver, when
    /// [`body`](Self::body) has returned [`BodyEvent::Io`]: the rest of a body of known length, or of a chunk. Report
    /// what was read by [`recv_direct`](Self::recv_direct). 0 if the next bytes may be something else.
    ///
    /// For applications that have access to the transport and a large buffer: the bytes need not be copied out of the
    /// receive buffer.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_driver!()]
    /// use std::io::Read;
    ///
    /// let mut connection = open(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nh");
    /// let mut exchange = connection.exchange().expect("a request is open");
    /// assert_eq!(exchange.direct_room(), 0, "bytes have arrived");
    /// exchange.consume(1);
    /// assert_eq!(exchange.direct_room(), 4);
    ///
    /// let mut transport = &b"elloGET / HTTP/1.1"[..]; // anything that reads
    /// let mut space = [0; 1024];
    /// let count = transport.read(&mut space[..exchange.direct_room()])?;
    /// exchange.recv_direct(count);
    /// assert_eq!(&space[..count], b"ello");
    /// assert!(matches!(exchange.body(Now::default())?, BodyEvent::End(_)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn direct_room(&self) -> usize {
        let machine = &*self.0;
        let reads = machine.state.peer() == PeerHalf::Body
            && machine.state.exchange_is_open()
            && machine.state.lost().is_none()
            && !machine.state.has_ended_input();
        match machine.memory.get() {
            Some(Memory { inbox, body, .. }) if reads && inbox.is_empty() => {
                usize::try_from(body.remaining()).unwrap_or(usize::MAX)
            }
            _ => 0,
        }
    }

    /// Reports that the application has received the next `n` bytes of the body itself. They count as received and
    /// consumed. A larger `n` counts as [`direct_room`](Self::direct_room). Zero has no effect.
    pub fn recv_direct(&mut self, n: usize) {
        let count = self.direct_room().min(n);
        if count > 0 {
            self.0.received_directly(count);
            self.consumed(count);
        }
    }

    /// The number of data bytes at the front of the inbox.
    fn available(&self) -> usize {
        let machine = &*self.0;
        // After the end of the response, the machine drains the remaining body.
        if machine.state.peer() != PeerHalf::Body || !machine.state.exchange_is_open() {
            return 0;
        }
        let Some(Memory { inbox, body, .. }) = machine.memory.get() else { return 0 };
        inbox.len().min(usize::try_from(body.remaining()).unwrap_or(usize::MAX))
    }

    fn consumed(&mut self, count: usize) {
        let machine = &mut *self.0;
        if count > 0 {
            let Memory { body, .. } = machine.memory.get_or_make();
            body.consumed(count);
            if body.has_ended() {
                machine.state.on_peer(PeerEvent::BodyEnded);
            }
        }
    }

    fn fail_body(&mut self, error: RequestError) {
        self.memory().progress.failure = Some(error);
        self.0.state.on_peer(PeerEvent::Failed);
    }

    /// The trailer fields of the request. `None` until [`body`](Self::body) has returned the end.
    pub fn trailers(&self) -> Option<&Trailers> {
        (self.0.state.peer() == PeerHalf::Done).then_some(self.0.memory.get()?.progress.trailers.as_ref())?
    }

    /// Whether the client has closed its sending half, or the connection is lost.
    ///
    /// The driver notices it only while it reads: for the body, or because of [`watch_peer`](Self::watch_peer). A
    /// client that has only closed its sending half may still read the response.
    pub fn client_gone(&self) -> bool {
        self.0.state.has_ended_input()
    }

    /// The error that [`body`](Self::body) would return, as far as it is known without reading further. Never
    /// [`BodyError::Finished`].
    pub fn body_error(&self) -> Option<BodyError> {
        let lost = self.0.state.lost().map(BodyError::Lost);
        lost.or_else(|| self.0.memory.get()?.progress.failure.map(BodyError::Request))
    }

    /// Lets the driver read until the end of this exchange even if no body is due, so that
    /// [`client_gone`](Self::client_gone) notices a client that disconnects.
    ///
    /// Pipelined requests that arrive are kept. Reading pauses while [`Limits::inbox`](crate::Limits::inbox) bytes
    /// wait. No effect if the exchange is over.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_driver!()]
    /// let mut connection = open(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    /// assert!(matches!(connection.poll(Now::default()), Event::Io(Io { read: false, .. })));
    /// connection.exchange().expect("a request is open").watch_peer();
    /// assert!(matches!(connection.poll(Now::default()), Event::Io(Io { read: true, .. })));
    /// connection.recv_eof();
    /// assert!(connection.exchange().expect("it is still open").client_gone());
    /// ```
    pub fn watch_peer(&mut self) {
        if self.0.state.exchange_is_open() {
            self.memory().progress.watches = true;
        }
    }
}
