//! The echo application on `wsgi-tokio`.

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

/// Serves until the server is stopped. `accepting` is called when it accepts, with the handle that stops it.
///
/// # Errors
///
/// Those of `wsgi_tokio`, and of `accepting`.
pub fn serve(
    listeners: Vec<Bound>,
    tls: Option<Arc<ServerConfig>>,
    options: Options,
    threads: Option<usize>,
    accepting: impl FnOnce(ServerHandle) -> io::Result<()>,
) -> io::Result<Report> {
    let mut builder = match threads {
        Some(0) => runtime::Builder::new_current_thread(),
        Some(threads) => {
            let mut builder = runtime::Builder::new_multi_thread();
            builder.worker_threads(threads);
            builder
        }
        None => runtime::Builder::new_multi_thread(),
    };
    builder.enable_all().build()?.block_on(async {
        let listeners = listeners.into_iter().map(|bound| listener(bound, tls.as_ref()));
        let listeners = listeners.collect::<io::Result<Vec<_>>>()?;
        let echo = application(|time| Box::pin(tokio::time::sleep(time)));
        run(listeners, echo, options, accepting).await
    })
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
    accepting: impl FnOnce(ServerHandle) -> io::Result<()>,
) -> io::Result<Report> {
    let mut listeners = listeners.into_iter();
    let first = listeners.next().ok_or_else(|| io::Error::other("there is nothing to listen on"))?;
    let mut server = Server::new(first, application).options(options);
    for listener in listeners {
        server = server.listener(listener);
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

/// Hands a listener to tokio; it speaks HTTPS if there is `tls`.
///
/// # Errors
///
/// Those of tokio's reactor.
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
