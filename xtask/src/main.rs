//! The task runner. `cargo xtask ci` is the whole run, `cargo xtask STEP` a single step of it.
//!
//! Knows which commands check the project and how to start them. Must not know anything that a command can report
//! itself.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is the purpose of a task runner")]

mod api;
mod benches;
mod checks;
mod command;
mod conform;
mod features;
mod fuzz;
mod instructions;
mod layers;
mod minimal_versions;
mod no_std;
mod platforms;
mod proxies;
mod python;
mod tls_provider;

use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The result of a step: a note for the summary (often empty), or the reason of the failure.
pub(crate) type Outcome = Result<String, String>;

/// The published crates, lowest first, each with the sets of features that it is linted with.
pub(crate) const PUBLISHED: &[(&str, &[&str])] = &[
    ("wsgi-proto", &["", "--features std"]),
    ("wsgi-app", &["", "--features futures-io", "--features json,proxy-protocol,tokio-io,tower"]),
    ("wsgi-tokio", &["", "--features tls,futures-io", "--features json,proxy-protocol,tls,tower"]),
    ("wsgi-smol", &["", "--features tls", "--features async-std,proxy-protocol,tls"]),
    ("wsgi-std", &["", "--features tls", "--features proxy-protocol,tls"]),
];

/// The crates that are never published.
pub(crate) const PRIVATE: &[&str] = &["wsgi-cookbook", "wsgi-python", "wsgi-tests", "xtask"];

/// Options of the command line.
pub(crate) struct Options {
    /// How long each fuzz target runs.
    pub(crate) fuzz_seconds: u64,
}

struct Step {
    name: &'static str,
    about: &'static str,
    run: fn(&Options) -> Outcome,
}

/// The steps of `ci` in order: fast failures first.
const CI: &[Step] = &[
    Step { name: "fmt", about: "the format of every crate, including the fuzz crate", run: checks::fmt },
    Step {
        name: "spelling",
        about: "known misspellings in prose and names (codespell)",
        run: checks::spelling,
    },
    Step {
        name: "layers",
        about: "imports follow the layers of ARCHITECTURE.md, name the defining module, and form no cycle",
        run: layers::run,
    },
    Step { name: "clippy", about: "lints, package by package, warnings as errors", run: checks::clippy },
    Step {
        name: "features",
        about: "lints of each feature of the published crates, each two, and all",
        run: features::run,
    },
    Step { name: "docs", about: "documentation without warnings", run: checks::docs },
    Step {
        name: "api",
        about: "the public items of the published crates match the lists in api/",
        run: api::run,
    },
    Step { name: "no-std", about: "wsgi-proto links no std, and the check can fail", run: no_std::run },
    Step {
        name: "tls-provider",
        about: "no adapter enables a crypto provider; TLS works with the one that a program chooses",
        run: tls_provider::run,
    },
    Step { name: "deny", about: "banned crates, licences, sources (deny.toml)", run: checks::deny },
    Step { name: "package", about: "the published crates build from their packages", run: checks::package },
    Step {
        name: "check-platforms",
        about: "cargo check on the other platforms and the oldest Rust, where installed",
        run: platforms::run,
    },
    Step {
        name: "minimal-versions",
        about: "cargo check with the lowest versions that Cargo.toml allows",
        run: minimal_versions::run,
    },
    Step {
        name: "test",
        about: "cargo test --workspace, to the end even if a test fails",
        run: checks::test,
    },
    Step {
        name: "model",
        about: "the threads of wsgi-std, and handles on two threads, under every interleaving (loom)",
        run: checks::model,
    },
    Step {
        name: "python",
        about: "the wheel of wsgi-python in fresh environments, and one request of Flask from each",
        run: python::run,
    },
    Step {
        name: "conform",
        about: "the conformance cases against echo and wsgi-python, whole and byte by byte",
        run: conform::run,
    },
    Step {
        name: "proxies",
        about: "echo and wsgi-python behind nginx, HAProxy and Apache, those that are installed",
        run: proxies::run,
    },
    Step {
        name: "instructions",
        about: "instructions of the machine and of two servers, against benches/baseline.txt",
        run: instructions::run,
    },
    Step { name: "fuzz", about: "each fuzz target for 20 s, or for --seconds", run: fuzz::run },
];

/// Steps that are not part of `ci`, since their result can change while the code does not.
const OTHER: &[Step] = &[Step {
    name: "advisories",
    about: "the dependencies in the RustSec database (network)",
    run: checks::advisories,
}];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(words) = arguments.strip_prefix(&["bench".to_owned()]) {
        return bench(words);
    }
    let (name, options) = match parse(&arguments) {
        Ok(parsed) => parsed,
        Err(message) => {
            eprintln!("{message}\n\n{}", usage());
            return ExitCode::from(2);
        }
    };
    let steps: Vec<&Step> = match name {
        "help" => {
            println!("{}", usage());
            return ExitCode::SUCCESS;
        }
        "ci" => CI.iter().collect(),
        name => CI.iter().chain(OTHER).filter(|step| step.name == name).collect(),
    };
    if run(&steps, &options) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// `bench` is not a step: it takes minutes, has options, and its result is a report and not a verdict.
fn bench(words: &[String]) -> ExitCode {
    match benches::run(words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// The name of the command: a step, `ci` or `help`.
fn parse(arguments: &[String]) -> Result<(&str, Options), String> {
    let mut options = Options { fuzz_seconds: 20 };
    let (name, rest) = match arguments.split_first() {
        None => ("help", &[][..]),
        Some((first, _)) if ["-h", "--help"].contains(&first.as_str()) => ("help", &[][..]),
        Some((first, rest)) => (first.as_str(), rest),
    };
    if name != "help" && name != "ci" && !CI.iter().chain(OTHER).any(|step| step.name == name) {
        return Err(format!("`{name}` is not a step"));
    }
    match rest {
        [] => {}
        [flag, seconds] if flag == "--seconds" && (name == "fuzz" || name == "ci") => {
            options.fuzz_seconds = match seconds.parse() {
                Ok(seconds) if seconds > 0 => seconds,
                _ => return Err(format!("`--seconds {seconds}` is not a positive whole number")),
            };
        }
        [other, ..] => return Err(format!("`{name}` does not take `{other}`")),
    }
    Ok((name, options))
}

fn usage() -> String {
    let mut text = String::from("usage: cargo xtask STEP\n\n");
    let mut line = |name: &str, about: &str| text.push_str(&format!("  {name:<16} {about}\n"));
    line("ci", "all of the following in this order, up to the first failure");
    CI.iter().for_each(|step| line(step.name, step.about));
    line("", "");
    OTHER.iter().for_each(|step| line(step.name, step.about));
    line("bench", "measures the servers and their peers, and writes docs/performance.md (`bench --help`)");
    line("bench --python", "the same for wsgi-python, and docs/performance-python.md");
    line("help", "this text");
    text.push_str("\n`ci` and `fuzz` take `--seconds N`: how long each fuzz target runs");
    text
}

/// Runs the steps up to the first failure and prints a summary; returns whether all of them passed.
fn run(steps: &[&Step], options: &Options) -> bool {
    let mut summary: Vec<(&str, Duration, Outcome)> = Vec::new();
    for step in steps {
        println!("\n==> {}: {}", step.name, step.about);
        let start = Instant::now();
        let outcome = (step.run)(options);
        let took = start.elapsed();
        match &outcome {
            Ok(_) => println!("<== {} passed in {:.1} s", step.name, took.as_secs_f64()),
            Err(why) => eprintln!("<== {} FAILED after {:.1} s: {why}", step.name, took.as_secs_f64()),
        }
        let failed = outcome.is_err();
        summary.push((step.name, took, outcome));
        if failed {
            break;
        }
    }
    if steps.len() > 1 {
        print_summary(steps, &summary);
    }
    summary.iter().all(|(_, _, outcome)| outcome.is_ok())
}

fn print_summary(steps: &[&Step], summary: &[(&str, Duration, Outcome)]) {
    println!("\n{:<16} {:>9}  result", "step", "seconds");
    for (name, took, outcome) in summary {
        let result = match outcome {
            Ok(note) if note.is_empty() => String::from("passed"),
            Ok(note) => format!("passed; {note}"),
            Err(_) => String::from("FAILED"),
        };
        println!("{name:<16} {:>9.1}  {result}", took.as_secs_f64());
    }
    for step in &steps[summary.len()..] {
        println!("{:<16} {:>9}  not run", step.name, "-");
    }
    let total: f64 = summary.iter().map(|(_, took, _)| took.as_secs_f64()).sum();
    println!("{:<16} {total:>9.1}", "all");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<(String, u64), String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        parse(&words).map(|(name, options)| (name.to_owned(), options.fuzz_seconds))
    }

    #[test]
    fn the_command_line_is_understood_or_refused() {
        assert_eq!(parsed(&[]), Ok(("help".into(), 20)));
        assert_eq!(parsed(&["--help"]), Ok(("help".into(), 20)));
        assert_eq!(parsed(&["ci"]), Ok(("ci".into(), 20)));
        assert_eq!(parsed(&["fuzz", "--seconds", "3"]), Ok(("fuzz".into(), 3)));
        assert_eq!(parsed(&["advisories"]), Ok(("advisories".into(), 20)));
        for wrong in
            [&["bogus"][..], &["fmt", "--seconds", "3"], &["fuzz", "--seconds", "0"], &["fuzz", "--seconds"]]
        {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn contributing_lists_the_steps_in_their_order() {
        let text = std::fs::read_to_string(command::root().join("CONTRIBUTING.md")).unwrap();
        let (_, table) = text.split_once("| step | checks |\n| --- | --- |\n").unwrap();
        let rows = table.lines().map_while(|row| row.strip_prefix("| `")?.split('`').next());
        assert!(rows.eq(CI.iter().map(|step| step.name)), "{table}");
    }

    #[test]
    fn every_step_has_its_own_name() {
        let mut names: Vec<&str> = CI.iter().chain(OTHER).map(|step| step.name).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(["bench", "ci", "help"].iter().all(|name| !names.contains(name)));
    }
}
