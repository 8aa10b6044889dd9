//! Builds the wheel of `wsgi-python` from its source distribution, installs it in fresh environments, and serves one
//! request of Flask from each.

use std::fs;
use std::path::{Path, PathBuf};

use crate::command::{Cmd, lines_of, target_dir};
use crate::{Options, Outcome};

/// The build tool; the package permits a range.
const MATURIN: &str = "maturin==1.16.0";
/// The interpreters that are tried. The first one is required, and builds the wheel.
const INTERPRETERS: &[&str] =
    &["python3", "python3.10", "python3.11", "python3.12", "python3.13", "python3.14"];
const VERSION: &str =
    "import sys, venv, ensurepip; assert sys.version_info >= (3, 10); print(sys.version.split()[0])";

pub(crate) fn run(_: &Options) -> Outcome {
    let mut tried: Vec<String> = Vec::new();
    let wheel = wheel()?;
    for interpreter in INTERPRETERS {
        // One wheel is for all of them: it uses the stable ABI. A version may have several names.
        match version(interpreter) {
            Some(version) if !tried.contains(&version) => {
                serve(interpreter, &version, &wheel)?;
                tried.push(version);
            }
            _ => {}
        }
    }
    Ok(format!("CPython {}", tried.join(", ")))
}

/// The console script of the environment that this step has made for `python3`, for other steps.
pub(crate) fn program() -> Result<PathBuf, String> {
    let name = INTERPRETERS[0];
    let version = version(name).ok_or_else(missing)?;
    let program = environment(&version).join("bin/wsgi-python");
    if !program.exists() {
        serve(name, &version, &wheel()?)?;
    }
    Ok(program)
}

fn missing() -> String {
    "`python3` is not Python 3.10 or newer with `venv` (Debian: python3-venv)".to_owned()
}

/// The version of an interpreter; `None` if it is missing or too old.
fn version(interpreter: &str) -> Option<String> {
    lines_of(Cmd::program(interpreter).arg("-c").arg(VERSION)).first().cloned()
}

fn folder() -> PathBuf {
    target_dir().join("python")
}

fn environment(version: &str) -> PathBuf {
    folder().join(format!("installed-{version}"))
}

/// Builds the source distribution, and the wheel from it: a file that is missing there is noticed.
pub(crate) fn wheel() -> Result<PathBuf, String> {
    let _ = version(INTERPRETERS[0]).ok_or_else(missing)?;
    let (tools, dist) = (folder().join("tools"), folder().join("dist"));
    if !tools.join("bin/maturin").exists() {
        Cmd::new("python3 -m venv --clear").arg(&tools).run()?;
        pip(&tools).arg("install").arg(MATURIN).run()?;
    }
    if dist.exists() {
        fs::remove_dir_all(&dist).map_err(|error| format!("cannot remove {}: {error}", dist.display()))?;
    }
    Cmd::program(tools.join("bin/maturin"))
        .arg("sdist")
        .arg("--manifest-path")
        .arg("wsgi-python/Cargo.toml")
        .arg("--out")
        .arg(&dist)
        .run()?;
    pip(&tools)
        .arg("wheel")
        .arg("--no-deps")
        .arg("--wheel-dir")
        .arg(&dist)
        .arg(only(&dist, ".tar.gz")?)
        .env("CARGO_TARGET_DIR", folder().join("build"))
        .run()?;
    let wheel = only(&dist, ".whl")?;
    match wheel.file_name().and_then(|name| name.to_str()) {
        Some(name) if name.contains("-cp310-abi3-") => Ok(wheel),
        _ => Err(format!("{} is not for the stable ABI of CPython 3.10", wheel.display())),
    }
}

/// Installs the wheel and Flask in a fresh environment, and runs the check there.
fn serve(interpreter: &str, version: &str, wheel: &Path) -> Result<(), String> {
    let environment = environment(version);
    Cmd::program(interpreter).arg("-m").arg("venv").arg("--clear").arg(&environment).run()?;
    let requirements = "wsgi-python/tests/requirements.txt";
    pip(&environment).arg("install").arg("--no-deps").arg("-r").arg(requirements).arg(wheel).run()?;
    Cmd::program(environment.join("bin/python")).arg("wsgi-python/tests/installed.py").run()
}

/// pip of an environment, without its words.
pub(crate) fn pip(environment: &Path) -> Cmd {
    Cmd::program(environment.join("bin/python"))
        .arg("-m")
        .arg("pip")
        .arg("--quiet")
        .arg("--disable-pip-version-check")
}

/// The only file with this ending.
fn only(folder: &Path, ending: &str) -> Result<PathBuf, String> {
    let entries =
        fs::read_dir(folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    let mut found = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.to_string_lossy().ends_with(ending));
    match (found.next(), found.next()) {
        (Some(path), None) => Ok(path),
        _ => Err(format!("{} does not have exactly one file `*{ending}`", folder.display())),
    }
}
