//! The echo application behind every outside check: see `tests/conform/CONTRACT.md`.
//!
//! `cargo run --release -p wsgi-tests --bin echo -- --runtime tokio --listen 127.0.0.1:8090`
//!
//! Status 0 after a stop by signal, 1 when it cannot serve, 2 when the command line is wrong.

use std::process::ExitCode;

use clap::Parser;
use wsgi_tests::echo;
use wsgi_tests::echo::options::Settings;

fn main() -> ExitCode {
    echo::status(echo::run(Settings::parse()))
}
