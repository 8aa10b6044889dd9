//! What an adapter brings: how one connection moves bytes and waits.

pub(crate) mod blocking;
pub(crate) mod transport;
