//! Applications that call the machine themselves, without `environ` and `start_response`.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::Arc;

use wsgi_proto::{Config, Endpoints, Exchange, Head, Record, Variables};

use crate::application::blocking::Blocking;
use crate::application::body::Body;
use crate::application::environ::Errors;
use crate::exchange::error::Result;
use crate::exchange::handle::Handle;
use crate::io::tls::Tls;

/// A blocking application that starts and sends its response by calls of the [`Exchange`]: for programs that embed the
/// server in another language, and have their own `environ` and `start_response`.
///
/// It saves what [`Environ`](crate::blocking::Environ) and [`StartResponse`](crate::blocking::StartResponse) cost. The
/// [module](crate::adapter::raw) has an example. To serve it, wrap it in [`Raw`].
pub trait RawApplication: Send + Sync + 'static {
    /// Runs one request.
    ///
    /// It runs on a thread of the server and may block it, like
    /// [`Application::call`](crate::blocking::Application::call).
    ///
    /// Returns the rest of the body: [`Body::empty`] if the application has sent everything itself, for instance by
    /// [`Exchange::answer`]. An exchange that is still open then ends as after [`Exchange::finish`]. A
    /// [`Body::file`] is sent by the server.
    ///
    /// # Errors
    ///
    /// Any error that ends the request. As for other applications, the client gets 500, or the status of an
    /// [`InputError`](crate::InputError) that the client caused; a response whose head was sent is cut.
    ///
    /// The text of the error may have several lines, such as a traceback. Each is an error entry of the log; with the
    /// option `debug`, the text is the body of the 500.
    fn call(&self, request: &RawRequest) -> Result<Body>;
}

impl<F: Fn(&RawRequest) -> Result<Body> + Send + Sync + 'static> RawApplication for F {
    fn call(&self, request: &RawRequest) -> Result<Body> {
        self(request)
    }
}

/// A [`RawApplication`] as a [blocking application](crate::blocking::Application), for servers and middleware.
///
/// Without middleware around it, the server calls it without making an `environ`.
pub struct Raw(pub(crate) Box<dyn RawApplication>);

impl Raw {
    /// Wraps a raw application.
    pub fn new(application: impl RawApplication) -> Self {
        Self(Box::new(application))
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Raw").finish_non_exhaustive()
    }
}

/// Whether a server of the application `A` runs raw requests. The compiler knows the result.
#[inline]
pub(crate) fn is_raw<A: 'static>() -> bool {
    TypeId::of::<A>() == TypeId::of::<Blocking<Raw>>()
}

/// One request of a [`RawApplication`]: its head, and access to its open exchange.
///
/// Clones belong to the same request, and can be moved to other threads. A clone that outlives the exchange is harmless:
/// every call reports that the exchange is over.
#[derive(Clone)]
pub struct RawRequest {
    pub(crate) head: Arc<Head>,
    pub(crate) endpoints: Endpoints,
    pub(crate) handle: Handle,
}

impl RawRequest {
    /// The head as received.
    pub fn head(&self) -> &Arc<Head> {
        &self.head
    }

    /// The addresses and the scheme of the connection.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// What TLS has negotiated on the connection; `None` if it is not encrypted.
    pub fn tls(&self) -> Option<&Tls> {
        self.handle.tls()
    }

    /// The settings of the server.
    pub fn config(&self) -> &Arc<Config> {
        &self.handle.server_context().config
    }

    /// The CGI and WSGI variables of the request.
    pub fn variables(&self) -> Variables<'_> {
        Variables::new(&self.head, &self.endpoints, self.config())
    }

    /// Runs `call` on the open exchange; `None` if the exchange is over.
    ///
    /// The connection is locked during the call: it must not wait, and must not call a method of this request. What it
    /// sends is written when the application returns or waits, or by [`flush`](Self::flush) or
    /// [`flush_soon`](Self::flush_soon). If the outbox is full, by earlier blocks or by the responses to pipelined requests,
    /// the exchange returns [`SendError::Full`](wsgi_proto::SendError::Full): call [`wait_for_room`](Self::wait_for_room),
    /// then send again.
    pub fn with<R>(&self, call: impl FnOnce(Exchange<'_>) -> R) -> Option<R> {
        self.handle.with_at(|| self.handle.now(), call)
    }

    /// Calls `hook` once, after the response was sent completely or the client disconnected. The [`Record`] shows what was
    /// really sent.
    ///
    /// Hooks run in the order in which they were added, in the connection's own task, before the next request on this
    /// connection. If a hook panics, that is logged, and the later hooks still run.
    ///
    /// Add hooks before the end of the exchange. Later it has no effect, and returns false.
    pub fn add_post_hook(&self, hook: impl FnOnce(&Record) + Send + 'static) -> bool {
        self.handle.add_hook(Box::new(hook))
    }

    /// The value that the application keeps for the connection of this request, such as its addresses in another form. The
    /// first call sets it to the result of `make`. `None` if it was set to a value of another type.
    ///
    /// If several threads call it at the same time, each may call `make`, and all get the same value. It is dropped when
    /// the connection has ended and the last clone of each of its requests was dropped.
    pub fn connection_value<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Option<&T> {
        self.handle.connection_value(make)
    }

    /// A writer to the server's log (`wsgi.errors`). Each line becomes one error entry.
    pub fn errors(&self) -> Errors {
        Errors::new(self.handle.clone())
    }
}

impl fmt::Debug for RawRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RawRequest").field(&self.head).finish()
    }
}
