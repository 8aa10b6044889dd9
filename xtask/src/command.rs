//! Starts commands. Every command runs in the root of the repository and is printed before it runs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A command that is built word by word.
#[derive(Debug)]
pub(crate) struct Cmd {
    command: Command,
    shown: String,
}

impl Cmd {
    /// Splits `line` at white space; use [`Cmd::arg`] for words that may contain any.
    pub(crate) fn new(line: &str) -> Cmd {
        let mut words = line.split_ascii_whitespace();
        let program = Cmd::program(words.next().unwrap_or_default());
        words.fold(program, Cmd::arg)
    }

    pub(crate) fn program(program: impl AsRef<OsStr>) -> Cmd {
        let shown = Path::new(program.as_ref()).display().to_string();
        let mut command = Command::new(program);
        command.current_dir(root());
        Cmd { command, shown }
    }

    pub(crate) fn arg(mut self, word: impl AsRef<OsStr>) -> Cmd {
        self.shown = format!("{} {}", self.shown, Path::new(word.as_ref()).display());
        self.command.arg(word);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Cmd {
        self.shown = format!("{name}={} {}", Path::new(value.as_ref()).display(), self.shown);
        self.command.env(name, value);
        self
    }

    /// Runs the command with inherited output; the error names the command.
    pub(crate) fn run(mut self) -> Result<(), String> {
        println!("$ {}", self.shown);
        let status = self.command.status().map_err(|error| self.not_started(&error))?;
        if status.success() { Ok(()) } else { Err(format!("`{}` ended with {status}", self.shown)) }
    }

    /// Runs the command silently and returns its output, whatever its status.
    pub(crate) fn output(mut self) -> Result<Output, String> {
        self.command.stdin(Stdio::null()).output().map_err(|error| self.not_started(&error))
    }

    /// Whether the command can be started and succeeds; prints nothing.
    pub(crate) fn works(self) -> bool {
        self.output().is_ok_and(|output| output.status.success())
    }

    /// Prints the command and returns it, for callers that do more than wait for its end.
    pub(crate) fn show(self) -> Command {
        println!("$ {}", self.shown);
        self.command
    }

    fn not_started(&self, error: &std::io::Error) -> String {
        format!("`{}` could not be started: {error}", self.shown)
    }
}

/// The root folder of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate is a folder of the workspace")
}

/// The target folder of the workspace.
pub(crate) fn target_dir() -> PathBuf {
    root().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// Fails with installation instructions if a cargo subcommand is missing.
pub(crate) fn require_subcommand(name: &str) -> Result<(), String> {
    if Cmd::new("cargo").arg(name).arg("--version").works() {
        return Ok(());
    }
    Err(format!("cargo-{name} is missing; install it with `cargo install --locked cargo-{name}`"))
}

/// Fails with installation instructions if no nightly toolchain is installed.
pub(crate) fn require_nightly() -> Result<(), String> {
    if Cmd::new("cargo +nightly --version").works() {
        return Ok(());
    }
    Err("no nightly toolchain; install it with `rustup toolchain install nightly`".to_owned())
}

/// The lines that a successful command prints; empty if it fails.
pub(crate) fn lines_of(command: Cmd) -> Vec<String> {
    match command.output() {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}
