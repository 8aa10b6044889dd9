//! The types of the crates `http` and `http-body`, for applications that use them.

mod body;
mod input;
mod names;
pub(crate) mod request;
pub(crate) mod response;
#[cfg(feature = "tower")]
pub(crate) mod spare;
