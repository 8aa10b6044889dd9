//! The steps that are a command or two of cargo.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::command::{Cmd, require_subcommand, target_dir};
use crate::{Options, Outcome, PRIVATE, PUBLISHED};

pub(crate) fn fmt(_: &Options) -> Outcome {
    Cmd::new("cargo fmt --all --check").run()?;
    for excluded in ["fuzz/Cargo.toml", "tests/no-std-proof/Cargo.toml", "tests/tls-provider/Cargo.toml"] {
        Cmd::new("cargo fmt --check --manifest-path").arg(excluded).run()?;
    }
    Ok(String::new())
}

/// Which files, which words and which exceptions: see `.codespellrc`.
pub(crate) fn spelling(_: &Options) -> Outcome {
    if !Cmd::new("codespell --version").works() {
        let ways = "`apt-get install codespell` or `pip install codespell`";
        return Err(format!("codespell is missing; install it with {ways}"));
    }
    let checked = Cmd::new("codespell").run();
    checked.map_err(|error| format!("{error}; words that are correct belong in .codespell-ignore"))?;
    Ok(String::new())
}

/// One package at a time: cargo would otherwise switch on, for all, the features that any of them asks for.
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
    // Cargo remembers what it unpacked by the folder and the version: a folder that was used before gives old sources.
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let folder = target_dir().join(format!("package-{since_1970}"));
    let packaged = command.env("CARGO_TARGET_DIR", &folder).run();
    // What is left there is of no further use; next time it is another folder.
    let _ = fs::remove_dir_all(folder);
    packaged.map(|()| String::new())
}

/// What a change of the code alone can break, so that it needs no network beyond the crates themselves.
pub(crate) fn deny(_: &Options) -> Outcome {
    require_subcommand("deny")?;
    // cargo-deny looks at the crates of every platform, cargo has fetched those of this one.
    Cmd::new("cargo fetch").run()?;
    Cmd::new("cargo deny --offline check bans licenses sources").run()?;
    Ok(String::new())
}

pub(crate) fn advisories(_: &Options) -> Outcome {
    require_subcommand("deny")?;
    Cmd::new("cargo deny check advisories").run()?;
    Ok(String::new())
}

/// The test command of the README, word for word.
pub(crate) fn test(_: &Options) -> Outcome {
    Cmd::new("cargo test --workspace").run()?;
    Ok(String::new())
}

/// Another set of flags builds everything anew, so it has a folder of its own.
pub(crate) fn model(_: &Options) -> Outcome {
    Cmd::new("cargo test -p wsgi-std --release --test model -- --nocapture")
        .env("RUSTFLAGS", "--cfg loom")
        .env("CARGO_TARGET_DIR", target_dir().join("model"))
        .run()?;
    Ok(String::new())
}

fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}
