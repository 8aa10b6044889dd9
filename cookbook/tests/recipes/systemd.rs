use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use tempfile::TempDir;
use wsgi_tests::caller::Caller;
use wsgi_tests::live::{PATIENCE, eventually};
use wsgi_tests::program::Program;
use wsgi_tests::uninterrupted::uninterrupted;

const RECIPE: &str = env!("CARGO_BIN_EXE_systemd");

#[test]
fn it_reports_that_it_is_ready_and_that_it_stops() {
    let folder = TempDir::new().expect("a folder");
    let socket = UnixDatagram::bind(folder.path().join("notify")).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let mut message = [0; 100];
    let mut next = || {
        let length = uninterrupted(|| socket.recv(&mut message)).expect("a message");
        String::from_utf8_lossy(&message[..length]).into_owned()
    };
    let mut command = Command::new(RECIPE);
    command.arg("127.0.0.1:0").env("NOTIFY_SOCKET", folder.path().join("notify"));
    let recipe = Program::run(command);
    assert_eq!(next(), "READY=1\n");
    assert_eq!(recipe.connect().get("/").text(), format!("process {}, 0 bytes\n", recipe.id()));
    let (output, _) = recipe.signal("TERM");
    assert_eq!(next(), "STOPPING=1\n");
    assert!(output.ends_with(", 0 cut\n"), "{output}");
}

/// A program that gets a signal while a client is sending its request.
fn stopped() -> (Program, Caller) {
    let recipe = Program::start(RECIPE);
    let mut client = recipe.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.answer().status, 100);
    recipe.send_signal("TERM");
    eventually("it does not accept any more", || std::net::TcpStream::connect(recipe.address()).is_err());
    (recipe, client)
}

#[test]
fn a_stop_finishes_a_request_that_has_begun() {
    let (mut recipe, mut client) = stopped();
    client.send("x");
    let answer = client.answer();
    assert_eq!((answer.status, answer.closes()), (200, true));
    assert_eq!(answer.text(), format!("process {}, 1 bytes\n", recipe.id()));
    drop(client);
    let (output, _) = recipe.end();
    assert!(output.ends_with(", 0 cut\n"), "{output}");
}

#[test]
fn a_second_signal_does_not_wait() {
    let (mut recipe, mut client) = stopped();
    recipe.send_signal("INT");
    let (status, _, _) = recipe.status();
    assert_eq!(status.code(), Some(130));
    assert!(client.try_answer().is_err());
}

#[test]
fn the_next_process_serves_clients_that_wait() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let first = Program::activate(RECIPE, &listener);
    assert_eq!(first.address(), address);
    first.connect().get("/");
    first.signal("TERM");
    let mut waiting = Caller::connect(address);
    waiting.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let second = Program::activate(RECIPE, &listener);
    assert_eq!(waiting.answer().text(), format!("process {}, 0 bytes\n", second.id()));
    second.signal("TERM");
}

#[test]
fn an_address_that_is_in_use_is_a_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let output = Command::new(RECIPE).arg(address).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("AddrInUse"), "{output:?}");
}
