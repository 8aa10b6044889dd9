//! Memory of a server for each connection: idle after one request, and busy.

use std::io;

use crate::client::Client;
use crate::measure::Setting;
use crate::process::{Server, Under};
use crate::scenarios::hello;
use crate::servers::Kind;
use crate::usage::resident;

/// The idle connections.
pub(crate) const IDLE: usize = 9_000;
/// The busy connections.
pub(crate) const BUSY: usize = 1_000;

/// KiB for each idle connection: the memory that 9,000 add, after each has had one request answered.
///
/// # Errors
///
/// The server fails, or a limit on descriptors is too low.
pub(crate) fn idle(setting: &Setting, kind: Kind) -> io::Result<f64> {
    let server = Server::start(kind, &setting.places, false, &Under::default())?;
    let before = memory(&server)?;
    let mut client = Client::connect(server.address, &None, &hello(), IDLE, 1)?;
    client.run_count(IDLE)?;
    let after = memory(&server)?;
    server.stop()?;
    Ok((after - before) / IDLE as f64)
}

/// KiB for each busy connection: the memory that 1,000 add while all of them have a request open.
///
/// # Errors
///
/// Like [`idle`].
pub(crate) fn busy(setting: &Setting, kind: Kind) -> io::Result<f64> {
    let server = Server::start(kind, &setting.places, false, &Under::default())?;
    let before = memory(&server)?;
    let mut client = Client::connect(server.address, &None, &hello(), BUSY, 1)?;
    client.run_for(setting.time)?;
    let after = memory(&server)?;
    server.stop()?;
    Ok((after - before) / BUSY as f64)
}

fn memory(server: &Server) -> io::Result<f64> {
    resident(server.id()).ok_or_else(|| io::Error::other("the memory of the server cannot be read"))
}
