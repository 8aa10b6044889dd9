//! The transports that adapters implement: how one connection moves bytes and waits.

pub(crate) mod blocking;
pub(crate) mod transport;
