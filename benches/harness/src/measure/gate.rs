//! The figures of the instruction gate: our machine alone, and our servers on tokio and std.
//!
//! A figure that the programs do not know is left out, so that an older commit can be counted.

use std::io;

use bench_common::works::Work;

use crate::client::Client;
use crate::measure::cores::CORES;
use crate::measure::instructions;
use crate::process::{Places, Server, Under};
use crate::scenarios::{browser, hello, kept};
use crate::servers::{Kind, named};

/// The runs of a server, of which the least counts. The machine alone counts the same each time.
const RUNS: usize = 3;

type Request = fn() -> Vec<u8>;

/// The figures of servers: the server, the name of its request, and the request.
const SERVERS: &[(&str, &str, Request)] = &[
    ("tokio", "hello", hello),
    ("tokio", "browser", browser),
    ("tokio", "kept", kept),
    ("tokio-log", "hello", hello),
    ("std", "hello", hello),
    ("std", "browser", browser),
    ("std", "kept", kept),
];

/// Prints a line for each figure: its name, a tab, the instructions of one request.
///
/// # Errors
///
/// A program or valgrind fails.
pub(crate) fn print(places: &Places) -> io::Result<()> {
    for core in CORES.iter().filter(|core| core.name.starts_with("ours")) {
        for work in [Work::Hello, Work::Browser, Work::Chunks] {
            if core.time(&places.programs, work, true)?.is_some() {
                let name = core.name.replace("ours", "machine");
                println!("{name}-{}\t{:.0}", work.name(), core.instructions(&places.programs, work)?);
            }
        }
    }
    for (name, work, request) in SERVERS {
        let kind = named(name).ok_or_else(|| io::Error::other("no such server"))?;
        let request = request();
        // The programs may be those of an older commit, which has fewer pages and options.
        if let Err(error) = answers(kind, places, &request) {
            let error = error.to_string();
            let reason = error.lines().next().unwrap_or_default();
            eprintln!("{name}-{work} is not counted: these programs do not answer it ({reason})");
            continue;
        }
        let mut least = f64::INFINITY;
        for _ in 0..RUNS {
            least = least.min(instructions::of_server(kind, places, &request)?);
        }
        println!("{name}-{work}\t{least:.0}");
    }
    Ok(())
}

/// Whether the server answers this request with 200.
fn answers(kind: Kind, places: &Places, request: &[u8]) -> io::Result<()> {
    let server = Server::start(kind, places, false, &Under::default())?;
    Client::connect(server.address, &None, request, 1, 1)?.run_count(1).map(drop)
}
