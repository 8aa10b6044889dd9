//! An HTTP/1.x and WSGI-style server on tokio.
//!
//! ```no_run
//! use wsgi_tokio::{Body, Environ, Result, StartResponse};
//!
//! async fn hello_world(_environ: Environ, start_response: StartResponse) -> Result<Body> {
//!     start_response.send("200 OK", [("Content-Type", "text/plain")])?;
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

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

pub use listener::Listener;
pub use wsgi_app::*;

/// How long accepting pauses when descriptors or memory ran out.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves `application` on a bound and listening `listener` with the default options, until the process ends.
///
/// # Errors
///
/// Those of the listener itself; errors of single clients never end it.
pub async fn serve(listener: impl Into<Listener>, application: impl Application) -> io::Result<Report> {
    Server::new(listener, application).serve().await
}

/// A server that is being set up: options first, then [`serve`](Self::serve).
#[derive(Debug)]
#[must_use = "nothing is served before `serve` is awaited"]
pub struct Server<A> {
    listeners: Vec<Listener>,
    application: A,
    options: Options,
    handle: ServerHandle,
}

impl<A: Application> Server<A> {
    /// A server of `application` on a bound and listening `listener`.
    pub fn new(listener: impl Into<Listener>, application: A) -> Self {
        Self {
            listeners: vec![listener.into()],
            application,
            options: Options::default(),
            handle: ServerHandle::new(),
        }
    }

    wsgi_app::option_methods!();

    fn options_mut(&mut self) -> &mut Options {
        &mut self.options
    }

    /// Replaces all options.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Accepts on one more listener.
    pub fn listener(mut self, listener: impl Into<Listener>) -> Self {
        self.listeners.push(listener.into());
        self
    }

    /// Stops and watches the server from any thread; may be taken before it runs.
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Serves until the handle is told to stop, or a listener becomes unusable. Then the listeners are closed, idle
    /// connections too, and requests that have begun are finished; at `graceful_timeout` what is left is cut.
    ///
    /// # Errors
    ///
    /// An option that is not allowed ([`io::ErrorKind::InvalidInput`] with an [`OptionError`]); the failure of a
    /// listener.
    pub async fn serve(self) -> io::Result<Report> {
        let Self { listeners, application, options, handle } = self;
        let server = wsgi_app::Server::new(options, &handle, application)?;
        for listener in &listeners {
            listener.announce(&server, &handle);
        }
        let accepted = accept(&server, &listeners).await;
        // The descriptors are closed, never shut down: a duplicate of one stays usable.
        drop(listeners);
        handle.shutdown();
        if tokio::time::timeout(server.graceful_timeout(), server.drained()).await.is_err() {
            server.abort();
            server.drained().await;
        }
        let report = server.report();
        accepted.map(|()| report)
    }
}

/// Accepts connections until the server stops.
async fn accept<A: Application>(server: &Arc<wsgi_app::Server<A>>, listeners: &[Listener]) -> io::Result<()> {
    let mut first = 0;
    loop {
        let accepted = poll_fn(|context| {
            if !ready!(server.poll_admission(context)) {
                return Poll::Ready(None);
            }
            // Each listener is asked first in its turn, so that a busy one does not starve the others.
            first = (first + 1) % listeners.len().max(1);
            for listener in listeners[first..].iter().chain(&listeners[..first]) {
                if let Poll::Ready(accepted) = listener.poll_accept(context) {
                    return Poll::Ready(Some(accepted));
                }
            }
            Poll::Pending
        });
        match accepted.await {
            None => return Ok(()),
            Some(Ok(accepted)) => accepted.spawn(server),
            Some(Err(error)) => match server.accept_failed(&error) {
                AcceptFailure::Peer => {}
                AcceptFailure::Exhausted => pause(server).await,
                AcceptFailure::Listener => return Err(error),
            },
        }
    }
}

/// Waits a moment, or until the server stops.
async fn pause<A: Application>(server: &wsgi_app::Server<A>) {
    let stopped = poll_fn(|context| match server.poll_admission(context) {
        Poll::Ready(false) => Poll::Ready(()),
        _ => Poll::Pending,
    });
    let _ = tokio::time::timeout(PAUSE, stopped).await;
}
