//! An HTTP/1.x and WSGI-style server on smol, and on any stream of `futures-io`.
//!
//! ```no_run
//! use wsgi_smol::{Body, Environ, Result, StartResponse};
//!
//! async fn hello_world(_environ: Environ, start_response: StartResponse) -> Result<Body> {
//!     start_response.start("200 OK", [("Content-Type", "text/plain")])?;
//!     Ok("Hello, World!\r\n".into())
//! }
//!
//! # async fn run() -> std::io::Result<()> {
//! let listener = smol::net::TcpListener::bind("127.0.0.1:8090").await?;
//! wsgi_smol::serve(listener, hello_world).await?;
//! # Ok(()) }
//! ```
//!
//! This crate accepts, reads, writes, waits and stops; it knows nothing of HTTP. The protocol is `wsgi-proto`, what an
//! application sees is `wsgi-app`, and all of it is re-exported here. A connection is one task, and the application
//! runs in it: no thread hop, no channel. A connection that waits for a request holds no buffer.
//!
//! With the feature `async-std` the listeners of `async_std::net` are served, too. Upstream has ended async-std and
//! names smol as its heir; the feature is for programs that have not moved yet.

#![forbid(unsafe_code)]

mod listener;
mod socket;
mod tls;

use std::sync::Arc;

use smol::Timer;

#[cfg(feature = "tls")]
pub use futures_rustls::rustls;
use listener::Accepted;
pub use listener::{IntoListener, Listener};
pub use socket::Duplex;
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
    /// The executor that the connections run on; somebody has to run it. Default: what [`smol::spawn`] runs on, for
    /// listeners of async-std what `async_std::task::spawn` does.
    ///
    /// An executor that runs in the thread that also serves costs the fewest system calls:
    /// `smol::block_on(executor.run(server.pool(executor.clone()).serve()))`.
    pool: Arc<smol::Executor<'static>>
}

impl<A> Server<A> {
    /// Serves until the handle is told to stop, or a listener becomes unusable. Then the listeners are closed,
    /// idle connections too, and requests that have begun are finished; at `graceful_timeout` what is left is cut.
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
            let runtime = Runtime::default().descriptor_limit(descriptor_limit());
            let server = wsgi_app::Server::with_runtime(options, &handle, application, runtime)?;
            let start = |accepted: Accepted| accepted.spawn(&server, pool.as_deref());
            let bound_addr = |listener: &Listener| listener.bound_addr.clone();
            server.run(&handle, listeners, bound_addr, Listener::poll_accept, start, Timer::after).await
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
