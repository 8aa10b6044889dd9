//! Bound listeners.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Weak;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags};
use socket2::{SockAddr, Socket};
use wsgi_app::adapter::{BoundAddr, ProxyProtocol};
use wsgi_app::{Address, Endpoints, Scheme};

use crate::incoming::Incoming;
use crate::sync::{AtomicBool, Ordering};
use crate::tls::TlsTransport;
use crate::wait;

/// A listener that is already bound and listening: a `TcpListener` or a `UnixListener` of std, converted with `into`, or
/// any other [source of connections](Self::incoming). With the feature `tls`, `tls` makes it serve HTTPS. The file of a
/// unix socket is neither created nor removed here.
#[derive(Debug)]
pub struct Listener {
    source: Source,
    encryption: TlsTransport,
    proxy: ProxyProtocol,
    /// The last accept found no connection.
    drained: AtomicBool,
    limits_slow_readers: AtomicBool,
    /// Connections that arrive from now on have inherited their options, and none is left that arrived before.
    inherited: AtomicBool,
}

/// A source of connections for a server: a bound and listening `TcpListener` or `UnixListener` of std, a `Socket` of
/// socket2, or a [`Listener`].
///
/// ```compile_fail,E0277
/// # use wsgi_std::{Body, Environ, Result, StartResponse};
/// # fn site(_: Environ, _: StartResponse) -> Result<Body> { Ok(Body::empty()) }
/// wsgi_std::serve("127.0.0.1:8090", site)?;
/// # std::io::Result::Ok(())
/// ```
///
/// ```no_run
/// # use wsgi_std::{Body, Environ, Result, StartResponse};
/// # fn site(_: Environ, _: StartResponse) -> Result<Body> { Ok(Body::empty()) }
/// wsgi_std::serve(std::net::TcpListener::bind("127.0.0.1:8090")?, site)?;
/// # std::io::Result::Ok(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a std listener",
    label = "expected `std::net::TcpListener`, `std::os::unix::net::UnixListener` or `wsgi_std::Listener`",
    note = "convert a tokio listener with `listener.into_std()?`",
    note = "for other sources of connections, use `Listener::incoming`"
)]
pub trait IntoListener: Into<Listener> {}

impl IntoListener for Listener {}
impl IntoListener for Socket {}
impl IntoListener for TcpListener {}
impl IntoListener for UnixListener {}

#[derive(Debug)]
enum Source {
    Socket(Socket),
    Incoming(Incoming),
}

/// A connection that was just accepted.
pub(crate) struct Accepted {
    pub(crate) socket: Socket,
    /// Nothing was written to it.
    pub(crate) fresh: bool,
    pub(crate) endpoints: Endpoints,
    pub(crate) tls: TlsTransport,
    pub(crate) proxy: ProxyProtocol,
}

impl Listener {
    /// Accepts connections from an iterator of them: sockets that another part of the program has accepted, from a channel;
    /// or a function that accepts, such as that of VSOCK. An item is a connected stream socket, for example a `TcpStream`,
    /// a `UnixStream` or a `Socket` of socket2. The [`Endpoints`] are the addresses and the scheme that the application and
    /// the log see.
    ///
    /// The iterator runs on a separate thread, from [`serve`](crate::Server::serve) on, and may block. It is one
    /// connection ahead of the server: if there is no room for more, it waits. A stop does not wait for it. The thread ends
    /// when the iterator returns the next time.
    ///
    /// An error of the iterator is treated like an error of `accept(2)`: it is logged, and the server continues, unless it
    /// is [`InvalidInput`](io::ErrorKind::InvalidInput) or an error number of a broken listener, such as EBADF. When the
    /// iterator ends, the server continues with its other listeners. When all of them have ended, `serve` returns after the
    /// last connection has closed.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use std::os::unix::net::UnixStream;
    /// use std::sync::mpsc::sync_channel;
    /// use wsgi_std::{Address, Endpoints, Listener, Server};
    /// # use wsgi_std::{Body, Environ, NO_HEADERS, Result, StartResponse};
    /// # fn hello_world(_: Environ, start_response: StartResponse) -> Result<Body> {
    /// #     start_response.start("200 OK", NO_HEADERS)?;
    /// #     Ok("Hello\n".into())
    /// # }
    ///
    /// let (sender, receiver) = sync_channel(16);
    /// let server = Server::new(Listener::incoming(receiver), hello_world).log_output(false);
    /// let serving = std::thread::spawn(|| server.serve());
    ///
    /// let (mut client, connection) = UnixStream::pair()?;
    /// sender.send(Ok((connection, Endpoints::new(Address::Local, Address::Local))))?;
    /// client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    /// let mut response = String::new();
    /// client.read_to_string(&mut response)?;
    /// assert!(response.ends_with("\r\n\r\nHello\n"), "{response}");
    ///
    /// drop((client, sender)); // no more connections: the server ends
    /// serving.join().unwrap()?;
    /// # Ok::<(), wsgi_std::Error>(())
    /// ```
    pub fn incoming<S, C>(connections: C) -> Self
    where
        S: Into<OwnedFd>,
        C: IntoIterator<Item = io::Result<(S, Endpoints)>>,
        C::IntoIter: Send + 'static,
    {
        let connections = connections.into_iter().map(|accepted| {
            let (socket, endpoints) = accepted?;
            let socket = Socket::from(socket.into());
            socket.set_nonblocking(true)?;
            Ok((socket, endpoints))
        });
        Self::new(Source::Incoming(Incoming::new(connections)))
    }

    fn new(source: Source) -> Self {
        Self {
            source,
            encryption: TlsTransport::default(),
            proxy: ProxyProtocol::default(),
            drained: AtomicBool::new(false),
            limits_slow_readers: AtomicBool::new(false),
            inherited: AtomicBool::new(false),
        }
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
    /// # use wsgi_std::Listener;
    /// # fn behind_a_proxy(listener: std::net::TcpListener) -> wsgi_std::Result<Listener> {
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
    /// # use wsgi_std::Listener;
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
    pub fn tls(mut self, config: std::sync::Arc<rustls::ServerConfig>) -> Self {
        self.encryption = TlsTransport::new(config);
        self
    }

    /// Begins to listen. Sets the options of the connections on the listener, so that they cost no system call per
    /// connection.
    pub(crate) fn prepare(&mut self, limits_slow_readers: bool) -> io::Result<()> {
        self.limits_slow_readers.store(limits_slow_readers, Ordering::Relaxed);
        let socket = match &mut self.source {
            Source::Socket(socket) => socket,
            Source::Incoming(incoming) => return incoming.begin(),
        };
        socket.set_nonblocking(true)?;
        if INHERITS && !socket.local_addr().is_ok_and(|address| address.is_unix()) {
            set_options(socket, limits_slow_readers);
        }
        Ok(())
    }

    pub(crate) fn poll_accept(&self, context: &Context<'_>) -> Poll<io::Result<Accepted>> {
        let limits_slow_readers = || self.limits_slow_readers.load(Ordering::Relaxed);
        let accepted = match &self.source {
            Source::Socket(socket) => accept(socket).map(|(socket, remote)| {
                if remote.is_some() && !self.inherited.load(Ordering::Relaxed) {
                    set_options(&socket, limits_slow_readers());
                }
                let address = |address: Option<SocketAddr>| address.map_or(Address::Local, Address::from);
                let local = remote.and_then(|_| socket.local_addr().ok()?.as_socket());
                (socket, Endpoints::new(address(remote), address(local)))
            }),
            Source::Incoming(incoming) => ready!(incoming.poll_accept(context)).inspect(|(socket, _)| {
                // An option that does not apply fails, and is not needed.
                set_options(socket, limits_slow_readers());
            }),
        };
        match (accepted, &self.source) {
            (Err(error), Source::Socket(_)) if error.kind() == io::ErrorKind::WouldBlock => {
                self.drained.store(true, Ordering::Relaxed);
                self.inherited.store(INHERITS, Ordering::Relaxed);
                Poll::Pending
            }
            (accepted, _) => Poll::Ready(accepted.and_then(|(socket, endpoints)| {
                self.proxy.check(&endpoints.remote)?;
                let scheme = if self.encryption.is_on() { Scheme::Https } else { endpoints.scheme };
                let endpoints = Endpoints { scheme, ..endpoints };
                let fresh = matches!(self.source, Source::Socket(_));
                Ok(Accepted {
                    socket,
                    fresh,
                    endpoints,
                    tls: self.encryption.clone(),
                    proxy: self.proxy.clone(),
                })
            })),
        }
    }

    /// Whether it accepts sockets itself; otherwise its thread passes them on.
    pub(crate) fn is_socket(&self) -> bool {
        matches!(self.source, Source::Socket(_))
    }

    /// Whether it will never accept another connection.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(&self.source, Source::Incoming(incoming) if incoming.has_ended())
    }

    /// The protocols that it offers by ALPN.
    pub(crate) fn alpn_protocols(&self) -> &[Vec<u8>] {
        self.encryption.alpn_protocols()
    }

    pub(crate) fn bound_addr(&self) -> BoundAddr {
        let bound_addr = match &self.source {
            Source::Socket(socket) => {
                let address = socket.local_addr();
                match address.as_ref().ok().and_then(SockAddr::as_socket) {
                    Some(address) => BoundAddr::tcp(Ok(address)),
                    None => BoundAddr::local(address.as_ref().ok().and_then(SockAddr::as_pathname)),
                }
            }
            Source::Incoming(_) => BoundAddr::local(Some(Path::new("incoming"))),
        };
        BoundAddr { encrypted: self.encryption.is_on(), ..bound_addr }
    }
}

/// Accepts a connection, which does not block.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn accept(listener: &Socket) -> io::Result<(Socket, Option<SocketAddr>)> {
    use rustix::net::{SocketFlags, acceptfrom_with};
    let (socket, remote) = acceptfrom_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    Ok((socket.into(), remote.and_then(|remote| remote.try_into().ok())))
}

/// The same where it takes more system calls.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn accept(listener: &Socket) -> io::Result<(Socket, Option<SocketAddr>)> {
    let (socket, remote) = listener.accept()?;
    socket.set_nonblocking(true)?;
    Ok((socket, remote.as_socket()))
}

impl From<Socket> for Listener {
    fn from(socket: Socket) -> Self {
        Self::new(Source::Socket(socket))
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Socket::from(listener).into()
    }
}

impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Socket::from(OwnedFd::from(listener)).into()
    }
}

/// Whether connections inherit the options of their listener.
const INHERITS: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// The number of unsent bytes up to which the system takes more, for clients whose reading is limited in time.
#[cfg(any(target_os = "linux", target_os = "android"))]
const MOST_UNSENT: u32 = 128 * 1024;

/// Sets the options of a TCP connection, or of the listener that passes them on. If a client that reads slowly has a time
/// limit, the system holds few unsent bytes, so that progress shows in time.
fn set_options(socket: &Socket, limits_slow_readers: bool) {
    // Responses are written whole, so there is nothing to wait for. If an option fails, responses are slower, or a lost
    // client is noticed later.
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_keepalive(true);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if limits_slow_readers {
        let _ = socket.set_tcp_notsent_lowat(MOST_UNSENT);
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = limits_slow_readers;
}

/// Waits for connections on those of `listeners` that still exist.
pub(crate) fn wait(listeners: &[Weak<Listener>], deadline: Option<Instant>) {
    // A listener with more to accept, while the server accepts nothing, would end the wait immediately.
    let listeners: Vec<_> = listeners.iter().filter_map(Weak::upgrade).collect();
    let drained = listeners.iter().filter(|listener| listener.drained.swap(false, Ordering::Relaxed));
    let sockets = drained.filter_map(|listener| match &listener.source {
        Source::Socket(socket) => Some(PollFd::new(socket, PollFlags::IN)),
        // Its thread wakes this one.
        Source::Incoming(_) => None,
    });
    let _ = wait::wait(sockets, deadline);
}
