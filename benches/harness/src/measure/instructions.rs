//! Instructions in user space, counted by callgrind. The difference of two runs removes the start and the end.

use std::io;
use std::process::{Command, Stdio};

use crate::client::Client;
use crate::process::{Places, Server, Under};
use crate::servers::Kind;

/// The connections of a counted run.
const CONNECTIONS: usize = 8;
/// The requests of the first run; the second has three times as many.
const REQUESTS: usize = 1000;

/// The words before a command that is counted.
pub(crate) fn callgrind() -> Vec<String> {
    ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"].map(str::to_owned).into()
}

/// Instructions of a server per request.
///
/// # Errors
///
/// The server or valgrind fails.
pub(crate) fn of_server(kind: Kind, places: &Places, request: &[u8]) -> io::Result<f64> {
    let count = |requests: usize| {
        let under = Under { words: callgrind(), ..Under::default() };
        let server = Server::start(kind, places, false, &under)?;
        Client::connect(server.address, &None, request, CONNECTIONS, 1)?.run_count(requests)?;
        collected(&server.stop()?)
    };
    Ok((count(3 * REQUESTS)? - count(REQUESTS)?) / (2 * REQUESTS) as f64)
}

/// Instructions of a program per repetition: `words` and a number of repetitions are its command.
///
/// # Errors
///
/// The program or valgrind fails.
pub(crate) fn of_program(words: &[String], repetitions: usize) -> io::Result<f64> {
    let count = |repetitions: usize| {
        let command = [callgrind(), words.to_vec(), vec![repetitions.to_string()]].concat();
        let output = Command::new(&command[0]).args(&command[1..]).stdin(Stdio::null()).output()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { collected(&text) } else { Err(io::Error::other(text)) }
    };
    Ok((count(3 * repetitions)? - count(repetitions)?) / (2 * repetitions) as f64)
}

/// The total in what callgrind prints at the end.
fn collected(text: &str) -> io::Result<f64> {
    let total = text.lines().rev().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    total.ok_or_else(|| io::Error::other(format!("callgrind printed no total: {text}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_of_callgrind_is_found() {
        let text =
            "==7== Events    : Ir\n==7== Collected : 12345678\n==7== \n==7== I   refs:      12,345,678\n";
        assert_eq!(collected(text).unwrap(), 12_345_678.0);
        assert!(collected("==7== Process terminating").is_err());
    }
}
