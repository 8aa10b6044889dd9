//! Our server on one of its runtimes, with one core for everything:
//! `bench-ours --kind tokio|smol|async-std|std --port N [--tls DIR] [--log on] [--file PATH]`.
//!
//! | path | answer |
//! | --- | --- |
//! | `/` | 13 bytes |
//! | `/kept` | the same with a head that was checked once |
//! | `/vars` | reads every variable of the environ and answers with their total length |
//! | `/10k`, `/1m` | 10 KiB and 1 MiB that are in memory |
//! | `/chunked` | 1,000 pieces of 16 bytes, all ready immediately |
//! | `/upload` | reads the body and answers with its length |
//! | `/echo` | reads the body and answers with it |
//! | `/file` | the file of `--file` |

mod answers;
mod application;
mod blocking;
mod runtimes;

use std::process::ExitCode;

use bench_common::arguments::Arguments;

fn main() -> ExitCode {
    let served = Arguments::from_env().and_then(|arguments| {
        runtimes::serve(&arguments).map_err(|error| format!("{}: {error}", arguments.kind))
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench-ours: {why}");
            ExitCode::FAILURE
        }
    }
}
