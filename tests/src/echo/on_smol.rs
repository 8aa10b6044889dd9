//! The echo application on `wsgi-smol`, and how any application is served there, with the sockets of smol and of async-std.

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
use super::{Front, Threads};

const SLEEP: Sleep = |time| {
    Box::pin(async move {
        Timer::after(time).await;
    })
};

/// The application, with the timer of smol.
pub fn echo(front: &Front) -> impl Application + use<> {
    application(SLEEP, front.file.clone())
}

/// The application, with the timer of async-std.
pub fn echo_async_std(front: &Front) -> impl Application + use<> {
    application(|time| Box::pin(async_std::task::sleep(time)), front.file.clone())
}

/// Serves until the server is stopped. `accepting` is called when it accepts, with the handle that stops it. Without a
/// number of threads the connections run on smol's global executor.
///
/// # Errors
///
/// Errors from `wsgi_smol` and from `accepting`.
pub fn serve(
    listeners: Vec<Bound>,
    front: &Front,
    application: impl Application,
    options: Options,
    threads: Threads,
    accepting: impl FnOnce(ServerHandle) -> io::Result<()>,
) -> io::Result<Report> {
    let listeners =
        listeners.into_iter().map(|bound| Ok(fronted(listener(bound, front.tls.as_ref())?, front)));
    let server = build(listeners.collect::<io::Result<Vec<_>>>()?, application, options)?;
    let executor = Arc::new(Executor::new());
    match threads {
        Threads::Runtime(None) => smol::block_on(run(server, accepting)),
        // This thread counts as one of them.
        Threads::Runtime(Some(threads)) => {
            let serving = run(server.pool(Arc::clone(&executor)), accepting);
            with_threads(&executor, threads.saturating_sub(1), || smol::block_on(executor.run(serving)))
        }
        Threads::Pool(threads) => {
            let serving = run(server.custom_pool(Arc::clone(&executor)), accepting);
            with_threads(&executor, threads, || smol::block_on(serving))
        }
    }
}

/// Like [`serve`], with the listeners and the tasks of async-std, which chooses the number of its threads itself.
///
/// # Errors
///
/// Like [`serve`].
pub fn serve_async_std(
    listeners: Vec<Bound>,
    front: &Front,
    application: impl Application,
    options: Options,
    threads: Threads,
    accepting: impl FnOnce(ServerHandle) -> io::Result<()>,
) -> io::Result<Report> {
    let listener = |bound| fronted(async_std_listener(bound, front.tls.as_ref()), front);
    let listeners = listeners.into_iter().map(listener).collect();
    let server = build(listeners, application, options)?;
    let Threads::Pool(threads) = threads else {
        return async_std::task::block_on(run(server, accepting));
    };
    let executor = Arc::new(Executor::new());
    let serving = run(server.custom_pool(Arc::clone(&executor)), accepting);
    with_threads(&executor, threads, || async_std::task::block_on(serving))
}

/// Runs `executor` on this many threads while `work` lasts.
fn with_threads<R>(executor: &Executor<'static>, threads: usize, work: impl FnOnce() -> R) -> R {
    let (stop, stopped) = smol::channel::bounded::<()>(1);
    thread::scope(|scope| {
        for _ in 0..threads {
            // The threads end when all senders are dropped.
            scope.spawn(|| smol::block_on(executor.run(stopped.recv())));
        }
        let done = work();
        drop(stop);
        done
    })
}

/// Builds a server on all these listeners.
///
/// # Errors
///
/// The list of listeners is empty.
pub fn build<A: Application>(
    listeners: Vec<Listener>,
    application: A,
    options: Options,
) -> io::Result<Server<A>> {
    let mut listeners = listeners.into_iter();
    let first = listeners.next().ok_or_else(|| io::Error::other("no listener is given"))?;
    Ok(listeners.fold(Server::new(first, application).options(options), Server::listener))
}

/// Serves any application in the same way.
///
/// # Errors
///
/// Like [`serve`].
pub async fn run(
    server: Server<impl Application>,
    accepting: impl FnOnce(ServerHandle) -> io::Result<()>,
) -> io::Result<Report> {
    let handle = server.handle();
    let mut serving = pin!(server.serve());
    // The first poll checks the options and starts to accept.
    let begun = poll_fn(|context| Poll::Ready(serving.as_mut().poll(context))).await;
    if let Poll::Ready(ended) = begun {
        return ended;
    }
    accepting(handle)?;
    serving.await
}

/// Passes a listener to smol, with HTTPS if `tls` is given.
///
/// # Errors
///
/// Errors from smol's reactor.
pub fn listener(bound: Bound, tls: Option<&Arc<ServerConfig>>) -> io::Result<Listener> {
    let listener = match bound {
        Bound::Tcp(listener) => Async::new(listener)?.into(),
        #[cfg(unix)]
        Bound::Unix(listener) => Async::new(listener)?.into(),
    };
    Ok(encrypted(listener, tls))
}

/// Passes a listener to async-std, with HTTPS if `tls` is given.
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

fn fronted(listener: Listener, front: &Front) -> Listener {
    match &front.proxies {
        Some(proxies) => listener.proxy_protocol(proxies.clone()),
        None => listener,
    }
}
