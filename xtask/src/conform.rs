//! Runs the conformance cases against `echo`, over real sockets, on every runtime.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::command::{Cmd, target_dir};
use crate::{Options, Outcome};

const RUNTIMES: &[&str] = &["tokio", "smol", "async-std", "std"];
/// The time limit for `echo` to listen.
const START: Duration = Duration::from_secs(10);
/// The time limit for its end after SIGTERM: its `graceful_timeout` and some more.
const STOP: Duration = Duration::from_secs(40);
/// The number of log lines shown after a failure.
const LOG_LINES: usize = 30;

pub(crate) fn run(_: &Options) -> Outcome {
    Cmd::new("cargo build --release -p wsgi-tests --bin echo").run()?;
    for runtime in RUNTIMES {
        let log = target_dir().join("conform").join(format!("echo-{runtime}.log"));
        let outcome = Server::start(runtime, &log).and_then(judge_and_stop);
        if let Err(why) = outcome {
            print_tail(&log);
            return Err(format!("{runtime}: {why}"));
        }
    }
    Ok(RUNTIMES.join(", "))
}

/// Both runs, even if the first has failures, and then a clean stop.
fn judge_and_stop(server: Server) -> Result<(), String> {
    let judge =
        || Cmd::new("python3 tests/conform/conform.py").arg(&server.address).arg("-v").arg("-j").arg("8");
    let whole = judge().run();
    let bytewise = judge().arg("--bytewise").run();
    let status = server.stop();
    whole.and(bytewise)?;
    match status? {
        status if status.success() => Ok(()),
        status => Err(format!("after SIGTERM `echo` ended with {status} instead of status 0")),
    }
}

/// A running `echo`. Invariant: when this is dropped, the process has ended.
#[derive(Debug)]
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(runtime: &str, log: &Path) -> Result<Server, String> {
        let file = fs::create_dir_all(target_dir().join("conform"))
            .and_then(|()| File::create(log))
            .map_err(|error| format!("{} cannot be written: {error}", log.display()))?;
        let mut child = Cmd::program(target_dir().join("release").join("echo"))
            .arg("--runtime")
            .arg(runtime)
            .arg("--listen")
            .arg("127.0.0.1:0")
            .show()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .map_err(|error| format!("`echo` could not be started: {error}"))?;
        let stdout = child.stdout.take().expect("standard output is a pipe");
        let mut server = Server { child, address: String::new() };
        server.address = address_from(stdout)?;
        Ok(server)
    }

    /// Stops it and returns its exit status.
    fn stop(mut self) -> Result<ExitStatus, String> {
        // The shell's builtin `kill`: a shell always exists, a program with that name may not.
        Cmd::new("sh -c").arg(format!("kill -TERM {}", self.child.id())).run()?;
        let limit = Instant::now() + STOP;
        while Instant::now() < limit {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) => pause(),
                Err(error) => return Err(format!("`echo` cannot be waited for: {error}")),
            }
        }
        Err(format!("`echo` still runs {} s after SIGTERM", STOP.as_secs()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if it has already ended and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads until `listening on ADDRESS`; a thread keeps reading, so that the pipe never fills.
fn address_from(stdout: ChildStdout) -> Result<String, String> {
    let (found, address) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some(address) = line.strip_prefix("listening on ") {
                // The receiver is dropped after the first address.
                let _ = found.send(address.trim().to_owned());
            }
        }
    });
    address.recv_timeout(START).map_err(|error| match error {
        mpsc::RecvTimeoutError::Timeout => {
            format!("`echo` did not print its address within {} s", START.as_secs())
        }
        mpsc::RecvTimeoutError::Disconnected => "`echo` ended before it printed its address".to_owned(),
    })
}

fn print_tail(log: &Path) {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    eprintln!("the end of {}:", log.display());
    for line in &lines[lines.len().saturating_sub(LOG_LINES)..] {
        eprintln!("  {line}");
    }
}

#[allow(clippy::disallowed_methods, reason = "std has no wait for a process with a time limit")]
fn pause() {
    thread::sleep(Duration::from_millis(20));
}
