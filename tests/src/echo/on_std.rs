//! How any application is served on `wsgi-std`.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use wsgi_std::rustls::ServerConfig;
use wsgi_std::{Application, Listener, Options, Report, Server, ServerHandle};

use super::listen::Bound;
use super::{Front, Threads};

/// How long a server may take to report invalid options or missing threads.
const REFUSAL: Duration = Duration::from_millis(50);

/// Serves until the server is stopped. `accepting` is called when it accepts, with the handle that stops it.
///
/// # Errors
///
/// Errors from `wsgi_std` and from `accepting`.
pub fn run(
    listeners: Vec<Bound>,
    front: &Front,
    application: impl Application,
    options: Options,
    threads: Threads,
    accepting: impl FnOnce(ServerHandle) -> io::Result<()>,
) -> io::Result<Report> {
    let mut listeners =
        listeners.into_iter().map(|bound| fronted(listener(bound, front.tls.as_ref()), front));
    let first = listeners.next().ok_or_else(|| io::Error::other("no listener is given"))?;
    let mut server = Server::new(first, application).options(options);
    for listener in listeners {
        server = server.listener(listener);
    }
    server = match threads {
        Threads::Runtime(None) => server,
        // The main thread accepts.
        Threads::Runtime(Some(threads)) => server.pool(threads.max(1)),
        Threads::Pool(threads) => server.custom_pool(threads),
    };
    let handle = server.handle();
    let (tell, ended) = channel();
    // Serving needs no separate thread; here it allows a wait for an early error.
    thread::spawn(move || tell.send(server.serve()));
    if let Ok(ended) = ended.recv_timeout(REFUSAL) {
        return ended;
    }
    let accepted = accepting(handle.clone());
    if accepted.is_err() {
        handle.shutdown();
    }
    let ended = ended.recv().map_err(io::Error::other)?;
    accepted.and(ended)
}

/// Passes a listener to the server, with HTTPS if `tls` is given.
pub fn listener(bound: Bound, tls: Option<&Arc<ServerConfig>>) -> Listener {
    let listener: Listener = match bound {
        Bound::Tcp(listener) => listener.into(),
        Bound::Unix(listener) => listener.into(),
    };
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
