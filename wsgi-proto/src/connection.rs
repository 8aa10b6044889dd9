//! The driver's half of the machine: one connection.

use alloc::sync::Arc;

use crate::config::Config;
use crate::endpoints::Endpoints;
use crate::error::{CloseReason, LastExchange, Lost};
use crate::event::Event;
use crate::exchange::Exchange;
use crate::http::head::Head;
use crate::machine::Machine;
use crate::machine::buffers::Buffers;
use crate::machine::outbox::Transmit;
use crate::machine::state::tables::{PeerHalf, Phase};
use crate::time::{Instant, Now};
use crate::wsgi::record::Record;

/// One HTTP/1.x connection of a server, without the transport.
///
/// The driver calls [`poll`](Self::poll), does what the returned [`Event`] requires, and polls again. Any call may
/// follow any other. A call that does not fit the current state has no effect. The [crate documentation](crate) has a
/// complete driver.
///
/// ```
/// use std::sync::Arc;
/// use wsgi_proto::*;
///
/// let endpoints = Endpoints::new(
///     "192.0.2.1:50000".parse::<std::net::SocketAddr>()?.into(),
///     Address::Local,
/// );
/// let mut connection = Connection::new(Arc::default(), endpoints);
/// let now = Now::new(Instant::from_nanos(0), 784_111_777);
/// assert_eq!(connection.poll(now), Event::Io(Io { read: true, ..Io::default() }));
///
/// // Bytes of the client arrive.
/// let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
/// connection.recv_space().expect("it waits for a request")[..request.len()]
///     .copy_from_slice(request);
/// connection.recv_commit(request.len());
/// assert_eq!(connection.poll(now), Event::Request);
///
/// // The application answers.
/// let head = connection.take_request().expect("it was announced");
/// assert_eq!(head.target(), b"/");
/// connection.exchange().expect("it was taken").answer(
///     "204 No Content",
///     NO_HEADERS,
///     "",
/// )?;
/// assert_eq!(connection.poll(now), Event::Done);
/// assert_eq!(connection.take_record().map(|record| record.status), Some(204));
///
/// // The response is written, and the connection waits for the next request.
/// assert_eq!(
///     connection.poll(now),
///     Event::Io(Io { read: true, write: true, ..Io::default() })
/// );
/// let sent = connection.transmit().slices().concat();
/// assert_eq!(
///     sent,
///     b"HTTP/1.1 204 No Content\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"
/// );
/// connection.transmitted(sent.len());
/// assert_eq!(connection.poll(now), Event::Io(Io { read: true, ..Io::default() }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Connection(Machine);

impl Connection {
    /// Creates the state of a connection that was just accepted.
    ///
    /// It holds no buffers until [`provide_buffers`](Self::provide_buffers) or the first
    /// [`recv_space`](Self::recv_space). `config` is not checked: call [`Config::check`] once when the server is built.
    pub fn new(config: Arc<Config>, endpoints: Endpoints) -> Self {
        Self(Machine::new(config, endpoints))
    }

    /// Returns the driver's next step.
    ///
    /// `now` is compared with the deadlines. Until the next call it is also the time for `Date` and the log. The event
    /// is the same at each call until bytes move, the application or driver makes another call, or a deadline passes.
    pub fn poll(&mut self, now: Now) -> Event {
        self.0.poll(now)
    }

    /// Sets the time until the next [`poll`](Self::poll), for `Date` and the log. Deadlines are compared only by `poll`.
    ///
    /// Call it when an application that has run for long sends its response.
    pub fn set_now(&mut self, now: Now) {
        self.0.now = now;
    }

    /// Returns initialised space to read into, never empty. Call it when [`Io::read`](crate::Io::read) is set.
    ///
    /// `None` if no more bytes are accepted now: the receive buffer is at its limit, the connection is closed, or the
    /// stream was taken over. The contents of the space are not defined. If the driver has
    /// [provided](Self::provide_buffers) no buffers, this makes them, and the next idle [`poll`](Self::poll) frees
    /// them.
    ///
    /// # Examples
    ///
    /// ```
    /// # use wsgi_proto::*;
    /// # let mut connection = Connection::new(Default::default(), Endpoints::new(Address::Local, Address::Local));
    /// use std::io::Read;
    ///
    /// let mut transport = &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..]; // anything that reads
    /// let space = connection.recv_space().expect("it waits for a request");
    /// match transport.read(space)? {
    ///     0 => connection.recv_eof(),
    ///     count => connection.recv_commit(count),
    /// }
    /// assert_eq!(connection.poll(Now::default()), Event::Request);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn recv_space(&mut self) -> Option<&mut [u8]> {
        self.0.recv_space()
    }

    /// Reports that the first `n` bytes of [`recv_space`](Self::recv_space) were received.
    ///
    /// A larger `n` counts as all of the space. Zero has no effect: report the end of the input by
    /// [`recv_eof`](Self::recv_eof).
    pub fn recv_commit(&mut self, n: usize) {
        self.0.recv_commit(n);
    }

    /// Reports that the peer closed its sending half. Requests that have arrived completely are still answered.
    pub fn recv_eof(&mut self) {
        self.0.recv_eof();
    }

    /// Reports that a [last read](crate::Io::last_read) has found nothing, so that its deadline expires at the next
    /// [`poll`](Self::poll). No effect if no last read is due.
    ///
    /// # Examples
    ///
    /// ```
    /// # use wsgi_proto::*;
    /// # let config = Config::default().last_request_timeout(Default::default());
    /// # let mut connection = Connection::new(config.into(), Endpoints::new(Address::Local, Address::Local));
    /// # let now = Now::default();
    /// connection.shutdown(); // with a `last_request_timeout` of zero
    /// assert!(matches!(connection.poll(now), Event::Io(Io { last_read: true, .. })));
    /// connection.recv_nothing();
    /// assert_eq!(connection.poll(now), Event::ShutdownWrite);
    /// connection.write_closed();
    /// assert_eq!(connection.poll(now), Event::Closed(CloseReason::Shutdown));
    /// ```
    pub fn recv_nothing(&mut self) {
        self.0.state.on_nothing();
    }

    /// Whether an application that waits in its [`Exchange`] has to run again. Resets the notice.
    ///
    /// True if one of these has happened since the last call: bytes or the end of the input arrived, a full outbox has
    /// room again, the outbox was flushed, a deadline of the request body passed, or the connection was lost. A new
    /// exchange begins without a notice.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_driver!()]
    /// let mut connection = open(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    /// assert!(!connection.take_notice());
    /// connection.recv_eof();
    /// assert!(connection.take_notice());
    /// assert!(!connection.take_notice(), "it was reset");
    /// ```
    pub fn take_notice(&mut self) -> bool {
        core::mem::take(&mut self.0.notice)
    }

    /// Reports that nothing can be sent any more: the transport failed, or the server abandons the connection.
    ///
    /// Bytes that wait to be transmitted are discarded. Calls of an open exchange fail from now on, but it stays open
    /// until the application ends it. The first cause counts. No effect if the connection is closed.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_driver!()]
    /// let mut connection = open(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    /// connection.lost(Lost::Reset);
    /// let mut exchange = connection.exchange().expect("the application has not ended it");
    /// exchange.respond("200 OK", NO_HEADERS)?;
    /// assert_eq!(exchange.send("Hello\n"), Err(SendError::Lost(Lost::Reset)));
    /// exchange.abort();
    /// assert_eq!(connection.poll(Now::default()), Event::Done);
    /// connection.take_record();
    /// assert_eq!(connection.poll(Now::default()), Event::Closed(CloseReason::Lost(Lost::Reset)));
    /// # Ok::<(), StartError>(())
    /// ```
    pub fn lost(&mut self, cause: Lost) {
        self.0.lost(cause);
    }

    /// Returns the bytes to write now, as slices for one vectored write. No slices if nothing waits, or if the next bytes
    /// are [`external`](Self::external).
    ///
    /// Report every byte that was written by [`transmitted`](Self::transmitted); the other bytes are returned again.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_driver!()]
    /// use std::io::{IoSlice, Write};
    ///
    /// let mut connection = open(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    /// connection.exchange().expect("a request is open").answer("200 OK", NO_HEADERS, vec![b'x'; 5000])?;
    /// let mut transport = Vec::new(); // anything that writes
    /// while !connection.transmit().slices().is_empty() {
    ///     let slices: Vec<_> = connection.transmit().slices().iter().map(|slice| IoSlice::new(slice)).collect();
    ///     let count = transport.write_vectored(&slices)?;
    ///     connection.transmitted(count);
    /// }
    /// assert!(transport.starts_with(b"HTTP/1.1 200 OK\r\n") && transport.ends_with(&[b'x'; 5000]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn transmit(&self) -> Transmit<'_> {
        self.0.memory.get().map_or(Transmit::nothing(), |memory| memory.outbox.transmit())
    }

    /// The number of bytes that the driver has to send next from a piece that only it has, such as a file. Report them by
    /// [`transmitted`](Self::transmitted), too. 0 if the next bytes are those of [`transmit`](Self::transmit), or none
    /// wait.
    ///
    /// A driver that never calls [`Exchange::send_external`] can ignore this: the machine itself queues no such piece.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_driver!()]
    /// let file = b"the contents of a file"; // anything that the driver can send by itself
    /// let mut connection = open(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    /// let mut exchange = connection.exchange().expect("a request is open");
    /// exchange.respond("200 OK", NO_HEADERS)?;
    /// exchange.announce_length(file.len() as u64);
    /// let _ = exchange.send_external(file.len() as u64)?;
    ///
    /// let mut transport = flush(&mut connection).into_bytes(); // the head
    /// assert_eq!(connection.external(), file.len() as u64);
    /// assert!(connection.transmit().slices().is_empty(), "it waits for the driver's bytes");
    /// transport.extend_from_slice(file);
    /// connection.transmitted(file.len());
    ///
    /// connection.exchange().expect("it is still open").finish()?;
    /// assert!(transport.ends_with(b"\r\n\r\nthe contents of a file"));
    /// # Ok::<(), AnswerError>(())
    /// ```
    pub fn external(&self) -> u64 {
        self.0.memory.get().map_or(0, |memory| memory.outbox.external())
    }

    /// Reports that the first `n` bytes of [`transmit`](Self::transmit) were written, or of the piece of
    /// [`external`](Self::external). A larger `n` counts as all bytes that wait. Zero reports that a
    /// [last write](crate::Io::last_write) has found no room, so that its deadline expires at the next
    /// [`poll`](Self::poll); otherwise it has no effect.
    pub fn transmitted(&mut self, n: usize) {
        self.0.transmitted(n);
    }

    /// Takes the request that [`Event::Request`] announced. Its [`exchange`](Self::exchange) is open from now on.
    /// `None` if no request was announced.
    pub fn take_request(&mut self) -> Option<Arc<Head>> {
        if self.0.open_exchange() { self.0.memory.get()?.head.clone() } else { None }
    }

    /// Takes the request that [`Event::Request`] announced, and lends its exchange: [`take_request`](Self::take_request)
    /// and [`exchange`](Self::exchange) in one call, for drivers that do not keep the head. `None` if no request was
    /// announced.
    ///
    /// # Examples
    ///
    /// ```
    /// # use wsgi_proto::*;
    /// # let mut connection = Connection::new(Default::default(), Endpoints::new(Address::Local, Address::Local));
    /// # let request = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
    /// # connection.recv_space().expect("it is open")[..request.len()].copy_from_slice(request);
    /// # connection.recv_commit(request.len());
    /// # let kept = ResponseHead::new(connection.config(), "200 OK", NO_HEADERS)?;
    /// assert_eq!(connection.poll(Now::default()), Event::Request);
    /// let mut exchange = connection.open_exchange().expect("it was announced");
    /// assert_eq!(exchange.head().path(), b"/a");
    /// exchange.answer_with(&kept, "Hello\n")?;
    /// assert!(connection.open_exchange().is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open_exchange(&mut self) -> Option<Exchange<'_>> {
        self.0.open_exchange().then(|| Exchange::new(&mut self.0))
    }

    /// Takes the record that [`Event::Done`] announced. The next exchange can begin only after this call. `None` if no
    /// record is ready.
    ///
    /// A connection that was taken over also has a record. Take it when the application has finished with the stream.
    pub fn take_record(&mut self) -> Option<Record> {
        self.0.take_record()
    }

    /// Reports that the driver has closed its sending half after [`Event::ShutdownWrite`], or reset the transport after
    /// [`Event::Abort`]. No effect without one of these events.
    pub fn write_closed(&mut self) {
        self.0.write_closed();
    }

    /// Ends the connection gracefully. May be called in every state.
    ///
    /// * The next request is the last one, and its response carries `Connection: close`.
    /// * If the head of the current response was already sent without `close`, one more request may follow it.
    /// * An idle connection waits for that request until [`Config::last_request_timeout`] has passed since its last
    ///   response, or since its first [`poll`](Self::poll) if there was no response. Then it closes after one
    ///   [last read](crate::Io::last_read).
    pub fn shutdown(&mut self) {
        self.0.state.stop();
    }

    /// Whether the connection waits for a request, or its head is still arriving, and every response was transmitted.
    pub fn awaits_request(&self) -> bool {
        self.0.state.awaits_request() && self.0.memory.is_flushed()
    }

    /// Since when a head has been arriving. `None` if no byte of a request was received, or its head is complete.
    pub fn head_began(&self) -> Option<Instant> {
        if self.0.state.peer() == PeerHalf::Head { self.0.timers.head } else { None }
    }

    /// Whether the last response was transmitted, the sending half is closed, and only the peer's close is missing. The
    /// machine waits for it until the peer is silent for [`Config::linger_timeout`], and for [`Config::linger_limit`] at
    /// most.
    pub fn lingers(&self) -> bool {
        self.0.state.phase() == Phase::Lingering
    }

    /// Whether [`make_room`](Self::make_room) has an effect: the connection [awaits a request](Self::awaits_request) or
    /// [lingers](Self::lingers).
    pub fn can_make_room(&self) -> bool {
        self.0.state.can_make_room() && self.0.memory.is_flushed()
    }

    /// Ends the connection to make room for another one, unless it is serving a request.
    ///
    /// * If it [awaits a request](Self::awaits_request), it closes after one [last read](crate::Io::last_read):
    ///   silently if no byte of a request was received, otherwise with a 408. A request that is complete by then is
    ///   served as usual.
    /// * If it [lingers](Self::lingers), it closes immediately. A peer that is still sending may lose the response, so
    ///   wait some time before you call this.
    /// * No effect in other states.
    ///
    /// # Examples
    ///
    /// ```
    /// # use wsgi_proto::*;
    /// # let mut connection = Connection::new(Default::default(), Endpoints::new(Address::Local, Address::Local));
    /// # let now = Now::default();
    /// assert!(connection.can_make_room(), "it is idle");
    /// connection.make_room();
    /// assert!(matches!(connection.poll(now), Event::Io(Io { deadline: Some((_, Reason::Room)), .. })));
    /// connection.recv_nothing();
    /// assert_eq!(connection.poll(now), Event::ShutdownWrite);
    /// connection.write_closed();
    /// let reason = CloseReason::Limit(LastExchange::Crowded);
    /// assert_eq!(connection.poll(now), Event::Closed(reason));
    /// ```
    pub fn make_room(&mut self) {
        self.0.make_room();
    }

    /// Makes the next response head that is sent carry `Connection: close`. May be called in every state.
    ///
    /// Unlike after [`shutdown`](Self::shutdown), an idle connection continues to wait for the request of that
    /// response. `reason` is reported by [`Event::Closed`], as [`CloseReason::Limit`].
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_driver!()]
    /// let mut connection = open(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    /// connection.last_exchange(LastExchange::Age);
    /// connection.exchange().expect("a request is open").answer("200 OK", NO_HEADERS, "")?;
    /// assert!(flush(&mut connection).contains("\r\nConnection: close\r\n"));
    /// # Ok::<(), AnswerError>(())
    /// ```
    pub fn last_exchange(&mut self, reason: LastExchange) {
        self.0.state.last_exchange(CloseReason::Limit(reason));
    }

    /// Sets the instant at which the connection reaches its maximum age. It replaces an earlier one.
    ///
    /// From then on the next response head that is sent carries `Connection: close`, and a connection that is idle
    /// closes after one [last read](crate::Io::last_read), so that a request that has begun to arrive is still served. If
    /// its last response promised to persist, it stays open for a second after that. [`Event::Closed`] reports
    /// [`LastExchange::Age`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use wsgi_proto::*;
    /// # let mut connection = Connection::new(Default::default(), Endpoints::new(Address::Local, Address::Local));
    /// let hour = Instant::from_origin(std::time::Duration::from_secs(3600));
    /// connection.end_at(hour);
    /// let Event::Io(io) = connection.poll(Now::default()) else { panic!("it waits for a request") };
    /// assert_eq!(io.deadline, Some((hour, Reason::Age)));
    /// ```
    pub fn end_at(&mut self, at: Instant) {
        self.0.ends_at = Some(at);
    }

    /// Lends the application's half. `Some` exactly while a request is open: from [`take_request`](Self::take_request)
    /// to the end of the response.
    pub fn exchange(&mut self) -> Option<Exchange<'_>> {
        self.0.state.exchange_is_open().then(|| Exchange::new(&mut self.0))
    }

    /// Skips records: from now on [`Event::Done`] is returned only for exchanges that request it by
    /// [`flush_before_record`](Exchange::flush_before_record). For drivers that do not log.
    pub fn skip_records(&mut self) {
        self.0.state.skip_records();
    }

    /// Delays the record of the current exchange until the response is transmitted or the connection is lost, and
    /// announces it even if records are [skipped](Self::skip_records).
    ///
    /// Unlike [`Exchange::flush_before_record`], this also works after the end of the response. No effect without an
    /// exchange, or after its record was taken.
    pub fn flush_before_record(&mut self) {
        self.0.state.flush_before_record();
    }

    /// Provides memory, for instance from a pool. The machine keeps it until [`take_buffers`](Self::take_buffers).
    ///
    /// If the machine has buffers already, it keeps those and drops `buffers`.
    pub fn provide_buffers(&mut self, buffers: Buffers) {
        self.0.provide_buffers(buffers);
    }

    /// Whether the machine holds buffers.
    pub fn has_buffers(&self) -> bool {
        self.0.has_buffers()
    }

    /// Takes the buffers back. `None` if the machine has none or needs them.
    ///
    /// It does not need them if the connection is idle, closed or taken over, and no bytes are in them.
    ///
    /// # Examples
    ///
    /// ```
    /// # use wsgi_proto::*;
    /// # let mut connection = Connection::new(Default::default(), Endpoints::new(Address::Local, Address::Local));
    /// connection.provide_buffers(Buffers::new());
    /// connection.recv_space().expect("it waits for a request")[0] = b'G';
    /// connection.recv_commit(1);
    /// assert!(connection.take_buffers().is_none(), "a byte is in them");
    ///
    /// let mut idle = Connection::new(Default::default(), Endpoints::new(Address::Local, Address::Local));
    /// idle.provide_buffers(Buffers::new());
    /// assert!(idle.take_buffers().is_some());
    /// assert!(!idle.has_buffers());
    /// ```
    pub fn take_buffers(&mut self) -> Option<Buffers> {
        self.0.take_buffers()
    }

    /// The addresses and the scheme of the connection.
    pub fn endpoints(&self) -> &Endpoints {
        &self.0.endpoints
    }

    /// Replaces the addresses and the scheme of the connection, for requests and records from now on. A driver calls it
    /// before the first request, for example when a proxy has sent the address of its client.
    pub fn set_endpoints(&mut self, endpoints: Endpoints) {
        self.0.endpoints = endpoints;
    }

    /// The settings of the connection.
    pub fn config(&self) -> &Arc<Config> {
        &self.0.config
    }

    /// Whether bytes of a request were received, or bytes of a response wait to be transmitted. A graceful stop lets a
    /// busy connection finish.
    ///
    /// A connection that closes after a response stays busy, even after [`Event::Closed`].
    pub fn is_busy(&self) -> bool {
        let machine = &self.0;
        machine.state.peer() != PeerHalf::Idle || machine.memory.has_unread() || !machine.memory.is_flushed()
    }

    /// Whether bytes have arrived that no request has used yet. If so when [`Event::Done`] is returned, the client
    /// pipelines: the response to its next request can share a write with this one.
    pub fn has_unread(&self) -> bool {
        self.0.memory.has_unread()
    }

    /// Whether the connection is [lost](Self::lost), so that nothing can be sent any more.
    pub fn is_lost(&self) -> bool {
        self.0.state.lost().is_some()
    }
}
