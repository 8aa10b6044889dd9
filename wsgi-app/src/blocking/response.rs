//! WSGI's `start_response` and `write` for blocking applications.

use std::io;

use bytes::Bytes;
use wsgi_proto::{Field, ResponseHead, SendError, StartError};

use crate::application::start_response::StartResponse as AsyncStartResponse;
use crate::application::start_response::Write as AsyncWrite;
use crate::exchange::error::Error;
use crate::exchange::handle::Handle;
use crate::head::headers::Headers;
use crate::head::status::Status;

/// Starts the response to one request: WSGI's `start_response`.
///
/// ```
/// use wsgi_app::blocking::{Environ, StartResponse};
/// use wsgi_app::{Body, NO_HEADERS, Result};
///
/// fn site(environ: Environ, start_response: StartResponse) -> Result<Body> {
///     if environ.path() != "/" {
///         start_response.start("404 Not Found", NO_HEADERS)?;
///         return Ok(Body::empty());
///     }
///     let headers =
///         [("Content-Type", "text/html"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")];
///     start_response.start("200 OK", headers)?;
///     Ok("<p>Hello</p>".into())
/// }
/// # fn is_an_application(_: impl wsgi_app::blocking::Application) {}
/// # is_an_application(site);
/// ```
///
/// Clones belong to the same response, and can be moved to other threads. A handle that outlives its exchange is
/// harmless: every call returns [`StartError::Over`].
#[derive(Clone, Debug)]
pub struct StartResponse(pub(super) AsyncStartResponse);

/// For [`Response::start`](crate::Response::start).
impl AsRef<AsyncStartResponse> for StartResponse {
    fn as_ref(&self) -> &AsyncStartResponse {
        &self.0
    }
}

impl StartResponse {
    /// A handle for the same response whose heads go through `map`, for middleware: PEP 3333's wrapping of
    /// `start_response`.
    ///
    /// ```
    /// use wsgi_app::blocking::{Application, Environ, StartResponse};
    /// use wsgi_app::{Body, Result};
    ///
    /// /// Middleware that keeps responses out of frames, whatever its application sends.
    /// struct Unframed<A>(A);
    ///
    /// impl<A: Application> Application for Unframed<A> {
    ///     fn call(&self, environ: Environ, start_response: StartResponse) -> Result<Body> {
    ///         let start_response = start_response.map(|_status, headers| {
    ///             headers.insert_default("X-Frame-Options", "DENY");
    ///         });
    ///         self.0.call(environ, start_response)
    ///     }
    /// }
    /// ```
    ///
    /// It holds for what [`wsgi_app::StartResponse::map`](crate::StartResponse::map) names: each head that the handle starts
    /// or restarts, and the response of the server to an application that fails.
    #[must_use = "the handle itself does not change"]
    pub fn map(&self, map: impl Fn(&mut Status, &mut Headers) + Send + Sync + 'static) -> Self {
        Self(self.0.map(map))
    }

    /// Starts the response with a status, such as `"200 OK"`, and header fields. Nothing is sent before the first block
    /// of the body.
    ///
    /// The status is a code from 200 to 599, or 101, then a space and a reason. `"200"` without a reason is allowed.
    ///
    /// Header fields are pairs of a name and a value, of any type that implements [`FieldBytes`](crate::FieldBytes):
    /// text or bytes, borrowed or owned. For a response without header fields, pass [`NO_HEADERS`](crate::NO_HEADERS).
    ///
    /// The server adds `Date`, `Connection`, `Transfer-Encoding`, and `Content-Length` if the length is known. It adds
    /// no `Content-Type` and no `Server`. `Connection: close` among the headers closes the connection after the
    /// response. An `Upgrade` is listed in `Connection`. Of several `Date` or `Content-Type` headers the last one
    /// counts.
    ///
    /// The returned [`Write`] can be ignored: the body that the application returns follows by itself.
    ///
    /// # Errors
    ///
    /// [`StartError::AlreadyStarted`] at the second call (see [`restart`](Self::restart)), [`StartError::Over`] after
    /// the exchange. Other variants name the status or header that HTTP does not allow; nothing is started then. If
    /// the application returns the error, the client gets 500.
    pub fn start(
        &self,
        status: impl AsRef<str>,
        headers: impl IntoIterator<Item = impl Field>, // none: `NO_HEADERS`
    ) -> Result<Write, StartError> {
        self.0.start(status, headers).map(Write)
    }

    /// Checks a status and header fields, as [`start`](Self::start) does, and keeps them for
    /// [`start_with`](Self::start_with): for many responses, of any connection of this server.
    ///
    /// ```
    /// use std::sync::OnceLock;
    /// use wsgi_app::blocking::{Environ, StartResponse};
    /// use wsgi_app::{Body, ResponseHead, Result};
    ///
    /// fn hello(_environ: Environ, start_response: StartResponse) -> Result<Body> {
    ///     static HEAD: OnceLock<ResponseHead> = OnceLock::new();
    ///     let head = match HEAD.get() {
    ///         Some(head) => head,
    ///         None => {
    ///             let head = start_response.prepare("200 OK", [("Content-Type", "text/plain")])?;
    ///             HEAD.get_or_init(|| head)
    ///         }
    ///     };
    ///     start_response.start_with(head)?;
    ///     Ok("Hello\n".into())
    /// }
    /// # fn is_an_application(_: impl wsgi_app::blocking::Application) {}
    /// # is_an_application(hello);
    /// ```
    ///
    /// # Errors
    ///
    /// A [`StartError`] that names the status or header that HTTP does not allow.
    pub fn prepare(
        &self,
        status: impl AsRef<str>,
        headers: impl IntoIterator<Item = impl Field>, // none: `NO_HEADERS`
    ) -> Result<ResponseHead, StartError> {
        self.0.prepare(status, headers)
    }

    /// Starts the response with a head that was [prepared](Self::prepare) before: the cheapest way to start one. If the
    /// handle is [mapped](Self::map), the head is changed and checked again, as [`start`](Self::start) does.
    ///
    /// # Errors
    ///
    /// [`StartError::AlreadyStarted`] at the second call, [`StartError::Over`] after the exchange, and
    /// [`StartError::CannotSwitch`] for a 101 to a client of HTTP/1.0.
    pub fn start_with(&self, head: &ResponseHead) -> Result<Write, StartError> {
        self.0.start_with(head).map(Write)
    }

    /// Replaces a started response because of `error`: WSGI's `exc_info`. If no response was started, it starts one.
    ///
    /// ```
    /// use wsgi_app::blocking::{Application, Environ, StartResponse};
    /// use wsgi_app::{Body, Result};
    ///
    /// /// Middleware that answers with its own error page.
    /// struct ErrorPage<A>(A);
    ///
    /// impl<A: Application> Application for ErrorPage<A> {
    ///     fn call(&self, environ: Environ, start_response: StartResponse) -> Result<Body> {
    ///         match self.0.call(environ, start_response.clone()) {
    ///             Ok(body) => Ok(body),
    ///             Err(error) => {
    ///                 start_response.restart(
    ///                     "503 Service Unavailable",
    ///                     [("Content-Type", "text/html")],
    ///                     error,
    ///                 )?;
    ///                 Ok("<h1>Sorry</h1>".into())
    ///             }
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// Blocks that wait to be joined, and trailers, are discarded. The error is not logged.
    ///
    /// # Errors
    ///
    /// `error` itself if the head was already sent: return it, and the response is cut. A [`StartError`] instead
    /// of it if the new head is not allowed, and [`StartError::Over`] after the exchange.
    pub fn restart(
        &self,
        status: impl AsRef<str>,
        headers: impl IntoIterator<Item = impl Field>, // none: `NO_HEADERS`
        error: impl Into<Error>,
    ) -> Result<Write, Error> {
        self.0.restart(status, headers, error).map(Write)
    }

    /// Sends an interim response now, such as `103 Early Hints` or `102 Processing`. It waits as
    /// [`Write::write`] does.
    ///
    /// ```
    /// # use wsgi_app::{Body, Result, blocking::{Environ, StartResponse}};
    /// fn page(_environ: Environ, start_response: StartResponse) -> Result<Body> {
    ///     start_response
    ///         .inform("103 Early Hints", [("Link", "</style.css>; rel=preload; as=style")])?;
    ///     start_response.start("200 OK", [("Content-Type", "text/html")])?;
    ///     Ok("<link rel=stylesheet href=/style.css>".into())
    /// }
    /// # fn is_an_application(_: impl wsgi_app::blocking::Application) {}
    /// # is_an_application(page);
    /// ```
    ///
    /// No effect for HTTP/1.0 clients, and after the response has begun. A `100` replaces the automatic one.
    ///
    /// # Errors
    ///
    /// [`StartError::NotInterim`] if the status is not a code from 100 to 199 other than 101; other variants if a field
    /// is not allowed. [`StartError::Full`] if other threads have filled the outbox (`limits.outbox`).
    /// [`StartError::Over`] after the exchange.
    pub fn inform(
        &self,
        status: impl AsRef<str>,
        headers: impl IntoIterator<Item = impl Field>, // none: `NO_HEADERS`
    ) -> Result<(), StartError> {
        self.0.inform(status, headers)?;
        self.0.handle().flush_itself();
        Ok(())
    }
}

/// Sends blocks of the body before, or instead of, the body that the application returns: WSGI's `write`.
///
/// [`StartResponse::start`] returns it.
///
/// ```
/// use std::io::Write as _;
/// use wsgi_app::blocking::{Environ, StartResponse};
/// use wsgi_app::{Body, Result};
///
/// fn report(_environ: Environ, start_response: StartResponse) -> Result<Body> {
///     let mut write = start_response.start("200 OK", [("Content-Type", "text/plain")])?;
///     write.write("a block as it is\n")?;
///     writeln!(write, "and {} with `io::Write`", "formatted text")?;
///     Ok(Body::empty())
/// }
/// # fn is_an_application(_: impl wsgi_app::blocking::Application) {}
/// # is_an_application(report);
/// ```
///
/// The response ends when the application returns, after the body that it returns. Clones belong to the same response,
/// and can be moved to other threads. A handle that outlives its exchange is harmless: every call returns
/// [`SendError::Finished`].
///
/// As an [`io::Write`] it sends each block immediately, and `write!` makes many small ones: wrap it in an
/// [`io::BufWriter`] for long texts. Empty blocks are ignored there. Its errors have the [`SendError`] inside.
#[derive(Clone, Debug)]
pub struct Write(AsyncWrite);

impl Write {
    /// Sends one block as its own chunk, of any length and whatever `minimum_chunk_size` is. An empty block sends the
    /// head.
    ///
    /// Waits until the system has taken the block (PEP 3333); `socket_timeout` bounds each wait. On an asynchronous adapter
    /// it waits only while more than `limits.outbox` bytes wait to be sent: the connection's task sends the block while the
    /// application continues, as PEP 3333 allows. For HEAD and other responses without a body the block is dropped, and that
    /// is not an error until the client has left.
    ///
    /// # Errors
    ///
    /// [`SendError::TooLong`] if the body exceeds the `Content-Length`; the part that fits was sent.
    /// [`SendError::Lost`] if the client disconnected: return it, and nothing is logged as an error.
    /// [`SendError::Finished`] after the exchange.
    pub fn write(&self, block: impl Into<Bytes>) -> Result<(), SendError> {
        self.0.0.block_on(self.0.write(block))?;
        self.0.0.flush_itself();
        Ok(())
    }

    /// Sets the trailer fields, which are sent after a chunked body. They replace those set before.
    ///
    /// ```
    /// # use wsgi_app::{Body, Result, blocking::{Environ, StartResponse}};
    /// fn summed(_environ: Environ, start_response: StartResponse) -> Result<Body> {
    ///     let write = start_response.start("200 OK", [("Trailer", "X-Sum")])?;
    ///     write.write("1\n2\n")?;
    ///     write.set_trailers([("X-Sum", "3")])?;
    ///     Ok(Body::empty())
    /// }
    /// # fn is_an_application(_: impl wsgi_app::blocking::Application) {}
    /// # is_an_application(summed);
    /// ```
    ///
    /// No effect if the response is not chunked, because it has a `Content-Length` or the client speaks HTTP/1.0.
    ///
    /// # Errors
    ///
    /// [`SendError::Trailer`] if a field is malformed or not allowed as a trailer; then there are no trailers.
    /// [`SendError::Finished`] after the exchange.
    pub fn set_trailers(&self, trailers: impl IntoIterator<Item = impl Field>) -> Result<(), SendError> {
        self.0.set_trailers(trailers)
    }

    /// Sends blocks that wait to be joined, then waits until the transport has taken everything, the connection is
    /// lost, or the exchange is over. `socket_timeout` bounds each wait.
    ///
    /// The bytes may still be in the buffers of the system. The next [`write`](Self::write) reports a lost connection.
    pub fn flush(&self) {
        self.0.0.block_on(self.0.flush());
    }
}

impl io::Write for Write {
    fn write(&mut self, block: &[u8]) -> io::Result<usize> {
        if !block.is_empty() {
            Self::write(self, Bytes::copy_from_slice(block)).map_err(io::Error::other)?;
        }
        Ok(block.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Self::flush(self);
        Ok(())
    }
}

impl Handle {
    pub(super) fn flush(&self) {
        self.block_on(std::future::poll_fn(|context| {
            self.poll_until(context, |exchange| exchange.is_flushed())
        }));
    }
}
