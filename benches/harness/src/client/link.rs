//! A stream to a server, plain or with TLS.

use std::fs;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Repeats a call that a signal interrupts. The system does not restart one on a socket with a timeout.
pub(crate) fn uninterrupted<R>(mut call: impl FnMut() -> io::Result<R>) -> io::Result<R> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            ended => return ended,
        }
    }
}

/// The settings of TLS; `None` for plain connections.
pub(crate) type Tls = Option<Arc<ClientConfig>>;

/// A stream over any transport.
pub(crate) enum Link<T: Read + Write> {
    Plain(T),
    Secure(Box<StreamOwned<ClientConnection, T>>),
}

impl<T: Read + Write> Link<T> {
    /// A link over a connected transport.
    pub(crate) fn new(transport: T, tls: &Tls) -> io::Result<Self> {
        let Some(config) = tls else { return Ok(Self::Plain(transport)) };
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let session = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        Ok(Self::Secure(Box::new(StreamOwned::new(session, transport))))
    }

    pub(crate) fn transport(&mut self) -> &mut T {
        match self {
            Self::Plain(transport) => transport,
            Self::Secure(stream) => &mut stream.sock,
        }
    }

    pub(crate) fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        uninterrupted(|| match self {
            Self::Plain(transport) => transport.read(space),
            Self::Secure(stream) => stream.read(space),
        })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(transport) => uninterrupted(|| transport.write(bytes)),
            Self::Secure(stream) => {
                let written = uninterrupted(|| stream.write(bytes))?;
                match uninterrupted(|| stream.flush()) {
                    // The session has accepted the bytes; the next call sends the rest.
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
                    _ => Ok(written),
                }
            }
        }
    }
}

/// A connection that blocks, for one request at a time.
pub(crate) fn connect(address: SocketAddr, tls: &Tls) -> io::Result<Link<std::net::TcpStream>> {
    let stream = std::net::TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Link::new(stream, tls)
}

/// Makes a certificate for `localhost` in this folder, and the client that trusts it. Sessions are not resumed, so that
/// each connection is a full handshake.
pub(crate) fn certificate(folder: &Path) -> io::Result<Arc<ClientConfig>> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).map_err(io::Error::other)?;
    fs::write(folder.join("certificate.der"), made.cert.der())?;
    fs::write(folder.join("key.der"), made.signing_key.serialize_der())?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(made.cert.der().to_vec())).map_err(io::Error::other)?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}
