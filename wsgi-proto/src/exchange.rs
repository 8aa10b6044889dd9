//! The application's half of the machine: one open request and its response.

// The documentation lists the methods in this order, that of their use. Empty lines keep rustfmt from sorting the groups.
mod input;
mod interim;
mod start;

mod answer;
mod send;

mod finish;

mod failure;
mod take_over;

use alloc::sync::Arc;

use crate::config::Config;
use crate::endpoints::Endpoints;
use crate::error::Lost;
use crate::event::{Event, Io};
use crate::http::head::Head;
use crate::machine::Machine;
use crate::machine::memory::Memory;
use crate::time::Now;

/// One open request and its response.
///
/// [`Connection::exchange`](crate::Connection::exchange) returns it only while a request is open, so "no request" is
/// never an error code. It borrows the connection: drop it when the driver has to continue, and borrow it again later.
/// Reading the body and sending the response may interleave.
///
/// The exchange is open from [`Connection::take_request`](crate::Connection::take_request) until one of
/// [`finish`](Self::finish), [`answer`](Self::answer), [`refuse`](Self::refuse), [`fail`](Self::fail),
/// [`abort`](Self::abort) and [`take_over`](Self::take_over) ends it. Further calls on the same value return
/// [`SendError::Finished`](crate::SendError::Finished), [`StartError::Over`](crate::StartError::Over) or
/// [`BodyError::Finished`](crate::BodyError::Finished), or have no effect.
///
/// The examples of the methods use the functions `open` and `flush` of this one:
///
/// ```
/// use std::sync::Arc;
/// use wsgi_proto::*;
///
/// /// A connection that has received `request`, with its exchange open.
/// fn open(request: &[u8]) -> Connection {
///     let endpoints = Endpoints::new(Address::Local, Address::Local);
///     let mut connection = Connection::new(Arc::default(), endpoints);
///     connection.recv_space().expect("a new connection has room")[..request.len()]
///         .copy_from_slice(request);
///     connection.recv_commit(request.len());
///     assert_eq!(connection.poll(Now::default()), Event::Request);
///     connection.take_request();
///     connection
/// }
///
/// /// Transmits everything and returns it.
/// fn flush(connection: &mut Connection) -> String {
///     let bytes = connection.transmit().slices().concat();
///     connection.transmitted(bytes.len());
///     String::from_utf8(bytes).expect("the responses are text")
/// }
///
/// let mut connection =
///     open(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
/// let now = Now::default();
/// let mut exchange = connection.exchange().expect("a request is open");
/// assert_eq!((exchange.head().method(), exchange.head().path()), ("POST", &b"/a"[..]));
/// assert!(matches!(exchange.body(now)?, BodyEvent::Data(b"hello")));
/// exchange.consume(5);
/// assert!(matches!(exchange.body(now)?, BodyEvent::End(_)));
/// exchange.answer("200 OK", [("Content-Type", "text/plain")], "Hello\n")?;
/// assert_eq!(exchange.finish(), Err(SendError::Finished));
///
/// assert!(connection.exchange().is_none());
/// assert_eq!(connection.poll(now), Event::Done);
/// assert!(flush(&mut connection).ends_with("\r\n\r\nHello\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Exchange<'a>(&'a mut Machine);

impl<'a> Exchange<'a> {
    /// The head of the request. Clone the [`Arc`] to keep it longer than the exchange.
    pub fn head(&self) -> &Arc<Head> {
        // The machine keeps it until it reads the next head.
        self.0.memory.get().and_then(|memory| memory.head.as_ref()).expect("an exchange has a head")
    }

    /// Addresses and scheme of the connection.
    pub fn endpoints(&self) -> &Endpoints {
        &self.0.endpoints
    }

    /// The settings of the connection.
    pub fn config(&self) -> &Arc<Config> {
        &self.0.config
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

    /// The memory of the connection, which keeps it while the exchange is open.
    #[inline]
    fn memory(&mut self) -> &mut Memory {
        self.0.memory.get_or_make()
    }

    pub(crate) fn new(machine: &'a mut Machine) -> Self {
        debug_assert!(machine.state.exchange_is_open(), "no exchange is open");
        Self(machine)
    }
}
