//! The application's half of the machine: one open request and its response.

mod input;
mod output;

use alloc::sync::Arc;

use crate::config::Config;
use crate::endpoints::Endpoints;
use crate::http::head::Head;
use crate::machine::Machine;

/// One open request. [`Connection::exchange`](crate::Connection::exchange) gives it exactly while there is one, so that "no request" is never an
/// error code. Reading the body and sending the response interleave freely.
///
/// ```
/// # use std::sync::Arc;
/// # use wsgi_proto::*;
/// # let now = Now::default();
/// # let mut connection = Connection::new(Arc::default(), Endpoints::new(Address::Local, Address::Local));
/// # let request = b"GET / HTTP/1.0\r\n\r\n";
/// # connection.recv_space().expect("there is room")[..request.len()].copy_from_slice(request);
/// # connection.recv_commit(request.len());
/// assert_eq!(connection.poll(now), Event::Request);
/// let head = connection.take_request().expect("it was announced");
/// assert_eq!(head.path(), b"/");
/// let mut exchange = connection.exchange().expect("the request was taken");
/// exchange.answer("200 OK", [("Content-Type", "text/plain")], "Hello\n")?;
/// assert_eq!(connection.poll(now), Event::Done);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Exchange<'a>(&'a mut Machine);

impl<'a> Exchange<'a> {
    /// The head of the request.
    pub fn head(&self) -> &Arc<Head> {
        // There is one as long as the exchange: it is let go of when the next one begins.
        self.0.head.as_ref().expect("an exchange has a head")
    }

    /// Addresses and scheme of the connection.
    pub fn endpoints(&self) -> &Endpoints {
        &self.0.endpoints
    }

    /// The settings of the connection.
    pub fn config(&self) -> &Arc<Config> {
        &self.0.config
    }

    pub(crate) fn new(machine: &'a mut Machine) -> Self {
        debug_assert!(machine.state.exchange_is_open(), "no exchange is open");
        Self(machine)
    }
}
