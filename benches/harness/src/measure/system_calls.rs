//! System calls per request, counted by strace. The difference of two runs removes the start and the end.

use std::fs;
use std::io;

use crate::client::{Client, short};
use crate::process::{Places, Server, Under};
use crate::scenarios::{Load, hello};
use crate::servers::Kind;

/// The connections of a counted run.
const CONNECTIONS: usize = 8;
/// The requests of the first run; the second has three times as many.
const REQUESTS: usize = 1000;
/// The connections of the first run when each has only one request.
const SHORT: usize = 200;

/// System calls per hello on connections that are kept and busy, or on short-lived ones.
///
/// # Errors
///
/// The server or strace fails.
pub(crate) fn measure(kind: Kind, places: &Places, load: Load) -> io::Result<f64> {
    let table = places.scratch.join("strace");
    let count = |requests: usize| {
        let words = ["strace", "-c", "-f", "-q", "-o", &table.to_string_lossy()].map(str::to_owned).into();
        let server =
            Server::start(kind, places, false, &Under { words, is_parent: true, ..Under::default() })?;
        match load {
            Load::Short { .. } => {
                let request = bench_common::requests::get_and_close("/");
                short::run_count(server.address, &None, &request, requests)?
            }
            _ => Client::connect(server.address, &None, &hello(), CONNECTIONS, 1)?.run_count(requests)?,
        };
        server.stop()?;
        total(&fs::read_to_string(&table)?)
    };
    let requests = if matches!(load, Load::Short { .. }) { SHORT } else { REQUESTS };
    Ok((count(3 * requests)? - count(requests)?) / (2 * requests) as f64)
}

/// The number of calls in the last line of strace's table: `100.00    0.012345           5      2345        12 total`.
pub(crate) fn total(text: &str) -> io::Result<f64> {
    let line = text.lines().rev().find(|line| line.trim_end().ends_with(" total"));
    let calls = line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
    calls.ok_or_else(|| io::Error::other(format!("strace printed no total: {text}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_of_strace_is_found() {
        let text = "% time     seconds  usecs/call     calls    errors syscall\n\
            ------ ----------- ----------- --------- --------- ----------------\n \
            60.00    0.002000           2      1000           recvfrom\n\
            100.00    0.003333           2      2130         1 total\n";
        assert_eq!(total(text).unwrap(), 2130.0);
        assert!(total("").is_err());
    }
}
