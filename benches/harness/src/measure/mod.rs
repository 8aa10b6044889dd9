//! The measurements. Each one starts a server for itself, so that no server inherits another one's memory.

pub(crate) mod cold;
pub(crate) mod cores;
pub(crate) mod gate;
pub(crate) mod instructions;
pub(crate) mod latency;
pub(crate) mod memory;
pub(crate) mod processor;
pub(crate) mod system_calls;

use std::io;
use std::time::Duration;

use crate::client::Client;
use crate::client::link::Tls;
use crate::client::short;
use crate::process::{Places, Server};
use crate::scenarios::Load;

/// What all measurements need.
#[derive(Clone)]
pub(crate) struct Setting {
    /// Where the programs and the files are.
    pub(crate) places: Places,
    /// The client's side of TLS.
    pub(crate) tls: Tls,
    /// How long a server is loaded before it is measured.
    pub(crate) warm_up: Duration,
    /// How long it is measured.
    pub(crate) time: Duration,
}

/// Sends the request once, to find out whether the server serves it.
fn probe(server: &Server, tls: &Tls, request: &[u8], load: Load) -> io::Result<()> {
    match load {
        Load::Short { .. } => short::run_count(server.address, tls, request, 1).map(drop),
        _ => Client::connect(server.address, tls, request, 1, 1)?.run_count(1).map(drop),
    }
}
