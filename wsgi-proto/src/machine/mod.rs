//! The machine of one connection.

pub(crate) mod account;
pub(crate) mod buffers;
pub(crate) mod deadlines;
pub(crate) mod outbox;
pub(crate) mod receive;
pub(crate) mod send;
pub(crate) mod state;
