//! The figures of the instruction gate: our machine alone, and our servers on tokio and std.

use std::io;

use bench_common::works::Work;

use crate::measure::cores::CORES;
use crate::measure::instructions;
use crate::process::Places;
use crate::scenarios::{browser, hello};
use crate::servers::named;

/// The runs of a server, of which the least counts. The machine alone counts the same each time.
const RUNS: usize = 3;

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
    for name in ["tokio", "std"] {
        let kind = named(name).ok_or_else(|| io::Error::other("no such server"))?;
        for (work, request) in [("hello", hello()), ("browser", browser())] {
            let mut least = f64::INFINITY;
            for _ in 0..RUNS {
                least = least.min(instructions::of_server(kind, places, &request)?);
            }
            println!("{name}-{work}\t{least:.0}");
        }
    }
    Ok(())
}
