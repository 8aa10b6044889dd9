//! What an application is.

pub(crate) mod body;
pub(crate) mod environ;
mod fields;
#[cfg(feature = "futures-io")]
mod futures_io;
pub(crate) mod input;
pub(crate) mod start_response;
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

/// An application: it is called once per request, starts the response and returns the body.
///
/// Every `async fn(Environ, StartResponse) -> Result<Body, E>` is one. `E` is [`Error`], or whatever else turns into it:
/// every type that implements [`std::error::Error`], and `anyhow::Error`.
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
/// # impl std::fmt::Display for SiteError {
/// #     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
/// #         write!(f, "{self:?}")
/// #     }
/// # }
/// impl std::error::Error for SiteError {}
///
/// async fn site(environ: Environ, start_response: StartResponse) -> Result<Body, SiteError> {
///     let customer = environ.header("X-Customer").ok_or(SiteError::NoSuchCustomer)?;
///     start_response.start("200 OK", [("X-Customer", &customer)])?;
///     Ok("Welcome\n".into())
/// }
/// # fn is_an_application(_: impl wsgi_app::Application) {}
/// # is_an_application(site);
/// ```
///
/// Closures are applications, too. Where one is written in place, the compiler cannot tell its types;
/// [`application_fn`] tells them. A closure that only calls a function needs no help:
///
/// ```
/// # use std::sync::Arc;
/// # use wsgi_app::{Body, Environ, Result, StartResponse};
/// # struct Database;
/// async fn site(database: Arc<Database>, environ: Environ, start_response: StartResponse) -> Result<Body> {
///     // ...
/// # todo!()
/// }
///
/// let database = Arc::new(Database);
/// let application = move |environ, start_response| site(database.clone(), environ, start_response);
/// # fn is_an_application(_: impl wsgi_app::Application) {}
/// # is_an_application(application);
/// ```
///
/// A type of your own, middleware for instance, implements `call` as an `async fn`:
///
/// ```
/// # use wsgi_app::{Application, Body, Environ, Result, StartResponse};
/// struct Counted<A> {
///     application: A,
///     hits: std::sync::atomic::AtomicU64,
/// }
///
/// impl<A: Application> Application for Counted<A> {
///     async fn call(&self, environ: Environ, start_response: StartResponse) -> Result<Body> {
///         self.hits.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
///         self.application.call(environ, start_response).await
///     }
/// }
/// ```
///
/// Where the type must not depend on the application, as in a list of several, [`boxed`](Self::boxed) hides it.
///
/// What is not an application is refused by the compiler:
///
/// ```compile_fail,E0277
/// # use wsgi_app::{Body, Environ, Result, StartResponse};
/// // Not async: an application of `wsgi-std`.
/// fn site(environ: Environ, start_response: StartResponse) -> Result<Body> {
/// #   todo!()
/// }
/// # fn is_an_application(_: impl wsgi_app::Application) {}
/// # is_an_application(site);
/// ```
///
/// ```compile_fail,E0277
/// # use wsgi_app::{Body, Environ, Result, StartResponse};
/// // Returns something else than a body.
/// async fn site(environ: Environ, start_response: StartResponse) -> Result<String> {
/// #   todo!()
/// }
/// # fn is_an_application(_: impl wsgi_app::Application) {}
/// # is_an_application(site);
/// ```
///
/// ```compile_fail
/// # use wsgi_app::{Body, Environ, Result, StartResponse};
/// // Its future cannot be sent to another thread.
/// async fn site(environ: Environ, start_response: StartResponse) -> Result<Body> {
///     let cell = std::rc::Rc::new(1);
///     environ.input().read_to_end().await?;
///     drop(cell);
/// #   todo!()
/// }
/// # fn is_an_application(_: impl wsgi_app::Application) {}
/// # is_an_application(site);
/// ```
///
/// ```compile_fail,E0038
/// # use wsgi_app::Application;
/// // `BoxApplication` is the boxed form.
/// fn applications() -> Vec<Box<dyn Application>> {
/// #   todo!()
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an async application",
    label = "expected an `async fn(Environ, StartResponse) -> Result<Body, E>`",
    note = "a type of your own is one if it implements `Application`"
)]
pub trait Application: Send + Sync + 'static {
    /// Runs one request.
    ///
    /// # Errors
    ///
    /// Whatever makes it give up on the request.
    fn call(
        &self,
        environ: Environ,
        start_response: StartResponse,
    ) -> impl Future<Output = Result<Body>> + Send; // in a box: `BoxApplication`

    /// This application in a box, whose type is the same for all applications.
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
    /// A future whose error is converted. An `async` block would be a second state machine around it.
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

/// What an async function of an [`Application`] returns when it is called. Every future of a `Result<Body, E>` is one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a future of `Result<Body, E>`",
    label = "expected an `async fn(Environ, StartResponse) -> Result<Body, E>`",
    note = "a blocking `fn(Environ, StartResponse) -> Result<Body, E>` is an application of `wsgi-std`"
)]
pub trait ResponseFuture: Future<Output = Result<Body, Self::Error>> {
    /// Why the application may give up on a request.
    type Error;
}

// What is not one is told by the message above, not by that of `Future`.
#[diagnostic::do_not_recommend]
impl<T: Future<Output = Result<Body, E>>, E> ResponseFuture for T {
    type Error = E;
}

/// Any application, made by [`Application::boxed`]. Each request costs one allocation more than without the box.
///
/// ```
/// use wsgi_app::{Application, BoxApplication, Body, Environ, NO_HEADERS, Result, StartResponse};
///
/// struct Site {
///     pages: Vec<(&'static str, BoxApplication)>,
/// }
///
/// impl Application for Site {
///     async fn call(&self, environ: Environ, start_response: StartResponse) -> Result<Body> {
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
/// # async fn index(_: Environ, _: StartResponse) -> Result<Body> { todo!() }
/// # async fn about(_: Environ, _: StartResponse) -> Result<Body, std::io::Error> { todo!() }
/// let site = Site { pages: vec![("/", index.boxed()), ("/about", about.boxed())] };
/// # let _ = site;
/// ```
pub struct BoxApplication(Box<dyn Erased>);

type Boxed<'a> = Pin<Box<dyn Future<Output = Result<Body>> + Send + 'a>>;

/// An application with a future of a known type.
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

/// An application from a closure: tells the compiler the types of its parameters, and that its error is [`Error`].
///
/// ```
/// # use wsgi_app::{Body, application_fn};
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
