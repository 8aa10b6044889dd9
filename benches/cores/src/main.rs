//! Other cores in memory: `bench-cores CORE WORK COUNT` repeats a work on one connection and prints the processor time
//! of one repetition in nanoseconds, like `bench-machine`.
//!
//! Every core gets the request as one read, decides by itself how the answer is framed, writes a `Date`, and stays on
//! one connection.

mod floor;
mod h11r_core;
mod http_net_core;
mod hyper_core;

use std::process::ExitCode;

use bench_common::works::{UNKNOWN, Work};
use rustix::time::{ClockId, clock_gettime};

/// A core and the work that it repeats.
trait Core {
    /// One request and its answer.
    fn exchange(&mut self);
}

/// The core of this name, if it exists and can do the work.
fn core(name: &str, work: Work) -> Option<Box<dyn Core>> {
    Some(match name {
        "http-net" => Box::new(http_net_core::HttpNet::new(work, false)),
        "http-net-prebuilt" => Box::new(http_net_core::HttpNet::new(work, true)),
        "h11r" => Box::new(h11r_core::H11r::new(work)),
        "hyper" => Box::new(hyper_core::Hyper::new(work)),
        "httparse" if matches!(work, Work::Hello | Work::Browser) => Box::new(floor::Floor::new(work)),
        _ => return None,
    })
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (Some(name), Some(work), Some(count)) =
        (words.next(), words.next(), words.next().and_then(|count| count.parse().ok()))
    else {
        eprintln!("usage: bench-cores CORE WORK COUNT");
        return ExitCode::from(2);
    };
    let Some(mut core) = Work::named(&work).and_then(|work| core(&name, work)) else {
        return ExitCode::from(UNKNOWN);
    };
    let before = processor_time();
    for _ in 0..count {
        core.exchange();
    }
    println!("{}", (processor_time() - before) / count.max(1));
    ExitCode::SUCCESS
}

/// The processor time of this thread in nanoseconds.
fn processor_time() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
