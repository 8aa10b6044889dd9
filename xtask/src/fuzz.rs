//! Runs every fuzz target for a limited time, on the nightly toolchain.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::command::{Cmd, require_nightly, require_subcommand, root};
use crate::{Options, Outcome};

/// The number of lines of the fuzzer's report shown after a finding.
const REPORT_LINES: usize = 80;

pub(crate) fn run(options: &Options) -> Outcome {
    require_subcommand("fuzz")?;
    require_nightly()?;
    let targets = targets()?;
    Cmd::new("cargo +nightly fuzz build --fuzz-dir fuzz").run()?;
    let mut notes = Vec::new();
    for target in &targets {
        let note = run_one(target, options.fuzz_seconds)?;
        println!("{note}");
        notes.push(note);
    }
    Ok(notes.join("; "))
}

/// The names of the files in `fuzz/fuzz_targets`, in order.
fn targets() -> Result<Vec<String>, String> {
    let folder = root().join("fuzz").join("fuzz_targets");
    let entries =
        fs::read_dir(&folder).map_err(|error| format!("{} cannot be read: {error}", folder.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    if names.is_empty() { Err(format!("no fuzz target in {}", folder.display())) } else { Ok(names) }
}

/// Runs one target, silently unless it finds something; returns a summary.
fn run_one(target: &str, seconds: u64) -> Outcome {
    let line = format!("cargo +nightly fuzz run {target} --fuzz-dir fuzz -- -max_total_time={seconds}");
    let mut child = Cmd::new(&line)
        .show()
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("`{line}` could not be started: {error}"))?;
    let stderr = child.stderr.take().expect("standard error is a pipe");
    let (mut last, mut done) = (VecDeque::new(), None);
    for text in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
        let text = String::from_utf8_lossy(&text).into_owned();
        done = done.or_else(|| done_line(&text));
        if last.len() == REPORT_LINES {
            last.pop_front();
        }
        last.push_back(text);
    }
    let status = child.wait().map_err(|error| format!("`{line}` cannot be waited for: {error}"))?;
    match done {
        Some((runs, took)) if status.success() => {
            Ok(format!("{target}: {runs} executions in {took} s, no finding"))
        }
        _ => {
            last.iter().for_each(|text| eprintln!("  {text}"));
            Err(format!("`{line}` ended with {status}; its last lines are above"))
        }
    }
}

/// Parses `Done 1234 runs in 21 second(s)`, the end of a libFuzzer run without a finding.
fn done_line(text: &str) -> Option<(u64, u64)> {
    let (runs, rest) = text.trim().strip_prefix("Done ")?.split_once(" runs in ")?;
    let (seconds, _) = rest.split_once(' ')?;
    Some((runs.parse().ok()?, seconds.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_libfuzzer_is_understood() {
        assert_eq!(done_line("Done 1234 runs in 21 second(s)\r"), Some((1234, 21)));
        for other in ["", "Done", "#12 DONE cov: 3", "Done x runs in 1 second(s)"] {
            assert_eq!(done_line(other), None, "{other}");
        }
    }
}
