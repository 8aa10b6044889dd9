//! HTTPS for the tests: a certificate of our own, and a client that reads and writes from two threads, or cuts its bytes
//! as it likes.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ALL_VERSIONS, ClientConfig, ClientConnection, RootCertStore, ServerConfig, SupportedProtocolVersion,
};

use crate::caller::Caller;
use crate::live::PATIENCE;

/// How much is encrypted at a time; rustls takes that at once.
const PART: usize = 32 * 1024;

/// What a server and its clients have to know.
#[derive(Debug)]
pub struct Trust {
    /// For the server, with its key.
    pub server: Arc<ServerConfig>,
    /// For a client that trusts this server alone.
    pub client: Arc<ClientConfig>,
    certificate: CertificateDer<'static>,
}

/// The crypto provider of every test. None is installed as the default of the process, as the crates need none.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// A server and clients that trust each other; made once a process.
pub fn trust() -> &'static Trust {
    static TRUST: OnceLock<Trust> = OnceLock::new();
    TRUST.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed(["localhost".into()]).expect("a certificate");
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let certificate = made.cert.der().clone();
        let server = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let server = server.expect("ring has their cipher suites").with_no_client_auth();
        let server = server.with_single_cert(vec![certificate.clone()], key).expect("they match");
        let client = trusting(&certificate, ALL_VERSIONS);
        Trust { server: Arc::new(server), client, certificate }
    })
}

impl Trust {
    /// For the same server, offering these protocols by ALPN.
    pub fn server_offering(&self, protocols: &[&str]) -> Arc<ServerConfig> {
        let mut config = ServerConfig::clone(&self.server);
        config.alpn_protocols = names(protocols);
        Arc::new(config)
    }

    /// For a client that trusts this server alone and offers these protocols by ALPN.
    pub fn client_offering(&self, protocols: &[&str]) -> Arc<ClientConfig> {
        let mut config = ClientConfig::clone(&self.client);
        config.alpn_protocols = names(protocols);
        Arc::new(config)
    }

    /// For a client that speaks only these versions.
    pub fn client_of(&self, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
        trusting(&self.certificate, versions)
    }
}

fn names(protocols: &[&str]) -> Vec<Vec<u8>> {
    protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect()
}

fn trusting(
    certificate: &CertificateDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("a certificate");
    let client = ClientConfig::builder_with_provider(provider()).with_protocol_versions(versions);
    let client = client.expect("ring has their cipher suites").with_root_certificates(roots);
    Arc::new(client.with_no_client_auth())
}

/// A session that has not begun.
fn session(config: &Arc<ClientConfig>) -> ClientConnection {
    let name = ServerName::try_from("localhost").expect("a name");
    ClientConnection::new(Arc::clone(config), name).expect("a session")
}

/// The first bytes of a handshake, a whole ClientHello.
pub fn greeting() -> Vec<u8> {
    let mut greeting = Vec::new();
    session(&trust().client).write_tls(&mut greeting).expect("memory takes it");
    greeting
}

/// The client's end of an encrypted connection. Clones share it: one thread may read while another one writes. When the
/// last is dropped the socket closes, without close_notify.
#[derive(Clone, Debug)]
pub struct Stream {
    socket: Arc<TcpStream>,
    session: Arc<Mutex<Session>>,
    /// Keeps records in order while they are written.
    writing: Arc<Mutex<()>>,
    /// How many bytes of ciphertext are written at a time.
    piece: usize,
}

#[derive(Debug)]
struct Session {
    tls: ClientConnection,
    /// Received, and not with rustls yet.
    received: Vec<u8>,
}

impl Stream {
    /// Connects and shakes hands; every wait is bounded.
    ///
    /// # Panics
    ///
    /// Nobody accepts, or the handshake fails.
    pub fn connect(address: SocketAddr) -> Self {
        let socket = Caller::connect(address).clone_stream();
        Self::shake_hands(socket, &trust().client, usize::MAX).expect("the server shakes hands")
    }

    /// Shakes hands on a socket that is connected, and writes at most `piece` bytes at a time from the first one on.
    ///
    /// # Errors
    ///
    /// Those of the socket, and of the handshake.
    pub fn shake_hands(socket: TcpStream, config: &Arc<ClientConfig>, piece: usize) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        let mut tls = session(config);
        while tls.is_handshaking() {
            tls.complete_io(&mut Pieces { socket: &socket, piece })?;
        }
        let session = Arc::new(Mutex::new(Session { tls, received: Vec::new() }));
        Ok(Self { socket: Arc::new(socket), session, writing: Arc::default(), piece })
    }

    /// What was negotiated by ALPN.
    pub fn protocol(&self) -> Option<String> {
        let session = self.lock();
        session.tls.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned())
    }

    /// The socket below, to be written to or closed past the encryption.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// The records that carry `plain`, to be sent by [`socket`](Self::socket) in this order. An end of `plain` is the
    /// end of a record.
    ///
    /// # Panics
    ///
    /// It is more than rustls takes at once.
    pub fn seal(&self, plain: impl AsRef<[u8]>) -> Vec<u8> {
        let (tls, plain) = (&mut self.lock().tls, plain.as_ref());
        assert_eq!(tls.writer().write(plain).expect("it is open"), plain.len(), "too much at once");
        drain(tls)
    }

    /// Tells that nothing more is sent; what comes can still be read.
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub fn close_notify(&self) -> io::Result<()> {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.send(&self.farewell())
    }

    /// The record that [`close_notify`](Self::close_notify) would send.
    pub fn farewell(&self) -> Vec<u8> {
        let tls = &mut self.lock().tls;
        tls.send_close_notify();
        drain(tls)
    }

    /// Has the next bytes be encrypted by new keys.
    ///
    /// # Panics
    ///
    /// The version of TLS has no such thing.
    pub fn change_keys(&self) {
        self.lock().tls.refresh_traffic_keys().expect("TLS 1.3");
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        Pieces { socket: &self.socket, piece: self.piece }.write_all(bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn drain(tls: &mut ClientConnection) -> Vec<u8> {
    let mut records = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut records).expect("memory takes it");
    }
    records
}

impl Read for Stream {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let mut fresh = [0; 4096];
        loop {
            let mut session = self.lock();
            match session.tls.reader().read(space) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
            if session.received.is_empty() {
                // Nobody else waits for this lock meanwhile.
                drop(session);
                let count = (&*self.socket).read(&mut fresh)?;
                session = self.lock();
                session.received.extend_from_slice(&fresh[..count]);
            }
            let Session { tls, received } = &mut *session;
            let used = tls.read_tls(&mut received.as_slice())?;
            received.drain(..used);
            tls.process_new_packets().map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = &bytes[..bytes.len().min(PART)];
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.send(&self.seal(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A socket that is written to in pieces.
struct Pieces<'a> {
    socket: &'a TcpStream,
    piece: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        self.socket.read(space)
    }
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(&bytes[..bytes.len().min(self.piece)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Caller<Stream> {
    /// Connects and shakes hands; every wait is bounded.
    ///
    /// # Panics
    ///
    /// Nobody accepts, or the handshake fails.
    pub fn secure(address: SocketAddr) -> Self {
        Self::new(Stream::connect(address))
    }
}

/// As [`TcpStream::connect`], with a receive buffer so small that a server soon finds no room.
///
/// # Panics
///
/// Nobody accepts.
pub fn narrow(address: SocketAddr, bytes: usize) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)
        .expect("a socket");
    socket.set_recv_buffer_size(bytes).expect("a socket");
    socket.connect_timeout(&address.into(), PATIENCE).expect("the server accepts");
    Caller::over(socket.into()).clone_stream()
}
