//! Our core in memory: `bench-machine WORK COUNT` repeats a work on one connection and prints the processor time of one
//! repetition in nanoseconds. With callgrind it counts instructions.
//!
//! Besides the works that all cores have: `answer-hello` and `answer-browser` answer by one call instead of three. A
//! kept head gets the names `kept-hello` and `kept-browser` as soon as the core has one.

mod exchange;

use std::process::ExitCode;
use std::sync::Arc;

use bench_common::works::{UNKNOWN, Work};
use rustix::time::{ClockId, clock_gettime};
use wsgi_proto::{Address, Buffers, Config, Connection, Endpoints};

use exchange::Bench;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (Some(name), Some(count)) = (words.next(), words.next().and_then(|count| count.parse().ok())) else {
        eprintln!("usage: bench-machine WORK COUNT");
        return ExitCode::from(2);
    };
    let plain = name.trim_start_matches("answer-");
    let one_call = plain != name;
    let work = Work::named(plain).filter(|work| !one_call || matches!(work, Work::Hello | Work::Browser));
    let Some(work) = work else { return ExitCode::from(UNKNOWN) };
    let endpoints = Endpoints::new(Address::Local, Address::Local);
    let mut connection = Connection::new(Arc::new(Config::default()), endpoints);
    connection.provide_buffers(Buffers::new());
    let mut bench = Bench::new(connection, work, one_call);
    let before = processor_time();
    for _ in 0..count {
        bench.exchange();
    }
    println!("{}", (processor_time() - before) / count.max(1));
    ExitCode::SUCCESS
}

/// The processor time of this thread in nanoseconds.
fn processor_time() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
