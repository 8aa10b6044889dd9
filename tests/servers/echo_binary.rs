//! The programs: what they print, how they stop, and their exit status.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::thread;

use wsgi_tests::caller::Caller;
use wsgi_tests::live::{NOT_HELD_UP, PATIENCE, eventually};

const ECHO: &str = env!("CARGO_BIN_EXE_echo");

/// A running program; it is killed when the test is over.
struct Program(Child);

impl Program {
    /// Starts `echo` with these flags, and reads the first line that it prints.
    fn start(flags: &str) -> (Self, String) {
        Self::spawn(&mut command(flags))
    }

    fn spawn(command: &mut Command) -> (Self, String) {
        let child = command.spawn().expect("it was built");
        let mut program = Self(child);
        let out = program.0.stdout.take().expect("it is a pipe");
        let (tell, heard) = channel();
        thread::spawn(move || {
            let mut line = String::new();
            let _ = BufReader::new(out).read_line(&mut line).map(|_| tell.send(line));
        });
        let line = heard.recv_timeout(PATIENCE).expect("it prints its address");
        (program, line.trim_end().into())
    }

    fn signal(&self, name: &str) {
        let id = self.0.id().to_string();
        let sent = Command::new("kill").args([name, &id]).status().expect("there is a kill");
        assert!(sent.success());
    }

    /// The exit status, and the text on standard error.
    fn end(mut self) -> (Option<i32>, String) {
        let mut errors = self.0.stderr.take().expect("it is a pipe");
        let mut ended = None;
        eventually("it ends", || {
            ended = self.0.try_wait().expect("it is a child");
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

/// The exit status and errors of a command line that does not serve.
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
fn it_prints_its_address_and_stops_gracefully_on_sigterm() {
    let (program, line) = Program::start("--runtime tokio --listen 127.0.0.1:0");
    let mut idle = connect(&line);
    assert_eq!(idle.get("/").status, 200);
    let mut client = connect(&line);
    client.send("GET /stream?ms=300 HTTP/1.1\r\nHost: h\r\n\r\n");
    client.peek(&mut [0]).expect("the response has begun");
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
    client.peek(&mut [0]).expect("the response has begun");
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

/// Offset of the log's times with this environment.
fn logged_offset(variables: &[(&str, &str)]) -> String {
    let mut command = command("--runtime tokio --listen 127.0.0.1:0 --log-format zone:%(common_log_time)s");
    command.env_remove("TZ").envs(variables.iter().copied());
    let (program, line) = Program::spawn(&mut command);
    assert_eq!(connect(&line).get("/early").status, 200);
    program.signal("-TERM");
    let (_, log) = program.end();
    let time = log.lines().find_map(|line| line.strip_prefix("zone:")).expect(&log);
    time.rsplit(' ').next().expect("it is not empty").into()
}

#[test]
fn times_in_the_log_are_in_the_zone_of_the_environment() {
    let zone = Path::new("/usr/share/zoneinfo/Asia/Kolkata");
    assert_eq!(logged_offset(&[("TZ", "XYZ-3:30")]), "+0330", "a POSIX rule");
    assert_eq!(logged_offset(&[("TZ", "<-0945>9:45")]), "-0945");
    assert_eq!(logged_offset(&[("TZ", "")]), "+0000");
    assert_eq!(logged_offset(&[("TZ", "Nowhere/None")]), "+0000", "an unknown name is UTC");
    assert_eq!(logged_offset(&[("TZ", "Asia/Kolkata"), ("TZDIR", "/nonexistent")]).len(), 5);
    if !zone.exists() {
        // This system has no zone database.
        return;
    }
    let file = std::env::temp_dir().join(format!("wsgi-echo-{}.tz", std::process::id()));
    std::fs::copy(zone, &file).expect("a directory for temporary files");
    let file_path = file.to_str().expect("text");
    for form in ["Asia/Kolkata", ":Asia/Kolkata", ":/usr/share/zoneinfo/Asia/Kolkata", file_path] {
        assert_eq!(logged_offset(&[("TZ", form)]), "+0530", "{form}");
    }
    assert_eq!(logged_offset(&[("TZ", &format!(":{file_path}"))]), "+0530");
    std::fs::remove_file(&file).expect("it was just copied");
    let berlin = logged_offset(&[("TZ", "Europe/Berlin")]);
    assert!(["+0100", "+0200"].contains(&&*berlin), "{berlin}");
    // Without the variable, the zone is that of the system. `date` agrees about it.
    let date = Command::new("date").arg("+%z").env_remove("TZ").output().expect("there is a date");
    assert_eq!(logged_offset(&[]), String::from_utf8_lossy(&date.stdout).trim_end());
}

const RUNTIMES: [&str; 7] =
    ["tokio", "smol", "async-std", "std", "blocking-on-tokio", "blocking-on-smol", "blocking-on-async-std"];

#[test]
fn every_runtime_has_the_paths_that_checks_ask_for() {
    for runtime in RUNTIMES {
        let (program, line) =
            Program::start(&format!("--runtime {runtime} --listen 127.0.0.1:0 --environ SITE=a=b"));
        let mut client = connect(&line);
        let environ = client.get("/environ?q").text();
        for variable in [
            "\"SITE\": \"a=b\"",
            "\"QUERY_STRING\": \"q\"",
            "\"wsgi.url_scheme\": \"http\"",
            "\"HTTP_HOST\": \"h\"",
        ] {
            assert!(environ.contains(variable), "{runtime}: {variable} is not in {environ}");
        }
        assert_eq!(client.get("/hooks").text(), "hooked\n");
        assert_eq!(
            client.get("/hooks/seen").text(),
            "12",
            "{runtime}: they ran, in order, before the next request"
        );
        client.send("PUT /continue HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
        let interim = client.answer();
        assert_eq!(
            (
                interim.status,
                interim.field("Hundred-Continue-Header-1"),
                interim.field("Hundred-Continue-Header-K")
            ),
            (100, Some("H1"), Some("Hk")),
            "{runtime}"
        );
        client.send("abc");
        assert_eq!(client.answer().text(), "3\n");
        assert!(client.get("/case").head.contains("\r\nX-Mixed-Case: Yes"), "{runtime}");
        let mut taken = connect(&line);
        taken.send("GET /upgrade HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nearly");
        let answer = taken.answer();
        assert_eq!((answer.status, answer.field("Upgrade")), (101, Some("echo")), "{runtime}");
        assert_eq!(taken.bytes(5), b"early");
        taken.half_close();
        assert!(taken.ends(), "{runtime}");
        let pieces = client.get("/pieces?n=7&min=30");
        assert_eq!(
            (pieces.body.len(), pieces.field("Transfer-Encoding")),
            (70, Some("chunked")),
            "{runtime}"
        );
        let panicked = client.get("/panic");
        assert_eq!((panicked.status, panicked.closes()), (500, false), "{runtime}");
        assert_eq!(connect(&line).get("/early").text(), "early\n", "{runtime} keeps running");
        program.signal("-TERM");
        assert_eq!(program.end().0, Some(0));
    }
}

/// The lines that a program prints about its addresses.
fn several_places(flags: &str, count: usize) -> (Program, Vec<String>) {
    let mut program = Program(command(flags).spawn().expect("it was built"));
    let out = BufReader::new(program.0.stdout.take().expect("it is a pipe"));
    let lines = out.lines().take(count).map(|line| line.expect("it prints its address")).collect();
    (program, lines)
}

#[test]
fn every_runtime_listens_in_several_places() {
    for runtime in RUNTIMES {
        let path = std::env::temp_dir().join(format!("wsgi-echo-{runtime}-{}.sock", std::process::id()));
        let flags = format!(
            "--runtime {runtime} --listen 127.0.0.1:0 --listen [::1]:0 --listen unix:{}",
            path.display()
        );
        let (program, lines) = several_places(&flags, 3);
        assert!(connect(&lines[0]).get("/environ").text().contains("\"SERVER_NAME\": \"127.0.0.1\""));
        assert!(connect(&lines[1]).get("/environ").text().contains("\"REMOTE_ADDR\": \"::1\""));
        let local = std::os::unix::net::UnixStream::connect(&path).expect("it listens");
        assert!(Caller::new(local).get("/environ").text().contains("\"REMOTE_ADDR\": \"unix\""));
        program.signal("-TERM");
        let (code, log) = program.end();
        assert_eq!((code, path.exists()), (Some(0), false), "{runtime}");
        for part in ["wsgi starting up on http://[::1]:", "wsgi starting up on http:/", "\nunix - - ["] {
            assert!(log.contains(part), "{runtime}: {log}");
        }
    }
}

/// Files that are removed when the test is over.
struct Files(Vec<PathBuf>);

impl Files {
    fn new(contents: &[(&str, &str)]) -> Self {
        Self(
            contents
                .iter()
                .map(|(name, text)| {
                    let name = format!("wsgi-echo-{}-{name}", std::process::id());
                    let path = std::env::temp_dir().join(name);
                    std::fs::write(&path, text).expect("a file for the test");
                    path
                })
                .collect(),
        )
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        self.0.iter().for_each(|path| drop(std::fs::remove_file(path)));
    }
}

#[test]
fn the_files_of_https_are_checked_and_named() {
    let made = rcgen::generate_simple_self_signed(["localhost".into()]).expect("a certificate");
    let other = rcgen::generate_simple_self_signed(["localhost".into()]).expect("a certificate");
    let files = Files::new(&[
        ("certificate", &made.cert.pem()),
        ("key", &made.signing_key.serialize_pem()),
        ("other", &other.signing_key.serialize_pem()),
        ("text", "nothing"),
    ]);
    let [certificate, key, other, text] = &files.0[..] else { unreachable!("there are four") };
    let start = |certificate: &Path, key: &Path| {
        let (certificate, key) = (certificate.display(), key.display());
        format!("--runtime std --listen 127.0.0.1:0 --tls-cert {certificate} --tls-key {key}")
    };
    for (certificate, key, part) in [
        (Path::new("/nowhere"), &**key, "--tls-cert /nowhere cannot be used: "),
        (text, key, "allowed: a PEM file with certificates"),
        (certificate, text, "allowed: a PEM file with a private key"),
        (certificate, other, " cannot be used: "),
    ] {
        let (code, errors) = refused(&start(certificate, key));
        assert_eq!(code, Some(1), "{errors}");
        assert!(errors.starts_with("error: --tls-") && errors.contains(part), "{errors}");
    }
    let (code, errors) = refused(&format!("--runtime std --tls-cert {}", certificate.display()));
    assert!(code == Some(2) && errors.contains("--tls-key <FILE>"), "{errors}");
    let (program, line) = Program::start(&start(certificate, key));
    // A TLS alert is not an HTTP message.
    let mut client = connect(&line);
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert!(client.try_answer().is_err());
    program.signal("-TERM");
    let (code, log) = program.end();
    assert_eq!(code, Some(0));
    assert!(log.contains("wsgi starting up on https://127.0.0.1:"), "{log}");
}

#[test]
fn the_log_is_written_to_the_given_file() {
    let files = Files::new(&[("log", "there before\n")]);
    let (program, line) =
        Program::start(&format!("--runtime std --listen 127.0.0.1:0 --log {}", files.0[0].display()));
    connect(&line).get("/early");
    program.signal("-TERM");
    assert_eq!(program.end(), (Some(0), String::new()));
    let log = std::fs::read_to_string(&files.0[0]).expect("the file exists");
    assert!(log.starts_with("there before\n") && log.contains("\"GET /early HTTP/1.1\" 200 "), "{log}");
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
            "option max_size cannot be 0 (allowed: 1 or more)",
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

/// 1,000 clients wait for their next request and 1,000 have sent half a head.
#[cfg(target_os = "linux")]
#[test]
fn two_thousand_clients_that_wait_cost_a_process_no_thread() {
    use std::time::Instant;

    let soft = std::fs::read_to_string("/proc/self/limits").expect("this is Linux");
    let soft = soft.lines().find_map(|line| line.strip_prefix("Max open files")).expect("it is listed");
    let soft: usize = soft.split_whitespace().next().and_then(|soft| soft.parse().ok()).unwrap_or(1024);
    // Half of the descriptors are for the other tests.
    let each = 1000.min(soft / 4);
    let (program, line) =
        Program::start("--runtime std --listen 127.0.0.1:0 --max-size 4000 --log-output false");
    let status = format!("/proc/{}/status", program.0.id());
    let threads = || -> usize {
        let status = std::fs::read_to_string(&status).expect("it runs");
        let threads = status.lines().find_map(|line| line.strip_prefix("Threads:")).expect("it is listed");
        threads.trim().parse().expect("a number")
    };
    let idle: Vec<_> = (0..each)
        .map(|_| {
            let mut client = connect(&line);
            assert_eq!(client.get("/status/200").status, 200);
            client
        })
        .collect();
    let half: Vec<_> = (0..each)
        .map(|_| {
            let mut client = connect(&line);
            client.send("GET / HTTP/1.1\r\nHo");
            client
        })
        .collect();
    let began = Instant::now();
    assert_eq!(connect(&line).get("/status/200").status, 200);
    let (took, threads) = (began.elapsed(), threads());
    drop((program, idle, half));
    assert!(threads < 10, "{threads} threads");
    assert!(took < NOT_HELD_UP, "answered after {took:?}");
}

/// Each of these clients has a thread, which waits for the rest of a body. With more than one descriptor per waiting
/// thread there would be none left for others.
#[cfg(target_os = "linux")]
#[test]
fn on_std_a_waiting_thread_has_one_descriptor() {
    let serve = format!("ulimit -n 256 && exec {ECHO} --runtime std --listen 127.0.0.1:0 --log-output false");
    let mut command = Command::new("sh");
    command.args(["-c", &serve]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (program, line) = Program::spawn(&mut command);
    let status = format!("/proc/{}/status", program.0.id());
    let stalled: Vec<_> = (1..=90)
        .map(|number| {
            let mut client = connect(&line);
            client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n123");
            eventually("its thread waits", || {
                let status = std::fs::read_to_string(&status).expect("it runs");
                let threads = status.lines().find_map(|line| line.strip_prefix("Threads:"));
                threads.and_then(|threads| threads.trim().parse::<usize>().ok()) > Some(number)
            });
            client
        })
        .collect();
    assert_eq!(connect(&line).get("/early").text(), "early\n");
    let open = std::fs::read_dir(format!("/proc/{}/fd", program.0.id())).expect("it runs").count();
    assert!(open < 2 * stalled.len() + 32, "{open} descriptors");
}

/// A sparse file, which no buffer may hold. Much of it is not in the cache, so that it is read in blocks.
#[cfg(target_os = "linux")]
#[test]
fn the_memory_does_not_grow_with_a_file() {
    const LENGTH: u64 = 300_000_000;
    let path = std::env::temp_dir().join(format!("wsgi-echo-file-{}", std::process::id()));
    let file = std::fs::File::create(&path).expect("there is a folder for temporary files");
    file.set_len(LENGTH).expect("the file system has sparse files");
    for runtime in ["tokio", "smol", "std"] {
        let flags =
            format!("--runtime {runtime} --listen 127.0.0.1:0 --log-output false --file {}", path.display());
        let (program, line) = Program::start(&flags);
        let mut client = connect(&line);
        assert_eq!(client.get(&format!("/file?from={}", LENGTH - 5)).body, [0; 5]);
        client.send("GET /file HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        let mut socket = client.clone_stream();
        let length = std::io::copy(&mut socket, &mut std::io::sink()).expect("the whole file");
        assert!((LENGTH..LENGTH + 1000).contains(&length), "{runtime}: {length}");
        let status = std::fs::read_to_string(format!("/proc/{}/status", program.0.id())).expect("it runs");
        let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it is listed");
        let most: u64 = most.trim().trim_end_matches(" kB").parse().expect("a number");
        assert!(most < 100_000, "{runtime}: {most} KiB");
    }
    let _ = std::fs::remove_file(&path);
}
