//! HTTP/1.x for servers, with the rules of WSGI, as a pure state machine.
//!
//! This crate moves no bytes. It knows no socket, no clock, no thread, no runtime: bytes become [`Event`]s, and the
//! application's calls become bytes. A driver that has a transport asks a [`Connection`] one question, "what now?":
//!
//! ```
//! use std::io;
//! use std::sync::Arc;
//! use wsgi_proto::{Address, Connection, Event, Instant, Lost, Now, Endpoints};
//!
//! /// What a driver needs. Both calls try once, then wait until `until` at most, and then give `None`.
//! trait Transport {
//!     fn read(&mut self, space: &mut [u8], until: Option<Instant>) -> io::Result<Option<usize>>;
//!     fn write(&mut self, bytes: &[u8], until: Option<Instant>) -> io::Result<Option<usize>>;
//!     fn close_write(&mut self);
//!     fn reset(&mut self);
//!     fn sleep(&mut self, until: Option<Instant>);
//! }
//!
//! fn serve(transport: &mut impl Transport, mut clock: impl FnMut() -> Now) {
//!     let mut connection = Connection::new(Arc::default(), Endpoints::new(Address::Local, Address::Local));
//!     loop {
//!         match connection.poll(clock()) {
//!             Event::Request => {
//!                 let head = connection.take_request().expect("it was announced");
//!                 let mut exchange = connection.exchange().expect("the request was taken");
//!                 let _ = exchange.answer("200 OK", [("Content-Type", "text/plain")], head.path());
//!             }
//!             Event::Io(io) => {
//!                 let until = io.deadline.map(|(at, _)| at);
//!                 // A last read goes before everything else: its deadline has passed already.
//!                 if io.write && !io.last_read {
//!                     match transport.write(connection.transmit().slices()[0], until) {
//!                         Ok(count) => connection.transmitted(count.unwrap_or(0)),
//!                         Err(_) => connection.lost(Lost::Transport),
//!                     }
//!                 } else if let (true, Some(space)) = (io.read, connection.recv_space()) {
//!                     match transport.read(space, until) {
//!                         Ok(Some(0)) => connection.recv_eof(),
//!                         Ok(Some(count)) => connection.recv_commit(count),
//!                         // No effect but after a last read, when the deadline counts.
//!                         Ok(None) => connection.recv_nothing(),
//!                         Err(_) => connection.lost(Lost::Transport),
//!                     }
//!                 } else {
//!                     transport.sleep(until);
//!                 }
//!             }
//!             Event::Done => drop(connection.take_record()),
//!             Event::ShutdownWrite => {
//!                 transport.close_write();
//!                 connection.write_closed();
//!             }
//!             Event::Abort => {
//!                 transport.reset();
//!                 connection.write_closed();
//!             }
//!             // Nothing here takes over; the application would have the transport then.
//!             Event::TakenOver | Event::Closed(_) => return,
//!         }
//!     }
//! }
//! # // A transport in memory: it gives one request, then its end.
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
//! # let mut memory = Memory(b"GET /a HTTP/1.0\r\n\r\n", Vec::new());
//! # serve(&mut memory, || Now::new(Instant::from_nanos(0), 0));
//! # assert!(memory.1.ends_with(b"\r\n\r\n/a"), "{}", memory.1.escape_ascii());
//! ```
//!
//! The examples `pipe` and `blocking` are whole drivers. `wsgi-tokio` is the one for tokio.
//!
//! # What it costs
//!
//! A connection that waits for a request holds no buffer once the driver has taken it back with
//! [`Connection::take_buffers`]. With buffers that were used before, a small GET and its answer allocate nothing here. What
//! does allocate: a head that the application kept while the next one arrives, more than 100 fields, trailers,
//! answers that the machine writes itself, and buffers that have to grow.
//!
//! # What it never does
//!
//! No call panics because of what a peer sends or because of the order in which a driver or an application calls.
//! There is no `unsafe` code. Memory is bounded by [`Limits`].
//!
#![doc = include_str!("machine/states.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

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
pub use http::field::{Field, FieldBytes, NO_HEADERS};
pub use http::head::{BodyLength, Head};
pub use http::response::{Draft, ResponseHead};
pub use http::trailers::Trailers;
pub use machine::buffers::Buffers;
pub use machine::outbox::{Piece, Transmit};
pub use time::{Instant, Now};
pub use version::Version;
pub use wsgi::environ::Variables;
pub use wsgi::log_format::LogFormat;
pub use wsgi::log_format::spec::LogFormatError;
pub use wsgi::record::Record;
pub use wsgi::text::{decode_path, latin1};
