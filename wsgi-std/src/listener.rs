//! Bound listeners.

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::sync::Weak;
use std::task::Poll;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags};
use socket2::{SockAddr, Socket};
use wsgi_app::adapter::BoundAddr;
use wsgi_app::{Address, Endpoints, Scheme};

use crate::sync::{AtomicBool, Ordering};
use crate::tls::Tls;
use crate::wait;

/// A listener that is already bound and listening: a `TcpListener` or a `UnixListener` of std, converted with `into`.
/// With the feature `tls`, `tls` makes it serve HTTPS. The file of a unix socket is neither created nor removed here.
#[derive(Debug)]
pub struct Listener {
    pub(crate) socket: Socket,
    tls: Tls,
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
/// # fn site(_: Environ, _: StartResponse) -> Result<Body> { todo!() }
/// wsgi_std::serve("127.0.0.1:8090", site)?;
/// # std::io::Result::Ok(())
/// ```
///
/// ```no_run
/// # use wsgi_std::{Body, Environ, Result, StartResponse};
/// # fn site(_: Environ, _: StartResponse) -> Result<Body> { todo!() }
/// wsgi_std::serve(std::net::TcpListener::bind("127.0.0.1:8090")?, site)?;
/// # std::io::Result::Ok(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a std listener",
    label = "expected `std::net::TcpListener`, `std::os::unix::net::UnixListener` or `wsgi_std::Listener`",
    note = "convert a tokio listener with `listener.into_std()?`"
)]
pub trait IntoListener: Into<Listener> {}

impl IntoListener for Listener {}
impl IntoListener for Socket {}
impl IntoListener for TcpListener {}
impl IntoListener for UnixListener {}

/// A connection that was just accepted.
pub(crate) struct Accepted {
    pub(crate) socket: Socket,
    pub(crate) endpoints: Endpoints,
    pub(crate) tls: Tls,
}

impl Listener {
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
        self.tls = Tls::new(config);
        self
    }

    /// Sets the options of the connections on the listener, so that they cost no system call per connection.
    pub(crate) fn prepare(&self, limits_slow_readers: bool) {
        self.limits_slow_readers.store(limits_slow_readers, Ordering::Relaxed);
        if INHERITS && !self.socket.local_addr().is_ok_and(|address| address.is_unix()) {
            set_options(&self.socket, limits_slow_readers);
        }
    }

    pub(crate) fn poll_accept(&self) -> Poll<io::Result<Accepted>> {
        let accepted = self.socket.accept().and_then(|(socket, remote)| {
            socket.set_nonblocking(true)?;
            if !remote.is_unix() && !self.inherited.load(Ordering::Relaxed) {
                set_options(&socket, self.limits_slow_readers.load(Ordering::Relaxed));
            }
            let address = |address: &SockAddr| address.as_socket().map_or(Address::Local, Address::from);
            let local = socket.local_addr().as_ref().map_or(Address::Local, address);
            let scheme = if self.tls.is_on() { Scheme::Https } else { Scheme::Http };
            let endpoints = Endpoints { scheme, ..Endpoints::new(address(&remote), local) };
            Ok(Accepted { socket, endpoints, tls: self.tls.clone() })
        });
        match accepted {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.drained.store(true, Ordering::Relaxed);
                self.inherited.store(INHERITS, Ordering::Relaxed);
                Poll::Pending
            }
            accepted => Poll::Ready(accepted),
        }
    }

    /// The protocols that it offers by ALPN.
    pub(crate) fn alpn_protocols(&self) -> &[Vec<u8>] {
        self.tls.alpn_protocols()
    }

    pub(crate) fn bound_addr(&self) -> BoundAddr {
        let address = self.socket.local_addr();
        let bound_addr = match address.as_ref().ok().and_then(SockAddr::as_socket) {
            Some(address) => BoundAddr::tcp(Ok(address)),
            None => BoundAddr::local(address.as_ref().ok().and_then(SockAddr::as_pathname)),
        };
        BoundAddr { encrypted: self.tls.is_on(), ..bound_addr }
    }
}

impl From<Socket> for Listener {
    fn from(socket: Socket) -> Self {
        Self {
            socket,
            tls: Tls::default(),
            drained: AtomicBool::new(false),
            limits_slow_readers: AtomicBool::new(false),
            inherited: AtomicBool::new(false),
        }
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
    let _ = wait::wait(drained.map(|listener| PollFd::new(&listener.socket, PollFlags::IN)), deadline);
}
