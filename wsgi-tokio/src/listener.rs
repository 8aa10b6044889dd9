//! Bound listeners, and how the connections that they accept are served.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Handle;
use wsgi_app::adapter::{BoundAddr, ProxyProtocol, Server};
use wsgi_app::{Address, Application, Endpoints};

use crate::incoming::{Connections, Erased};
use crate::socket::{INHERITS, set_options};
use crate::tls::Tls;

/// A listener that is already bound and listening: a `TcpListener` or a `UnixListener` of tokio, converted with `into`,
/// or any other [source of connections](Self::incoming). With the feature `tls`, `tls` makes it serve HTTPS. The file of
/// a unix socket is neither created nor removed here.
#[derive(Debug)]
pub struct Listener {
    socket: Listening,
    encryption: Tls,
    proxy: ProxyProtocol,
    limits_slow_readers: bool,
    /// Connections that arrive from now on have inherited their options, and none is left that arrived before.
    inherited: bool,
}

/// A source of connections for a server: a bound and listening `TcpListener` or `UnixListener` of tokio, or a
/// [`Listener`].
///
/// ```compile_fail,E0277
/// # use wsgi_tokio::{Body, Environ, Result, StartResponse};
/// # async fn site(_: Environ, _: StartResponse) -> Result<Body> { Ok(Body::empty()) }
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let serving = wsgi_tokio::serve(listener, site);
/// # std::io::Result::Ok(())
/// ```
///
/// ```no_run
/// # use wsgi_tokio::{Body, Environ, Result, StartResponse};
/// # async fn site(_: Environ, _: StartResponse) -> Result<Body> { Ok(Body::empty()) }
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// listener.set_nonblocking(true)?;
/// let serving = wsgi_tokio::serve(tokio::net::TcpListener::from_std(listener)?, site);
/// # std::io::Result::Ok(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a tokio listener",
    label = "expected `tokio::net::TcpListener`, `tokio::net::UnixListener` or `wsgi_tokio::Listener`",
    note = "convert a std listener with `listener.set_nonblocking(true)?` and \
            `tokio::net::TcpListener::from_std(listener)?`",
    note = "for other sources of connections, use `Listener::incoming`"
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
    Incoming(Connections),
    /// The server stops; see [`Listener::poll_queued`].
    Draining(Option<socket2::Socket>),
}

/// A connection that was just accepted.
pub(crate) struct Accepted {
    stream: Socket,
    tls: Tls,
    proxy: ProxyProtocol,
}

enum Socket {
    Tcp(TcpStream, SocketAddr),
    #[cfg(unix)]
    Unix(UnixStream),
    Other(Erased, Endpoints),
}

impl Listener {
    fn new(socket: Listening) -> Self {
        let (encryption, proxy) = (Tls::default(), ProxyProtocol::default());
        Self { socket, encryption, proxy, limits_slow_readers: false, inherited: false }
    }

    /// Accepts connections from a stream of them: pipes in memory, sockets that another part of the program has accepted,
    /// VSOCK, your own TLS; anything that reads and writes by the traits of tokio. The [`Endpoints`] are the addresses and
    /// the scheme that the application and the log see.
    ///
    /// An error of the stream is treated like an error of `accept(2)`: it is logged, and the server continues, unless it
    /// is [`InvalidInput`](io::ErrorKind::InvalidInput) or an error number of a broken listener, such as EBADF. When the
    /// stream ends, the server continues with its other listeners. When all of them have ended, [`serve`](crate::serve)
    /// returns after the last connection has closed.
    ///
    /// A [`TcpStream`] or [`UnixStream`] is served as if this crate had accepted it. Another type keeps a buffer while it
    /// waits for a request, and cannot be reset: a response that is broken off ends as an ordinary close.
    ///
    /// ```
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    /// use tokio_stream::wrappers::ReceiverStream;
    /// use wsgi_tokio::{Address, Endpoints, Listener, Server};
    /// # use wsgi_tokio::{Body, Environ, NO_HEADERS, Result, StartResponse};
    /// # async fn hello_world(_: Environ, start_response: StartResponse) -> Result<Body> {
    /// #     start_response.start("200 OK", NO_HEADERS)?;
    /// #     Ok("Hello\n".into())
    /// # }
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<()> {
    /// let (sender, receiver) = tokio::sync::mpsc::channel(16);
    /// let listener = Listener::incoming(ReceiverStream::new(receiver));
    /// let serving = tokio::spawn(Server::new(listener, hello_world).log_output(false).serve());
    ///
    /// let (mut client, connection) = tokio::io::duplex(64 * 1024);
    /// sender.send(Ok((connection, Endpoints::new(Address::Local, Address::Local)))).await?;
    /// client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    /// let mut response = String::new();
    /// client.read_to_string(&mut response).await?;
    /// assert!(response.ends_with("\r\n\r\nHello\n"), "{response}");
    ///
    /// drop((client, sender)); // no more connections: the server ends
    /// serving.await??;
    /// # Ok(()) }
    /// ```
    pub fn incoming<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        connections: impl Stream<Item = io::Result<(S, Endpoints)>> + Send + 'static,
    ) -> Self {
        Self::new(Listening::Incoming(Connections::new(connections)))
    }

    /// Requires the PROXY protocol, version 1 or 2: each connection must come from one of `sources` and begin with a
    /// header that contains the addresses of the proxy's client. The application and the log see these addresses.
    ///
    /// A connection from another source, and one that does not begin with a header, is closed without a response and logged
    /// as a debug entry. The header precedes TLS. [`Options::handshake_timeout`](wsgi_app::Options::handshake_timeout)
    /// bounds its time; its size is at most 107 bytes in version 1 and 4096 bytes in version 2. If the proxy speaks for
    /// itself, as in a health check (`LOCAL`, `UNKNOWN`), the connection keeps its own addresses. What the proxy adds in
    /// version 2, such as the TLS version of its client, is ignored: the scheme is that of this listener.
    ///
    /// ```
    /// # use wsgi_tokio::Listener;
    /// # fn behind_a_proxy(listener: tokio::net::TcpListener) -> wsgi_tokio::Result<Listener> {
    /// let listener = Listener::from(listener).proxy_protocol("127.0.0.1, 10.0.0.0/8, unix".parse()?);
    /// # Ok(listener) }
    /// ```
    #[cfg(feature = "proxy-protocol")]
    #[must_use]
    pub fn proxy_protocol(mut self, sources: wsgi_app::ProxySources) -> Self {
        self.proxy = ProxyProtocol::required_from(sources);
        self
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
        self.encryption.config = Some(config);
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
        let stream = match &mut self.socket {
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
            Listening::Incoming(connections) => {
                ready!(connections.poll_accept(context)).map(|(stream, endpoints)| {
                    stream.prepare(self.limits_slow_readers);
                    Socket::Other(stream, endpoints)
                })
            }
            Listening::Draining(_) => return self.poll_queued(context),
        }?;
        if let Socket::Tcp(stream, _) = &stream
            && !self.inherited
        {
            set_options(&SockRef::from(stream), self.limits_slow_readers);
        }
        Poll::Ready(self.accepted(stream))
    }

    /// Accepts from the queue of the socket itself: the reactor may not have reported the newest connections yet. The
    /// socket is no longer registered there, so that it closes fast: a connection that arrives meanwhile is lost.
    pub(crate) fn poll_queued(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        if let Listening::Incoming(connections) = &mut self.socket {
            // Pending means that the queue is empty, so there is no pause.
            connections.go_on();
            return self.poll_accept(context);
        }
        let socket = match std::mem::replace(&mut self.socket, Listening::Draining(None)) {
            Listening::Tcp(listener) => listener.into_std()?.into(),
            #[cfg(unix)]
            Listening::Unix(listener) => listener.into_std()?.into(),
            Listening::Draining(Some(socket)) => socket,
            // It could not be deregistered, and is closed.
            Listening::Draining(None) | Listening::Incoming(_) => return Poll::Pending,
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
        Poll::Ready(stream.and_then(|stream| self.accepted(stream)))
    }

    fn accepted(&self, stream: Socket) -> io::Result<Accepted> {
        self.proxy.check(&stream.remote())?;
        Ok(Accepted { stream, tls: self.encryption.clone(), proxy: self.proxy.clone() })
    }

    /// Whether it will never accept another connection.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(&self.socket, Listening::Incoming(connections) if connections.has_ended())
    }

    /// The protocols that it offers by ALPN.
    pub(crate) fn alpn_protocols(&self) -> &[Vec<u8>] {
        self.encryption.alpn_protocols()
    }

    pub(crate) fn bound_addr(&self) -> BoundAddr {
        let bound_addr = match &self.socket {
            Listening::Tcp(listener) => BoundAddr::tcp(listener.local_addr()),
            #[cfg(unix)]
            Listening::Unix(listener) => {
                let address = listener.local_addr().ok();
                BoundAddr::local(address.as_ref().and_then(|address| address.as_pathname()))
            }
            Listening::Incoming(_) => BoundAddr::local(Some(Path::new("incoming"))),
            Listening::Draining(_) => BoundAddr::local(None),
        };
        BoundAddr { encrypted: self.encryption.is_on(), ..bound_addr }
    }
}

impl Accepted {
    /// Serves the connection in a separate task, on `pool` if there is one.
    pub(crate) fn spawn<A: Application>(self, server: &Arc<Server<A>>, pool: Option<&Handle>) {
        match self.stream {
            Socket::Tcp(stream, remote) => {
                let local = stream.local_addr().map_or(Address::Local, Address::from);
                self.tls.serve(server, pool, Endpoints::new(remote.into(), local), &self.proxy, stream);
            }
            #[cfg(unix)]
            Socket::Unix(stream) => {
                let endpoints = Endpoints::new(Address::Local, Address::Local);
                self.tls.serve(server, pool, endpoints, &self.proxy, stream);
            }
            Socket::Other(stream, endpoints) => {
                self.tls.serve(server, pool, endpoints, &self.proxy, stream);
            }
        }
    }
}

impl Socket {
    fn remote(&self) -> Address {
        match self {
            Self::Tcp(_, remote) => Address::Ip(*remote),
            #[cfg(unix)]
            Self::Unix(_) => Address::Local,
            Self::Other(_, endpoints) => endpoints.remote,
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
