//! The trait of blocking applications, and its runner.

use std::future::{Future, ready};
use std::sync::Arc;

use crate::application::Application as AsyncApplication;
use crate::application::blocking::Blocking;
use crate::application::body::Body;
use crate::application::environ::Environ as AsyncEnviron;
use crate::application::start_response::StartResponse as AsyncStartResponse;
use crate::blocking::environ::Environ;
use crate::blocking::response::StartResponse;
use crate::exchange::error::{Error, Result};

/// A blocking application: called once per request, starts the response and returns its body.
///
/// This is the `application(environ, start_response)` of WSGI. Every `fn(Environ, StartResponse) -> Result<Body, E>`
/// implements it. `E` is [`Error`] or any type that converts into it: every type that implements [`std::error::Error`],
/// and `anyhow::Error`.
///
/// ```
/// use std::io;
/// use wsgi_app::Body;
/// use wsgi_app::blocking::{Environ, StartResponse};
///
/// fn page(_environ: Environ, start_response: StartResponse) -> Result<Body, io::Error> {
///     let file = std::fs::File::open("page.html")?;
///     start_response
///         .start("200 OK", [("Content-Type", "text/html")])
///         .map_err(io::Error::other)?;
///     Body::file(file, ..)
/// }
/// # fn is_an_application(_: impl wsgi_app::blocking::Application) {}
/// # is_an_application(page);
/// ```
///
/// Closures are applications too. The compiler cannot infer the parameter types of a closure that is written in place;
/// wrap it in [`application_fn`]. A closure that only calls a function needs no wrapper. Your own types, such as
/// middleware, implement `call`:
///
/// ```
/// use std::time::Instant;
/// use wsgi_app::blocking::{Application, Environ, StartResponse};
/// use wsgi_app::{Body, Result};
///
/// struct Timed<A>(A);
///
/// impl<A: Application> Application for Timed<A> {
///     fn call(&self, environ: Environ, start_response: StartResponse) -> Result<Body> {
///         let begun = Instant::now();
///         let result = self.0.call(environ, start_response);
///         println!("{:?}", begun.elapsed());
///         result
///     }
/// }
/// # fn site(_: Environ, start_response: StartResponse) -> Result<Body> {
/// #     start_response.start("204 No Content", wsgi_app::NO_HEADERS)?;
/// #     Ok(Body::empty())
/// # }
/// # fn is_an_application(_: impl wsgi_app::blocking::Application) {}
/// # is_an_application(Timed(site));
/// ```
///
/// `Box<dyn Application>`, which [`boxed`](Self::boxed) makes, and `Arc<dyn Application>` are applications too.
///
/// Anything else is a compiler error:
///
/// ```compile_fail,E0277
/// # use wsgi_app::{Body, NO_HEADERS, Result};
/// # use wsgi_app::blocking::{Environ, StartResponse};
/// // Async: an application for `wsgi-tokio` or `wsgi-smol`.
/// async fn site(environ: Environ, start_response: StartResponse) -> Result<Body> {
///     start_response.start("204 No Content", NO_HEADERS)?;
///     Ok(Body::empty())
/// }
/// # fn is_an_application(_: impl wsgi_app::blocking::Application) {}
/// # is_an_application(site);
/// ```
///
/// ```compile_fail,E0277
/// # use wsgi_app::{NO_HEADERS, Result};
/// # use wsgi_app::blocking::{Environ, StartResponse};
/// // Does not return a body.
/// fn site(environ: Environ, start_response: StartResponse) -> Result<String> {
///     start_response.start("200 OK", NO_HEADERS)?;
///     Ok("Hello".to_owned())
/// }
/// # fn is_an_application(_: impl wsgi_app::blocking::Application) {}
/// # is_an_application(site);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a blocking application",
    label = "expected a `fn(Environ, StartResponse) -> Result<Body, E>`",
    note = "`site(..)` makes an application of a `fn(Environ)` whose value implements `IntoResponse`; a `Site` of any \
            other function is not an application",
    note = "your own type is an application if it implements `Application`"
)]
pub trait Application: Send + Sync + 'static {
    /// Runs one request: starts the response with `start_response` and returns its body.
    ///
    /// It runs on a thread of the server and may block it. A client that disconnects does not end the call; reads and
    /// writes then fail, see [When a client leaves](crate::Input::client_gone). The server never ends it either: after `graceful_timeout` a stop cuts the connection, and no
    /// longer waits.
    ///
    /// If no response was started, an `Ok` is an application failure too, and the client gets 500.
    ///
    /// # Errors
    ///
    /// Any error that ends the request. The client gets 500, or the status of an [`InputError`](crate::InputError) that
    /// the client caused. If the head of the response was already sent, the response is cut and the connection closes.
    fn call(&self, environ: Environ, start_response: StartResponse) -> Result<Body>;

    /// This application in a box. The type of the box is the same for all applications.
    fn boxed(self) -> BoxApplication
    where
        Self: Sized,
    {
        Box::new(self)
    }
}

/// A blocking application of any type, made by [`Application::boxed`].
///
/// ```
/// use wsgi_app::blocking::{Application, BoxApplication, Environ, StartResponse};
/// use wsgi_app::{Body, NO_HEADERS, Result};
///
/// fn index(_environ: Environ, start_response: StartResponse) -> Result<Body> {
///     start_response.start("200 OK", [("Content-Type", "text/plain")])?;
///     Ok("Hello\n".into())
/// }
///
/// fn motd(_environ: Environ, start_response: StartResponse) -> Result<Body> {
///     let text = std::fs::read_to_string("/etc/motd")?;
///     start_response.start("200 OK", [("Content-Type", "text/plain")])?;
///     Ok(text.into())
/// }
///
/// let pages: Vec<(&str, BoxApplication)> =
///     vec![("/", index.boxed()), ("/motd", motd.boxed())];
/// let site = move |environ: Environ, start_response: StartResponse| -> Result<Body> {
///     match pages.iter().find(|(path, _)| environ.path() == *path) {
///         Some((_, page)) => page.call(environ, start_response),
///         None => {
///             start_response.start("404 Not Found", NO_HEADERS)?;
///             Ok(Body::empty())
///         }
///     }
/// };
/// # fn is_an_application(_: impl wsgi_app::blocking::Application) {}
/// # is_an_application(site);
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

/// The return type of a blocking application function: a `Result<Body, E>`. It cannot be implemented for other types.
///
/// It exists for the compiler's messages.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `Result<Body, E>`",
    label = "expected a `fn(Environ, StartResponse) -> Result<Body, E>`",
    note = "an `async fn(Environ, StartResponse) -> Result<Body, E>` is an application for `wsgi-tokio` or `wsgi-smol`"
)]
pub trait Outcome: sealed::Sealed {
    /// The error type of the application.
    type Error;

    /// The result itself.
    ///
    /// # Errors
    ///
    /// The error that the application returned.
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

/// Fixes the types of a closure that is a blocking application: its parameters, and its error, which is [`Error`].
///
/// It returns the closure unchanged.
///
/// ```
/// use wsgi_app::blocking::application_fn;
///
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

impl<A: Application> AsyncApplication for Blocking<A> {
    fn call(
        &self,
        environ: AsyncEnviron,
        start_response: AsyncStartResponse,
    ) -> impl Future<Output = Result<Body>> + Send {
        ready(self.0.call(Environ(environ), StartResponse(start_response)))
    }
}
