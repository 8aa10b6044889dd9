//! Servers on real sockets: on every runtime, except where a file says which one it is about.
//!
//! `echo_binary.rs` and `examples.rs` start programs and are binaries of their own, see `Cargo.toml`.

mod everywhere;
mod exchanges;
mod hello_world;
mod pool;
mod refusals;
mod resets;
mod robustness;
mod serving;
mod smol;
mod std_engine;
mod std_threads;
mod stopping;
mod timeouts;
mod tls;
