//! Builds the programs of `benches` and starts the benchmark.

use std::fs;
use std::path::{Path, PathBuf};

use crate::command::{Cmd, root, target_dir};
use crate::python;

/// The harness, and each program that it starts, with the options of its build.
const HARNESS: &str = "-p bench-harness";
const PROGRAMS: &[&str] = &["-p bench-machine", "-p bench-ours", "-p bench-cores", "-p bench-peers"];

/// Builds everything and passes these words to the harness, which explains them.
pub(crate) fn run(words: &[String]) -> Result<(), String> {
    build(root(), HARNESS, &folder())?;
    let measures = !words.iter().any(|word| ["-h", "--help", "--report", "list"].contains(&word.as_str()));
    if words.iter().any(|word| word == "--python") {
        if measures {
            install()?;
        }
    } else if measures {
        for options in PROGRAMS {
            build(root(), options, &folder())?;
        }
    }
    words.iter().fold(Cmd::program(harness()), |command, word| command.arg(word)).run()
}

/// Makes an environment with the wheel of `wsgi-python`, Flask, and the other servers, where the harness looks for it.
fn install() -> Result<(), String> {
    let (wheel, environment) = (python::wheel()?, folder().join("python"));
    Cmd::new("python3 -m venv --clear").arg(&environment).run()?;
    let pip = || python::pip(&environment).arg("install");
    pip().arg("-r").arg("benches/python/requirements.txt").arg(wheel).run()?;
    let peers = root().join("benches/python/peers.txt");
    let peers =
        fs::read_to_string(&peers).map_err(|error| format!("cannot read {}: {error}", peers.display()))?;
    let mut left_out = String::new();
    for peer in peers.lines().filter(|line| !line.starts_with('#')) {
        // One at a time: the others take part even if one does not build.
        let output = pip().arg("--no-deps").arg(peer).output()?;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            // The compiler's own reason, or pip's.
            let line = |mark: &str| errors.lines().map(str::trim).find(|line| line.contains(mark));
            let reason = line("fatal error:").or_else(|| line("ERROR:")).or_else(|| line("error:"));
            left_out.push_str(&format!(
                "{peer} cannot be installed: {}\n",
                reason.unwrap_or("pip gives no reason")
            ));
        }
    }
    print!("{left_out}");
    strip(&environment.join("lib"))?;
    let list = environment.join("left-out");
    fs::write(&list, left_out).map_err(|error| format!("cannot write {}: {error}", list.display()))
}

/// Removes the debugging information of peregrine's library, which valgrind 3.19 fails to read (DWARF 5 of Swift). Its
/// code stays as it is.
fn strip(folder: &Path) -> Result<(), String> {
    let entries =
        fs::read_dir(folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    for entry in entries.filter_map(Result::ok) {
        let library = entry.path().join("site-packages/peregrine");
        let files =
            fs::read_dir(library).into_iter().flatten().filter_map(|file| file.ok().map(|file| file.path()));
        for file in files.filter(|file| file.extension().is_some_and(|extension| extension == "so")) {
            Cmd::new("strip --strip-debug").arg(file).run()?;
        }
    }
    Ok(())
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
