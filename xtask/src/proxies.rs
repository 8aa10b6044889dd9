//! Runs `echo` behind real proxies, as far as they are installed, on every runtime.

use crate::command::{Cmd, target_dir};
use crate::{Options, Outcome};

const RUNTIMES: &[&str] = &["tokio", "smol", "async-std", "std"];

pub(crate) fn run(_: &Options) -> Outcome {
    Cmd::new("cargo build --release -p wsgi-tests --bin echo").run()?;
    Cmd::new("cargo build --release -p wsgi-tokio --example socket_activation").run()?;
    let mut skipped = String::new();
    for runtime in RUNTIMES {
        let echo = target_dir().join("release").join("echo");
        let command = Cmd::new("python3 tests/proxies/run.py --quick --installed --runtime").arg(runtime);
        let output = command.arg("--echo").arg(echo).show().output();
        let output = output.map_err(|error| format!("python3 could not be started: {error}"))?;
        let table = String::from_utf8_lossy(&output.stdout);
        print!("{table}");
        if !output.status.success() {
            eprint!("{}", String::from_utf8_lossy(&output.stderr));
            return Err(format!("{runtime}: the checks behind proxies ended with {}", output.status));
        }
        // The same checks are skipped on every runtime.
        skipped = table
            .lines()
            .last()
            .and_then(|line| line.split_once(": "))
            .map_or("", |(_, rest)| rest)
            .to_owned();
    }
    Ok(if skipped.is_empty() { String::new() } else { format!("skipped: {skipped}") })
}
