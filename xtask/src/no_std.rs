//! Checks `wsgi-proto` without `std`: the proof in `tests/no-std-proof`, that this proof can fail, and bare metal.

use crate::command::{Cmd, target_dir};
use crate::platforms::installed_targets;
use crate::{Options, Outcome};

/// Rustc's message when `std` adds a second panic handler.
const REFUSAL: &str = "duplicate lang item `panic_impl`";

/// Targets without `std`; one is enough.
const BARE_METAL: &[&str] =
    &["x86_64-unknown-none", "aarch64-unknown-none", "thumbv7em-none-eabi", "riscv32imac-unknown-none-elf"];

pub(crate) fn run(_: &Options) -> Outcome {
    proof("").run()?;
    for feature in ["with-std", "with-std-below"] {
        let command = proof(&format!("--features {feature}"));
        let output = command.output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() || !said.contains(REFUSAL) {
            return Err(format!("the proof does not notice std; its output with `{feature}`:\n{said}"));
        }
        println!("with the feature `{feature}` it is rejected, as expected: {REFUSAL}");
    }
    let installed = installed_targets();
    let Some(target) = BARE_METAL.iter().find(|target| installed.iter().any(|name| name == *target)) else {
        return Ok(format!("no bare-metal target installed (one of {})", BARE_METAL.join(", ")));
    };
    Cmd::new(&format!("cargo build --lib -p wsgi-proto --no-default-features --target {target}")).run()?;
    Ok(format!("built for {target}"))
}

fn proof(features: &str) -> Cmd {
    Cmd::new(&format!("cargo check --manifest-path tests/no-std-proof/Cargo.toml {features}"))
        .arg("--target-dir")
        .arg(target_dir().join("no-std-proof"))
}
