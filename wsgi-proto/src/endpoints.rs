//! The two ends of a connection, as the application sees them.

use core::net::SocketAddr;

/// Addresses and scheme of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// The address of the peer (`REMOTE_ADDR`, `REMOTE_PORT`).
    pub remote: Address,
    /// The address that the peer connected to (`SERVER_NAME`, `SERVER_PORT`).
    pub local: Address,
    /// `wsgi.url_scheme`.
    pub scheme: Scheme,
}

impl Endpoints {
    /// Creates the endpoints of a connection without TLS.
    pub const fn new(remote: Address, local: Address) -> Self {
        Self { remote, local, scheme: Scheme::Http }
    }
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// An internet address with its port.
    Ip(SocketAddr),
    /// A unix socket, or any transport without addresses; shown as `unix` with an empty port.
    Local,
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

/// Whether the transport is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `http`
    Http,
    /// `https`; the variable `HTTPS` is `on`.
    Https,
}
