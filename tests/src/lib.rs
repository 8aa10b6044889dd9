//! The shared code of the tests and binaries: it runs the same cases on the machine and on every adapter.

pub mod adapters;
pub mod application;
#[cfg(unix)]
pub mod blocking;
pub mod caller;
pub mod client;
pub mod drive;
pub mod echo;
pub mod live;
pub mod machine;
#[cfg(unix)]
pub mod program;
pub mod runtimes;
pub mod script;
pub mod secure;
pub mod table;
pub mod uninterrupted;
pub mod wire;
pub mod world;
