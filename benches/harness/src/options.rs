//! The command line of the harness.

use std::path::PathBuf;

/// The text of `--help`.
pub(crate) const USAGE: &str = "\
usage: cargo xtask bench [--python] [--quick] [--rounds N] [--only SCENARIO,...] [--report]

Measures the servers and cores in turn (A B C A B C ...), one server at a time: the server on one processor, the client
on another. A full run takes about 25 minutes on two processors after everything is built, and writes
docs/performance.md with its plots. Nothing else should run at the same time.

  --python     compares wsgi-python with other servers for Python (12 minutes), and writes docs/performance-python.md
  --quick      2 short rounds, about 3 minutes, for a first look
  --rounds N   this many rounds of processor time (7 without this option; 5 with --python)
  --only A,B   only these scenarios; `list` prints their names
  --report     measures nothing and writes the report of the last run again

With --quick, --only, or fewer rounds the report goes into target/report of the benchmark and not into docs/.
Instructions need valgrind and system calls strace; without them their figures are left out. nginx takes part if it is
installed.";

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Command {
    Help,
    List {
        python: bool,
    },
    Run(Options),
    /// Only the report of saved results.
    Report {
        python: bool,
    },
    /// The figures of the gate, with the programs in this folder.
    Instructions {
        programs: PathBuf,
    },
}

/// The options of a run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Options {
    /// Servers for Python instead of those in Rust.
    pub(crate) python: bool,
    pub(crate) quick: bool,
    pub(crate) rounds: usize,
    /// The names of the scenarios; empty for all.
    pub(crate) only: Vec<String>,
}

/// The rounds of a full run.
const ROUNDS: usize = 7;
/// The rounds of a full run of the servers for Python.
const PYTHON_ROUNDS: usize = 5;

impl Options {
    /// Whether the scenario takes part.
    pub(crate) fn includes(&self, scenario: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == scenario)
    }

    /// Whether the result may replace the published one.
    pub(crate) fn is_full(&self) -> bool {
        !self.quick && self.only.is_empty() && self.rounds >= self.full_rounds()
    }

    fn full_rounds(&self) -> usize {
        if self.python { PYTHON_ROUNDS } else { ROUNDS }
    }
}

/// Parses the words after the program's name.
///
/// # Errors
///
/// A word is unknown, or its value is missing or malformed.
pub(crate) fn parse(words: &[String]) -> Result<Command, String> {
    let mut options = Options {
        python: words.iter().any(|word| word == "--python"),
        quick: false,
        rounds: 0,
        only: Vec::new(),
    };
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "-h" | "--help" => return Ok(Command::Help),
            "--report" => return Ok(Command::Report { python: options.python }),
            "--python" => {}
            "--quick" => options.quick = true,
            "--rounds" => {
                let rounds = words.next().and_then(|rounds| rounds.parse().ok()).filter(|rounds| *rounds > 0);
                options.rounds = rounds.ok_or("`--rounds` needs a positive number")?;
            }
            "--only" => {
                let names = words.next().ok_or("`--only` needs names of scenarios")?;
                if names == "list" {
                    return Ok(Command::List { python: options.python });
                }
                options.only = names.split(',').map(str::to_owned).collect();
            }
            "instructions" => {
                let programs = words.next().ok_or("`instructions` needs the folder of the programs")?;
                return Ok(Command::Instructions { programs: programs.into() });
            }
            other => return Err(format!("`{other}` is not an option")),
        }
    }
    if options.rounds == 0 {
        options.rounds = if options.quick { 2 } else { options.full_rounds() };
    }
    Ok(Command::Run(options))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &str) -> Result<Command, String> {
        parse(&words.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn only_a_full_run_replaces_the_published_report() {
        for (words, full) in [
            ("", true),
            ("--rounds 9", true),
            ("--rounds 6", false),
            ("--quick", false),
            ("--only log", false),
            ("--python", true),
            ("--python --rounds 4", false),
        ] {
            let Ok(Command::Run(options)) = parsed(words) else { panic!("{words}") };
            assert_eq!(options.is_full(), full, "{words}");
        }
    }

    #[test]
    fn wrong_words_are_refused() {
        for wrong in ["--rounds", "--rounds 0", "--only", "--bogus", "instructions"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }
}
