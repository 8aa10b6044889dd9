//! WSGI's `start_response` and the `write` handle that it returns.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use wsgi_proto::{Field, Flow, Lost, ResponseHead, SendError, StartError};

use crate::application::fields::Fields;
use crate::exchange::error::Error;
use crate::exchange::handle::Handle;
use crate::exchange::mapped::MappedHandle;
use crate::head::headers::Headers;
use crate::head::status::Status;

/// Starts the response to one request: WSGI's `start_response`.
///
/// ```
/// use wsgi_app::{Body, Environ, NO_HEADERS, Result, StartResponse};
///
/// async fn site(environ: Environ, start_response: StartResponse) -> Result<Body> {
///     if environ.path() != "/" {
///         start_response.start("404 Not Found", NO_HEADERS)?;
///         return Ok(Body::empty());
///     }
///     let headers =
///         [("Content-Type", "text/html"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")];
///     start_response.start("200 OK", headers)?;
///     Ok("<p>Hello</p>".into())
/// }
/// # fn is_an_application(_: impl wsgi_app::Application) {}
/// # is_an_application(site);
/// ```
///
/// Clones belong to the same response, and can be moved to other tasks. A handle that outlives its exchange is
/// harmless: every call returns [`StartError::Over`].
#[derive(Clone, Debug)]
pub struct StartResponse(MappedHandle);

/// For [`Response::start`](crate::Response::start).
impl AsRef<Self> for StartResponse {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl StartResponse {
    #[inline]
    pub(crate) fn new(handle: Handle) -> Self {
        Self(MappedHandle::new(handle))
    }

    /// The handle, without functions.
    pub(crate) fn handle(&self) -> Handle {
        self.0.plain()
    }

    /// A handle for the same response whose heads go through `map`, for middleware: PEP 3333's wrapping of
    /// `start_response`.
    ///
    /// ```
    /// use wsgi_app::{Application, Body, Environ, Result, StartResponse};
    ///
    /// /// Middleware that keeps responses out of frames, whatever its application sends.
    /// struct Unframed<A>(A);
    ///
    /// impl<A: Application> Application for Unframed<A> {
    ///     async fn call(
    ///         &self,
    ///         environ: Environ,
    ///         start_response: StartResponse,
    ///     ) -> Result<Body> {
    ///         let start_response = start_response.map(|_status, headers| {
    ///             headers.insert_default("X-Frame-Options", "DENY");
    ///         });
    ///         self.0.call(environ, start_response).await
    ///     }
    /// }
    /// ```
    ///
    /// `map` is called for each head that the new handle, its clones and the handles that are mapped from it start or
    /// [restart](Self::restart); handles that were there before do not change. So the functions of several middlewares nest:
    /// that of the outermost is called last. It is also called for the response of the server to an error or a panic of the
    /// application, or if it started nothing: the functions of the handle that was mapped last change that head. It is not
    /// called for [interim responses](Self::inform).
    ///
    /// It runs without a lock, where the head is started. If it panics, the application fails. In a response of the server,
    /// a panic, or a head that HTTP does not allow, is logged, and the response is sent without changes.
    ///
    /// A `Content-Length` among the fields is one that the application set. Middleware that changes the length of the body
    /// removes it; the server then adds the length of the body that middleware returns, if it is known.
    ///
    /// # Panics
    ///
    /// If it is called 16 million times for one response: all functions are kept until its end.
    #[must_use = "the handle itself does not change"]
    pub fn map(&self, map: impl Fn(&mut Status, &mut Headers) + Send + Sync + 'static) -> Self {
        Self(self.0.map(map))
    }

    /// The handle without functions, and the head after the functions of [`map`](Self::map).
    fn mapped(&self, status: &str, mut headers: Headers) -> (Self, Status, Headers) {
        let mut status = status.to_owned().into();
        self.0.maps().apply(&mut status, &mut headers);
        (Self::new(self.handle()), status, headers)
    }

    #[cold]
    fn start_mapped(&self, status: &str, headers: Headers) -> Result<Write, StartError> {
        match self.handle().look(|exchange| exchange.is_started()) {
            None => Err(StartError::Over),
            Some(true) => Err(StartError::AlreadyStarted),
            Some(false) => {
                let (start_response, status, headers) = self.mapped(status, headers);
                start_response.start(status, &headers)
            }
        }
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
        let Some(handle) = self.0.unmapped() else {
            return self.start_mapped(status.as_ref(), headers.into_iter().collect());
        };
        // The application's iterator runs outside the lock.
        let draft = handle.look(|mut exchange| match exchange.is_started() {
            true => Err(StartError::AlreadyStarted),
            false => Ok(exchange.draft()),
        });
        let head = draft.unwrap_or(Err(StartError::Over))?.write(status.as_ref(), headers)?;
        let started = handle.with(|mut exchange| exchange.respond_with(head));
        started.unwrap_or(Err(StartError::Over))?;
        Ok(Write(handle.clone()))
    }

    /// Checks a status and header fields, as [`start`](Self::start) does, and keeps them for
    /// [`start_with`](Self::start_with): for many responses, of any connection of this server.
    ///
    /// ```
    /// use std::sync::OnceLock;
    /// use wsgi_app::{Body, Environ, ResponseHead, Result, StartResponse};
    ///
    /// async fn hello(_environ: Environ, start_response: StartResponse) -> Result<Body> {
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
    /// # fn is_an_application(_: impl wsgi_app::Application) {}
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
        ResponseHead::new(&self.handle().server_context().config, status.as_ref(), headers)
    }

    /// Starts the response with a head that was [prepared](Self::prepare) before: the cheapest way to start one. If the
    /// handle is [mapped](Self::map), the head is changed and checked again, as [`start`](Self::start) does.
    ///
    /// # Errors
    ///
    /// [`StartError::AlreadyStarted`] at the second call, [`StartError::Over`] after the exchange, and
    /// [`StartError::CannotSwitch`] for a 101 to a client of HTTP/1.0.
    pub fn start_with(&self, head: &ResponseHead) -> Result<Write, StartError> {
        let Some(handle) = self.0.unmapped() else {
            return self.start_mapped(head.status(), head.fields().collect());
        };
        let started = handle.with(|mut exchange| exchange.respond_with(head));
        started.unwrap_or(Err(StartError::Over))?;
        Ok(Write(handle.clone()))
    }

    /// Replaces a started response because of `error`: WSGI's `exc_info`. If no response was started, it starts one.
    ///
    /// ```
    /// use wsgi_app::{Application, Body, Environ, Result, StartResponse};
    ///
    /// /// Middleware that answers with its own error page.
    /// struct ErrorPage<A>(A);
    ///
    /// impl<A: Application> Application for ErrorPage<A> {
    ///     async fn call(
    ///         &self,
    ///         environ: Environ,
    ///         start_response: StartResponse,
    ///     ) -> Result<Body> {
    ///         match self.0.call(environ, start_response.clone()).await {
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
        let Some(handle) = self.0.unmapped() else {
            if self.handle().look(|exchange| exchange.head_is_sent()) == Some(true) {
                return Err(error.into());
            }
            let (start_response, status, headers) =
                self.mapped(status.as_ref(), headers.into_iter().collect());
            return start_response.restart(status, &headers, error);
        };
        let Some(draft) = handle.look(|mut exchange| exchange.draft()) else {
            return Err(StartError::Over.into());
        };
        let head = draft.write(status.as_ref(), headers)?;
        match handle.with(|mut exchange| exchange.replace_with(head)) {
            Some(Ok(())) => Ok(Write(handle.clone())),
            Some(Err(StartError::HeadSent)) => Err(error.into()),
            Some(Err(refused)) => Err(refused.into()),
            None => Err(StartError::Over.into()),
        }
    }

    /// Sends an interim response now, such as `103 Early Hints` or `102 Processing`.
    ///
    /// ```
    /// # use wsgi_app::{Body, Environ, Result, StartResponse};
    /// async fn page(_environ: Environ, start_response: StartResponse) -> Result<Body> {
    ///     start_response
    ///         .inform("103 Early Hints", [("Link", "</style.css>; rel=preload; as=style")])?;
    ///     start_response.start("200 OK", [("Content-Type", "text/html")])?;
    ///     Ok("<link rel=stylesheet href=/style.css>".into())
    /// }
    /// # fn is_an_application(_: impl wsgi_app::Application) {}
    /// # is_an_application(page);
    /// ```
    ///
    /// No effect for HTTP/1.0 clients, and after the response has begun. A `100` replaces the automatic one.
    ///
    /// # Errors
    ///
    /// [`StartError::NotInterim`] if the status is not a code from 100 to 199 other than 101; other variants if a field
    /// is not allowed. [`StartError::Full`] if the client does not read and too much is waiting to be sent
    /// (`limits.outbox`). [`StartError::Over`] after the exchange.
    pub fn inform(
        &self,
        status: impl AsRef<str>,
        headers: impl IntoIterator<Item = impl Field>, // none: `NO_HEADERS`
    ) -> Result<(), StartError> {
        let (status, headers) = (status.as_ref(), Fields::collect(headers));
        let informed = self.handle().with(|mut exchange| exchange.inform(status, headers));
        informed.unwrap_or(Err(StartError::Over))
    }
}

/// Sends blocks of the body before, or instead of, the body that the application returns: WSGI's `write`.
///
/// [`StartResponse::start`] returns it.
///
/// ```
/// use wsgi_app::{Body, Environ, Result, StartResponse};
///
/// async fn progress(_environ: Environ, start_response: StartResponse) -> Result<Body> {
///     let write = start_response.start("200 OK", [("Content-Type", "text/plain")])?;
///     for percent in [0, 50, 100] {
///         write.write(format!("{percent} %\n")).await?;
///     }
///     Ok("done\n".into())
/// }
/// # fn is_an_application(_: impl wsgi_app::Application) {}
/// # is_an_application(progress);
/// ```
///
/// The response ends when the application returns, after the body that it returns. Clones belong to the same response,
/// and can be moved to other tasks. A handle that outlives its exchange is harmless: every call returns
/// [`SendError::Finished`].
#[derive(Clone, Debug)]
pub struct Write(pub(crate) Handle);

impl Write {
    /// Sends one block as its own chunk, of any length and whatever `minimum_chunk_size` is. An empty block sends the
    /// head.
    ///
    /// Waits while more than `limits.outbox` bytes (64 KiB by default) wait to be sent; `socket_timeout` bounds that
    /// wait. When it returns, the block may still be in the outbox; see [`flush`](Self::flush). For HEAD and other
    /// responses without a body the block is dropped, and that is not an error until the client has left.
    ///
    /// If the future is dropped before it is ready, the block may have been taken or not.
    ///
    /// # Errors
    ///
    /// [`SendError::TooLong`] if the body exceeds the `Content-Length`; the part that fits was sent.
    /// [`SendError::Lost`] if the client disconnected: return it, and nothing is logged as an error.
    /// [`SendError::Finished`] after the exchange.
    pub fn write(&self, block: impl Into<Bytes>) -> Writing<'_> {
        Writing { handle: &self.0, block: Some(block.into()), dropped: false }
    }

    /// Sets the trailer fields, which are sent after a chunked body. They replace those set before.
    ///
    /// ```
    /// # use wsgi_app::{Body, Environ, Result, StartResponse};
    /// async fn summed(_environ: Environ, start_response: StartResponse) -> Result<Body> {
    ///     let headers = [("Content-Type", "text/plain"), ("Trailer", "X-Sum")];
    ///     let write = start_response.start("200 OK", headers)?;
    ///     let mut sum = 0;
    ///     for number in 1..=3 {
    ///         sum += number;
    ///         write.write(format!("{number}\n")).await?;
    ///     }
    ///     write.set_trailers([("X-Sum", sum.to_string())])?;
    ///     Ok(Body::empty())
    /// }
    /// # fn is_an_application(_: impl wsgi_app::Application) {}
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
        let trailers = Fields::collect(trailers);
        let set = self.0.with(|mut exchange| exchange.set_trailers(trailers));
        set.unwrap_or(Err(SendError::Finished))
    }

    /// Sends blocks that wait to be joined, then waits until the transport has taken everything, the connection is
    /// lost, or the exchange is over. `socket_timeout` bounds each wait.
    ///
    /// The bytes may still be in the buffers of the system. The next [`write`](Self::write) reports a lost connection.
    pub async fn flush(&self) {
        let mut joined = false;
        poll_fn(|context| {
            while !joined {
                match self.0.with(|mut exchange| exchange.send_joined()) {
                    Some(Err(SendError::Full)) => ready!(poll_room(&self.0, context)),
                    _ => joined = true,
                }
            }
            self.0.poll_until(context, |exchange| exchange.is_flushed())
        })
        .await;
    }
}

/// The future of [`Write::write`].
// The type does not depend on that of the block: with an `async fn`, the compiler would report a block that cannot be
// sent three times.
#[derive(Debug)]
#[must_use = "nothing is sent before this is awaited"]
pub struct Writing<'a> {
    handle: &'a Handle,
    block: Option<Bytes>,
    /// The block was dropped, because the response has no body.
    dropped: bool,
}

impl Future for Writing<'_> {
    type Output = Result<(), SendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { handle, block, dropped } = &mut *self;
        while block.is_some() {
            let sent = handle.with(|mut exchange| {
                // Other handles may have filled the outbox.
                let Some(block) = block.take_if(|_| !exchange.is_full()) else { return Ok(Flow::Full) };
                let sent = exchange.send_now(block);
                *dropped = exchange.drops_body();
                sent
            });
            match sent.unwrap_or(Err(SendError::Finished))? {
                Flow::Ready if *dropped => {
                    // Without an end of its own, the application would never let the connection's task notice that the client
                    // has left.
                    handle.with(|mut exchange| exchange.watch_peer());
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Flow::Ready => return Poll::Ready(Ok(())),
                Flow::Full => ready!(poll_room(handle, context)),
            }
        }
        if *dropped {
            let is_gone = handle.look(|exchange| exchange.is_flushed() && exchange.client_gone());
            return Poll::Ready(if is_gone == Some(true) {
                Err(SendError::Lost(Lost::Aborted))
            } else {
                Ok(())
            });
        }
        poll_room(handle, context).map(Ok)
    }
}

/// Waits until the outbox has room for a block.
fn poll_room(handle: &Handle, context: &mut Context<'_>) -> Poll<()> {
    handle.poll_until(context, |exchange| !exchange.is_full())
}
