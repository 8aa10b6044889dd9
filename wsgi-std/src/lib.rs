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

use std::future::Future;
use std::io;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use wsgi_app::adapter::{self as app, Adapter, Blocking, BoundAddr, Runtime, check_alpn};

pub use listener::{IntoListener, Listener};
#[cfg(feature = "tls")]
pub use rustls;
pub use wsgi_app::blocking::{Application, BoxApplication, Outcome, application_fn};
pub use wsgi_app::blocking::{Environ, Input, Lines, StartResponse, Stream, Write};
pub use wsgi_app::{
    Address, Body, BodyError, BodyLength, Bytes, DateError, Endpoints, Error, Errors, Field, FieldBytes,
    Head, InputError, KeepAlive, Limits, Log, LogEntry, LogFormat, Lost, NO_HEADERS, OptionError, Options,
    Record, Rejected, Report, RequestError, Result, Scheme, SendError, ServerHandle, StartError, Trailers,
    Version, format_date_time,
};

use crate::accept::{AcceptTimer, block_on};
use crate::engine::Engine;
use crate::listener::Accepted;

/// What an engine of another kind needs to serve blocking applications: TLS over a transport, and the hand-over of a task
/// between threads.
pub mod adapter {
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
    threads: Option<usize>,
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
            threads: None,
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

    /// The most threads that run the application; then requests wait. Default: `max_size`. Allowed: 1 or more.
    pub fn pool(mut self, threads: usize) -> Self {
        (self.threads, self.ignores_max_size) = (Some(threads), false);
        self
    }

    /// As [`pool`](Self::pool), but `max_size` is ignored, as in the manual: the pool alone bounds what runs.
    pub fn custom_pool(mut self, threads: usize) -> Self {
        (self.threads, self.ignores_max_size) = (Some(threads), true);
        self
    }

    /// Stops and watches the server from any thread. It can be taken before the server runs.
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Serves until the handle is told to stop, or a listener becomes unusable. Then listeners and idle connections are
    /// closed, requests that have begun are finished; at `graceful_timeout` what is left is cut. An application that
    /// does not return even then is left behind with its thread.
    ///
    /// # Errors
    ///
    /// An option that is not allowed, or `h2` in the ALPN of a listener ([`io::ErrorKind::InvalidInput`] with an
    /// [`OptionError`]); the failure of a listener; a system that gives no poller or no thread.
    pub fn serve(self) -> io::Result<Report>
    where
        A: Application,
    {
        let Self { listeners, application, options, handle, threads, ignores_max_size } = self;
        if threads == Some(0) {
            let option = if ignores_max_size { "custom_pool" } else { "pool" };
            return Err(OptionError::new(option, 0, "1 or more").into());
        }
        listeners.iter().try_for_each(|listener| check_alpn(listener.alpn_protocols()))?;
        let runtime =
            Runtime::default().descriptor_limit(descriptor_limit()).ignore_max_size(ignores_max_size);
        let server = app::Server::with_runtime(options, &handle, Blocking(application), runtime)?;
        listeners.iter().try_for_each(|listener| listener.socket.set_nonblocking(true))?;
        // By default one more, which polls.
        let threads = threads.unwrap_or_else(|| server.max_size().saturating_add(1));
        let engine = Engine::start(threads)?;
        let listeners: Vec<_> = listeners.into_iter().map(Arc::new).collect();
        let weak: Vec<Weak<Listener>> = listeners.iter().map(Arc::downgrade).collect();
        let threads = Threads { engine: &engine, server: &server, timer: AcceptTimer::default() };
        let serving = server.run(&handle, listeners, &threads);
        let ended =
            block_on(serving, &wait::waker(), &threads.timer, |deadline| listener::wait(&weak, deadline));
        engine.stop();
        ended
    }
}

/// How listeners accept on the calling thread, and where connections run.
struct Threads<'s, A> {
    engine: &'s Arc<Engine>,
    server: &'s Arc<app::Server<Blocking<A>>>,
    timer: AcceptTimer,
}

impl<A: Application> Adapter for Threads<'_, A> {
    type Listener = Arc<Listener>;
    type Accepted = Accepted;

    fn bound_addr(&self, listener: &Arc<Listener>) -> BoundAddr {
        listener.bound_addr()
    }

    fn poll_accept(&self, listener: &mut Arc<Listener>, _: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        listener.poll_accept()
    }

    fn start(&self, accepted: Accepted) {
        connection::begin(self.engine, self.server, accepted);
    }

    fn sleep(&self, time: Duration) -> impl Future {
        self.timer.sleep(time)
    }
}

/// How many descriptors this process may have open.
fn descriptor_limit() -> Option<usize> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current?;
    Some(usize::try_from(limit).unwrap_or(usize::MAX))
}
