//! Runs the tests in Python (`test_*.py`) on the library that cargo has just built.
//!
//! Knows where cargo puts the library, and how the environment of the tests is made. The tests themselves are Python.
#![cfg(unix)]

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

#[path = "suite/heads.rs"]
mod heads;

/// Another interpreter than `python3`.
const INTERPRETER: &str = "WSGI_PYTHON_TEST_INTERPRETER";

/// Prints `3.11.7-cpython-311-x86_64-linux-gnu` or the like; the lowest version is that of the stable ABI.
const DESCRIBE: &str = "import sys, sysconfig, venv, ensurepip; assert sys.version_info >= (3, 10); \
                        print('.'.join(map(str, sys.version_info[:3])) + '-' + sysconfig.get_config_var('SOABI'))";

#[test]
fn the_python_tests_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let interpreter = std::env::var_os(INTERPRETER).unwrap_or_else(|| "python3".into());
    let Some(name) = described(&interpreter) else {
        panic!(
            "`{}` is not Python 3.10 or newer with `venv` (Debian: python3-venv); {INTERPRETER} names another one",
            interpreter.display()
        );
    };
    // The folder `target/DEBUG/deps` has this test and the library.
    let built = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    let target = built.ancestors().nth(2).unwrap().join("python");
    let environment = environment(&target, &name, &interpreter, &folder.join("tests/requirements.txt"));
    let package = package(&target.join(&name), &built, &folder.join("python/wsgi_python"));
    let heads = target.join("heads.jsonl");
    fs::write(&heads, heads::lines(10_000)).unwrap();

    let status = Command::new(environment.join("bin/python"))
        .args(["-X", "dev", "-W", "ignore::ResourceWarning", "-m", "pytest", "-q", "-p", "no:cacheprovider"])
        .args(std::env::var("WSGI_PYTHON_TEST_ARGUMENTS").iter().flat_map(|words| words.split_whitespace()))
        .arg(folder.join("tests"))
        .env("PYTHONPATH", package)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("WSGI_PYTHON_TEST_HEADS", heads)
        .current_dir(folder)
        .status()
        .unwrap();
    assert!(status.success(), "pytest ended with {status}");
}

/// The version and ABI of an interpreter; `None` if it is missing, too old, or cannot make environments.
fn described(interpreter: &OsStr) -> Option<String> {
    let output = Command::new(interpreter).args(["-c", DESCRIBE]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// An environment with the required packages. It is made anew when they change.
fn environment(target: &Path, name: &str, interpreter: &OsStr, requirements: &Path) -> PathBuf {
    let environment = target.join(name).join("environment");
    let stamp = environment.join("requirements.txt");
    let wanted = fs::read(requirements).expect("it is in the repository");
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return environment;
    }
    run(Command::new(interpreter).args(["-m", "venv", "--clear"]).arg(&environment));
    let mut install = Command::new(environment.join("bin/python"));
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r"]);
    run(install.arg(requirements));
    fs::write(stamp, wanted).expect("the environment was made");
    environment
}

/// A folder for `PYTHONPATH`: the package with the built library in it.
fn package(target: &Path, built: &Path, sources: &Path) -> PathBuf {
    let folder = target.join("package");
    let _ = fs::remove_dir_all(&folder);
    copy(sources, &folder.join("wsgi_python")).expect("the folder is below `target`");
    let file = |stem: &str, suffix: &str| format!("{stem}{suffix}");
    let suffix = if cfg!(target_os = "macos") { ".dylib" } else { ".so" };
    let library = built.join(file("libwsgi_python", suffix));
    fs::copy(&library, folder.join("wsgi_python/_native.abi3.so"))
        .unwrap_or_else(|error| panic!("{} cannot be copied: {error}", library.display()));
    folder
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

/// Runs a command and shows its output only if it fails.
fn run(command: &mut Command) {
    let Output { status, stdout, stderr } = command.output().expect("the interpreter was found before");
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?} ended with {status}\n{stdout}{stderr}");
}
