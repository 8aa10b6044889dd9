//! Runs `cargo check` where the tests cannot run: on other platforms, and with the oldest Rust.

use crate::command::{Cmd, lines_of};
use crate::{Options, Outcome, PUBLISHED};

/// The platforms named in the README, except the one of this machine.
const TARGETS: &[&str] = &["aarch64-unknown-linux-gnu", "aarch64-apple-darwin", "x86_64-pc-windows-msvc"];

pub(crate) fn run(_: &Options) -> Outcome {
    let packages: String = PUBLISHED.iter().map(|(package, _)| format!(" -p {package}")).collect();
    let installed = installed_targets();
    let mut skipped = Vec::new();
    for target in TARGETS {
        if installed.iter().any(|name| name == target) {
            Cmd::new(&format!("cargo check --target {target}{packages}")).run()?;
        } else {
            println!("skipped: {target} (`rustup target add {target}`)");
            skipped.push((*target).to_owned());
        }
    }
    let oldest = env!("CARGO_PKG_RUST_VERSION");
    if Cmd::new(&format!("cargo +{oldest} --version")).works() {
        Cmd::new(&format!("cargo +{oldest} check{packages}")).run()?;
    } else {
        println!("skipped: Rust {oldest} (`rustup toolchain install {oldest} --profile minimal`)");
        skipped.push(format!("Rust {oldest}"));
    }
    Ok(if skipped.is_empty() { String::new() } else { format!("skipped: {}", skipped.join(", ")) })
}

/// The targets with an installed standard library; empty without rustup.
pub(crate) fn installed_targets() -> Vec<String> {
    lines_of(Cmd::new("rustup target list --installed"))
}
