//! Servers on real sockets: on every runtime, unless a file names a particular one.
//!
//! `echo_binary.rs` and `examples.rs` start programs and are separate binaries, see `Cargo.toml`.

mod admission;
mod blocking;
mod everywhere;
mod exchanges;
mod files;
mod goodbyes;
mod hello_world;
mod leaving;
mod listeners;
mod make_room;
mod maps;
mod pool;
#[cfg(target_os = "linux")]
mod program;
mod raw;
mod refusals;
mod resets;
mod robustness;
mod serving;
mod slow_readers;
mod smol;
mod std_engine;
mod std_threads;
mod stopping;
mod timeouts;
mod tls;
mod tower;
mod uploads;
