//! An HTTP/1.x and WSGI-style server for blocking applications, on the sockets of std. Unix only.
//!
//! ```no_run
//! use wsgi_std::{Body, Environ, Result, StartResponse};
//!
//! fn hello_world(_environ: Environ, start_response: StartResponse) -> Result<Body> {
//!     start_response.start("200 OK", [("Content-Type", "text/plain")])?;
//!     Ok("Hello, World!\r\n".into())
//! }
//!
//! let listener = std::net::TcpListener::bind("127.0.0.1:8090")?;
//! wsgi_std::serve(listener, hello_world)?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! It knows nothing of HTTP; `wsgi-proto` and `wsgi-app` do, and are re-exported.
//!
//! # Threads
//!
//! Connections that wait hold no thread, and no buffer beyond an unfinished head: all sit in one poller. The thread that
//! polls takes the next one that is ready, runs the application, and polls again. When it stays away for longer than about
//! two milliseconds, another thread takes the poller. So quick applications run on one thread that nobody wakes, and those
//! that wait run side by side on as many as it takes, which leave after 2 s without work. The thread that calls [`serve`]
//! accepts, and one more watches. A [`Body::stream`] is polled by these threads, too, and finds no runtime.

#![cfg(unix)]
#![forbid(unsafe_code)]

mod accept;
mod connection;
mod engine;
mod listener;
mod sync;
mod tls;
mod wait;

use std::io;
use std::sync::Arc;

pub use listener::{IntoListener, Listener};
#[cfg(feature = "tls")]
pub use rustls;
pub use wsgi_app::blocking::{Application, BoxApplication, Outcome, application_fn};
pub use wsgi_app::blocking::{Environ, Input, Lines, StartResponse, Stream, Write};
pub use wsgi_app::*;

use wsgi_app::blocking::Blocking;

use crate::accept::{AcceptTimer, block_on};
use crate::engine::Engine;

/// For tests of this crate alone.
#[doc(hidden)]
pub mod internals {
    pub use crate::engine::task_state::TaskState;
    pub use crate::tls::Tls;
}

/// Serves `application` on a bound and listening `listener` with the default options, until the process ends.
///
/// # Errors
///
/// Those of the listener itself; errors of single clients never end it.
pub fn serve(listener: impl IntoListener, application: impl Application) -> io::Result<Report> {
    Server::new(listener, application).serve()
}

wsgi_app::server_builder! {
    /// The most threads that run the application; then requests wait. Default: `max_size`. Allowed: 1 or more.
    pool: usize
}

impl<A> Server<A> {
    /// Serves until the handle is told to stop, or a listener becomes unusable. Then listeners and idle connections are
    /// closed, requests that have begun are finished; at `graceful_timeout` what is left is cut. An application that
    /// does not return even then is left behind with its thread.
    ///
    /// # Errors
    ///
    /// An option that is not allowed ([`io::ErrorKind::InvalidInput`] with an [`OptionError`]); the failure of a
    /// listener; a system that gives no poller or no thread.
    pub fn serve(self) -> io::Result<Report>
    where
        A: Application,
    {
        let option = if self.ignores_max_size { "custom_pool" } else { "pool" };
        let (listeners, application, options, handle, threads) = self.settle();
        if threads == Some(0) {
            return Err(OptionError::new(option, 0, "1 or more").into());
        }
        let runtime = Runtime::default().descriptor_limit(descriptor_limit());
        let server = wsgi_app::Server::with_runtime(options, &handle, Blocking(application), runtime)?;
        listeners.iter().try_for_each(|listener| listener.socket.set_nonblocking(true))?;
        // By default one more, which polls.
        let threads = threads.unwrap_or_else(|| server.max_size().saturating_add(1));
        let engine = Engine::start(threads)?;
        let listeners: Vec<_> = listeners.into_iter().map(Arc::new).collect();
        let (weak, timer): (Vec<_>, _) =
            (listeners.iter().map(Arc::downgrade).collect(), AcceptTimer::default());
        let serving = server.run(
            &handle,
            listeners,
            |listener| listener.bound_addr(),
            |listener, _| listener.poll_accept(),
            |accepted| connection::begin(&engine, &server, accepted),
            |time| timer.sleep(time),
        );
        let ended = block_on(serving, &wait::waker(), &timer, |deadline| listener::wait(&weak, deadline));
        engine.stop();
        ended
    }
}

/// How many descriptors this process may have open.
fn descriptor_limit() -> Option<usize> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current?;
    Some(usize::try_from(limit).unwrap_or(usize::MAX))
}
