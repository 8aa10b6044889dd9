//! Runs the conformance cases against `echo` on every runtime, and against the installed `wsgi-python`, over real sockets.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::command::{Cmd, target_dir};
use crate::{Options, Outcome, python};

const RUNTIMES: &[&str] =
    &["tokio", "smol", "async-std", "std", "blocking-on-tokio", "blocking-on-smol", "blocking-on-async-std"];
/// The time limit for a server to listen.
const START: Duration = Duration::from_secs(60);
/// The time limit for its end after SIGTERM: its `graceful_timeout` and some more.
const STOP: Duration = Duration::from_secs(40);
/// The number of log lines shown after a failure.
const LOG_LINES: usize = 30;

pub(crate) fn run(_: &Options) -> Outcome {
    Cmd::new("cargo build --release -p wsgi-tests --bin echo").run()?;
    let program = target_dir().join("release").join("echo");
    for runtime in RUNTIMES {
        let echo = Cmd::program(&program).arg("--runtime").arg(runtime).arg("--listen").arg("127.0.0.1:0");
        judge(runtime, echo, Marker { is_on_stderr: false, before: "listening on " })?;
    }
    let words = "echo_app:app --app-dir tests/conform --bind 127.0.0.1:0";
    let command = words.split(' ').fold(Cmd::program(python::program()?), Cmd::arg);
    judge("python", command, Marker { is_on_stderr: true, before: "http://" })?;
    Ok(format!("{}, python", RUNTIMES.join(", ")))
}

/// Where a server prints its address first.
#[derive(Clone, Copy)]
struct Marker {
    /// On standard error, with the log, or else on standard output.
    is_on_stderr: bool,
    before: &'static str,
}

fn judge(name: &str, command: Cmd, marker: Marker) -> Result<(), String> {
    let log = target_dir().join("conform").join(format!("{name}.log"));
    let outcome = Server::start(command, marker, &log).and_then(judge_and_stop);
    outcome.map_err(|why| {
        print_tail(&log);
        format!("{name}: {why}")
    })
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
        status => Err(format!("after SIGTERM the server ended with {status} instead of status 0")),
    }
}

/// A running server. Invariant: when this is dropped, the process has ended.
#[derive(Debug)]
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(command: Cmd, marker: Marker, log: &Path) -> Result<Server, String> {
        let file = fs::create_dir_all(target_dir().join("conform"))
            .and_then(|()| File::create(log))
            .and_then(|file| Ok((file.try_clone()?, file)))
            .map_err(|error| format!("{} cannot be written: {error}", log.display()))?;
        let mut command = command.show();
        command.stdin(Stdio::null());
        if marker.is_on_stderr {
            command.stdout(file.0).stderr(Stdio::piped());
        } else {
            command.stdout(Stdio::piped()).stderr(file.0);
        }
        let child = command.spawn().map_err(|error| format!("the server could not be started: {error}"))?;
        let mut server = Server { child, address: String::new() };
        let (stdout, stderr) = (server.child.stdout.take(), server.child.stderr.take());
        let output: Box<dyn Read + Send> = match (stdout, stderr) {
            (Some(stdout), _) => Box::new(stdout),
            (None, stderr) => Box::new(stderr.expect("one of the two is a pipe")),
        };
        server.address = address_from(output, marker.before, file.1)?;
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
                Err(error) => return Err(format!("the server cannot be waited for: {error}")),
            }
        }
        Err(format!("the server still runs {} s after SIGTERM", STOP.as_secs()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if it has already ended and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads until the word after `before`; a thread keeps reading into the log, so that the pipe never fills.
fn address_from(output: Box<dyn Read + Send>, before: &'static str, mut log: File) -> Result<String, String> {
    let (found, address) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let Some((_, after)) = line.split_once(before) {
                let address = after.split_whitespace().next().unwrap_or_default();
                // The receiver is dropped after the first address.
                let _ = found.send(address.to_owned());
            }
            // The log is for people; the cases do not need it.
            let _ = writeln!(log, "{line}");
        }
    });
    address.recv_timeout(START).map_err(|error| match error {
        mpsc::RecvTimeoutError::Timeout => {
            format!("the server did not print its address within {} s", START.as_secs())
        }
        mpsc::RecvTimeoutError::Disconnected => "the server ended before it printed its address".to_owned(),
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
