//! A file that is not in the system's cache, beside a neighbour with small requests. A server that waits for the disk on
//! the thread of its connections holds the neighbour up; one that reads ahead of its client needs memory.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use bench_common::requests;
use rustix::fs::{Advice, fadvise};

use crate::client::Client;
use crate::measure::Setting;
use crate::process::{Server, Under};
use crate::scenarios::hello;
use crate::servers::Kind;
use crate::usage::resident;

/// The connections of the neighbour, and its requests per second.
const CONNECTIONS: usize = 8;
const RATE: f64 = 1000.0;

/// What a client with a cold file costs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cold {
    /// The 99th percentile of the neighbour's latency in milliseconds.
    pub(crate) neighbour: f64,
    /// KiB by which the resident memory of the server grew at most.
    pub(crate) memory: f64,
}

/// Makes a file of this length that has its bytes on the disk. One that is there is used again.
///
/// # Errors
///
/// The disk is full.
pub(crate) fn prepare(path: &Path, length: u64) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    // A sparse file would be read without the disk.
    if fs::metadata(path).is_ok_and(|found| found.len() == length && found.blocks() * 512 >= length) {
        return Ok(());
    }
    let block: Vec<u8> = (0..1 << 20).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut file = File::create(path)?;
    for _ in 0..length / block.len() as u64 {
        file.write_all(&block)?;
    }
    // The system keeps what is not on the disk yet.
    file.sync_all()
}

/// One client gets `/file`, which no other process uses, while the neighbour sends requests at a constant rate.
///
/// # Errors
///
/// The server fails, or does not serve files.
pub(crate) fn measure(setting: &Setting, kind: Kind) -> io::Result<Cold> {
    let server = Server::start(kind, &setting.places, false, &Under::default())?;
    let mut client = Client::connect(server.address, &None, &hello(), CONNECTIONS, 1)?;
    client.run_at(RATE, Duration::from_millis(100))?;
    let file = File::open(setting.places.scratch.join("file"))?;
    fadvise(&file, 0, None, Advice::DontNeed)?;
    let memory = || resident(server.id()).unwrap_or_default();
    let (before, mut most) = (memory(), 0.0);
    let request = requests::get("/file");
    let mut latencies = client.run_beside(RATE, server.address, &request, || most = memory().max(most))?;
    server.stop()?;
    latencies.sort_unstable();
    let at = (latencies.len() * 99 / 100).min(latencies.len().saturating_sub(1));
    let neighbour = *latencies.get(at).ok_or_else(|| io::Error::other("no answer"))? as f64 / 1e6;
    Ok(Cold { neighbour, memory: (most - before).max(0.0) })
}
