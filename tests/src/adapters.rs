//! The same application on every asynchronous adapter, and a blocking one on `wsgi-std`, each on its own free port.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tokio::runtime::Runtime;
use wsgi_tokio::rustls::ServerConfig;
use wsgi_tokio::{Application, Options, Report, ServerHandle};

use crate::echo::listen::Bound;
#[cfg(unix)]
use crate::echo::on_std;
use crate::echo::{on_smol, on_tokio};

/// The TLS configuration; `None` serves HTTP.
pub type Tls<'a> = Option<&'a Arc<ServerConfig>>;

/// A kind of server.
pub trait Adapter: Sync {
    /// Serves on a free port.
    ///
    /// # Errors
    ///
    /// No port is free, or the runtime rejects the listener.
    fn start(&self, options: Options, application: impl Application) -> io::Result<Running> {
        self.start_with(None, options, application)
    }

    /// Serves on a free port, with HTTPS if `tls` is given.
    ///
    /// # Errors
    ///
    /// Like [`start`](Self::start).
    fn start_with(
        &self,
        tls: Tls<'_>,
        options: Options,
        application: impl Application,
    ) -> io::Result<Running> {
        self.start_on(bind()?, tls, options, application)
    }

    /// Serves on this listener.
    ///
    /// # Errors
    ///
    /// Like [`start`](Self::start).
    fn start_on(
        &self,
        bound: Bound,
        tls: Tls<'_>,
        options: Options,
        application: impl Application,
    ) -> io::Result<Running>;
}

/// A running server.
#[derive(Debug)]
pub struct Running {
    /// The address that it accepts on; unspecified for a unix socket.
    pub address: SocketAddr,
    /// The handle that stops it.
    pub handle: ServerHandle,
    /// The result of the server, once it has ended.
    pub ended: Receiver<io::Result<Report>>,
}

/// `wsgi-tokio`, on an existing runtime.
#[derive(Debug)]
pub struct Tokio(pub Runtime);

/// `wsgi-smol`, with tasks run by `smol::spawn`.
#[derive(Debug)]
pub struct Smol;

/// `wsgi-smol` with a listener and the tasks of async-std.
#[derive(Debug)]
pub struct AsyncStd;

impl Adapter for Tokio {
    fn start_on(
        &self,
        bound: Bound,
        tls: Tls<'_>,
        options: Options,
        application: impl Application,
    ) -> io::Result<Running> {
        let address = address(&bound)?;
        let _inside = self.0.enter();
        let server = wsgi_tokio::Server::new(on_tokio::listener(bound, tls)?, application).options(options);
        let (tell, ended) = sync_channel(1);
        let handle = server.handle();
        self.0.spawn(telling(tell, server.serve()));
        Ok(Running { address, handle, ended })
    }
}

impl Adapter for Smol {
    fn start_on(
        &self,
        bound: Bound,
        tls: Tls<'_>,
        options: Options,
        application: impl Application,
    ) -> io::Result<Running> {
        let address = address(&bound)?;
        let server = wsgi_smol::Server::new(on_smol::listener(bound, tls)?, application).options(options);
        let (tell, ended) = sync_channel(1);
        let handle = server.handle();
        smol::spawn(telling(tell, server.serve())).detach();
        Ok(Running { address, handle, ended })
    }
}

impl Adapter for AsyncStd {
    fn start_on(
        &self,
        bound: Bound,
        tls: Tls<'_>,
        options: Options,
        application: impl Application,
    ) -> io::Result<Running> {
        let address = address(&bound)?;
        let listener = on_smol::async_std_listener(bound, tls);
        let server = wsgi_smol::Server::new(listener, application).options(options);
        let (tell, ended) = sync_channel(1);
        let handle = server.handle();
        async_std::task::spawn(telling(tell, server.serve()));
        Ok(Running { address, handle, ended })
    }
}

/// Serves a blocking application with `wsgi-std`, on a separate thread.
///
/// # Errors
///
/// No port is free.
#[cfg(unix)]
pub fn start_std(options: Options, application: impl wsgi_std::Application) -> io::Result<Running> {
    start_std_with(None, options, application)
}

/// Like [`start_std`], with HTTPS if `tls` is given.
///
/// # Errors
///
/// No port is free.
#[cfg(unix)]
pub fn start_std_with(
    tls: Tls<'_>,
    options: Options,
    application: impl wsgi_std::Application,
) -> io::Result<Running> {
    start_std_on(bind()?, tls, options, application)
}

/// Like [`start_std`], on this listener.
///
/// # Errors
///
/// The listener is not a socket.
#[cfg(unix)]
pub fn start_std_on(
    bound: Bound,
    tls: Tls<'_>,
    options: Options,
    application: impl wsgi_std::Application,
) -> io::Result<Running> {
    let address = address(&bound)?;
    let server = wsgi_std::Server::new(on_std::listener(bound, tls), application).options(options);
    let (tell, ended) = sync_channel(1);
    let handle = server.handle();
    // The receiver is dropped when the test has failed.
    std::thread::spawn(move || drop(tell.send(server.serve())));
    Ok(Running { address, handle, ended })
}

/// A listener on a free port.
///
/// # Errors
///
/// No port is free.
pub fn bind() -> io::Result<Bound> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    Ok(Bound::Tcp(listener))
}

fn address(bound: &Bound) -> io::Result<SocketAddr> {
    match bound {
        Bound::Tcp(listener) => listener.local_addr(),
        #[cfg(unix)]
        Bound::Unix(_) => Ok(SocketAddr::from(([0, 0, 0, 0], 0))),
    }
}

async fn telling(tell: SyncSender<io::Result<Report>>, serving: impl Future<Output = io::Result<Report>>) {
    // The receiver is dropped when the test has failed.
    let _ = tell.send(serving.await);
}
