//! HTTP/1.1 server protocol as a sans-IO state machine: `no_std`, without sockets, clocks, threads or `unsafe` code.
//!
//! Use this crate if no existing HTTP server supports your transport: a serial line, a pipe in memory, an embedded TCP
//! stack, your own event loop. You move the bytes and read the clock. The crate handles HTTP/1.0 and HTTP/1.1: request
//! parsing, limits, deadlines, keep-alive, pipelining, chunked bodies and trailers in both directions, `100 Continue`,
//! error responses, the variables of CGI and WSGI ([`Variables`]), and log lines ([`LogFormat`]). It does not include
//! HTTP/2, TLS, routing, compression or a client. To serve on tokio, smol, async-std or blocking sockets, use
//! `wsgi-tokio`, `wsgi-smol` or `wsgi-std`.
//!
//! The API has two halves:
//!
//! * [`Connection`] is for the *driver*, the code that owns the transport. The driver calls [`Connection::poll`], does
//!   what the returned [`Event`] requires, and polls again.
//! * [`Exchange`] is for the *application*: one request and its response. [`Connection::exchange`] lends it while a
//!   request is open.
//!
//! # A complete driver
//!
//! This loop serves one connection on any transport that can read, write and wait.
//!
//! ```
//! use std::{io, sync::Arc};
//! use wsgi_proto::{Address, Config, Connection, Endpoints, Event, Exchange};
//! use wsgi_proto::{Instant, Io, Lost, Now};
//!
//! /// `read` and `write` try once, then wait until `until` at most. They return `None` if
//! /// no byte moved.
//! trait Transport {
//!     fn read(&mut self, to: &mut [u8], until: Option<Instant>) -> io::Result<Option<usize>>;
//!     fn write(&mut self, from: &[u8], until: Option<Instant>) -> io::Result<Option<usize>>;
//!     fn close_write(&mut self);
//!     fn reset(&mut self);
//!     fn sleep(&mut self, until: Option<Instant>);
//! }
//!
//! fn serve(transport: &mut impl Transport, clock: impl Fn() -> Now, config: Arc<Config>) {
//!     let endpoints = Endpoints::new(Address::Local, Address::Local);
//!     let mut connection = Connection::new(config, endpoints);
//!     loop {
//!         if let Some(exchange) = connection.exchange() {
//!             application(exchange);
//!         }
//!         match connection.poll(clock()) {
//!             Event::Request => drop(connection.take_request()),
//!             Event::Io(io) => transfer(&mut connection, transport, io),
//!             Event::Done => drop(connection.take_record()), // or write it to a log
//!             Event::ShutdownWrite => {
//!                 transport.close_write();
//!                 connection.write_closed();
//!             }
//!             Event::Abort => {
//!                 transport.reset();
//!                 connection.write_closed();
//!             }
//!             // This application never takes the stream over.
//!             Event::TakenOver | Event::Closed(_) => return,
//!         }
//!     }
//! }
//!
//! fn transfer(connection: &mut Connection, transport: &mut impl Transport, io: Io) {
//!     let until = io.deadline.map(|(at, _)| at);
//!     // A last read goes before everything else. Its deadline has passed, so `read` does
//!     // not wait. A last write does not wait either.
//!     if io.write && !io.last_read {
//!         match transport.write(connection.transmit().slices()[0], until) {
//!             Ok(count) => connection.transmitted(count.unwrap_or(0)), // 0: there was no room
//!             Err(_) => connection.lost(Lost::Transport),
//!         }
//!     } else if let (true, Some(space)) = (io.read, connection.recv_space()) {
//!         match transport.read(space, until) {
//!             Ok(Some(0)) => connection.recv_eof(),
//!             Ok(Some(count)) => connection.recv_commit(count),
//!             Ok(None) => connection.recv_nothing(), // only has an effect after a last read
//!             Err(_) => connection.lost(Lost::Transport),
//!         }
//!     } else {
//!         transport.sleep(until);
//!     }
//! }
//!
//! fn application(mut exchange: Exchange<'_>) {
//!     let path = exchange.head().path().to_vec();
//!     if exchange.answer("200 OK", [("Content-Type", "text/plain")], path).is_err() {
//!         exchange.fail("");
//!     }
//! }
//! # // A transport in memory: the bytes of a client, then the end of its input.
//! # struct Memory(&'static [u8], Vec<u8>);
//! # impl Transport for Memory {
//! #     fn read(&mut self, space: &mut [u8], _: Option<Instant>) -> io::Result<Option<usize>> {
//! #         io::Read::read(&mut self.0, space).map(Some)
//! #     }
//! #     fn write(&mut self, bytes: &[u8], _: Option<Instant>) -> io::Result<Option<usize>> {
//! #         io::Write::write(&mut self.1, bytes).map(Some)
//! #     }
//! #     fn close_write(&mut self) {}
//! #     fn reset(&mut self) {}
//! #     fn sleep(&mut self, _: Option<Instant>) {}
//! # }
//! # let requests = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n";
//! # let mut memory = Memory(requests, Vec::new());
//! # serve(&mut memory, || Now::new(Instant::from_nanos(0), 0), Arc::default());
//! # let sent = String::from_utf8(memory.1).unwrap();
//! # assert_eq!(sent.matches("HTTP/1.1 200 OK\r\n").count(), 2);
//! # assert!(sent.contains("\r\n\r\n/a") && sent.ends_with("\r\n\r\n/b"), "{sent}");
//! ```
//!
//! The events, and what the driver does for each:
//!
//! | event | the driver | returned until |
//! | --- | --- | --- |
//! | [`Request`](Event::Request) | calls [`take_request`](Connection::take_request), then runs the application | `take_request` |
//! | [`Io`](Event::Io) | moves bytes or waits, as the fields of [`Io`] require | bytes move or the deadline passes |
//! | [`Done`](Event::Done) | calls [`take_record`](Connection::take_record) and logs the [`Record`] | `take_record` |
//! | [`ShutdownWrite`](Event::ShutdownWrite) | closes its sending half, calls [`write_closed`](Connection::write_closed), and continues to read | `write_closed` |
//! | [`Abort`](Event::Abort) | resets the transport, then calls `write_closed` | `write_closed` |
//! | [`TakenOver`](Event::TakenOver) | gives the transport to the application | the end |
//! | [`Closed`](Event::Closed) | drops the transport; the [`CloseReason`] is for the log | the end |
//!
//! The fields of [`Io`]:
//!
//! | field | the driver |
//! | --- | --- |
//! | `read` | reads into [`recv_space`](Connection::recv_space), then calls [`recv_commit`](Connection::recv_commit) or [`recv_eof`](Connection::recv_eof) |
//! | `last_read` | reads once, before it writes and without waiting; if nothing is there, calls [`recv_nothing`](Connection::recv_nothing) |
//! | `write` | writes [`transmit`](Connection::transmit), then calls [`transmitted`](Connection::transmitted); for [files](#sending-files) see there |
//! | `last_write` | writes once, without waiting; if there is no room, calls `transmitted` with 0 |
//! | `deadline` | polls again at this time if no byte has moved |
//! | none of these | waits for the application, which has to make the next call |
//!
//! `poll` is level-triggered: it returns the same event until something changes. Any call may follow any other. A call
//! that does not fit the current state returns an error or has no effect; it never panics, and neither does anything
//! that a peer sends.
//!
//! An application that waits for its own work (a database, a channel) can return and be called again later, because the
//! exchange stays open. [`Connection::take_notice`] returns whether it is worth calling it again. The examples `pipe`
//! and `blocking` in the repository are complete programs.
//!
//! # Time and deadlines
//!
//! The crate has no clock. Each `poll` takes a [`Now`]: an [`Instant`], which counts nanoseconds of a monotonic clock
//! from an origin of your choice, and the wall clock, which is used for `Date` and the log only. [`Io::deadline`] is
//! the time of the next `poll` and its [`Reason`]. With the clocks of `std`:
//!
//! ```
//! use std::time::{Instant, SystemTime, UNIX_EPOCH};
//! use wsgi_proto::Now;
//!
//! let start = Instant::now();
//! let clock = move || {
//!     let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
//!     Now::new(wsgi_proto::Instant::from_origin(start.elapsed()), unix as i64)
//! };
//! assert!(clock().unix > 1_700_000_000);
//! ```
//!
//! Before the machine gives up a wait for the peer, it requests a last read. Bytes that arrived in time therefore
//! count, however late the driver polls. The deadline expires only after [`recv_nothing`](Connection::recv_nothing).
//!
//! ```
//! use std::time::Duration;
//! use wsgi_proto::{
//!     Address, Config, Connection, Endpoints, Event, Instant, Io, Now, Reason,
//!     RequestError,
//! };
//!
//! let config = Config::default().header_timeout(Some(Duration::from_secs(10)));
//! let mut connection =
//!     Connection::new(config.into(), Endpoints::new(Address::Local, Address::Local));
//! let start = Instant::from_nanos(0);
//! connection.recv_space().expect("a new connection has room")[..8]
//!     .copy_from_slice(b"GET / HT");
//! connection.recv_commit(8);
//! let deadline = Some((start.after(Duration::from_secs(10)), Reason::Head));
//! let wait = Io { read: true, deadline, ..Io::default() };
//! assert_eq!(connection.poll(Now::new(start, 0)), Event::Io(wait));
//!
//! // Ten seconds later, the head is still incomplete.
//! let late = Now::new(start.after(Duration::from_secs(10)), 10);
//! assert_eq!(connection.poll(late), Event::Io(Io { last_read: true, ..wait }));
//! connection.recv_nothing();
//! assert_eq!(connection.poll(late), Event::Done);
//! let record = connection.take_record().expect("it was announced");
//! assert_eq!((record.status, record.refused), (408, Some(RequestError::Timeout)));
//! ```
//!
//! [`Config::socket_timeout`] is `None` by default. Set it: without it, a peer that stays idle, stops in the middle of
//! a body or reads nothing keeps its connection indefinitely.
//!
//! # Reading a request body
//!
//! [`Exchange::body`] returns the bytes that have arrived, borrowed from the receive buffer, or the end with its
//! trailers, or the [`Io`] that has to happen first. [`Exchange::consume`] takes bytes off. The first call of `body`
//! sends `100 Continue` if the client waits for it.
//!
//! ```
//! use wsgi_proto::{BodyError, BodyEvent, Exchange, Now};
//!
//! /// Reads as far as it can without waiting. The driver calls it again when more has arrived.
//! fn application(mut exchange: Exchange<'_>, body: &mut Vec<u8>, now: Now) {
//!     loop {
//!         match exchange.body(now) {
//!             Ok(BodyEvent::Data(data)) => {
//!                 body.extend_from_slice(data);
//!                 let count = data.len();
//!                 exchange.consume(count);
//!             }
//!             Ok(BodyEvent::End(_trailers)) => break,
//!             // The driver's next `poll` returns the same `Io`.
//!             Ok(BodyEvent::Io(_)) => return,
//!             // The peer's fault: the error has a status, such as 400, 408 or 413.
//!             Err(BodyError::Request(error)) => return exchange.refuse(error),
//!             // The connection is lost.
//!             Err(_) => return exchange.abort(),
//!         }
//!     }
//!     if exchange.answer("200 OK", [("Content-Type", "text/plain")], body.as_slice()).is_err() {
//!         exchange.fail("");
//!     }
//! }
//! # use std::sync::Arc;
//! # use wsgi_proto::{Address, Config, Connection, Endpoints, Event, Io, Limits};
//! # fn receive(connection: &mut Connection, bytes: &[u8]) {
//! #     connection.recv_space().expect("there is room")[..bytes.len()].copy_from_slice(bytes);
//! #     connection.recv_commit(bytes.len());
//! # }
//! # fn open(config: Config, head: &[u8]) -> Connection {
//! #     let mut connection = Connection::new(Arc::new(config), Endpoints::new(Address::Local, Address::Local));
//! #     receive(&mut connection, head);
//! #     assert_eq!(connection.poll(Now::default()), Event::Request);
//! #     connection.take_request();
//! #     connection
//! # }
//! #
//! // The body arrives in two parts.
//! let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
//! let (mut connection, now, mut body) = (open(Config::default(), head), Now::default(), Vec::new());
//! receive(&mut connection, b"hel");
//! application(connection.exchange().expect("a request is open"), &mut body, now);
//! assert_eq!(connection.poll(now), Event::Io(Io { read: true, ..Io::default() }));
//! receive(&mut connection, b"lo");
//! application(connection.exchange().expect("a request is open"), &mut body, now);
//! assert!(connection.transmit().slices().concat().ends_with(b"\r\n\r\nhello"));
//!
//! // A chunked body exceeds its limit while it is read. (A `Content-Length` above the limit
//! // is refused with the head.)
//! let config = Config::default().limits(Limits::new().body(Some(4)));
//! let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n";
//! let mut connection = open(config, head);
//! application(connection.exchange().expect("a request is open"), &mut Vec::new(), now);
//! assert!(connection.transmit().slices().concat().starts_with(b"HTTP/1.1 413 "));
//! ```
//!
//! An application need not read the body. After the response the machine reads and drops the rest, at most
//! [`Limits::drain`] bytes for at most [`Config::linger_timeout`]; beyond that it closes the connection.
//!
//! # Streaming a response
//!
//! [`Exchange::respond`] starts the response, [`send`](Exchange::send) adds one block, and [`finish`](Exchange::finish)
//! ends it. Blocks go to the *outbox*, the bytes that wait to be transmitted. [`Flow::Full`] means: the block was
//! taken, and the outbox has reached [`Limits::outbox`], so the next `send` fails with [`SendError::Full`] until the
//! driver has written some of it. The body is chunked if its length is not known and the client speaks HTTP/1.1.
//!
//! ```
//! use wsgi_proto::{AnswerError, Exchange};
//!
//! /// Sends as much as there is room for. The driver calls it again while the exchange is open.
//! fn application(
//!     mut exchange: Exchange<'_>,
//!     blocks: &mut impl Iterator<Item = Vec<u8>>,
//! ) -> Result<(), AnswerError> {
//!     if !exchange.is_started() {
//!         exchange.respond("200 OK", [("Content-Type", "text/plain")])?;
//!     }
//!     while !exchange.is_full() {
//!         match blocks.next() {
//!             Some(block) => {
//!                 let _ = exchange.send(block)?; // The `Flow` is the same as `is_full` above.
//!             }
//!             None => return Ok(exchange.finish()?),
//!         }
//!     }
//!     Ok(())
//! }
//! # use std::sync::Arc;
//! # use wsgi_proto::{Address, Config, Connection, Endpoints, Event, Limits, Now};
//! # let config = Arc::new(Config::default().limits(Limits::new().outbox(1024)));
//! # let mut connection = Connection::new(config, Endpoints::new(Address::Local, Address::Local));
//! # let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
//! # connection.recv_space().expect("there is room")[..request.len()].copy_from_slice(request);
//! # connection.recv_commit(request.len());
//! # assert_eq!(connection.poll(Now::default()), Event::Request);
//! # connection.take_request();
//!
//! // `connection` has an open request and an outbox of 1024 bytes.
//! let mut blocks = (0..5).map(|_| vec![b'x'; 500]);
//! let (mut sent, mut calls) = (Vec::new(), 0);
//! while let Some(exchange) = connection.exchange() {
//!     application(exchange, &mut blocks)?;
//!     let bytes = connection.transmit().slices().concat();
//!     connection.transmitted(bytes.len());
//!     sent.extend(bytes);
//!     calls += 1;
//! }
//! let sent = String::from_utf8(sent)?;
//! assert!(sent.contains("Transfer-Encoding: chunked\r\n"));
//! assert_eq!(sent.matches("1f4\r\nxxx").count(), 5, "one block is one chunk");
//! assert!(sent.ends_with("0\r\n\r\n"));
//! assert_eq!(calls, 3, "two blocks fit into the outbox at once");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Sending files
//!
//! A driver may have bytes that the machine never sees, such as a file that `sendfile(2)` sends. The application sends
//! them by [`Exchange::send_external`], and the driver writes them when [`Connection::external`] requests them. Without
//! the first call, `external` is always 0, and a driver can ignore it.
//!
//! # Errors
//!
//! Each error type stands for one party:
//!
//! | type | fault of | consequence |
//! | --- | --- | --- |
//! | [`RequestError`] | the peer | is answered with [`status()`](RequestError::status), then the connection closes |
//! | [`StartError`] | the application | nothing was started; the exchange stays open |
//! | [`SendError`] | the application | depends on the variant |
//! | [`AnswerError`] | the application | one of the two above, from [`Exchange::answer`] |
//! | [`BodyError`] | the peer or the transport | a [`RequestError`] that the application may answer, or [`Lost`] |
//! | [`Lost`] | the transport | nothing can be sent any more |
//! | [`ConfigError`] | the operator | the setting, its value and the allowed values |
//!
//! The machine itself answers a head that is malformed, too large or too late. The application sees no request, and the
//! [`Record`] has the reason:
//!
//! ```
//! # use wsgi_proto::{Address, Connection, Endpoints, Event, Now, RequestError};
//! # let mut connection = Connection::new(Default::default(), Endpoints::new(Address::Local, Address::Local));
//! let request = b"GET / HTTP/1.1\r\n\r\n"; // HTTP/1.1 requires `Host`.
//! let space = connection.recv_space().expect("a new connection has room");
//! space[..request.len()].copy_from_slice(request);
//! connection.recv_commit(request.len());
//! assert_eq!(connection.poll(Now::default()), Event::Done);
//! assert!(connection.transmit().slices().concat().starts_with(b"HTTP/1.1 400 Bad Request\r\n"));
//! let record = connection.take_record().expect("it was announced");
//! assert_eq!(record.refused, Some(RequestError::Host));
//! ```
//!
//! If the application fails, call [`Exchange::fail`]: it sends a 500, or cuts the response if its head was sent
//! already. An exchange stays open until `finish`, `answer`, `refuse`, `fail`, `abort` or `take_over` has ended it,
//! even if the connection is lost. A driver that drops an error without one of these calls keeps the connection open
//! indefinitely.
//!
//! # Limits
//!
//! [`Config`] holds the settings of a server and [`Limits`] the largest sizes that it serves. Both have a method for
//! each field. [`Config::check`] returns the first setting that is not allowed; call it once when the server is built,
//! because [`Connection::new`] does not check.
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use wsgi_proto::{Config, KeepAlive, Limits};
//!
//! let limits = Limits::new()
//!     .target(1024) // else 414
//!     .fields(50) // else 431
//!     .body(Some(10 * 1024 * 1024)); // else 413
//! let config = Config::default()
//!     .limits(limits)
//!     .keepalive(KeepAlive::For(Duration::from_secs(15)))
//!     .header_timeout(Some(Duration::from_secs(10)))
//!     .socket_timeout(Some(Duration::from_secs(60)));
//! config.check()?;
//! let config = Arc::new(config); // for all connections
//!
//! # assert_eq!(config.limits.fields, 50);
//!
//! let error = Config::default().limits(limits.outbox(0)).check().unwrap_err();
//! assert_eq!(error.to_string(), "limits.outbox cannot be 0 (allowed: 1 or more)");
//! # Ok::<(), wsgi_proto::ConfigError>(())
//! ```
//!
//! # Graceful stop and making room
//!
//! [`Connection::shutdown`] ends a connection gracefully: a busy one after its response, an idle one a second after its
//! last response ([`Config::last_request_timeout`]) unless another request begins. [`Connection::last_exchange`] is milder: the next response is the last one, but an idle connection may
//! still wait for its request. [`Connection::make_room`] is for a server that is at its largest number of connections:
//! it ends a connection that waits for a request, and has no effect on one that is being served. When your deadline for
//! a stop has passed, call [`Connection::lost`] with [`Lost::Aborted`], or drop the connection.
//!
//! ```
//! # use wsgi_proto::{Address, CloseReason, Connection, Endpoints, Event, Io, NO_HEADERS, Now};
//! # let mut connection = Connection::new(Default::default(), Endpoints::new(Address::Local, Address::Local));
//! # let now = Now::default();
//! # let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
//! # connection.recv_space().expect("there is room")[..request.len()].copy_from_slice(request);
//! # connection.recv_commit(request.len());
//! # assert_eq!(connection.poll(now), Event::Request);
//! # connection.take_request();
//! // A request is open when the server stops.
//! connection.shutdown();
//! connection.exchange().expect("it is still served").answer("200 OK", NO_HEADERS, "Bye\n")?;
//! assert_eq!(connection.poll(now), Event::Done);
//! connection.take_record();
//! let sent = connection.transmit().slices().concat();
//! connection.transmitted(sent.len());
//! assert!(String::from_utf8(sent)?.contains("\r\nConnection: close\r\n"));
//!
//! // The machine closes its half first and reads until the peer closes, so that no reset
//! // destroys the response.
//! assert_eq!(connection.poll(now), Event::ShutdownWrite);
//! connection.write_closed();
//! assert!(matches!(connection.poll(now), Event::Io(Io { read: true, .. })));
//! connection.recv_eof();
//! assert_eq!(connection.poll(now), Event::Closed(CloseReason::Shutdown));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Upgrades
//!
//! An application that starts a 101 can take the connection over. [`Exchange::take_over`] sends the 101 and returns the
//! bytes that were received after the request. [`Event::TakenOver`] follows when the 101 is transmitted. From then on
//! the transport belongs to the application.
//!
//! ```
//! # use wsgi_proto::{Address, Connection, Endpoints, Event, Now};
//! # let mut connection = Connection::new(Default::default(), Endpoints::new(Address::Local, Address::Local));
//! # let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nhello";
//! # connection.recv_space().expect("there is room")[..request.len()].copy_from_slice(request);
//! # connection.recv_commit(request.len());
//! # assert_eq!(connection.poll(Now::default()), Event::Request);
//! # connection.take_request();
//! // `connection` has received a request with `Upgrade: echo`, and `hello` after it.
//! let mut exchange = connection.exchange().expect("a request is open");
//! assert_eq!(exchange.head().value("Upgrade"), Some(&b"echo"[..]));
//! exchange.respond("101 Switching Protocols", [("Upgrade", "echo")])?;
//! let received = exchange.take_over()?;
//! assert_eq!(received, b"hello", "the first bytes of the new protocol");
//!
//! let sent = connection.transmit().slices().concat();
//! connection.transmitted(sent.len());
//! assert!(sent.starts_with(b"HTTP/1.1 101 Switching Protocols\r\n"));
//! assert_eq!(connection.poll(Now::default()), Event::TakenOver);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Buffers and memory
//!
//! The memory of a connection is bounded by [`Limits`]: [`inbox`](Limits::inbox) and the limits of a head for the
//! receive buffer, [`outbox`](Limits::outbox) plus one block for the bytes to send.
//!
//! An idle connection needs no buffer. [`Connection::recv_space`] makes one (16 KiB, larger if needed) if the driver
//! has provided none, and the next idle `poll` frees it. A driver that polls, waits until the transport is readable,
//! and only then calls `recv_space` therefore holds no buffer while it waits. To pool the memory instead, call
//! [`provide_buffers`](Connection::provide_buffers) before a read and [`take_buffers`](Connection::take_buffers) when
//! `poll` returns an `Io` that reads. With pooled [`Buffers`], a small GET and its response allocate nothing in this
//! crate. These do allocate: a head that the application still holds when the next one arrives, more than 100 fields,
//! trailers, error responses of the machine, and buffers that grow.
//!
//! ```
//! # use wsgi_proto::{Address, Buffers, Connection, Endpoints, Event, Io, NO_HEADERS, Now};
//! # let mut connection = Connection::new(Default::default(), Endpoints::new(Address::Local, Address::Local));
//! let mut pool = vec![Buffers::new()];
//! // The transport is readable.
//! connection.provide_buffers(pool.pop().unwrap_or_default());
//! # let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
//! # connection.recv_space().expect("there is room")[..request.len()].copy_from_slice(request);
//! # connection.recv_commit(request.len());
//! # assert_eq!(connection.poll(Now::default()), Event::Request);
//! # connection.take_request();
//! # connection.exchange().expect("it was taken").answer("200 OK", NO_HEADERS, "")?;
//! # assert_eq!(connection.poll(Now::default()), Event::Done);
//! // A request was received and answered.
//! assert!(connection.take_buffers().is_none(), "they are in use");
//! # connection.take_record();
//! # connection.transmitted(usize::MAX);
//! // The response is transmitted, and the machine waits for the next request.
//! assert!(matches!(connection.poll(Now::default()), Event::Io(Io { read: true, write: false, .. })));
//! pool.extend(connection.take_buffers().map(Buffers::trimmed));
//! assert_eq!(pool.len(), 1);
//! # Ok::<(), wsgi_proto::AnswerError>(())
//! ```
//!
//! # Testing
//!
//! Tests need no sockets and no sleeping: bytes and time are arguments. The same bytes in produce the same bytes out,
//! however they are split.
//!
//! ```
//! use wsgi_proto::{Address, CloseReason, Connection, Endpoints, Event, Instant, Io, Now};
//!
//! /// Feeds `input` in parts of `step` bytes and returns the bytes sent until the connection
//! /// closes.
//! fn run(mut input: &[u8], step: usize) -> (String, CloseReason) {
//!     let endpoints = Endpoints::new(Address::Local, Address::Local);
//!     let mut connection = Connection::new(Default::default(), endpoints);
//!     let mut now = Now::new(Instant::from_nanos(0), 784_111_777);
//!     let mut sent = Vec::new();
//!     loop {
//!         if let Some(mut exchange) = connection.exchange() {
//!             exchange.answer("200 OK", [("Content-Type", "text/plain")], "Hello\n").expect("it is legal");
//!         }
//!         match connection.poll(now) {
//!             Event::Request => drop(connection.take_request()),
//!             Event::Io(io) if io.write => {
//!                 let bytes = connection.transmit().slices().concat();
//!                 connection.transmitted(bytes.len());
//!                 sent.extend(bytes);
//!             }
//!             Event::Io(_) if !input.is_empty() => {
//!                 let space = connection.recv_space().expect("it waits for bytes");
//!                 let count = step.min(input.len()).min(space.len());
//!                 space[..count].copy_from_slice(&input[..count]);
//!                 connection.recv_commit(count);
//!                 input = &input[count..];
//!             }
//!             Event::Io(Io { last_read: true, .. }) => connection.recv_nothing(),
//!             // Time passes only here.
//!             Event::Io(Io { deadline: Some((at, _)), .. }) => now.instant = at,
//!             Event::Io(_) => connection.recv_eof(),
//!             Event::Done => drop(connection.take_record()),
//!             Event::ShutdownWrite | Event::Abort => connection.write_closed(),
//!             Event::TakenOver => unreachable!("no response is a 101"),
//!             Event::Closed(reason) => return (String::from_utf8(sent).expect("ASCII"), reason),
//!         }
//!     }
//! }
//!
//! let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
//! let response = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\
//!                 Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\nHello\n";
//! for step in 1..=request.len() {
//!     assert_eq!(run(request, step), (response.to_owned(), CloseReason::PeerClosed));
//! }
//!
//! // An incomplete head times out, without any waiting.
//! let (sent, _) = run(b"GET / HTTP/1.1\r\nHo", 100);
//! assert!(sent.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{sent}");
//! ```
//!
//! # Features
//!
//! * `std` (off by default) adds nothing to this crate, which stays `no_std`. It enables `std` in `bytes`, `httparse`
//!   and `memchr`, which then choose faster code at run time.
#![doc = include_str!("machine/states.md")]
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

extern crate alloc;
#[cfg(test)]
extern crate std;

/// Hidden lines of the examples on methods: the `open` and `flush` that the example on [`Exchange`] shows.
macro_rules! example_driver {
    () => {
        r#"# use std::sync::Arc;
# use wsgi_proto::*;
# fn open(request: &[u8]) -> Connection {
#     let endpoints = Endpoints::new(Address::Local, Address::Local);
#     let mut connection = Connection::new(Arc::default(), endpoints);
#     connection.recv_space().expect("a new connection has room")[..request.len()].copy_from_slice(request);
#     connection.recv_commit(request.len());
#     assert_eq!(connection.poll(Now::default()), Event::Request);
#     connection.take_request();
#     connection
# }
# fn flush(connection: &mut Connection) -> String {
#     let bytes = connection.transmit().slices().concat();
#     connection.transmitted(bytes.len());
#     String::from_utf8(bytes).expect("the responses are text")
# }"#
    };
}

mod config;
mod connection;
mod endpoints;
mod error;
mod event;
mod exchange;
mod http;
mod machine;
mod time;
mod version;
mod wsgi;

pub use config::{Config, ConfigError, KeepAlive, Limits};
pub use connection::Connection;
pub use endpoints::{Address, Endpoints, Scheme};
pub use error::{
    AnswerError, BodyError, CloseReason, LastExchange, Lost, Rejected, RequestError, SendError, StartError,
};
pub use event::{BodyEvent, Event, Flow, Io, Reason};
pub use exchange::Exchange;
pub use http::date::{DateError, format_date_time};
pub use http::date_parse::parse_date_time;
pub use http::field::{Field, FieldBytes, NO_HEADERS};
pub use http::head::{BodyLength, Head};
pub use http::response_head::{Draft, ResponseHead};
pub use http::trailers::Trailers;
pub use machine::buffers::Buffers;
pub use machine::outbox::Transmit;
pub use machine::piece::Piece;
pub use time::{Instant, Now};
pub use version::Version;
pub use wsgi::environ::Variables;
pub use wsgi::log_format::LogFormat;
pub use wsgi::log_format::line::LogLine;
pub use wsgi::log_format::spec::LogFormatError;
pub use wsgi::record::Record;
pub use wsgi::text::{decode_path, latin1};
