//! The examples of the adapters, run as a user runs them: each program is started, queried over a socket, and stopped
//! by Ctrl-C.
//!
//! `cargo test --workspace` builds every example before any test runs and puts the programs next to the tests, so they
//! are started from there. These are the programs that a reader copies, including `main`. Starting each with `cargo
//! run` would build them again with other features; including their source would omit `main`. A run of this package
//! alone builds no examples; in that case the test calls cargo once to build them.
//!
//! `hello_world` is tested in more detail in `hello_world.rs`.

#![cfg(unix)]

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Once};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use wsgi_tests::caller::Caller;
use wsgi_tests::program::Program;
use wsgi_tests::secure::provider;

/// The tests are in `deps`, and the examples next to that folder.
fn place(name: &str) -> PathBuf {
    static BUILT: Once = Once::new();

    let tests = std::env::current_exe().expect("a test is a program");
    let profile = tests.ancestors().nth(2).expect("it is in `deps`");
    let path = profile.join("examples").join(name);
    if !path.exists() {
        BUILT.call_once(|| build(profile));
    }
    path
}

fn build(profile: &Path) {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "-p", "wsgi-tokio", "-p", "wsgi-smol", "-p", "wsgi-std", "--examples"]);
    cargo.args([
        "--features",
        "wsgi-tokio/tls,wsgi-tokio/tower,wsgi-smol/tls,wsgi-smol/tower,wsgi-smol/async-std,wsgi-std/tls",
    ]);
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    cargo.arg("--target-dir").arg(profile.parent().expect("it is in the target directory"));
    assert!(cargo.status().expect("there is cargo").success());
}

#[test]
fn the_first_example_says_hello_on_every_runtime() {
    for name in ["hello_world", "hello_smol", "hello_async_std", "hello_std"] {
        let example = Program::start(place(name));
        let answer = example.connect().get("/");
        assert_eq!((answer.status, answer.text().as_str()), (200, "Hello, World!\r\n"), "{name}");
        example.stop();
    }
}

#[test]
fn not_found_has_one_page() {
    for name in ["not_found", "not_found_smol", "not_found_std"] {
        let example = Program::start(place(name));
        let mut client = example.connect();
        for (path, status, text) in [
            ("/", 200, "Hello, World!\r\n"),
            ("/other", 404, "Not Found\r\n"),
            ("/?a=b", 200, "Hello, World!\r\n"),
        ] {
            let answer = client.get(path);
            assert_eq!((answer.status, answer.text().as_str()), (status, text), "{name} {path}");
        }
        let (_, log) = example.stop();
        assert!(
            log.contains("wsgi starting up on http://127.0.0.1:") && log.contains("wsgi exited"),
            "{log}"
        );
        assert!(log.contains("\"GET /other HTTP/1.1\" 404 11 "), "{log}");
    }
}

#[test]
fn listener_per_core_serves_one_port_on_every_core() {
    let example = Program::start(place("listener_per_core"));
    for _ in 0..32 {
        assert_eq!(example.connect().get("/").text(), "Hello, World!\r\n");
    }
    let (output, _) = example.stop();
    let cores = std::thread::available_parallelism().expect("a number").get();
    assert_eq!(output.matches(", 0 cut\n").count(), cores, "{output}");
}

#[test]
fn a_router_of_axum_has_this_servers_stop() {
    let example = Program::start(place("axum"));
    let answer = example.connect().get("/users/7");
    assert_eq!((answer.status, answer.text().as_str()), (200, r#"{"id":7,"name":"user 7"}"#));
    example.stop();
}

#[test]
fn axum_smol_runs_code_that_needs_tokio() {
    let example = Program::start(place("axum_smol"));
    let mut client = example.connect();
    let events = "data: 0\n\ndata: 1\n\ndata: 2\n\n";
    for (path, status, text) in [
        ("/users/7", 200, "user 7\n"),
        ("/task", 200, "done by a task of tokio\n"),
        ("/events", 200, events),
        ("/slow", 504, ""),
        ("/users/8", 200, "user 8\n"),
    ] {
        let answer = client.get(path);
        assert_eq!((answer.status, answer.text().as_str()), (status, text), "{path}");
    }
    example.stop();
}

#[test]
fn https_speaks_tls_and_nothing_else() {
    for name in ["https", "https_smol", "https_std"] {
        let example = Program::start(place(name));
        let mut client = example.connect();
        client.send("GET / HTTP/1.0\r\n\r\n");
        let mut text = Vec::new();
        client.stream().read_to_end(&mut text).expect("an end");
        // A TLS alert, which is not an HTTP message.
        assert_eq!(text.first(), Some(&21), "{name}: {text:?}");
        let answer = Caller::new(trusting(example.connect().clone_stream())).get("/");
        assert_eq!((answer.status, answer.text().as_str()), (200, "Hello over https!\r\n"), "{name}");
        example.stop();
    }
}

/// A client that accepts any certificate, since the example generates its own.
fn trusting(socket: TcpStream) -> StreamOwned<ClientConnection, TcpStream> {
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let config = config.expect("ring has their cipher suites").dangerous();
    let config = config.with_custom_certificate_verifier(Arc::new(Anything));
    let name = ServerName::try_from("localhost").expect("a name");
    let session = ClientConnection::new(Arc::new(config.with_no_client_auth()), name).expect("a session");
    StreamOwned::new(session, socket)
}

#[derive(Debug)]
struct Anything;

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

#[test]
fn post_hooks_learn_what_was_sent() {
    for name in ["post_hooks", "post_hooks_smol", "post_hooks_std"] {
        learn_what_was_sent(Program::start(place(name)));
    }
}

fn learn_what_was_sent(mut example: Program) {
    assert_eq!(example.connect().get("/all").body.len(), 104_857_600);
    assert_eq!(example.line(), "customer-7 GET /all: 104857600 of 104857600 bytes sent, complete\n");
    let mut client = example.connect();
    client.send("GET /part HTTP/1.1\r\nHost: h\r\n\r\n");
    client.bytes(100_000);
    drop(client);
    let line = example.line();
    let (sent, how) = line
        .strip_prefix("customer-7 GET /part: ")
        .and_then(|line| line.split_once(" of 104857600 bytes sent, "))
        .expect("the bill");
    let sent: u64 = sent.parse().expect("a number");
    assert!((90_000..104_857_600).contains(&sent) && how != "complete\n", "{line}");
    example.stop();
}

#[test]
fn hundred_continue_hints_reports_and_refuses() {
    for name in ["hundred_continue", "hundred_continue_smol", "hundred_continue_std"] {
        hints_reports_and_refuses(Program::start(place(name)));
    }
}

fn hints_reports_and_refuses(example: Program) {
    let put = |length: usize| {
        format!("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n")
    };
    let mut client = example.connect();
    client.send(put(150_000));
    let hint = client.answer();
    assert_eq!((hint.status, hint.field("X-Accepts")), (100, Some("encrypted, plain")));
    client.send(vec![b'x'; 150_000]);
    for received in ["65536", "131072"] {
        let progress = client.answer();
        assert_eq!((progress.status, progress.field("X-Received")), (100, Some(received)));
    }
    assert_eq!(client.answer().text(), "150000 bytes received\r\n");
    client.send(put(2_000_000));
    let refused = client.answer();
    assert_eq!((refused.status, refused.closes()), (417, true));
    assert!(client.ends());
    example.stop();
}

#[test]
fn a_signal_is_watched_before_the_address_is_shown() {
    // As a supervisor that changes its mind: without a handler, the signal would end the process.
    for name in ["hello_world", "hello_smol", "hello_async_std", "hello_std", "listener_per_core"] {
        for _ in 0..20 {
            Program::start(place(name)).stop_at_once();
        }
    }
}

#[test]
fn embedded_requests_from_itself_and_stops() {
    for name in ["embedded", "embedded_smol", "embedded_std"] {
        let (output, _) = Program::start(place(name)).end();
        assert!(output.starts_with("HTTP/1.1 200 OK\r\n"), "{output}");
        assert!(output.contains("\r\n\r\nserved from inside: /hello\r\n"), "{output}");
        assert!(output.ends_with(" connections finished, 0 cut\n"), "{output}");
    }
}

#[test]
fn socket_activation_binds_or_inherits_and_keeps_clients_waiting() {
    for name in ["socket_activation", "socket_activation_std"] {
        let example = Program::start(place(name));
        let served = format!("process {} serves /\r\n", example.id());
        assert_eq!(example.connect().get("/").text(), served, "{name}: it binds");
        example.stop();

        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let first = Program::activate(place(name), &listener);
        assert_eq!(first.address(), address, "{name}: it inherits");
        assert!(first.connect().get("/").text().contains("serves /"), "{name}");
        first.signal("TERM");
        // No process accepts now, and the connection is not refused.
        let mut waiting = Caller::connect(address);
        waiting.send("GET /waiting HTTP/1.1\r\nHost: h\r\n\r\n");
        let second = Program::activate(place(name), &listener);
        let served = format!("process {} serves /waiting\r\n", second.id());
        assert_eq!(waiting.answer().text(), served, "{name}: the next process serves it");
        second.stop();
    }
}

#[test]
fn log_json_writes_an_object_a_request() {
    let mut example = Program::start(place("log_json"));
    assert!(example.line().contains("wsgi starting up on http://"));
    let mut client = example.connect();
    client.get("/a%22b?\"\\");
    let line = example.line();
    assert!(line.starts_with("{\"time\":") && line.ends_with(",\"whole\":true}\n"), "{line}");
    assert!(line.contains(",\"client\":\"127.0.0.1:"), "{line}");
    assert!(line.contains(r#","request":"GET /a%22b?\"\\ HTTP/1.1","status":200,"bytes":15,"#), "{line}");
    assert!(line.contains(r#","agent":null,"type":"text/plain","whole":"#), "{line}");
    client.send("no\trequest\r\n\r\n");
    assert_eq!(client.answer().status, 400);
    let line = example.line();
    assert!(line.contains(r#","request":"no\u0009request","status":400,"#), "{line}");
    let (rest, _) = example.stop();
    assert!(rest.contains("wsgi exited, ") && rest.ends_with("\"}\n"), "{rest}");
}

#[test]
fn log_tracing_gives_each_kind_its_level() {
    let example = Program::start(place("log_tracing"));
    example.connect().get("/");
    let (_, log) = example.stop();
    let line =
        |part: &str| log.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("{part}: {log}"));
    assert!(line("starting up").contains(" INFO "));
    assert!(line("accepted").contains("DEBUG "));
    let access = line("GET / HTTP/1.1");
    assert!(access.contains(" INFO access: ") && access.contains(" status=200 bytes=15 micros="), "{access}");
}
