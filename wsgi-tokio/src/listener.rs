//! Bound listeners, and how the connections that they accept are served.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Handle;
use wsgi_app::adapter::{BoundAddr, Server};
use wsgi_app::{Address, Application, Endpoints};

use crate::socket::{INHERITS, set_options};
use crate::tls::Tls;

/// A listener that is already bound and listening: a `TcpListener` or a `UnixListener` of tokio, converted with `into`.
/// With the feature `tls`, `tls` makes it serve HTTPS. The file of a unix socket is neither created nor removed here.
#[derive(Debug)]
pub struct Listener {
    socket: Listening,
    tls: Tls,
    limits_slow_readers: bool,
    /// Connections that arrive from now on have inherited their options, and none is left that arrived before.
    inherited: bool,
}

/// A source of connections for a server: a bound and listening `TcpListener` or `UnixListener` of tokio, or a
/// [`Listener`].
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
    message = "`{Self}` is not a tokio listener",
    label = "expected `tokio::net::TcpListener`, `tokio::net::UnixListener` or `wsgi_tokio::Listener`",
    note = "convert a std listener with `listener.set_nonblocking(true)?` and \
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
    /// The server stops; see [`Listener::poll_queued`].
    Draining(Option<socket2::Socket>),
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
        Self { socket, tls: Tls::default(), limits_slow_readers: false, inherited: false }
    }

    /// Serves HTTPS on this listener, with the certificates and everything else that `config` sets.
    ///
    /// The program chooses the crypto provider: this crate enables none. Name the provider, since
    /// `ServerConfig::builder()` panics unless the whole program enables exactly one:
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// // In Cargo.toml:
    /// // rustls = { version = "0.23", default-features = false, features = ["ring", "std", "tls12"] }
    /// use rustls::ServerConfig;
    /// use rustls::crypto::ring;
    /// # use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    /// # use wsgi_tokio::Listener;
    ///
    /// # fn encrypted(
    /// #     listener: Listener,
    /// #     certificates: Vec<CertificateDer<'static>>,
    /// #     key: PrivateKeyDer<'static>,
    /// # ) -> Result<Listener, rustls::Error> {
    /// let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
    ///     .with_safe_default_protocol_versions()?
    ///     .with_no_client_auth()
    ///     .with_single_cert(certificates, key)?;
    /// let listener = listener.tls(Arc::new(config));
    /// # Ok(listener) }
    /// ```
    ///
    /// ALPN (`alpn_protocols`) may offer `http/1.1`, `http/1.0` or nothing, the default. `h2`, `h2c` and `h3` make
    /// `serve` return an [`OptionError`](wsgi_app::OptionError): only HTTP/1.x is served. Other protocols, such as
    /// `acme-tls/1`, are allowed; offer `http/1.1` beside them, since rustls rejects a client whose ALPN has none of
    /// the protocols offered.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, config: Arc<tokio_rustls::rustls::ServerConfig>) -> Self {
        self.tls.config = Some(config);
        self
    }

    /// Sets the options of the connections on the listener, so that they cost no system call per connection.
    pub(crate) fn prepare(&mut self, limits_slow_readers: bool) {
        self.limits_slow_readers = limits_slow_readers;
        if let Listening::Tcp(listener) = &self.socket
            && INHERITS
        {
            set_options(&SockRef::from(listener), limits_slow_readers);
            self.inherited = is_empty(listener);
        }
    }

    pub(crate) fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        let stream = match &self.socket {
            Listening::Tcp(listener) => {
                let Poll::Ready(accepted) = listener.poll_accept(context) else {
                    self.inherited = self.inherited || (INHERITS && is_empty(listener));
                    return Poll::Pending;
                };
                accepted.map(|(stream, remote)| Socket::Tcp(stream, remote))
            }
            #[cfg(unix)]
            Listening::Unix(listener) => {
                ready!(listener.poll_accept(context)).map(|(stream, _)| Socket::Unix(stream))
            }
            Listening::Draining(_) => return self.poll_queued(),
        }?;
        if let Socket::Tcp(stream, _) = &stream
            && !self.inherited
        {
            set_options(&SockRef::from(stream), self.limits_slow_readers);
        }
        Poll::Ready(Ok(Accepted { stream, tls: self.tls.clone() }))
    }

    /// Accepts from the queue of the socket itself: the reactor may not have reported the newest connections yet. The
    /// socket is no longer registered there, so that it closes fast: a connection that arrives meanwhile is lost.
    pub(crate) fn poll_queued(&mut self) -> Poll<io::Result<Accepted>> {
        let socket = match std::mem::replace(&mut self.socket, Listening::Draining(None)) {
            Listening::Tcp(listener) => listener.into_std()?.into(),
            #[cfg(unix)]
            Listening::Unix(listener) => listener.into_std()?.into(),
            Listening::Draining(Some(socket)) => socket,
            // It could not be deregistered, and is closed.
            Listening::Draining(None) => return Poll::Pending,
        };
        let accepted = socket.accept();
        self.socket = Listening::Draining(Some(socket));
        let stream = match accepted {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            accepted => accepted.and_then(|(socket, remote)| {
                socket.set_nonblocking(true)?;
                Ok(match remote.as_socket() {
                    #[cfg(unix)]
                    None => Socket::Unix(UnixStream::from_std(socket.into())?),
                    #[cfg(not(unix))]
                    None => return Err(io::ErrorKind::InvalidData.into()),
                    Some(remote) => {
                        if !self.inherited {
                            set_options(&socket, self.limits_slow_readers);
                        }
                        Socket::Tcp(TcpStream::from_std(socket.into())?, remote)
                    }
                })
            }),
        };
        Poll::Ready(stream.map(|stream| Accepted { stream, tls: self.tls.clone() }))
    }

    /// The protocols that it offers by ALPN.
    pub(crate) fn alpn_protocols(&self) -> &[Vec<u8>] {
        self.tls.alpn_protocols()
    }

    pub(crate) fn bound_addr(&self) -> BoundAddr {
        let bound_addr = match &self.socket {
            Listening::Tcp(listener) => BoundAddr::tcp(listener.local_addr()),
            #[cfg(unix)]
            Listening::Unix(listener) => {
                let address = listener.local_addr().ok();
                BoundAddr::local(address.as_ref().and_then(|address| address.as_pathname()))
            }
            Listening::Draining(_) => BoundAddr::local(None),
        };
        BoundAddr { encrypted: self.tls.is_on(), ..bound_addr }
    }
}

impl Accepted {
    /// Serves the connection in a separate task, on `pool` if there is one.
    pub(crate) fn spawn<A: Application>(self, server: &Arc<Server<A>>, pool: Option<&Handle>) {
        match self.stream {
            Socket::Tcp(stream, remote) => {
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

/// Whether no connection waits to be accepted.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_empty(listener: &TcpListener) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&Timespec::default())) == Ok(0)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_empty(_: &TcpListener) -> bool {
    false
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
