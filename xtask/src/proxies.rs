//! Runs `echo` on every runtime, and the installed `wsgi-python`, behind real proxies, as far as they are installed.

use crate::command::{Cmd, target_dir};
use crate::{Options, Outcome, python};

const RUNTIMES: &[&str] = &["tokio", "smol", "async-std", "std"];

pub(crate) fn run(_: &Options) -> Outcome {
    Cmd::new("cargo build --release -p wsgi-tests --bin echo").run()?;
    Cmd::new("cargo build --release -p wsgi-tokio --example socket_activation").run()?;
    let mut skipped = String::new();
    for runtime in RUNTIMES {
        // The same checks are skipped on every runtime.
        skipped = check(runtime, checks().arg("--runtime").arg(runtime))?;
    }
    check("python", checks().arg("--check").arg("python").arg("--python").arg(python::program()?))?;
    Ok(if skipped.is_empty() { String::new() } else { format!("skipped: {skipped}") })
}

fn checks() -> Cmd {
    let echo = target_dir().join("release").join("echo");
    Cmd::new("python3 tests/proxies/run.py --quick --installed --echo").arg(echo)
}

/// Runs checks, and returns those that were skipped.
fn check(name: &str, command: Cmd) -> Result<String, String> {
    let output = command.show().output();
    let output = output.map_err(|error| format!("python3 could not be started: {error}"))?;
    let table = String::from_utf8_lossy(&output.stdout);
    print!("{table}");
    if !output.status.success() {
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        return Err(format!("{name}: the checks behind proxies ended with {}", output.status));
    }
    let skipped = table.lines().last().and_then(|line| line.split_once(": "));
    Ok(skipped.map_or("", |(_, rest)| rest).to_owned())
}
