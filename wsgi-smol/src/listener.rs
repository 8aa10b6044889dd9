//! Bound listeners, and the connections that they accept.

use std::any::Any;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use smol::future::Boxed;
use smol::stream::{self, Stream, StreamExt};
use smol::{Async, Executor, Timer};
use socket2::SockRef;
use wsgi_app::adapter::{BoundAddr, ProxyPrelude, ProxyProtocol, Server, Transport, serve_after_handshake};
use wsgi_app::{Address, Application, Endpoints, Scheme};

use crate::socket::{Duplex, INHERITS, set_options};
use crate::tls::{Config, alpn_protocols, open};

/// How many connections are accepted before other tasks have their turn.
const ACCEPTS: u32 = 64;

/// A listener that is already bound and listening: one of smol, one in an [`Async`], one of async-std with the feature
/// `async-std`, or any other [source of connections](Self::incoming). With the feature `tls` each can serve HTTPS.
pub struct Listener {
    connections: stream::Boxed<io::Result<(Opening, Endpoints)>>,
    /// The stream of connections has ended.
    ended: bool,
    /// Accepts from the queue of the socket itself, without waiting.
    queue: Option<Queue>,
    /// The socket behind `connections`, which closes with them, if there is one.
    socket: Option<(Weak<Async<TcpListener>>, Arc<ConnectionOptions>)>,
    /// How many connections were accepted without a pause.
    accepted: u32,
    pub(crate) bound_addr: BoundAddr,
    way: Way,
}

/// A source of connections for a server: a bound and listening `TcpListener` or `UnixListener` of smol, one of std in
/// an [`Async`], one of async-std with the feature `async-std`, or a [`Listener`].
///
/// ```compile_fail,E0277
/// # use wsgi_smol::{Body, Environ, Result, StartResponse};
/// # async fn site(_: Environ, _: StartResponse) -> Result<Body> { Ok(Body::empty()) }
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let serving = wsgi_smol::serve(listener, site);
/// # std::io::Result::Ok(())
/// ```
///
/// ```no_run
/// # use wsgi_smol::{Body, Environ, Result, StartResponse};
/// # async fn site(_: Environ, _: StartResponse) -> Result<Body> { Ok(Body::empty()) }
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let serving = wsgi_smol::serve(smol::Async::new(listener)?, site);
/// # std::io::Result::Ok(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a smol listener",
    label = "expected `smol::net::TcpListener`, `smol::net::unix::UnixListener`, `smol::Async<_>` or `wsgi_smol::Listener`",
    note = "convert a std listener with `smol::Async::new(listener)?`",
    note = "the listeners of async-std need the feature `async-std`; for other sources of connections, use \
            `Listener::incoming`"
)]
pub trait IntoListener: Into<Listener> {}

impl IntoListener for Listener {}
impl<L> IntoListener for Async<L> where Listener: From<Arc<Self>> {}
impl<L> IntoListener for Arc<Async<L>> where Listener: From<Self> {}
impl IntoListener for smol::net::TcpListener {}
#[cfg(unix)]
impl IntoListener for smol::net::unix::UnixListener {}
#[cfg(feature = "async-std")]
impl IntoListener for async_std::net::TcpListener {}
#[cfg(all(feature = "async-std", unix))]
impl IntoListener for async_std::os::unix::net::UnixListener {}

/// A connection that was just accepted.
pub(crate) struct Accepted(Opening, Endpoints, Way);

/// How the options of the connections of a TCP listener are set.
#[derive(Default)]
struct ConnectionOptions {
    limits_slow_readers: AtomicBool,
    /// Connections that arrive from now on have inherited their options, and none is left that arrived before.
    inherited: AtomicBool,
}

impl ConnectionOptions {
    fn accepted(&self, (stream, remote): (Async<TcpStream>, SocketAddr)) -> (Async<TcpStream>, Endpoints) {
        if !self.inherited.load(Ordering::Relaxed) {
            set_options(&SockRef::from(&stream), self.limits_slow_readers.load(Ordering::Relaxed));
        }
        let local = stream.get_ref().local_addr().map_or(Address::Local, Address::from);
        (stream, Endpoints::new(remote.into(), local))
    }
}

/// How connections of one listener are served.
#[derive(Clone, Default)]
struct Way {
    proxy: ProxyProtocol,
    tls: Option<Config>,
    /// Without a pool, the connections run on async-std instead of smol.
    on_async_std: bool,
}

/// A function that accepts one connection, or returns [`WouldBlock`](io::ErrorKind::WouldBlock).
type Queue = Box<dyn FnMut() -> io::Result<(Opening, Endpoints)> + Send>;

/// Accepts by `accept` from a listener that is removed from the reactor first, so that it closes fast: a connection that arrives
/// meanwhile is lost.
fn queue<L: Send + Sync + 'static>(
    listener: &Arc<Async<L>>,
    accept: impl Fn(&L) -> io::Result<(Opening, Endpoints)> + Send + 'static,
) -> Option<Queue> {
    enum State<L> {
        Registered(Arc<Async<L>>),
        Plain(L),
    }
    let mut state = Some(State::Registered(Arc::clone(listener)));
    Some(Box::new(move || {
        let listener = match state.take().ok_or(io::ErrorKind::WouldBlock)? {
            State::Registered(listener) => match Arc::try_unwrap(listener) {
                Ok(listener) => State::Plain(listener.into_inner()?),
                // The caller of `serve` keeps it open.
                Err(shared) => State::Registered(shared),
            },
            plain => plain,
        };
        let accepted = match &listener {
            State::Registered(listener) => accept(listener.get_ref()),
            State::Plain(listener) => accept(listener),
        };
        state = Some(listener);
        accepted
    }))
}

/// A function that turns an accepted stream, of whatever type, into a transport.
type Opening = Box<dyn FnOnce(Option<ProxyPrelude>, Option<Config>) -> Opened + Send>;

/// The transport, once the handshake is over.
type Opened = Boxed<io::Result<Box<dyn Transport>>>;

impl Listener {
    /// Accepts connections from a stream of them: pipes in memory, sockets that another part of the program has accepted,
    /// your own TLS; anything that reads and writes by the traits of `futures-io`. The [`Endpoints`] are the addresses and
    /// the scheme that the application and the log see.
    ///
    /// An error of the stream is treated like an error of `accept(2)`: it is logged, and the server continues, unless it
    /// is [`InvalidInput`](io::ErrorKind::InvalidInput) or an error number of a broken listener, such as EBADF. When the
    /// stream ends, the server continues with its other listeners. When all of them have ended, [`serve`](crate::serve)
    /// returns after the last connection has closed.
    ///
    /// Sockets of smol are served as if this crate had accepted them. A stream of another type implements [`Duplex`].
    ///
    /// ```
    /// use std::net::{TcpListener, TcpStream};
    /// use smol::Async;
    /// use smol::io::{AsyncReadExt, AsyncWriteExt};
    /// use wsgi_smol::{Endpoints, Listener, Server};
    /// # use wsgi_smol::{Body, Environ, NO_HEADERS, Result, StartResponse};
    /// # async fn hello_world(_: Environ, start_response: StartResponse) -> Result<Body> {
    /// #     start_response.start("200 OK", NO_HEADERS)?;
    /// #     Ok("Hello\n".into())
    /// # }
    ///
    /// # smol::block_on(async {
    /// let (sender, receiver) = smol::channel::bounded(16);
    /// let listener = Listener::incoming(receiver);
    /// let serving = smol::spawn(Server::new(listener, hello_world).log_output(false).serve());
    ///
    /// // Another part of the program accepts.
    /// let accepts = Async::<TcpListener>::bind(([127, 0, 0, 1], 0))?;
    /// let local = accepts.get_ref().local_addr()?;
    /// let mut client = Async::<TcpStream>::connect(local).await?;
    /// let (connection, remote) = accepts.accept().await?;
    /// sender.send(Ok((connection, Endpoints::new(remote.into(), local.into())))).await?;
    ///
    /// client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    /// let mut response = String::new();
    /// client.read_to_string(&mut response).await?;
    /// assert!(response.ends_with("\r\n\r\nHello\n"), "{response}");
    ///
    /// drop((client, sender)); // no more connections: the server ends
    /// serving.await?;
    /// # Ok::<(), wsgi_smol::Error>(()) }).unwrap();
    /// ```
    pub fn incoming<S: Duplex>(
        connections: impl Stream<Item = io::Result<(S, Endpoints)>> + Send + 'static,
    ) -> Self {
        let options = Arc::<ConnectionOptions>::default();
        let socket = Some((Weak::new(), Arc::clone(&options)));
        let connections = connections.inspect(move |accepted| {
            let stream = accepted.as_ref().ok().map(|(stream, _)| stream as &dyn Any);
            if let Some(stream) = stream.and_then(|stream| stream.downcast_ref::<Async<TcpStream>>()) {
                set_options(&SockRef::from(stream), options.limits_slow_readers.load(Ordering::Relaxed));
            }
        });
        let bound_addr = BoundAddr::local(Some(Path::new("incoming")));
        Self { bound_addr, socket, ..Self::accepting(connections) }
    }

    fn accepting<S: Duplex>(
        connections: impl Stream<Item = io::Result<(S, Endpoints)>> + Send + 'static,
    ) -> Self {
        Self {
            connections: Box::pin(connections.map(|accepted| accepted.map(opening))),
            ended: false,
            queue: None,
            socket: None,
            accepted: 0,
            bound_addr: BoundAddr::local(None),
            way: Way::default(),
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
    /// # use wsgi_smol::Listener;
    /// # fn behind_a_proxy(listener: smol::net::TcpListener) -> wsgi_smol::Result<Listener> {
    /// let listener = Listener::from(listener).proxy_protocol("127.0.0.1, 10.0.0.0/8, unix".parse()?);
    /// # Ok(listener) }
    /// ```
    #[cfg(feature = "proxy-protocol")]
    #[must_use]
    pub fn proxy_protocol(mut self, sources: wsgi_app::ProxySources) -> Self {
        self.way.proxy = ProxyProtocol::required_from(sources);
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
    /// # use wsgi_smol::Listener;
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
    pub fn tls(mut self, config: Arc<futures_rustls::rustls::ServerConfig>) -> Self {
        self.bound_addr.encrypted = true;
        self.way.tls = Some(config);
        self
    }

    /// The protocols that it offers by ALPN.
    pub(crate) fn alpn_protocols(&self) -> &[Vec<u8>] {
        self.way.tls.as_ref().map_or(&[], alpn_protocols)
    }

    /// Sets the options of the connections on the listener, so that they cost no system call per connection.
    pub(crate) fn prepare(&self, limits_slow_readers: bool) {
        let Some((listener, options)) = &self.socket else { return };
        options.limits_slow_readers.store(limits_slow_readers, Ordering::Relaxed);
        if let Some(listener) = listener.upgrade()
            && INHERITS
        {
            set_options(&SockRef::from(&*listener), limits_slow_readers);
        }
    }

    /// Whether its connections run on async-std, unless there is a pool.
    #[cfg(feature = "async-std")]
    pub(crate) fn is_on_async_std(&self) -> bool {
        self.way.on_async_std
    }

    pub(crate) fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        if self.ended {
            return Poll::Pending;
        }
        if self.accepted == ACCEPTS {
            self.accepted = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        match self.connections.poll_next(context) {
            Poll::Ready(Some(accepted)) => {
                self.accepted += 1;
                return Poll::Ready(accepted.and_then(|accepted| self.accepted(accepted)));
            }
            Poll::Ready(None) => self.ended = true,
            Poll::Pending => {
                // Accepting found no connection.
                if let Some((_, options)) = &self.socket {
                    options.inherited.store(INHERITS, Ordering::Relaxed);
                }
                self.accepted = 0;
            }
        }
        Poll::Pending
    }

    fn accepted(&self, (opening, endpoints): (Opening, Endpoints)) -> io::Result<Accepted> {
        self.way.proxy.check(&endpoints.remote)?;
        Ok(Accepted(opening, endpoints, self.way.clone()))
    }

    /// Whether it will never accept another connection.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Accepts from the queue of the socket itself: the reactor may not have reported the newest connections yet.
    pub(crate) fn poll_queued(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        let Some(queue) = &mut self.queue else {
            // Pending means that the queue is empty, so there is no pause.
            self.accepted = 0;
            return self.poll_accept(context);
        };
        // It holds the listener, too.
        self.connections = Box::pin(stream::pending());
        match queue() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            accepted => Poll::Ready(accepted.and_then(|accepted| self.accepted(accepted))),
        }
    }
}

/// Pairs an accepted stream with the function that turns it into a transport.
fn opening<S: Duplex>((stream, endpoints): (S, Endpoints)) -> (Opening, Endpoints) {
    (Box::new(|prelude, tls| Box::pin(open(stream, prelude, tls))), endpoints)
}

/// After a try that found no connection, this many of the next ones are not tried for before the reactor reports them.
const SKIPS: u32 = 16;

/// The next connection. Where they arrive one at a time, most tries without waiting would find none.
async fn next(listener: &Async<TcpListener>, skips: &mut u32) -> io::Result<(Async<TcpStream>, SocketAddr)> {
    loop {
        match skips.checked_sub(1) {
            Some(left) => *skips = left,
            None => match accept(listener.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => *skips = SKIPS,
                accepted => return accepted,
            },
        }
        listener.readable().await?;
        match accept(listener.get_ref()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            accepted => return accepted,
        }
    }
}

/// Accepts a connection, which does not block.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn accept(listener: &TcpListener) -> io::Result<(Async<TcpStream>, SocketAddr)> {
    use rustix::net::{SocketFlags, acceptfrom_with};
    let (socket, remote) = acceptfrom_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    let remote = remote.and_then(|remote| remote.try_into().ok());
    let remote = remote.ok_or_else(|| io::Error::other("the connection has no address"))?;
    Ok((Async::new_nonblocking(socket.into())?, remote))
}

/// The same where it takes one more system call.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn accept(listener: &TcpListener) -> io::Result<(Async<TcpStream>, SocketAddr)> {
    let (stream, remote) = listener.accept()?;
    Ok((Async::new(stream)?, remote))
}

impl From<Arc<Async<TcpListener>>> for Listener {
    fn from(listener: Arc<Async<TcpListener>>) -> Self {
        let bound_addr = BoundAddr::tcp(listener.get_ref().local_addr());
        let options = Arc::<ConnectionOptions>::default();
        let socket = Some((Arc::downgrade(&listener), Arc::clone(&options)));
        let queue = queue(&listener, {
            let options = Arc::clone(&options);
            move |listener: &TcpListener| Ok(opening(options.accepted(accept(listener)?)))
        });
        let connections =
            stream::unfold((listener, options, 0), |(listener, options, mut skips)| async move {
                let accepted = next(&listener, &mut skips).await.map(|accepted| options.accepted(accepted));
                Some((accepted, (listener, options, skips)))
            });
        Self { bound_addr, queue, socket, ..Self::accepting(connections) }
    }
}

#[cfg(unix)]
impl From<Arc<Async<UnixListener>>> for Listener {
    fn from(listener: Arc<Async<UnixListener>>) -> Self {
        const ENDPOINTS: Endpoints = Endpoints::new(Address::Local, Address::Local);
        let address = listener.get_ref().local_addr().ok();
        let bound_addr = BoundAddr::local(address.as_ref().and_then(|address| address.as_pathname()));
        let queue = queue(&listener, |listener: &UnixListener| {
            Ok(opening((Async::new(listener.accept()?.0)?, ENDPOINTS)))
        });
        let connections = stream::unfold(listener, |listener| async {
            Some((listener.accept().await.map(|(stream, _)| (stream, ENDPOINTS)), listener))
        });
        Self { bound_addr, queue, ..Self::accepting(connections) }
    }
}

impl<L> From<Async<L>> for Listener
where
    Self: From<Arc<Async<L>>>,
{
    fn from(listener: Async<L>) -> Self {
        Arc::new(listener).into()
    }
}

impl From<smol::net::TcpListener> for Listener {
    fn from(listener: smol::net::TcpListener) -> Self {
        Arc::<Async<TcpListener>>::from(listener).into()
    }
}

#[cfg(unix)]
impl From<smol::net::unix::UnixListener> for Listener {
    fn from(listener: smol::net::unix::UnixListener) -> Self {
        Arc::<Async<UnixListener>>::from(listener).into()
    }
}

/// The listeners of async-std hide whether a socket is readable, so the socket is taken out of them; the reactor is the
/// same. If that fails, accepting returns the error.
#[cfg(feature = "async-std")]
fn unwrapped<L>(listener: io::Result<Async<L>>) -> Listener
where
    Listener: From<Async<L>>,
{
    let failed = |error| Listener::accepting::<Box<smol::net::TcpStream>>(stream::once(Err(error)));
    let listener = listener.map_or_else(failed, Listener::from);
    Listener { way: Way { on_async_std: true, ..Way::default() }, ..listener }
}

#[cfg(feature = "async-std")]
impl From<async_std::net::TcpListener> for Listener {
    fn from(listener: async_std::net::TcpListener) -> Self {
        unwrapped(TcpListener::try_from(listener).and_then(Async::new))
    }
}

#[cfg(all(feature = "async-std", unix))]
impl From<async_std::os::unix::net::UnixListener> for Listener {
    fn from(listener: async_std::os::unix::net::UnixListener) -> Self {
        unwrapped(UnixListener::try_from(listener).and_then(Async::new))
    }
}

impl Accepted {
    /// Serves the connection in a separate task, on `pool` if there is one.
    pub(crate) fn spawn<A: Application>(self, server: &Arc<Server<A>>, pool: Option<&Executor<'static>>) {
        let Self(opening, endpoints, Way { proxy, tls, on_async_std }) = self;
        let scheme = if tls.is_some() { Scheme::Https } else { endpoints.scheme };
        let guard = server.admit(Endpoints { scheme, ..endpoints });
        let handshake = opening(proxy.prelude(&guard), tls);
        let connection = serve_after_handshake(Arc::clone(server), guard, handshake, Timer::after);
        match (pool, on_async_std) {
            (Some(pool), _) => pool.spawn(connection).detach(),
            #[cfg(feature = "async-std")]
            (None, true) => drop(async_std::task::spawn(connection)),
            (None, _) => smol::spawn(connection).detach(),
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("bound_addr", &self.bound_addr).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_connections_are_accepted_whether_they_arrive_together_or_one_at_a_time() {
        let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 0)).expect("a free port");
        let address = listener.get_ref().local_addr().expect("it is bound");
        let mut listener = Listener::from(listener);
        for burst in [1, 1, 3, 2 * SKIPS, 1, SKIPS + 1, 1] {
            let clients: Vec<_> =
                (0..burst).map(|_| TcpStream::connect(address).expect("there is a queue")).collect();
            for client in &clients {
                let (_, endpoints) = smol::block_on(listener.connections.next())
                    .expect("it does not end")
                    .expect("the connection is sound");
                let client = client.local_addr().expect("it is connected");
                assert_eq!(endpoints, Endpoints::new(client.into(), address.into()));
            }
        }
    }
}
