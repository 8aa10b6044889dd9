//! Shared by all programs of the benchmark: the requests, the answers, and the command line of a server.

pub mod arguments;
pub mod content;
pub mod requests;
#[cfg(feature = "server")]
pub mod server;
pub mod works;
