//! What a blocking application is.

use std::future::{Future, ready};
use std::sync::Arc;

use crate::application::Application as AsyncApplication;
use crate::application::body::Body;
use crate::application::environ::Environ as AsyncEnviron;
use crate::application::start_response::StartResponse as AsyncStartResponse;
use crate::blocking::environ::Environ;
use crate::blocking::response::StartResponse;
use crate::exchange::error::{Error, Result};

/// A blocking application: it is called once per request, starts the response and returns the body.
///
/// Every `fn(Environ, StartResponse) -> Result<Body, E>` is one. `E` is [`Error`], or whatever else turns into it: every
/// type that implements [`std::error::Error`], and `anyhow::Error`.
///
/// ```
/// use std::io;
/// use wsgi_app::Body;
/// use wsgi_app::blocking::{Environ, StartResponse};
///
/// fn page(environ: Environ, start_response: StartResponse) -> Result<Body, io::Error> {
///     let file = std::fs::File::open("page.html")?;
///     start_response.start("200 OK", [("Content-Type", "text/html")]).map_err(io::Error::other)?;
///     Ok(Body::reader(file))
/// }
/// # fn is_an_application(_: impl wsgi_app::blocking::Application) {}
/// # is_an_application(page);
/// ```
///
/// Closures are applications, too. Where one is written in place, the compiler cannot tell its types;
/// [`application_fn`] tells them. A closure that only calls a function needs no help.
///
/// `Box<dyn Application>`, which [`boxed`](Self::boxed) makes, and `Arc<dyn Application>` are applications.
///
/// What is not an application is refused by the compiler:
///
/// ```compile_fail,E0277
/// # use wsgi_app::{Body, Result};
/// # use wsgi_app::blocking::{Environ, StartResponse};
/// // Async: an application of `wsgi-tokio` or `wsgi-smol`.
/// async fn site(environ: Environ, start_response: StartResponse) -> Result<Body> {
/// #   todo!()
/// }
/// # fn is_an_application(_: impl wsgi_app::blocking::Application) {}
/// # is_an_application(site);
/// ```
///
/// ```compile_fail,E0277
/// # use wsgi_app::Result;
/// # use wsgi_app::blocking::{Environ, StartResponse};
/// // Returns something else than a body.
/// fn site(environ: Environ, start_response: StartResponse) -> Result<String> {
/// #   todo!()
/// }
/// # fn is_an_application(_: impl wsgi_app::blocking::Application) {}
/// # is_an_application(site);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a blocking application",
    label = "expected a `fn(Environ, StartResponse) -> Result<Body, E>`",
    note = "a type of your own is one if it implements `Application`"
)]
pub trait Application: Send + Sync + 'static {
    /// Runs one request.
    ///
    /// # Errors
    ///
    /// Whatever makes it give up on the request.
    fn call(&self, environ: Environ, start_response: StartResponse) -> Result<Body>;

    /// This application in a box, whose type is the same for all applications.
    fn boxed(self) -> BoxApplication
    where
        Self: Sized,
    {
        Box::new(self)
    }
}

/// Any blocking application, made by [`Application::boxed`].
///
/// ```
/// use wsgi_app::Result;
/// use wsgi_app::blocking::{Application, BoxApplication};
/// # use wsgi_app::Body;
/// # use wsgi_app::blocking::{Environ, StartResponse};
/// # fn index(_: Environ, _: StartResponse) -> Result<Body> { todo!() }
/// # fn about(_: Environ, _: StartResponse) -> Result<Body, std::io::Error> { todo!() }
///
/// let pages: Vec<(&str, BoxApplication)> = vec![("/", index.boxed()), ("/about", about.boxed())];
/// # fn is_an_application(_: impl wsgi_app::blocking::Application) {}
/// # for (_, page) in pages { is_an_application(page) }
/// ```
pub type BoxApplication = Box<dyn Application>;

impl<F, T> Application for F
where
    F: Fn(Environ, StartResponse) -> T + Send + Sync + 'static,
    T: Outcome,
    T::Error: Into<Error>,
{
    fn call(&self, environ: Environ, start_response: StartResponse) -> Result<Body> {
        self(environ, start_response).into_result().map_err(Into::into)
    }
}

impl Application for BoxApplication {
    fn call(&self, environ: Environ, start_response: StartResponse) -> Result<Body> {
        (**self).call(environ, start_response)
    }

    fn boxed(self) -> Self {
        self
    }
}

impl<A: Application + ?Sized> Application for Arc<A> {
    fn call(&self, environ: Environ, start_response: StartResponse) -> Result<Body> {
        (**self).call(environ, start_response)
    }
}

/// What a function of an [`Application`] returns: a `Result<Body, E>`, nothing else.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `Result<Body, E>`",
    label = "expected a `fn(Environ, StartResponse) -> Result<Body, E>`",
    note = "an `async fn(Environ, StartResponse) -> Result<Body, E>` is an application of `wsgi-tokio` or `wsgi-smol`"
)]
pub trait Outcome: sealed::Sealed {
    /// Why the application may give up on a request.
    type Error;

    /// The result itself.
    ///
    /// # Errors
    ///
    /// What the application returned.
    fn into_result(self) -> Result<Body, Self::Error>;
}

impl<E> Outcome for Result<Body, E> {
    type Error = E;

    fn into_result(self) -> Self {
        self
    }
}

mod sealed {
    pub trait Sealed {}

    impl<E> Sealed for Result<super::Body, E> {}
}

/// A blocking application from a closure: tells the compiler the types of its parameters, and that its error is
/// [`Error`].
///
/// ```
/// # use wsgi_app::Body;
/// # use wsgi_app::blocking::application_fn;
/// let application = application_fn(|environ, start_response| {
///     start_response.start("200 OK", [("X-Path", environ.path())])?;
///     Ok("Hello\n".into())
/// });
/// # fn is_an_application(_: impl wsgi_app::blocking::Application) {}
/// # is_an_application(application);
/// ```
pub fn application_fn<F>(application: F) -> F
where
    F: Fn(Environ, StartResponse) -> Result<Body> + Send + Sync + 'static,
{
    application
}

/// A blocking application, for the one runner of requests: each call of it is a future that is ready at once.
///
/// Its connections need a [`BlockingTransport`](crate::blocking::BlockingTransport); see
/// [`serve`](crate::blocking::serve).
#[derive(Debug)]
pub struct Blocking<A>(pub A);

impl<A: Application> AsyncApplication for Blocking<A> {
    fn call(
        &self,
        environ: AsyncEnviron,
        start_response: AsyncStartResponse,
    ) -> impl Future<Output = Result<Body>> + Send {
        let handle = start_response.0.clone();
        let result = self.0.call(Environ(environ), StartResponse(start_response));
        handle.read_clocks();
        ready(result)
    }
}
