//! Who is at the two ends of a connection, as far as an application is told.

use core::net::SocketAddr;

/// Addresses and scheme of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// Where the peer is (`REMOTE_ADDR`, `REMOTE_PORT`).
    pub remote: Address,
    /// Where it reached us (`SERVER_NAME`, `SERVER_PORT`).
    pub local: Address,
    /// `wsgi.url_scheme`.
    pub scheme: Scheme,
}

impl Endpoints {
    /// A connection without TLS.
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
