//! An HTTP/1.x and WSGI-style server on tokio.
//!
//! ```no_run
//! use wsgi_tokio::{Body, Environ, Result, StartResponse};
//!
//! async fn hello_world(_environ: Environ, start_response: StartResponse) -> Result<Body> {
//!     start_response.start("200 OK", [("Content-Type", "text/plain")])?;
//!     Ok("Hello, World!\r\n".into())
//! }
//!
//! # async fn run() -> std::io::Result<()> {
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8090").await?;
//! wsgi_tokio::serve(listener, hello_world).await?;
//! # Ok(()) }
//! ```
//!
//! This crate accepts, reads, writes, waits and stops; it knows nothing of HTTP. The protocol is `wsgi-proto`, what an
//! application sees is `wsgi-app`, and all of it is re-exported here. A connection is one task, and the application
//! runs in it: no thread hop, no channel. A connection that waits for a request holds no buffer.

#![forbid(unsafe_code)]

mod listener;
mod socket;
mod tls;

use std::time::Instant;

use listener::Accepted;
pub use listener::{IntoListener, Listener};
#[cfg(feature = "tls")]
pub use tokio_rustls::rustls;
pub use wsgi_app::*;

/// Serves `application` on a bound and listening `listener` with the default options, until the process ends.
///
/// # Errors
///
/// Those of the listener itself; errors of single clients never end it.
pub fn serve(listener: impl IntoListener, application: impl Application) -> Serving {
    Server::new(listener, application).serve()
}

wsgi_app::server_builder! {
    /// The runtime that the connections run on; it needs timers, and has to outlive the server. Default: the one that
    /// [`serve`](Self::serve) is awaited on.
    pool: tokio::runtime::Handle
}

impl<A> Server<A> {
    /// Serves until the handle is told to stop, or a listener becomes unusable. Then the listeners are closed, idle
    /// connections too, and requests that have begun are finished; at `graceful_timeout` what is left is cut.
    ///
    /// # Errors
    ///
    /// An option that is not allowed ([`InvalidInput`](std::io::ErrorKind::InvalidInput) with an [`OptionError`]); the failure of a
    /// listener.
    pub fn serve(self) -> Serving
    where
        A: Application,
    {
        Serving::new(async {
            let (listeners, application, options, handle, pool) = self.settle();
            let runtime = Runtime::default().clock(TokioClock).descriptor_limit(descriptor_limit());
            let server = wsgi_app::Server::with_runtime(options, &handle, application, runtime)?;
            let start = |accepted: Accepted| accepted.spawn(&server, pool.as_ref());
            server
                .run(
                    &handle,
                    listeners,
                    Listener::bound_addr,
                    Listener::poll_accept,
                    start,
                    tokio::time::sleep,
                )
                .await
        })
    }
}

/// How many descriptors this process may have open.
fn descriptor_limit() -> Option<usize> {
    #[cfg(unix)]
    {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current?;
        Some(usize::try_from(limit).unwrap_or(usize::MAX))
    }
    #[cfg(not(unix))]
    None
}

/// The clock of tokio's timers, which a test can pause.
#[derive(Debug)]
struct TokioClock;

impl Clock for TokioClock {
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}
