//! Latency at a constant rate, from the time at which a request was due.

use std::io;
use std::time::Duration;

use crate::client::Client;
use crate::measure::Setting;
use crate::process::{Server, Under};
use crate::scenarios::hello;
use crate::servers::Kind;

/// The connections of both measurements.
const CONNECTIONS: usize = 256;

/// The most answers per second that a server reaches.
///
/// # Errors
///
/// The server fails.
pub(crate) fn full_rate(setting: &Setting, kind: Kind) -> io::Result<f64> {
    let server = Server::start(kind, &setting.places, false, &Under::default())?;
    let mut client = Client::connect(server.address, &None, &hello(), CONNECTIONS, 1)?;
    client.run_for(setting.warm_up)?;
    let answers = client.run_for(setting.time)?;
    server.stop()?;
    Ok(answers as f64 / setting.time.as_secs_f64())
}

/// The 99th percentile in microseconds at this many requests per second.
///
/// # Errors
///
/// The server fails, or is too slow for the rate by far.
pub(crate) fn percentile_99(setting: &Setting, kind: Kind, rate: f64) -> io::Result<f64> {
    let server = Server::start(kind, &setting.places, false, &Under::default())?;
    let mut client = Client::connect(server.address, &None, &hello(), CONNECTIONS, 1)?;
    client.run_at(rate, setting.warm_up.max(Duration::from_millis(100)))?;
    let mut latencies = client.run_at(rate, setting.time)?;
    server.stop()?;
    latencies.sort_unstable();
    let at = (latencies.len() * 99 / 100).min(latencies.len().saturating_sub(1));
    Ok(*latencies.get(at).ok_or_else(|| io::Error::other("no answer"))? as f64 / 1000.0)
}
