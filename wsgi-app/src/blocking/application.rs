//! What a blocking application is.

use std::future::{Ready, ready};

use crate::application::Application as AsyncApplication;
use crate::application::body::Body;
use crate::application::environ::Environ as AsyncEnviron;
use crate::application::start_response::StartResponse as AsyncStartResponse;
use crate::blocking::environ::Environ;
use crate::blocking::response::StartResponse;
use crate::exchange::error::Result;

/// A blocking application: it is called once a request, starts the response and returns the body.
///
/// Every `fn(Environ, StartResponse) -> Result<Body>` is one, and so is a closure of that kind.
pub trait Application: Send + Sync + 'static {
    /// Runs one request.
    ///
    /// # Errors
    ///
    /// Whatever makes it give up on the request.
    fn call(&self, environ: Environ, start_response: StartResponse) -> Result<Body>;
}

impl<F> Application for F
where
    F: Fn(Environ, StartResponse) -> Result<Body> + Send + Sync + 'static,
{
    fn call(&self, environ: Environ, start_response: StartResponse) -> Result<Body> {
        self(environ, start_response)
    }
}

/// A blocking application, for the one runner of requests: each call of it is a future that is ready at once.
///
/// Its connections need a [`BlockingTransport`](crate::adapter::BlockingTransport); see
/// [`serve`](crate::adapter::serve_blocking).
#[derive(Debug)]
pub struct Blocking<A>(pub A);

impl<A: Application> AsyncApplication for Blocking<A> {
    type Future = Ready<Result<Body>>;

    fn call(&self, environ: AsyncEnviron, start_response: AsyncStartResponse) -> Self::Future {
        let handle = start_response.0.clone();
        let result = self.0.call(Environ(environ), StartResponse(start_response));
        handle.read_clocks();
        ready(result)
    }
}
