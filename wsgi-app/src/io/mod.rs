//! The traits that adapters implement, how one connection moves bytes and waits, and what its TLS has negotiated.

pub(crate) mod blocking;
pub(crate) mod tls;
pub(crate) mod transport;
