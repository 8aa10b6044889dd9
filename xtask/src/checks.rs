//! The steps that are one or two cargo commands.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::command::{Cmd, require_subcommand, target_dir};
use crate::{Options, Outcome, PRIVATE, PUBLISHED};

pub(crate) fn fmt(_: &Options) -> Outcome {
    Cmd::new("cargo fmt --all --check").run()?;
    for excluded in ["fuzz/Cargo.toml", "tests/no-std-proof/Cargo.toml", "tests/tls-provider/Cargo.toml"] {
        Cmd::new("cargo fmt --check --manifest-path").arg(excluded).run()?;
    }
    Cmd::new("cargo fmt --all --check --manifest-path benches/Cargo.toml").run()?;
    Ok(String::new())
}

/// `.codespellrc` defines the files, the words and the exceptions.
pub(crate) fn spelling(_: &Options) -> Outcome {
    if !Cmd::new("codespell --version").works() {
        let ways = "`apt-get install codespell` or `pip install codespell`";
        return Err(format!("codespell is missing; install it with {ways}"));
    }
    let checked = Cmd::new("codespell").run();
    checked.map_err(|error| format!("{error}; words that are correct belong in .codespell-ignore"))?;
    Ok(String::new())
}

/// One package at a time: otherwise cargo enables every feature that any of them requires, for all.
pub(crate) fn clippy(_: &Options) -> Outcome {
    let private = PRIVATE.iter().map(|package| (*package, &[""][..]));
    for (package, feature_sets) in PUBLISHED.iter().copied().chain(private) {
        for features in feature_sets {
            Cmd::new(&format!("cargo clippy -p {package} --all-targets {features} -- -D warnings")).run()?;
        }
    }
    Ok(String::new())
}

pub(crate) fn docs(_: &Options) -> Outcome {
    for (package, _) in PUBLISHED {
        Cmd::new(&format!("cargo doc --no-deps --all-features -p {package}"))
            .env("RUSTDOCFLAGS", "-D warnings")
            .run()?;
    }
    Ok(String::new())
}

/// Packages them together, so that each is built against the packages of the others and not against their folders.
pub(crate) fn package(_: &Options) -> Outcome {
    let mut command = Cmd::new("cargo package");
    for (package, _) in PUBLISHED {
        command = command.arg("-p").arg(package);
    }
    if !in_ci() {
        command = command.arg("--allow-dirty");
    }
    // Cargo caches unpacked sources by folder and version: a reused folder would give old sources.
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let folder = target_dir().join(format!("package-{since_1970}"));
    let packaged = command.env("CARGO_TARGET_DIR", &folder).run();
    // The folder is not needed any more; the next run uses another one.
    let _ = fs::remove_dir_all(folder);
    packaged.map(|()| String::new())
}

/// Checks everything that a code change can break, so that it needs no network except for the crates themselves.
pub(crate) fn deny(_: &Options) -> Outcome {
    require_subcommand("deny")?;
    // cargo-deny reads the crates of every platform, but cargo has fetched only those of this one.
    Cmd::new("cargo fetch").run()?;
    Cmd::new("cargo deny --offline check bans licenses sources").run()?;
    Ok(String::new())
}

pub(crate) fn advisories(_: &Options) -> Outcome {
    require_subcommand("deny")?;
    Cmd::new("cargo deny check advisories").run()?;
    Ok(String::new())
}

/// The test command of the README, except that a failure does not keep the tests of other files from running: one run
/// shows all failures.
pub(crate) fn test(_: &Options) -> Outcome {
    Cmd::new("cargo test --workspace --no-fail-fast").run()?;
    Ok(String::new())
}

/// Different flags rebuild everything, so this uses a separate folder.
pub(crate) fn model(_: &Options) -> Outcome {
    for tests in ["-p wsgi-std --release --test model --", "-p wsgi-app --release --lib -- model::"] {
        Cmd::new(&format!("cargo test {tests} --nocapture"))
            .env("RUSTFLAGS", "--cfg loom")
            .env("CARGO_TARGET_DIR", target_dir().join("model"))
            .run()?;
    }
    Ok(String::new())
}

fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}
