//! The traits of asynchronous applications, and their boxed form.

pub(crate) mod blocking;
pub(crate) mod blocks;
pub(crate) mod body;
mod chunks;
pub(crate) mod environ;
mod fields;
pub(crate) mod file;
#[cfg(feature = "futures-io")]
mod futures_io;
pub(crate) mod input;
pub(crate) mod raw;
mod readers;
pub(crate) mod readings;
pub(crate) mod start_response;
#[cfg(feature = "tokio-io")]
mod tokio_io;
pub(crate) mod upgrade;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::application::body::Body;
use crate::application::environ::Environ;
use crate::application::start_response::StartResponse;
use crate::exchange::error::{Error, Result};

/// An asynchronous application: called once per request, starts the response and returns its body.
///
/// This is the `application(environ, start_response)` of WSGI. Every
/// `async fn(Environ, StartResponse) -> Result<Body, E>` implements it. `E` is [`Error`] or any type that converts into
/// it: every type that implements [`std::error::Error`], and `anyhow::Error`.
///
/// ```
/// use wsgi_app::{Body, Environ, StartError, StartResponse};
///
/// #[derive(Debug)]
/// enum SiteError {
///     NoSuchCustomer,
///     Start(StartError),
/// }
///
/// impl From<StartError> for SiteError {
///     fn from(error: StartError) -> Self {
///         Self::Start(error)
///     }
/// }
/// impl std::fmt::Display for SiteError {
///     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
///         write!(f, "{self:?}")
///     }
/// }
///
/// impl std::error::Error for SiteError {}
///
/// async fn site(
///     environ: Environ,
///     start_response: StartResponse,
/// ) -> Result<Body, SiteError> {
///     let customer = environ.header("X-Customer").ok_or(SiteError::NoSuchCustomer)?;
///     start_response.start("200 OK", [("X-Customer", &customer)])?;
///     Ok("Welcome\n".into())
/// }
/// # fn is_an_application(_: impl wsgi_app::Application) {}
/// # is_an_application(site);
/// ```
///
/// Closures are applications too. The compiler cannot infer the parameter types of a closure that is written in place;
/// wrap it in [`application_fn`]. A closure that only calls a function needs no wrapper:
///
/// ```
/// use std::sync::Arc;
/// use wsgi_app::{Body, Environ, Result, StartResponse};
///
/// struct Database {
///     greeting: String,
/// }
///
/// async fn site(
///     database: Arc<Database>,
///     _environ: Environ,
///     start_response: StartResponse,
/// ) -> Result<Body> {
///     start_response.start("200 OK", [("Content-Type", "text/plain")])?;
///     Ok(database.greeting.clone().into())
/// }
///
/// let database = Arc::new(Database { greeting: "Hello\n".to_owned() });
/// let application =
///     move |environ, start_response| site(database.clone(), environ, start_response);
/// # fn is_an_application(_: impl wsgi_app::Application) {}
/// # is_an_application(application);
/// ```
///
/// Your own types, such as middleware, implement `call` as an `async fn`:
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use wsgi_app::{Application, Body, Environ, Result, StartResponse};
///
/// struct Counted<A> {
///     application: A,
///     hits: AtomicU64,
/// }
///
/// impl<A: Application> Application for Counted<A> {
///     async fn call(
///         &self,
///         environ: Environ,
///         start_response: StartResponse,
///     ) -> Result<Body> {
///         self.hits.fetch_add(1, Ordering::Relaxed);
///         self.application.call(environ, start_response).await
///     }
/// }
/// # async fn site(_: Environ, start_response: StartResponse) -> Result<Body> {
/// #     start_response.start("204 No Content", wsgi_app::NO_HEADERS)?;
/// #     Ok(Body::empty())
/// # }
/// # fn is_an_application(_: impl wsgi_app::Application) {}
/// # is_an_application(Counted { application: site, hits: AtomicU64::new(0) });
/// ```
///
/// [`boxed`](Self::boxed) hides the type of an application, for lists of several applications.
///
/// Anything else is a compiler error:
///
/// ```compile_fail,E0277
/// # use wsgi_app::{Body, Environ, NO_HEADERS, Result, StartResponse};
/// // Not async: an application for `wsgi-std`, or, with the types of `wsgi_app::blocking`, for `blocking(site)`.
/// fn site(environ: Environ, start_response: StartResponse) -> Result<Body> {
///     start_response.start("204 No Content", NO_HEADERS)?;
///     Ok(Body::empty())
/// }
/// # fn is_an_application(_: impl wsgi_app::Application) {}
/// # is_an_application(site);
/// ```
///
/// ```compile_fail,E0277
/// # use wsgi_app::{Body, Environ, NO_HEADERS, Result, StartResponse};
/// // Does not return a body.
/// async fn site(environ: Environ, start_response: StartResponse) -> Result<String> {
///     start_response.start("200 OK", NO_HEADERS)?;
///     Ok("Hello".to_owned())
/// }
/// # fn is_an_application(_: impl wsgi_app::Application) {}
/// # is_an_application(site);
/// ```
///
/// ```compile_fail
/// # use wsgi_app::{Body, Environ, NO_HEADERS, Result, StartResponse};
/// // The future holds an `Rc` across an `await`, so it is not `Send`.
/// async fn site(environ: Environ, start_response: StartResponse) -> Result<Body> {
///     let cell = std::rc::Rc::new(1);
///     environ.input().read_to_end().await?;
///     drop(cell);
///     start_response.start("204 No Content", NO_HEADERS)?;
///     Ok(Body::empty())
/// }
/// # fn is_an_application(_: impl wsgi_app::Application) {}
/// # is_an_application(site);
/// ```
///
/// ```compile_fail,E0593
/// # use wsgi_app::Environ;
/// // "expected function that takes 2 arguments": `site(page)` is an application, `page` is not.
/// async fn page(_environ: Environ) -> &'static str {
///     "Hello"
/// }
/// # fn is_an_application(_: impl wsgi_app::Application) {}
/// # is_an_application(page);
/// ```
///
/// ```compile_fail,E0038
/// # use wsgi_app::Application;
/// // `BoxApplication` is the boxed form.
/// fn applications() -> Vec<Box<dyn Application>> {
///     Vec::new()
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an async application",
    label = "expected an `async fn(Environ, StartResponse) -> Result<Body, E>`",
    note = "`site(..)` makes an application of an `async fn(Environ)` whose value implements `IntoResponse`; a `Site` of any \
            other function is not an application",
    note = "your own type is an application if it implements `Application`"
)]
pub trait Application: Send + Sync + 'static {
    /// Runs one request: starts the response with `start_response` and returns its body.
    ///
    /// The future runs in the task of its connection, so it must not block the thread. A client that disconnects does
    /// not cancel it, see [When a client leaves](crate::Input::client_gone). The server drops it early only if it stops
    /// and `graceful_timeout` has passed.
    ///
    /// If no response was started, an `Ok` is an application failure too, and the client gets 500.
    ///
    /// # Errors
    ///
    /// Any error that ends the request. The client gets 500, or the status of an [`InputError`](crate::InputError) that
    /// the client caused. If the head of the response was already sent, the response is cut and the connection closes.
    fn call(
        &self,
        environ: Environ,
        start_response: StartResponse,
    ) -> impl Future<Output = Result<Body>> + Send; // in a box: `BoxApplication`

    /// This application in a box. The type of the box is the same for all applications.
    fn boxed(self) -> BoxApplication
    where
        Self: Sized,
    {
        BoxApplication::new(self)
    }
}

impl<F, T> Application for F
where
    F: Fn(Environ, StartResponse) -> T + Send + Sync + 'static,
    T: ResponseFuture + Send,
    T::Error: Into<Error>,
{
    fn call(
        &self,
        environ: Environ,
        start_response: StartResponse,
    ) -> impl Future<Output = Result<Body>> + Send {
        Converted { response: self(environ, start_response) }
    }
}

pin_project! {
    /// A future that converts the error of another one. An `async` block would add a second state machine.
    struct Converted<T> {
        #[pin]
        response: T,
    }
}

impl<T: ResponseFuture<Error: Into<Error>>> Future for Converted<T> {
    type Output = Result<Body>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<Body>> {
        self.project().response.poll(context).map_err(Into::into)
    }
}

impl<A: Application> Application for Arc<A> {
    fn call(
        &self,
        environ: Environ,
        start_response: StartResponse,
    ) -> impl Future<Output = Result<Body>> + Send {
        A::call(self, environ, start_response)
    }
}

/// The future that an asynchronous application function returns. Every future of a `Result<Body, E>` implements it.
///
/// It exists for the compiler's messages; you need not implement it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a future of `Result<Body, E>`",
    label = "expected an `async fn(Environ, StartResponse) -> Result<Body, E>`",
    note = "a blocking `fn` of `blocking::Environ` and `blocking::StartResponse` is an application for `wsgi-std`, and in `blocking(..)` for this adapter"
)]
pub trait ResponseFuture: Future<Output = Result<Body, Self::Error>> {
    /// The error type of the application.
    type Error;
}

// Without it the compiler shows the message of `Future` instead of the one above.
#[diagnostic::do_not_recommend]
impl<T: Future<Output = Result<Body, E>>, E> ResponseFuture for T {
    type Error = E;
}

/// An application of any type, made by [`Application::boxed`]. The box costs one more allocation per request.
///
/// ```
/// use wsgi_app::{
///     Application, Body, BoxApplication, Environ, NO_HEADERS, Result, StartResponse,
/// };
///
/// struct Site {
///     pages: Vec<(&'static str, BoxApplication)>,
/// }
///
/// impl Application for Site {
///     async fn call(
///         &self,
///         environ: Environ,
///         start_response: StartResponse,
///     ) -> Result<Body> {
///         match self.pages.iter().find(|(path, _)| environ.path() == *path) {
///             Some((_, page)) => page.call(environ, start_response).await,
///             None => {
///                 start_response.start("404 Not Found", NO_HEADERS)?;
///                 Ok(Body::empty())
///             }
///         }
///     }
/// }
///
/// async fn index(_environ: Environ, start_response: StartResponse) -> Result<Body> {
///     start_response.start("200 OK", [("Content-Type", "text/plain")])?;
///     Ok("Hello\n".into())
/// }
///
/// async fn about(_environ: Environ, start_response: StartResponse) -> Result<Body> {
///     start_response.start("200 OK", [("Content-Type", "text/plain")])?;
///     Ok(env!("CARGO_PKG_NAME").into())
/// }
///
/// let site = Site { pages: vec![("/", index.boxed()), ("/about", about.boxed())] };
/// # fn is_an_application(_: impl wsgi_app::Application) {}
/// # is_an_application(site);
/// ```
pub struct BoxApplication(Box<dyn Erased>);

type Boxed<'a> = Pin<Box<dyn Future<Output = Result<Body>> + Send + 'a>>;

/// An application whose future is boxed, so that it can be a trait object.
trait Erased: Send + Sync {
    fn call(&self, environ: Environ, start_response: StartResponse) -> Boxed<'_>;
}

impl<A: Application> Erased for A {
    fn call(&self, environ: Environ, start_response: StartResponse) -> Boxed<'_> {
        Box::pin(Application::call(self, environ, start_response))
    }
}

impl BoxApplication {
    pub(crate) fn new(application: impl Application) -> Self {
        Self(Box::new(application))
    }
}

impl Application for BoxApplication {
    fn call(
        &self,
        environ: Environ,
        start_response: StartResponse,
    ) -> impl Future<Output = Result<Body>> + Send {
        self.0.call(environ, start_response)
    }

    fn boxed(self) -> Self {
        self
    }
}

impl fmt::Debug for BoxApplication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxApplication").finish_non_exhaustive()
    }
}

/// Fixes the types of a closure that is an application: its parameters, and its error, which is [`Error`].
///
/// It returns the closure unchanged.
///
/// ```
/// use wsgi_app::application_fn;
///
/// let application = application_fn(|environ, start_response| async move {
///     start_response.start("200 OK", [("X-Path", environ.path())])?;
///     Ok("Hello\n".into())
/// });
/// # fn is_an_application(_: impl wsgi_app::Application) {}
/// # is_an_application(application);
/// ```
pub fn application_fn<F, T>(application: F) -> F
where
    F: Fn(Environ, StartResponse) -> T + Send + Sync + 'static,
    T: Future<Output = Result<Body>> + Send,
{
    application
}
