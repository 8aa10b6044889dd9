//! Builds the programs of `benches` and starts the benchmark.

use std::path::{Path, PathBuf};

use crate::command::{Cmd, root, target_dir};

/// The harness, and each program that it starts, with the options of its build.
const HARNESS: &str = "-p bench-harness";
const PROGRAMS: &[&str] = &["-p bench-machine", "-p bench-ours", "-p bench-cores", "-p bench-peers"];

/// Builds everything and passes these words to the harness, which explains them.
pub(crate) fn run(words: &[String]) -> Result<(), String> {
    build(root(), HARNESS, &folder())?;
    let measures = !words.iter().any(|word| ["-h", "--help", "--report", "list"].contains(&word.as_str()));
    if measures {
        for options in PROGRAMS {
            build(root(), options, &folder())?;
        }
    }
    words.iter().fold(Cmd::program(harness()), |command, word| command.arg(word)).run()
}

/// Builds a package of the `benches` in a checkout. One package at a time: together they would share features.
pub(crate) fn build(checkout: &Path, options: &str, folder: &Path) -> Result<(), String> {
    Cmd::new(&format!("cargo build --release {options} --manifest-path"))
        .arg(checkout.join("benches").join("Cargo.toml"))
        .env("CARGO_TARGET_DIR", folder)
        .run()
}

/// Builds the harness and returns its path.
pub(crate) fn build_harness() -> Result<PathBuf, String> {
    build(root(), HARNESS, &folder())?;
    Ok(harness())
}

/// The target folder of the benchmark.
pub(crate) fn folder() -> PathBuf {
    target_dir().join("benches")
}

fn harness() -> PathBuf {
    folder().join("release").join("bench-harness")
}
