//! Bound listeners, and what becomes of the connections that they accept.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Handle;
use wsgi_app::{Address, Application, BoundAddr, Endpoints, Server};

use crate::tls::Tls;

/// A listener that is bound and listening already: a `TcpListener` or a `UnixListener` of tokio, turned into this by
/// `into`, and with feature `tls` by `tls`. The file of a unix socket is neither made nor removed here.
#[derive(Debug)]
pub struct Listener {
    socket: Listening,
    tls: Tls,
}

/// What a server accepts on: a bound and listening `TcpListener` or `UnixListener` of tokio, or a [`Listener`].
///
/// ```compile_fail,E0277
/// # use wsgi_tokio::{Body, Environ, Result, StartResponse};
/// # async fn site(_: Environ, _: StartResponse) -> Result<Body> { todo!() }
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let serving = wsgi_tokio::serve(listener, site);
/// # std::io::Result::Ok(())
/// ```
///
/// ```no_run
/// # use wsgi_tokio::{Body, Environ, Result, StartResponse};
/// # async fn site(_: Environ, _: StartResponse) -> Result<Body> { todo!() }
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// listener.set_nonblocking(true)?;
/// let serving = wsgi_tokio::serve(tokio::net::TcpListener::from_std(listener)?, site);
/// # std::io::Result::Ok(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a listener of tokio",
    label = "expected `tokio::net::TcpListener`, `tokio::net::UnixListener` or `wsgi_tokio::Listener`",
    note = "a listener of std becomes one of tokio with `listener.set_nonblocking(true)?` and \
            `tokio::net::TcpListener::from_std(listener)?`"
)]
pub trait IntoListener: Into<Listener> {}

impl IntoListener for Listener {}
impl IntoListener for TcpListener {}
#[cfg(unix)]
impl IntoListener for UnixListener {}

#[derive(Debug)]
enum Listening {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

/// A connection that was just accepted.
pub(crate) struct Accepted {
    stream: Socket,
    tls: Tls,
}

enum Socket {
    Tcp(TcpStream, SocketAddr),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Listener {
    fn new(socket: Listening) -> Self {
        Self { socket, tls: Tls::default() }
    }

    /// Speaks HTTPS on this listener, with the certificates and everything else that `config` says.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, config: Arc<tokio_rustls::rustls::ServerConfig>) -> Self {
        self.tls.acceptor = Some(config.into());
        self
    }

    pub(crate) fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        let stream = match &self.socket {
            Listening::Tcp(listener) => {
                ready!(listener.poll_accept(context)).map(|(stream, remote)| Socket::Tcp(stream, remote))
            }
            #[cfg(unix)]
            Listening::Unix(listener) => {
                ready!(listener.poll_accept(context)).map(|(stream, _)| Socket::Unix(stream))
            }
        }?;
        Poll::Ready(Ok(Accepted { stream, tls: self.tls.clone() }))
    }

    pub(crate) fn bound_addr(&self) -> BoundAddr {
        let bound_addr = match &self.socket {
            Listening::Tcp(listener) => BoundAddr::tcp(listener.local_addr()),
            #[cfg(unix)]
            Listening::Unix(listener) => {
                let address = listener.local_addr().ok();
                BoundAddr::local(address.as_ref().and_then(|address| address.as_pathname()))
            }
        };
        BoundAddr { encrypted: self.tls.is_on(), ..bound_addr }
    }
}

impl Accepted {
    /// Serves the connection in a task of its own, on `pool` if there is one.
    pub(crate) fn spawn<A: Application>(self, server: &Arc<Server<A>>, pool: Option<&Handle>) {
        match self.stream {
            Socket::Tcp(stream, remote) => {
                // Answers go out whole, so there is nothing to wait for. Without it they are only slower.
                let _ = stream.set_nodelay(true);
                let local = stream.local_addr().map_or(Address::Local, Address::from);
                self.tls.serve(server, pool, Endpoints::new(remote.into(), local), stream);
            }
            #[cfg(unix)]
            Socket::Unix(stream) => {
                self.tls.serve(server, pool, Endpoints::new(Address::Local, Address::Local), stream);
            }
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::new(Listening::Tcp(listener))
    }
}

#[cfg(unix)]
impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self::new(Listening::Unix(listener))
    }
}
