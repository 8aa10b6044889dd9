//! Our core in memory: `bench-machine WORK COUNT` repeats a work on one connection and prints the processor time of one
//! repetition in nanoseconds. With callgrind it counts instructions.
//!
//! Besides the works that all cores have: `answer-hello` and `answer-browser` answer by one call instead of three, as
//! `wsgi-app` does, and take no record, which other cores do not have. `kept-hello` and `kept-browser` do that with a head
//! that was checked once.

mod exchange;

use std::process::ExitCode;
use std::sync::Arc;

use bench_common::works::{UNKNOWN, Work};
use rustix::time::{ClockId, clock_gettime};
use wsgi_proto::{Address, Buffers, Config, Connection, Endpoints};

use exchange::{Answer, Bench};

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (Some(name), Some(count)) = (words.next(), words.next().and_then(|count| count.parse().ok())) else {
        eprintln!("usage: bench-machine WORK COUNT");
        return ExitCode::from(2);
    };
    let (answer, plain) = match name.split_once('-') {
        Some(("answer", plain)) => (Answer::OneCall, plain),
        Some(("kept", plain)) => (Answer::Kept, plain),
        _ => (Answer::Calls, &*name),
    };
    let small = |work: &Work| matches!(work, Work::Hello | Work::Browser);
    let work = Work::named(plain).filter(|work| answer == Answer::Calls || small(work));
    let Some(work) = work else { return ExitCode::from(UNKNOWN) };
    let endpoints = Endpoints::new(Address::Local, Address::Local);
    let mut connection = Connection::new(Arc::new(Config::default()), endpoints);
    connection.provide_buffers(Buffers::new());
    let mut bench = Bench::new(connection, work, answer);
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
