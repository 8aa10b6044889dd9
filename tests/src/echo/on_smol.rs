//! The echo application on `wsgi-smol`, with the sockets of smol and of async-std.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread;

use smol::{Async, Executor, Timer};
use wsgi_smol::rustls::ServerConfig;
use wsgi_smol::{Application, Listener, Options, Report, Server, ServerHandle};

use super::application::application;
use super::listen::Bound;
use super::stream::Sleep;

const SLEEP: Sleep = |time| {
    Box::pin(async move {
        Timer::after(time).await;
    })
};

/// Serves until the server is stopped. `accepting` is called when it accepts, with the handle that stops it. Without
/// `threads` the connections run where smol runs its tasks.
///
/// # Errors
///
/// Those of `wsgi_smol`, and of `accepting`.
pub fn serve(
    listeners: Vec<Bound>,
    tls: Option<Arc<ServerConfig>>,
    options: Options,
    threads: Option<usize>,
    accepting: impl FnOnce(ServerHandle) -> io::Result<()>,
) -> io::Result<Report> {
    let listeners = listeners.into_iter().map(|bound| listener(bound, tls.as_ref()));
    let listeners = listeners.collect::<io::Result<Vec<_>>>()?;
    let executor = threads.map(|_| Arc::new(Executor::new()));
    let serving = run(listeners, application(SLEEP), options, executor.clone(), accepting);
    let Some(executor) = executor else { return smol::block_on(serving) };
    let (stop, stopped) = smol::channel::bounded::<()>(1);
    thread::scope(|scope| {
        for _ in 1..threads.unwrap_or_default() {
            // They end when nobody can send any more.
            scope.spawn(|| smol::block_on(executor.run(stopped.recv())));
        }
        let ended = smol::block_on(executor.run(serving));
        drop(stop);
        ended
    })
}

/// As [`serve`], with the listeners and the tasks of async-std. Its number of threads is its own affair.
///
/// # Errors
///
/// As [`serve`].
pub fn serve_async_std(
    listeners: Vec<Bound>,
    tls: Option<Arc<ServerConfig>>,
    options: Options,
    accepting: impl FnOnce(ServerHandle) -> io::Result<()>,
) -> io::Result<Report> {
    let listeners = listeners.into_iter().map(|bound| async_std_listener(bound, tls.as_ref())).collect();
    let echo = application(|time| Box::pin(async_std::task::sleep(time)));
    async_std::task::block_on(run(listeners, echo, options, None, accepting))
}

/// Serves any application in the same way.
///
/// # Errors
///
/// As [`serve`].
pub async fn run(
    listeners: Vec<Listener>,
    application: impl Application,
    options: Options,
    executor: Option<Arc<Executor<'static>>>,
    accepting: impl FnOnce(ServerHandle) -> io::Result<()>,
) -> io::Result<Report> {
    let mut listeners = listeners.into_iter();
    let first = listeners.next().ok_or_else(|| io::Error::other("there is nothing to listen on"))?;
    let mut server = Server::new(first, application).options(options);
    for listener in listeners {
        server = server.listener(listener);
    }
    if let Some(executor) = executor {
        server = server.pool(executor);
    }
    let handle = server.handle();
    let mut serving = pin!(server.serve());
    // Asked once, it has looked at its options and accepts.
    let begun = poll_fn(|context| Poll::Ready(serving.as_mut().poll(context))).await;
    if let Poll::Ready(ended) = begun {
        return ended;
    }
    accepting(handle)?;
    serving.await
}

/// Hands a listener to smol; it speaks HTTPS if there is `tls`.
///
/// # Errors
///
/// Those of smol's reactor.
pub fn listener(bound: Bound, tls: Option<&Arc<ServerConfig>>) -> io::Result<Listener> {
    let listener = match bound {
        Bound::Tcp(listener) => Async::new(listener)?.into(),
        #[cfg(unix)]
        Bound::Unix(listener) => Async::new(listener)?.into(),
    };
    Ok(encrypted(listener, tls))
}

/// Hands a listener to async-std; it speaks HTTPS if there is `tls`.
pub fn async_std_listener(bound: Bound, tls: Option<&Arc<ServerConfig>>) -> Listener {
    let listener = match bound {
        Bound::Tcp(listener) => async_std::net::TcpListener::from(listener).into(),
        #[cfg(unix)]
        Bound::Unix(listener) => async_std::os::unix::net::UnixListener::from(listener).into(),
    };
    encrypted(listener, tls)
}

fn encrypted(listener: Listener, tls: Option<&Arc<ServerConfig>>) -> Listener {
    match tls {
        Some(config) => listener.tls(Arc::clone(config)),
        None => listener,
    }
}
