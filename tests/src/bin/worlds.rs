//! Plays simulated worlds: a server, its clients, the network and the clock, each drawn from a seed.
//!
//! `cargo run --release -p wsgi-tests --bin worlds -- --count 100000 --seed N`
//!
//! Stops at the first world in which something does not hold, and tells what happened there; `--seed N --count 1` plays
//! that one again. The last line has a digest of all worlds: two builds that print the same for one seed and count
//! behave alike.

use std::error::Error;
use std::io::Write;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use wsgi_tests::world;

#[derive(Debug, Parser)]
#[command(about = "Simulated worlds: nothing is lost, nobody waits indefinitely, nothing is left")]
struct Options {
    /// How many worlds.
    #[arg(long, default_value_t = 100_000)]
    count: u64,
    /// The seed of the first world, the next one has the next; drawn from the clock when it is not given.
    #[arg(long)]
    seed: Option<u64>,
    /// The number of faults after which to stop.
    #[arg(long, default_value_t = 1)]
    faults: u64,
    /// Tell what happened, even if everything holds.
    #[arg(long)]
    story: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    let seed = options.seed.unwrap_or_else(clock);
    let mut out = std::io::stdout();
    writeln!(out, "seed {seed}")?;
    let (started, mut digest, mut faults, mut worlds) = (Instant::now(), 0_u64, 0, 0_u64);
    let (mut links, mut requests, mut runs, mut time) = (0, 0, 0, 0_u128);
    for number in 0..options.count {
        let play = if options.story { world::tell } else { world::run };
        let outcome = play(seed.wrapping_add(number));
        worlds += 1;
        digest = digest.rotate_left(5) ^ outcome.digest;
        links += outcome.links;
        requests += outcome.requests;
        runs += outcome.runs;
        time += u128::from(outcome.time);
        if options.story || !outcome.faults.is_empty() {
            writeln!(out, "world {}: {:#?}", seed.wrapping_add(number), outcome.faults)?;
        }
        if options.story || (!outcome.faults.is_empty() && options.faults == 1) {
            writeln!(out, "{}", outcome.story)?;
        }
        faults += u64::from(!outcome.faults.is_empty());
        if faults == options.faults {
            break;
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    writeln!(
        out,
        "{worlds} worlds ({links} connections, {requests} requests, {runs} runs of tasks, {} h), {faults} with faults, \
         {seconds:.1} s, {:.0} a second, seed {seed}, digest {digest:016x}",
        time / 3_600_000_000_000,
        worlds as f64 / seconds,
    )?;
    if faults > 0 { Err("something does not hold".into()) } else { Ok(()) }
}
