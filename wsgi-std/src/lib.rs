//! An HTTP/1.x and WSGI-style server for blocking applications, on the sockets of std. Unix only.
//!
//! ```no_run
//! use wsgi_std::{Body, Environ, Result, StartResponse};
//!
//! fn hello_world(_environ: Environ, start_response: StartResponse) -> Result<Body> {
//!     start_response.send("200 OK", [("Content-Type", "text/plain")])?;
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

mod connection;
mod engine;
mod listener;
mod wait;

use std::io;
use std::sync::Arc;

pub use listener::Listener;
pub use wsgi_app::blocking::{Application, Environ, Input, Lines, StartResponse, Stream, Write};
pub use wsgi_app::*;

use socket2::Socket;
use wsgi_app::blocking::{Alarm, Blocking, Line, run_life};

use crate::connection::Connection;
use crate::engine::Engine;

/// Serves `application` on a bound and listening `listener` with the default options, until the process ends.
///
/// # Errors
///
/// Those of the listener itself; errors of single clients never end it.
pub fn serve(listener: impl Into<Listener>, application: impl Application) -> io::Result<Report> {
    Server::new(listener, application).serve()
}

/// A server that is being set up: options first, then [`serve`](Self::serve).
#[derive(Debug)]
#[must_use = "nothing is served before `serve` is called"]
pub struct Server<A> {
    listeners: Vec<Listener>,
    application: A,
    options: Options,
    handle: ServerHandle,
    threads: Option<usize>,
}

impl<A: Application> Server<A> {
    /// A server of `application` on a bound and listening `listener`.
    pub fn new(listener: impl Into<Listener>, application: A) -> Self {
        Self {
            listeners: vec![listener.into()],
            application,
            options: Options::default(),
            handle: ServerHandle::new(),
            threads: None,
        }
    }

    wsgi_app::option_methods!(server);

    /// The most threads that run the application; then requests wait. Default: `max_size`. Allowed: 1 or more.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Serves until the handle is told to stop, or a listener becomes unusable. Then listeners and idle connections are
    /// closed, requests that have begun are finished; at `graceful_timeout` what is left is cut. An application that
    /// does not return even then is left behind with its thread.
    ///
    /// # Errors
    ///
    /// An option that is not allowed ([`io::ErrorKind::InvalidInput`] with an [`OptionError`]); the failure of a
    /// listener; a system that gives no poller or no thread.
    pub fn serve(self) -> io::Result<Report> {
        let Self { listeners, application, options, handle, threads } = self;
        let server = wsgi_app::Server::new(options, &handle, Blocking(application))?;
        listeners.iter().try_for_each(Listener::do_not_block)?;
        // By default one more, which polls.
        let threads = threads.unwrap_or_else(|| server.max_size().saturating_add(1)).max(1);
        let engine = Engine::start(threads)?;
        let listeners: Vec<_> = listeners.into_iter().map(Arc::new).collect();
        let (weak, alarm): (Vec<_>, _) = (listeners.iter().map(Arc::downgrade).collect(), Alarm::default());
        let life = server.run(
            &handle,
            listeners,
            |listener| listener.place(),
            |listener, _| listener.poll_accept(),
            |(socket, peer)| begin(&engine, &server, socket, peer),
            |time| alarm.sleep(time),
        );
        let ended = run_life(life, &wait::waker(), &alarm, |deadline| listener::wait(&weak, deadline));
        engine.stop();
        ended
    }
}

type Serving<A> = wsgi_app::Server<Blocking<A>>;

/// Serves one connection.
fn begin<A: Application>(engine: &Arc<Engine>, server: &Arc<Serving<A>>, socket: Socket, peer: Peer) {
    let permit = server.admit(peer);
    match engine.watch(&socket) {
        Ok(task) => {
            let connection = Arc::new(Connection { socket, task: Arc::clone(&task) });
            // In two steps: only so it becomes one of any kind.
            let wire = Arc::downgrade(&connection);
            permit.wire(wire);
            task.begin(serve_connection(Arc::clone(server), permit, Line(connection)));
        }
        Err(error) => drop(server.accept_failed(&error)),
    }
}
