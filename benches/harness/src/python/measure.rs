//! Measurements of a server that runs: processor time, the rate of slow requests, memory of idle connections.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Client, short};
use crate::process::Server;
use crate::python::scenarios::{Scenario, hello};
use crate::python::servers::Kind;
use crate::usage::{Time, resident, tree};

/// How long a server is loaded before it is measured, and how long it is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) warm_up: Duration,
    pub(crate) time: Duration,
}

/// Microseconds of processor time of all processes of the server per answer.
///
/// # Errors
///
/// The server fails.
pub(crate) fn processor(server: &Server, kind: Kind, scenario: &Scenario, times: Times) -> io::Result<f64> {
    let request = (scenario.request)();
    let (time, answers) = if kind.closes {
        let load = |time| short::run_for(server.address, &None, &request, scenario.connections, time);
        load(times.warm_up)?;
        timed(server, || load(times.time))?
    } else {
        let mut client = Client::connect(server.address, &None, &request, scenario.connections, 1)?;
        client.run_for(times.warm_up)?;
        timed(server, || client.run_for(times.time))?
    };
    if answers == 0 {
        return Err(io::Error::other("no answer within the time of the measurement"));
    }
    Ok(time as f64 / answers as f64 / 1000.0)
}

fn timed(server: &Server, work: impl FnOnce() -> io::Result<usize>) -> io::Result<(u64, usize)> {
    let before = Time::of_tree(server.id());
    let answers = work()?;
    Ok((Time::of_tree(server.id()).since(before), answers))
}

/// The clients, and the threads of a server, for requests that sleep.
pub(crate) const SLEEPERS: usize = 64;

/// Answers per second to requests that sleep 10 ms, and microseconds of processor time for each.
///
/// # Errors
///
/// The server fails.
pub(crate) fn sleep(server: &Server, times: Times) -> io::Result<(f64, f64)> {
    let request = bench_common::requests::get("/sleep");
    let mut client = Client::connect(server.address, &None, &request, SLEEPERS, 1)?;
    client.run_for(times.warm_up)?;
    let start = Instant::now();
    let (time, answers) = timed(server, || client.run_for(times.time))?;
    let seconds = start.elapsed().as_secs_f64();
    Ok((answers as f64 / seconds, time as f64 / answers.max(1) as f64 / 1000.0))
}

/// The idle connections.
pub(crate) const IDLE: usize = 10_000;

/// KiB that each idle connection adds after one request, and the milliseconds in which a new client is answered beside
/// all of them.
///
/// # Errors
///
/// The server fails, or a limit on descriptors is too low.
pub(crate) fn idle(server: &Server) -> io::Result<(f64, f64)> {
    // What a server keeps for busy connections, whatever their number, is there before.
    Client::connect(server.address, &None, &hello(), 32, 1)?.run_count(2000)?;
    let before = memory(server)?;
    let mut client = Client::connect(server.address, &None, &hello(), IDLE, 1)?;
    client.run_count(IDLE)?;
    pause(Duration::from_millis(200));
    let after = memory(server)?;
    let start = Instant::now();
    Client::connect(server.address, &None, &hello(), 1, 1)?.run_count(1)?;
    let answered = start.elapsed().as_secs_f64() * 1000.0;
    Ok(((after - before) / IDLE as f64, answered))
}

fn memory(server: &Server) -> io::Result<f64> {
    let sizes: Option<Vec<f64>> = tree(server.id()).into_iter().map(resident).collect();
    let sizes = sizes.ok_or_else(|| io::Error::other("the memory of the server cannot be read"))?;
    Ok(sizes.into_iter().sum())
}

#[allow(clippy::disallowed_methods, reason = "a measurement of time has nothing else to wait for")]
pub(crate) fn pause(time: Duration) {
    thread::sleep(time);
}
