//! What every server needs: a listener, and the settings of TLS.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use socket2::{Domain, Socket, Type};

/// The backlog of connections that are not accepted yet.
const BACKLOG: i32 = 4096;

/// A non-blocking listener on 127.0.0.1.
///
/// # Errors
///
/// The port is in use.
pub fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// TLS with `ring`, and with the certificate that the harness made.
///
/// # Errors
///
/// The files cannot be read, or are malformed.
pub fn tls(folder: &Path) -> io::Result<Arc<ServerConfig>> {
    let certificate = CertificateDer::from(std::fs::read(folder.join("certificate.der"))?);
    let key = PrivatePkcs8KeyDer::from(std::fs::read(folder.join("key.der"))?);
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.into())
        .map_err(io::Error::other)?;
    Ok(Arc::new(config))
}
