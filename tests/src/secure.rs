//! HTTPS for the tests: a self-signed certificate, and a client that reads and writes from two threads, or splits its
//! bytes arbitrarily.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ALL_VERSIONS, ClientConfig, ClientConnection, RootCertStore, ServerConfig, SupportedProtocolVersion,
};

use crate::caller::Caller;
use crate::live::PATIENCE;
use crate::uninterrupted::uninterrupted;

/// The number of bytes that are encrypted at a time; rustls accepts that in one call.
const PART: usize = 32 * 1024;

/// The configurations of a server and its clients.
#[derive(Debug)]
pub struct Trust {
    /// For the server, with its private key.
    pub server: Arc<ServerConfig>,
    /// For a client that trusts only this server.
    pub client: Arc<ClientConfig>,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

/// The certificate of a client, and of the authority that has signed it.
#[derive(Debug)]
pub struct Identity {
    /// As the client sends them, its own first.
    pub chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// A client's certificate, made once per process.
pub fn identity() -> &'static Identity {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    IDENTITY.get_or_init(|| {
        let [authority_key, key] = [(); 2].map(|()| KeyPair::generate().expect("a key"));
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let signed = authority.self_signed(&authority_key).expect("a certificate");
        let client = CertificateParams::new(["client".to_owned()]).expect("a name");
        let issuer = Issuer::new(authority, authority_key);
        let client = client.signed_by(&key, &issuer).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        Identity { chain: vec![client.der().clone(), signed.der().clone()], key }
    })
}

/// The crypto provider of every test. None is installed as the process default, because the crates do not need one.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// A server and clients that trust each other; created once per process.
pub fn trust() -> &'static Trust {
    static TRUST: OnceLock<Trust> = OnceLock::new();
    TRUST.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed(["localhost".into()]).expect("a certificate");
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let certificate = made.cert.der().clone();
        let server = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let server = server.expect("ring has their cipher suites").with_no_client_auth();
        let server = server.with_single_cert(vec![certificate.clone()], key.clone_key()).expect("they match");
        let client = trusting(&certificate, ALL_VERSIONS);
        Trust { server: Arc::new(server), client, certificate, key }
    })
}

impl Trust {
    /// For the same server, offering these protocols by ALPN.
    pub fn server_offering(&self, protocols: &[&str]) -> Arc<ServerConfig> {
        let mut config = ServerConfig::clone(&self.server);
        config.alpn_protocols = names(protocols);
        Arc::new(config)
    }

    /// For the same server, asking for the certificate of [`identity`], without which a client is accepted too unless it
    /// is `required`.
    ///
    /// # Panics
    ///
    /// rustls accepts no certificate that was made for a test.
    pub fn server_asking(&self, required: bool) -> Arc<ServerConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(identity().chain[1].clone()).expect("a certificate");
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
        let verifier = if required { verifier } else { verifier.allow_unauthenticated() };
        let server = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let server = server.expect("ring has their cipher suites");
        let server = server.with_client_cert_verifier(verifier.build().expect("a root"));
        let mut server = server
            .with_single_cert(vec![self.certificate.clone()], self.key.clone_key())
            .expect("they match");
        server.alpn_protocols = names(&["http/1.1"]);
        Arc::new(server)
    }

    /// For a client that trusts only this server, and has the certificate of [`identity`].
    ///
    /// # Panics
    ///
    /// rustls accepts no certificate that was made for a test.
    pub fn client_with_certificate(
        &self,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Arc<ClientConfig> {
        let client = ClientConfig::builder_with_provider(provider()).with_protocol_versions(versions);
        let client = client.expect("ring has their cipher suites").with_root_certificates(self.roots());
        let identity = identity();
        let client = client.with_client_auth_cert(identity.chain.clone(), identity.key.clone_key());
        Arc::new(client.expect("they match"))
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("a certificate");
        roots
    }

    /// For a client that trusts only this server and offers these protocols by ALPN.
    pub fn client_offering(&self, protocols: &[&str]) -> Arc<ClientConfig> {
        let mut config = ClientConfig::clone(&self.client);
        config.alpn_protocols = names(protocols);
        Arc::new(config)
    }

    /// For a client that supports only these versions.
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

/// A session before its handshake.
fn session(config: &Arc<ClientConfig>) -> ClientConnection {
    let name = ServerName::try_from("localhost").expect("a name");
    ClientConnection::new(Arc::clone(config), name).expect("a session")
}

/// The first bytes of a handshake, a whole ClientHello.
pub fn greeting() -> Vec<u8> {
    let mut greeting = Vec::new();
    session(&trust().client).write_tls(&mut greeting).expect("memory never fails");
    greeting
}

/// The client's end of an encrypted connection. Clones share it: one thread may read while another one writes. When the
/// last clone is dropped the socket closes, without close_notify.
#[derive(Clone, Debug)]
pub struct Stream {
    socket: Arc<TcpStream>,
    session: Arc<Mutex<Session>>,
    /// Keeps records in order while they are written.
    writing: Arc<Mutex<()>>,
    /// The number of ciphertext bytes that are written at a time.
    piece: usize,
}

#[derive(Debug)]
struct Session {
    tls: ClientConnection,
    /// Received bytes that have not been passed to rustls.
    received: Vec<u8>,
}

impl Stream {
    /// Connects and completes the handshake; every wait is bounded.
    ///
    /// # Panics
    ///
    /// No server accepts the connection, or the handshake fails.
    pub fn connect(address: SocketAddr) -> Self {
        let socket = Caller::connect(address).clone_stream();
        Self::shake_hands(socket, &trust().client, usize::MAX).expect("the server shakes hands")
    }

    /// Completes the handshake on a connected socket, and writes at most `piece` bytes at a time from the start.
    ///
    /// # Errors
    ///
    /// Errors from the socket and the handshake.
    pub fn shake_hands(socket: TcpStream, config: &Arc<ClientConfig>, piece: usize) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        let mut tls = session(config);
        while tls.is_handshaking() {
            tls.complete_io(&mut Pieces { socket: &socket, piece })?;
        }
        let session = Arc::new(Mutex::new(Session { tls, received: Vec::new() }));
        Ok(Self { socket: Arc::new(socket), session, writing: Arc::default(), piece })
    }

    /// The protocol negotiated by ALPN.
    pub fn protocol(&self) -> Option<String> {
        let session = self.lock();
        session.tls.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned())
    }

    /// The underlying socket, to bypass the encryption for writing or closing.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// The records that carry `plain`, to be sent by [`socket`](Self::socket) in this order. Each call ends with the
    /// end of a record.
    ///
    /// # Panics
    ///
    /// `plain` is more than rustls accepts in one call.
    pub fn seal(&self, plain: impl AsRef<[u8]>) -> Vec<u8> {
        let (tls, plain) = (&mut self.lock().tls, plain.as_ref());
        assert_eq!(tls.writer().write(plain).expect("it is open"), plain.len(), "too much at once");
        drain(tls)
    }

    /// Announces that no more bytes are sent; received bytes can still be read.
    ///
    /// # Errors
    ///
    /// Errors from the socket.
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

    /// Makes the next bytes use new keys.
    ///
    /// # Panics
    ///
    /// The TLS version does not support it.
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
        tls.write_tls(&mut records).expect("memory never fails");
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
                // No other thread waits for this lock during the read.
                drop(session);
                let count = uninterrupted(|| (&*self.socket).read(&mut fresh))?;
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

/// A socket that is written in pieces.
struct Pieces<'a> {
    socket: &'a TcpStream,
    piece: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        uninterrupted(|| self.socket.read(space))
    }
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        uninterrupted(|| self.socket.write(&bytes[..bytes.len().min(self.piece)]))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Caller<Stream> {
    /// Connects and completes the handshake; every wait is bounded.
    ///
    /// # Panics
    ///
    /// No server accepts the connection, or the handshake fails.
    pub fn secure(address: SocketAddr) -> Self {
        Self::new(Stream::connect(address))
    }
}

/// Like [`TcpStream::connect`], with a receive buffer so small that a server soon finds no room.
///
/// # Panics
///
/// No server accepts the connection.
pub fn narrow(address: SocketAddr, bytes: usize) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)
        .expect("a socket");
    socket.set_recv_buffer_size(bytes).expect("a socket");
    socket.connect_timeout(&address.into(), PATIENCE).expect("the server accepts");
    Caller::over(socket.into()).clone_stream()
}
