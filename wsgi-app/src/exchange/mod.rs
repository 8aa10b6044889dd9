//! State shared by an application's handles and the task of its connection.

pub(crate) mod body;
pub(crate) mod error;
pub(crate) mod file;
pub(crate) mod handle;
pub(crate) mod mapped;
pub(crate) mod receiving;
pub(crate) mod shared;
mod stop_waiters;
pub(crate) mod stopping;
pub(crate) mod taken;
