//! What the handles of an application and the task of its connection share.

pub(crate) mod error;
pub(crate) mod handle;
pub(crate) mod shared;
