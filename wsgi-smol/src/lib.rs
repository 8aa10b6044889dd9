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

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use smol::Timer;
use wsgi_app::adapter::{self, Adapter, BoundAddr, Runtime, check_alpn};

#[cfg(feature = "tls")]
pub use futures_rustls::rustls;
use listener::Accepted;
pub use listener::{IntoListener, Listener};
pub use socket::Duplex;
pub use wsgi_app::adapter::Serving;
pub use wsgi_app::{
    Address, Body, BodyError, BodyLength, Bytes, DateError, Endpoints, Error, Errors, Field, FieldBytes,
    Head, InputError, KeepAlive, Limits, Log, LogEntry, LogFormat, Lost, NO_HEADERS, OptionError, Options,
    Record, Rejected, Report, RequestError, Result, Scheme, SendError, ServerHandle, StartError, Trailers,
    Version, format_date_time,
};
pub use wsgi_app::{Application, BoxApplication, ResponseFuture, application_fn};
pub use wsgi_app::{Environ, Input, Lines, StartResponse, Stream, Write};

/// Serves `application` on a bound and listening `listener` with the default options, until the process ends.
///
/// # Errors
///
/// Those of the listener itself; errors of single clients never end it.
pub fn serve(listener: impl IntoListener, application: impl Application) -> Serving {
    Server::new(listener, application).serve()
}

/// A server that is being set up: options first, then [`serve`](Self::serve).
///
/// The methods named like options are short cuts for those that are needed every day; all of them are in [`Options`].
#[derive(Debug)]
#[must_use = "nothing is served before `serve` is called"]
pub struct Server<A> {
    listeners: Vec<Listener>,
    application: A,
    options: Options,
    handle: ServerHandle,
    pool: Option<Arc<smol::Executor<'static>>>,
    ignores_max_size: bool,
}

impl<A> Server<A> {
    /// A server of `application` on a bound and listening `listener`.
    pub fn new(listener: impl IntoListener, application: A) -> Self {
        Self {
            listeners: vec![listener.into()],
            application,
            options: Options::default(),
            handle: ServerHandle::new(),
            pool: None,
            ignores_max_size: false,
        }
    }

    /// Accepts on one more listener.
    pub fn listener(mut self, listener: impl IntoListener) -> Self {
        self.listeners.push(listener.into());
        self
    }

    /// Replaces all options.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// [`Options::debug`].
    pub fn debug(self, on: bool) -> Self {
        self.change(|options| options.debug(on))
    }

    /// [`Options::keepalive`].
    pub fn keepalive(self, keepalive: impl Into<KeepAlive>) -> Self {
        self.change(|options| options.keepalive(keepalive))
    }

    /// [`Options::log`].
    pub fn log(self, log: impl Fn(&LogEntry<'_>) + Send + Sync + 'static) -> Self {
        self.change(|options| options.log(log))
    }

    /// [`Options::log_output`].
    pub fn log_output(self, on: bool) -> Self {
        self.change(|options| options.log_output(on))
    }

    /// [`Options::max_body_size`].
    pub fn max_body_size(self, bytes: impl Into<Option<u64>>) -> Self {
        self.change(|options| options.max_body_size(bytes))
    }

    /// [`Options::max_size`].
    pub fn max_size(self, connections: usize) -> Self {
        self.change(|options| options.max_size(connections))
    }

    /// [`Options::socket_timeout`].
    pub fn socket_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.change(|options| options.socket_timeout(timeout))
    }

    fn change(mut self, change: impl FnOnce(Options) -> Options) -> Self {
        self.options = change(self.options);
        self
    }

    /// The executor that the connections run on; somebody has to run it. Default: what [`smol::spawn`] runs on, for
    /// listeners of async-std what `async_std::task::spawn` does.
    ///
    /// An executor that runs in the thread that also serves costs the fewest system calls:
    /// `smol::block_on(executor.run(server.pool(executor.clone()).serve()))`.
    pub fn pool(mut self, pool: Arc<smol::Executor<'static>>) -> Self {
        (self.pool, self.ignores_max_size) = (Some(pool), false);
        self
    }

    /// As [`pool`](Self::pool), but `max_size` is ignored, as in the manual: the pool alone bounds what runs.
    pub fn custom_pool(mut self, pool: Arc<smol::Executor<'static>>) -> Self {
        (self.pool, self.ignores_max_size) = (Some(pool), true);
        self
    }

    /// Stops and watches the server from any thread. It can be taken before the server runs.
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Serves until the handle is told to stop, or a listener becomes unusable. Then the listeners are closed,
    /// idle connections too, and requests that have begun are finished; at `graceful_timeout` what is left is cut.
    ///
    /// # Errors
    ///
    /// An option that is not allowed, or `h2` in the ALPN of a listener ([`io::ErrorKind::InvalidInput`] with an
    /// [`OptionError`]); the failure of a listener.
    pub fn serve(self) -> Serving
    where
        A: Application,
    {
        Serving::new(async move {
            let Self { listeners, application, options, handle, pool, ignores_max_size } = self;
            listeners.iter().try_for_each(|listener| check_alpn(listener.alpn_protocols()))?;
            let runtime =
                Runtime::default().descriptor_limit(descriptor_limit()).ignore_max_size(ignores_max_size);
            let server = adapter::Server::with_runtime(options, &handle, application, runtime)?;
            server.run(&handle, listeners, &Smol { server: &server, pool }).await
        })
    }
}

/// How listeners of smol accept, and where connections run.
struct Smol<'s, A> {
    server: &'s Arc<adapter::Server<A>>,
    pool: Option<Arc<smol::Executor<'static>>>,
}

impl<A: Application> Adapter for Smol<'_, A> {
    type Listener = Listener;
    type Accepted = Accepted;

    fn bound_addr(&self, listener: &Listener) -> BoundAddr {
        listener.bound_addr.clone()
    }

    fn poll_accept(&self, listener: &mut Listener, context: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        listener.poll_accept(context)
    }

    fn start(&self, accepted: Accepted) {
        accepted.spawn(self.server, self.pool.as_deref());
    }

    fn sleep(&self, time: Duration) -> impl Future {
        Timer::after(time)
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
