//! What every connection of one server has at hand; it does not know who is connected.

pub(crate) mod catch_panic;
pub(crate) mod clock;
pub(crate) mod log;
