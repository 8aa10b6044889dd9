//! Applications whose type is hidden.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::application::Application;
use crate::application::body::Body;
use crate::application::environ::Environ;
use crate::application::start_response::StartResponse;
use crate::exchange::error::Result;

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
