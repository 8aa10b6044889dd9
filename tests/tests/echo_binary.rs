//! The programs: what they print, how they stop, and what they end with.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::thread;

use wsgi_tests::caller::Caller;
use wsgi_tests::live::{PATIENCE, eventually};

const ECHO: &str = env!("CARGO_BIN_EXE_echo");

/// A program that runs; it is killed when the test is over.
struct Program(Child);

impl Program {
    /// Starts `echo` with these flags, and reads the first line that it prints.
    fn start(flags: &str) -> (Self, String) {
        let child = command(flags).spawn().expect("it was built");
        let mut program = Self(child);
        let out = program.0.stdout.take().expect("it is piped");
        let (tell, told) = channel();
        thread::spawn(move || {
            let mut line = String::new();
            let _ = BufReader::new(out).read_line(&mut line).map(|_| tell.send(line));
        });
        let line = told.recv_timeout(PATIENCE).expect("it prints where it listens");
        (program, line.trim_end().into())
    }

    fn signal(&self, name: &str) {
        let id = self.0.id().to_string();
        let sent = Command::new("kill").args([name, &id]).status().expect("there is a kill");
        assert!(sent.success());
    }

    /// The status that it ends with, and what it wrote to standard error.
    fn end(mut self) -> (Option<i32>, String) {
        let mut errors = self.0.stderr.take().expect("it is piped");
        let mut ended = None;
        eventually("it ends", || {
            ended = self.0.try_wait().expect("it is ours");
            ended.is_some()
        });
        let mut text = String::new();
        errors.read_to_string(&mut text).expect("text");
        (ended.and_then(|status| status.code()), text)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command(flags: &str) -> Command {
    let mut command = Command::new(ECHO);
    command.args(flags.split_whitespace()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a call that does not serve ends with.
fn refused(flags: &str) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = command(flags).output().expect("it was built");
    assert!(stdout.is_empty(), "{}", stdout.escape_ascii());
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

fn connect(line: &str) -> Caller {
    let address = line.strip_prefix("listening on ").expect(line);
    Caller::connect(address.parse().expect(line))
}

#[test]
fn it_tells_where_it_listens_and_stops_gracefully_by_sigterm() {
    let (program, line) = Program::start("--runtime tokio --listen 127.0.0.1:0");
    let mut idle = connect(&line);
    assert_eq!(idle.get("/").status, 200);
    let mut client = connect(&line);
    client.send("GET /stream?ms=300 HTTP/1.1\r\nHost: h\r\n\r\n");
    client.stream().peek(&mut [0]).expect("the response has begun");
    program.signal("-TERM");
    let answer = client.answer();
    assert_eq!((answer.text().as_str(), answer.whole), ("first\nsecond\n", true));
    assert!(client.ends() && idle.ends());
    let (code, log) = program.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("wsgi starting up on http://127.0.0.1:") && log.contains("wsgi exited"), "{log}");
    assert!(log.contains("\"GET /stream?ms=300 HTTP/1.1\" 200 "), "{log}");
}

#[test]
fn sigint_stops_it_too_and_a_second_signal_at_once() {
    let (program, line) = Program::start("--runtime tokio --listen 127.0.0.1:0");
    assert_eq!(connect(&line).get("/early").text(), "early\n");
    program.signal("-INT");
    assert_eq!(program.end().0, Some(0));
    let (program, line) = Program::start("--runtime tokio --listen 127.0.0.1:0");
    let mut client = connect(&line);
    client.send("GET /sleep?ms=600000 HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut idle = connect(&line);
    assert_eq!(idle.get("/early").text(), "early\n");
    program.signal("-TERM");
    assert!(idle.ends(), "it stops gracefully");
    program.signal("-TERM");
    assert_eq!(program.end().0, Some(130));
    assert!(client.try_answer().is_err());
}

#[test]
fn what_is_stuck_is_cut_at_the_deadline_and_the_status_is_still_good() {
    let (program, line) = Program::start("--runtime tokio --listen 127.0.0.1:0 --graceful-timeout 0.2");
    let mut client = connect(&line);
    client.send("GET /stream?ms=600000 HTTP/1.1\r\nHost: h\r\n\r\n");
    client.stream().peek(&mut [0]).expect("the response has begun");
    program.signal("-TERM");
    let (code, log) = program.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("wsgi exited, 0 finished and 1 cut after the stop"), "{log}");
}

#[test]
fn a_unix_socket_leaves_no_file() {
    let path = std::env::temp_dir().join(format!("wsgi-echo-{}.sock", std::process::id()));
    let (program, line) = Program::start(&format!("--runtime tokio --listen unix:{}", path.display()));
    assert_eq!(line, format!("listening on unix:{}", path.display()));
    let stream = std::os::unix::net::UnixStream::connect(&path).expect("it listens");
    assert_eq!(Caller::new(stream).get("/early").text(), "early\n");
    program.signal("-TERM");
    assert_eq!(program.end().0, Some(0));
    assert!(!path.exists());
}

#[test]
fn a_command_line_that_is_wrong_ends_with_2_and_says_why() {
    for (flags, message) in [
        ("--runtime tokio --max-sise 5", "--max-sise"),
        ("--runtime tokio --keepalive maybe", "allowed: true, false, or seconds"),
        ("--runtime nothing", "tokio"),
        ("", "--runtime"),
        (
            "--runtime tokio --listen 127.0.0.1:0 --max-size 0",
            "option max_size cannot be 0; allowed: 1 or more",
        ),
        ("--runtime tokio --listen 127.0.0.1:0 --log-format %(x)s", "option log_format cannot be"),
    ] {
        let (code, errors) = refused(flags);
        assert_eq!(code, Some(2), "{flags}: {errors}");
        assert!(errors.contains(message), "{flags}: {errors}");
    }
}

#[test]
fn a_port_that_is_taken_ends_with_1_and_says_which() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound");
    let (code, errors) = refused(&format!("--runtime tokio --listen {address}"));
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains(&format!("cannot listen on {address}: ")), "{errors}");
}
