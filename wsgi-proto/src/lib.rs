//! HTTP/1.x for servers, with the rules of WSGI, as a pure state machine.
//!
//! This crate moves no bytes. It knows no socket, no clock, no thread, no runtime: bytes become [`Event`]s, and the
//! application's calls become bytes. Whoever has a transport drives a [`Connection`] with one question, "what now?":
//!
//! ```
//! use std::io::{Read, Write};
//! use std::sync::Arc;
//! use wsgi_proto::{Address, Buffers, Connection, Event, Instant, Lost, Now, Peer};
//!
//! fn serve(mut stream: impl Read + Write, mut clock: impl FnMut() -> Now) -> std::io::Result<()> {
//!     let mut connection = Connection::new(Arc::default(), Peer::new(Address::Unix, Address::Unix));
//!     connection.lend(Buffers::new());
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
//!             Event::Io(_) => match stream.read(connection.recv_space())? {
//!                 0 => connection.recv_eof(),
//!                 n => connection.recv_commit(n),
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

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod body;
mod buffers;
mod config;
mod connection;
mod date;
mod environ;
mod error;
mod event;
mod exchange;
mod head;
mod inbox;
mod log_format;
mod outbox;
mod parse;
mod peer;
mod record;
mod request_line;
mod response;
mod scan;
mod state;
mod target;
mod time;
mod token;
mod word;

pub use body::Trailers;
pub use buffers::Buffers;
pub use config::{Config, KeepAlive, Limits};
pub use connection::Connection;
pub use date::{DateError, format_date_time};
pub use environ::{Variables, decode_path, latin1};
pub use error::{BodyError, CloseReason, Lost, RequestError, SendError, StartError};
pub use event::{BodyEvent, Event, Flow, Io, Reason};
pub use exchange::Exchange;
pub use head::{BodyLength, Head, Version};
pub use log_format::{LogFormat, LogFormatError};
pub use outbox::{Piece, Transmit};
pub use peer::{Address, Peer, Scheme};
pub use record::Record;
pub use response::ResponseHead;
pub use time::{Instant, Now};
