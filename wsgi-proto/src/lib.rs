//! HTTP/1.x for servers, with the rules of WSGI, as a pure state machine.
//!
//! This crate moves no bytes. It knows no socket, no clock, no thread, no runtime: bytes become [`Event`]s, and the
//! application's calls become bytes. Whoever has a transport drives a [`Connection`] with one question, "what now?":
//!
//! ```
//! use std::io::{Read, Write};
//! use std::sync::Arc;
//! use wsgi_proto::{Address, Connection, Event, Instant, Lost, Now, Peer};
//!
//! fn serve(mut stream: impl Read + Write, mut clock: impl FnMut() -> Now) -> std::io::Result<()> {
//!     let mut connection = Connection::new(Arc::default(), Peer::new(Address::Unix, Address::Unix));
//!     loop {
//!         match connection.poll(clock()) {
//!             Event::Request => {
//!                 let head = connection.take_request().expect("it was announced");
//!                 let mut exchange = connection.exchange().expect("the request was taken");
//!                 exchange.respond("200 OK", [("Content-Type", "text/plain")]).expect("a valid head");
//!                 let _ = exchange.send(head.path());
//!                 let _ = exchange.finish();
//!             }
//!             Event::Io(io) if io.write => {
//!                 let written = stream.write(connection.transmit().slices()[0])?;
//!                 connection.transmitted(written);
//!             }
//!             Event::Io(_) => match connection.recv_space().map(|space| stream.read(space)).transpose()? {
//!                 Some(0) => connection.recv_eof(),
//!                 Some(n) => connection.recv_commit(n),
//!                 None => unreachable!("it wants to read, so it has room"),
//!             },
//!             Event::Done => drop(connection.take_record()),
//!             Event::ShutdownWrite => connection.write_closed(), // after shutdown(2) on a socket
//!             Event::TakenOver => unreachable!("nothing here takes over"),
//!             Event::Closed(_) => return Ok(()),
//!         }
//!     }
//! }
//! # // A transport in memory: it gives one request, then its end.
//! # struct Memory(std::io::Cursor<&'static [u8]>, Vec<u8>);
//! # impl Read for Memory { fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> { self.0.read(to) } }
//! # impl Write for Memory {
//! #     fn write(&mut self, from: &[u8]) -> std::io::Result<usize> { self.1.write(from) }
//! #     fn flush(&mut self) -> std::io::Result<()> { Ok(()) }
//! # }
//! # let mut memory = Memory(std::io::Cursor::new(b"GET /a HTTP/1.0\r\n\r\n"), Vec::new());
//! # struct By<'a>(&'a mut Memory);
//! # impl Read for By<'_> { fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> { self.0.read(to) } }
//! # impl Write for By<'_> {
//! #     fn write(&mut self, from: &[u8]) -> std::io::Result<usize> { self.0.write(from) }
//! #     fn flush(&mut self) -> std::io::Result<()> { Ok(()) }
//! # }
//! # serve(By(&mut memory), || Now::new(Instant::from_nanos(0), 0)).unwrap();
//! # assert!(memory.1.ends_with(b"\r\n\r\n/a"), "{}", memory.1.escape_ascii());
//! ```
//!
//! The examples `pipe` and `blocking` are whole drivers. `wsgi-tokio` is the one for tokio.
//!
//! # What it costs
//!
//! A connection that waits for a request holds no buffer once the driver has taken it back with
//! [`Connection::rest`]. With buffers that were used before, a small GET and its answer allocate nothing here. What
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
mod error;
mod event;
mod exchange;
mod http;
mod machine;
mod peer;
mod time;
mod version;
mod wsgi;

pub use config::{Config, ConfigError, KeepAlive, Limits};
pub use connection::Connection;
pub use error::{BodyError, CloseReason, Lost, RequestError, SendError, StartError};
pub use event::{BodyEvent, Event, Flow, Io, Reason};
pub use exchange::Exchange;
pub use http::date::{DateError, format_date_time};
pub use http::head::{BodyLength, Head};
pub use http::response::{Draft, ResponseHead};
pub use http::trailers::Trailers;
pub use machine::buffers::Buffers;
pub use machine::outbox::{Piece, Transmit};
pub use peer::{Address, Peer, Scheme};
pub use time::{Instant, Now};
pub use version::Version;
pub use wsgi::environ::Variables;
pub use wsgi::log_format::LogFormat;
pub use wsgi::log_format::spec::LogFormatError;
pub use wsgi::record::Record;
pub use wsgi::text::{decode_path, latin1};
