//! What an application is.

pub(crate) mod body;
pub(crate) mod environ;
mod fields;
#[cfg(feature = "futures-io")]
mod futures_io;
pub(crate) mod input;
pub(crate) mod start_response;
pub(crate) mod upgrade;

use std::future::Future;

use crate::application::body::Body;
use crate::application::environ::Environ;
use crate::application::start_response::StartResponse;
use crate::exchange::error::Result;

/// An application: it is called once a request, starts the response and returns the body.
///
/// Every `async fn(Environ, StartResponse) -> Result<Body>` is one, and so is a closure that returns such a future.
pub trait Application: Send + Sync + 'static {
    /// What one request runs.
    type Future: Future<Output = Result<Body>> + Send;

    /// Begins one request.
    fn call(&self, environ: Environ, start_response: StartResponse) -> Self::Future;
}

impl<F, T> Application for F
where
    F: Fn(Environ, StartResponse) -> T + Send + Sync + 'static,
    T: Future<Output = Result<Body>> + Send,
{
    type Future = T;

    fn call(&self, environ: Environ, start_response: StartResponse) -> T {
        self(environ, start_response)
    }
}
