//! Applications of `tower::Service`.

pub(crate) mod upgrade;

use std::fmt;
use std::future::{Future, poll_fn};
use std::io::Write as _;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use http::{Extensions, Request, StatusCode};
use http_body::Body as HttpBody;
use tower_service::Service;
use wsgi_proto::{Lost, NO_HEADERS, SendError, Version};

use crate::application::Application;
use crate::application::body::Body;
use crate::application::environ::Environ;
use crate::application::input::Input;
use crate::application::start_response::StartResponse;
use crate::exchange::error::{Error, Result};
use crate::exchange::handle::Handle;
use crate::head::status::Status;
use crate::http_types::response::{Frames, announced, fields};
use crate::http_types::spare;
use crate::sync::{Mutex, lock};
use crate::tower::upgrade::Upgrade;

/// Feature `tower`. Turns a [`Service`] into an application, if it has the types of the crate `http`, such as a `Router` of axum.
///
/// ```
/// use std::convert::Infallible;
/// use std::future::{Ready, ready};
/// use std::task::{Context, Poll};
/// use http::{Request, Response};
/// use wsgi_app::{Input, tower};
///
/// #[derive(Clone)]
/// struct Hello;
///
/// impl tower_service::Service<Request<Input>> for Hello {
///     type Response = Response<String>;
///     type Error = Infallible;
///     type Future = Ready<Result<Self::Response, Infallible>>;
///
///     fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
///         Poll::Ready(Ok(()))
///     }
///
///     fn call(&mut self, request: Request<Input>) -> Self::Future {
///         ready(Ok(Response::new(format!("Hello from {}\n", request.uri().path()))))
///     }
/// }
///
/// let application = tower(Hello);
/// # fn is_an_application(_: impl wsgi_app::Application) {}
/// # is_an_application(application);
/// ```
///
/// Each request is served by a clone of the service. The request has the [`Input`] as its body, with trailers, and among its
/// extensions:
///
/// | extension | for |
/// | --- | --- |
/// | [`Environ`] | the addresses and the scheme, interim responses, post hooks, the log |
/// | [`Tls`](crate::Tls), on an encrypted connection | the client's certificates, the server name, ALPN |
/// | [`Upgrade`], with a field `Upgrade` in a request of HTTP/1.1 without a body | the raw stream after 101 |
///
/// The head of a response is sent before its body if the body has no block yet. Trailers of the response are sent if it is chunked. An error of the service or of its body is an error of the
/// application: 500, or a response that is cut. A request that the types of `http` cannot represent gets 400.
///
/// A client that disconnects cancels the service: its future, or the body of its response, is dropped. That is also so if the
/// client has only closed its sending side; see [`cancel_on_disconnect`](Tower::cancel_on_disconnect), and
/// [When a client leaves](crate::Input::client_gone).
///
/// # axum
///
/// Call `with_state(())` after the last route of a `Router` without a state, as `axum::serve` does itself: handlers become
/// services once, instead of in each request.
///
/// axum's `ConnectInfo` is missing among the extensions, since its type belongs to axum. Read [`Environ::endpoints`], or
/// insert it by a layer:
///
/// ```ignore
/// let router = router.layer(axum::middleware::map_request(async |mut request: Request| {
///     let client = request.extensions().get::<Environ>().map(|environ| environ.endpoints().remote);
///     if let Some(Address::Ip(client)) = client {
///         request.extensions_mut().insert(ConnectInfo(client));
///     }
///     request
/// }));
/// ```
///
/// axum's `WebSocketUpgrade` needs a private type of hyper and answers 426; an extractor over [`Upgrade`] replaces it.
///
/// # Runtimes
///
/// A service runs on every runtime. Code in it that needs tokio panics outside of tokio: timers such as that of
/// `TimeoutLayer`, `tokio::spawn`, `tokio::fs`. On smol and async-std, `Compat` of the crate `async-compat` provides them:
/// put it around the executor of the connections.
pub fn tower<S>(service: S) -> Tower<S> {
    Tower { service: Mutex::new(service), extensions: roomy(), cancels: true }
}

/// The application that [`tower()`] makes.
pub struct Tower<S> {
    service: Mutex<S>,
    /// Those of each request, before it has any.
    extensions: Extensions,
    cancels: bool,
}

/// Extensions that are empty. They and their clones have room for those that a framework adds to ours: axum adds three, and
/// a fourth would make the table of a new one grow.
fn roomy() -> Extensions {
    #[derive(Clone)]
    struct Place<const N: usize>;
    let mut extensions = Extensions::new();
    extensions.insert(Place::<0>);
    extensions.insert(Place::<1>);
    extensions.insert(Place::<2>);
    extensions.insert(Place::<3>);
    extensions.clear();
    extensions
}

impl<S> Tower<S> {
    /// Whether a client that disconnects cancels the service (the default). Without it a service runs to its end, as
    /// other applications do, and a client that closed only its sending side gets its response.
    #[must_use]
    pub fn cancel_on_disconnect(mut self, cancels: bool) -> Self {
        self.cancels = cancels;
        self
    }
}

impl<S, B> Application for Tower<S>
where
    S: Service<Request<Input>, Response = http::Response<B>, Error: Into<Error>> + Clone + Send + 'static,
    S::Future: Send,
    B: HttpBody<Error: Into<Error>> + Send + 'static,
{
    async fn call(&self, environ: Environ, start_response: StartResponse) -> Result<Body> {
        let leaving = self.cancels.then(|| environ.handle());
        let mut upgrade = Unanswered(None);
        let response = {
            let mut service = lock(&self.service).clone();
            unless_gone(pin!(poll_fn(|context| service.poll_ready(context))), leaving)
                .await?
                .map_err(Into::into)?;
            // The request is large: it is made late and passed on without a wait.
            let mut request = Request::new(environ.input());
            *request.headers_mut() = spare::take();
            *request.extensions_mut() = self.extensions.clone();
            if environ.fill_http(&mut request).is_err() {
                start_response.start("400 Bad Request", NO_HEADERS)?;
                return Ok(Body::empty());
            }
            // RFC 9110, 7.8: not in HTTP/1.0. The connection can be taken over when no body is left to read.
            let head = environ.head();
            if head.value("upgrade").is_some()
                && head.version() == Version::Http11
                && request.body().remaining() == Some(0)
            {
                let extension = Upgrade::new();
                upgrade.0 = Some(extension.clone());
                request.extensions_mut().insert(extension);
            }
            // The clone that was ready is the one that is called.
            unless_gone(pin!(service.call(request)), leaving).await?.map_err(Into::into)?
        };

        let (parts, body) = response.into_parts();
        let is_empty = body.is_end_stream();
        let mut digits = [0; LONGEST_NUMBER];
        let length = if is_empty { None } else { announced(&parts, &body) };
        let length = length.map(|length| ("content-length", decimal(length, &mut digits)));
        let write = start_response
            .start(Status::from(parts.status), fields(parts.status, &parts.headers).chain(length))?;
        spare::keep(parts.headers);
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            drop(body);
            let stream = environ.take_over().await;
            if let Some(upgrade) = upgrade.0.take() {
                upgrade.complete(stream);
            }
            return Ok(Body::empty());
        }
        if is_empty {
            return Ok(Body::empty());
        }
        let mut frames = Frames { body: Box::pin(body), write: Some(write) };
        // Most bodies are one block that is there.
        let first = poll_fn(|context| Poll::Ready(Pin::new(&mut frames).poll_next(context))).await;
        match first {
            Poll::Ready(None) => Ok(Body::empty()),
            Poll::Ready(Some(Ok(block))) if frames.body.is_end_stream() => Ok(block.into()),
            first => {
                let first = match first {
                    Poll::Ready(first) => first,
                    Poll::Pending => {
                        // The first block may take long, and clients of such bodies wait for the head, as `EventSource` does.
                        if let Some(write) = &frames.write {
                            write.write(Bytes::new()).await?;
                        }
                        None
                    }
                };
                Ok(Body::stream(Watched { first, frames, leaving: leaving.cloned() }))
            }
        }
    }
}

/// The number of digits of the largest `u64`.
const LONGEST_NUMBER: usize = 20;

/// A number as text in `digits`.
fn decimal(number: u64, digits: &mut [u8; LONGEST_NUMBER]) -> &[u8] {
    let mut space = &mut digits[..];
    write!(space, "{number}").expect("there is room for each number");
    let unused = space.len();
    &digits[..LONGEST_NUMBER - unused]
}

/// Runs `future` unless the client disconnects first.
async fn unless_gone<F: Future>(mut future: Pin<&mut F>, leaving: Option<&Handle>) -> Result<F::Output> {
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Ok(value)),
        Poll::Pending => poll_gone(leaving, context).map(|()| Err(SendError::Lost(Lost::Aborted).into())),
    })
    .await
}

fn poll_gone(leaving: Option<&Handle>, context: &mut Context<'_>) -> Poll<()> {
    leaving.map_or(Poll::Pending, |handle| handle.poll_client_gone(context))
}

/// The blocks of a response, which end with an error when the client disconnects.
struct Watched<T> {
    /// Was there before the response began.
    first: Option<Result<Bytes>>,
    frames: T,
    leaving: Option<Handle>,
}

impl<T: Stream<Item = Result<Bytes>> + Unpin> Stream for Watched<T> {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        match Pin::new(&mut self.frames).poll_next(context) {
            Poll::Pending => poll_gone(self.leaving.as_ref(), context)
                .map(|()| Some(Err(SendError::Lost(Lost::Aborted).into()))),
            ready => ready,
        }
    }
}

/// An upgrade that gets an error if the service does not answer with 101.
struct Unanswered(Option<Upgrade>);

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(upgrade) = self.0.take() {
            upgrade.complete(Err(SendError::NotSwitching));
        }
    }
}

impl<S> fmt::Debug for Tower<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tower").finish_non_exhaustive()
    }
}
