//! What a blocking application sees: the same names as elsewhere, and calls that wait instead of futures.
//!
//! Every call is the async one, run by the thread that calls it: while it waits, this very thread moves the
//! connection's bytes over its [`Wire`]. So two threads that read and write one exchange never wait for each other.
//!
//! The rest is for engines: a [`Desk`] where threads get their work, and a [`Slot`] for each connection.

mod alarms;
mod desk;
mod input;
mod life;
mod response;
mod slot;
mod stream;
mod sync;
#[cfg(feature = "tls")]
mod tls;
mod wire;

use std::future::{Ready, ready};
use std::ops::Deref;

pub use alarms::{Alarms, Timer};
pub use desk::{Came, Desk, Work};
pub use input::{Input, Lines};
pub use life::{Alarm, run_life};
pub use response::{StartResponse, Write};
pub use slot::Slot;
pub use stream::Stream;
pub use wire::{Tls, Wire, serve};

use crate::{Body, Record, Result};

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
/// Its connections need a [`Wire`], see [`serve`].
#[derive(Debug)]
pub struct Blocking<A>(pub A);

impl<A: Application> crate::Application for Blocking<A> {
    type Future = Ready<Result<Body>>;

    fn call(&self, environ: crate::Environ, start_response: crate::StartResponse) -> Self::Future {
        let handle = start_response.0.clone();
        let result = self.0.call(Environ(environ), StartResponse(start_response));
        handle.read_clocks();
        ready(result)
    }
}

/// WSGI's `environ`, with a blocking [`input`](Self::input). Everything else is that of
/// [`wsgi_app::Environ`](crate::Environ).
#[derive(Clone, Debug)]
pub struct Environ(crate::Environ);

impl Environ {
    /// `wsgi.input`: the request body.
    pub fn input(&self) -> Input {
        Input::new(self.0.input())
    }

    /// As [`Environ::add_post_hook`](crate::Environ::add_post_hook).
    pub fn add_post_hook(&self, hook: impl FnOnce(&Self, &Record) + Send + 'static) {
        self.0.add_post_hook(move |environ, record| hook(&Self(environ.clone()), record));
    }
}

impl Deref for Environ {
    type Target = crate::Environ;

    fn deref(&self) -> &crate::Environ {
        &self.0
    }
}
