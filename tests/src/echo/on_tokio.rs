//! The echo application on `wsgi-tokio`, and how any application is served there.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::net::UnixListener;
use tokio::runtime;
use wsgi_tokio::rustls::ServerConfig;
use wsgi_tokio::{Application, Listener, Options, Report, Server, ServerHandle};

use super::application::application;
use super::listen::Bound;
use super::{Front, Threads};

/// The application, with the timer of tokio.
pub fn echo(front: &Front) -> impl Application + use<> {
    application(|time| Box::pin(tokio::time::sleep(time)), front.file.clone())
}

/// Serves until the server is stopped. `accepting` is called when it accepts, with the handle that stops it.
///
/// # Errors
///
/// Errors from `wsgi_tokio` and from `accepting`.
pub fn serve(
    listeners: Vec<Bound>,
    front: &Front,
    application: impl Application,
    options: Options,
    threads: Threads,
    accepting: impl FnOnce(ServerHandle) -> io::Result<()>,
) -> io::Result<Report> {
    let several = |threads: Option<usize>| {
        let mut builder = runtime::Builder::new_multi_thread();
        if let Some(threads) = threads {
            builder.worker_threads(threads);
        }
        builder.enable_all().build()
    };
    let (runtime, pool) = match threads {
        Threads::Runtime(Some(0)) => (runtime::Builder::new_current_thread().enable_all().build()?, None),
        Threads::Runtime(threads) => (several(threads)?, None),
        Threads::Pool(threads) => (several(Some(1))?, Some(several(Some(threads))?)),
    };
    runtime.block_on(async {
        let listeners =
            listeners.into_iter().map(|bound| Ok(fronted(listener(bound, front.tls.as_ref())?, front)));
        let listeners = listeners.collect::<io::Result<Vec<_>>>()?;
        let mut server = build(listeners, application, options)?;
        if let Some(pool) = &pool {
            server = server.custom_pool(pool.handle().clone());
        }
        run(server, accepting).await
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

/// Passes a listener to tokio, with HTTPS if `tls` is given.
///
/// # Errors
///
/// Errors from tokio's reactor.
pub fn listener(bound: Bound, tls: Option<&Arc<ServerConfig>>) -> io::Result<Listener> {
    let listener: Listener = match bound {
        Bound::Tcp(listener) => TcpListener::from_std(listener)?.into(),
        #[cfg(unix)]
        Bound::Unix(listener) => UnixListener::from_std(listener)?.into(),
    };
    Ok(match tls {
        Some(config) => listener.tls(Arc::clone(config)),
        None => listener,
    })
}

fn fronted(listener: Listener, front: &Front) -> Listener {
    match &front.proxies {
        Some(proxies) => listener.proxy_protocol(proxies.clone()),
        None => listener,
    }
}
