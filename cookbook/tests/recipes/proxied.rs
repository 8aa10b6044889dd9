use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;

use tempfile::TempDir;
use wsgi_tests::caller::Caller;
use wsgi_tests::program::Program;

#[test]
fn fields_of_the_proxy_count() {
    let recipe = Program::start(env!("CARGO_BIN_EXE_proxied"));
    let mut client = recipe.connect();
    for (fields, seen) in [
        ("", "127.0.0.1 by http\n"),
        ("X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1 by http\n"),
        ("X-Forwarded-For: 2001:db8::1\r\nX-Forwarded-Proto: https\r\n", "2001:db8::1 by https\n"),
        // The client has sent the first one, and the last one is another proxy.
        ("X-Forwarded-For: 198.51.100.1, 192.0.2.1, 127.0.0.1\r\n", "192.0.2.1 by http\n"),
        ("X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1 by http\n"),
        ("X-Forwarded-For: 192.0.2.1, unknown\r\n", "127.0.0.1 by http\n"),
        ("X-Forwarded-For: \r\nX-Forwarded-Proto: gopher\r\n", "127.0.0.1 by http\n"),
        // The client has sent the first one.
        ("X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n", "127.0.0.1 by http\n"),
        ("X-Forwarded-Proto: https, http\r\n", "127.0.0.1 by http\n"),
        ("X-Forwarded-Proto: http\r\nX-Forwarded-Proto: http, https\r\n", "127.0.0.1 by https\n"),
    ] {
        client.send(format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n"));
        assert_eq!(client.answer().text(), seen, "{fields}");
    }
    recipe.stop();
}

#[test]
fn the_unix_socket_is_the_proxys() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("site.sock");
    // One that another process has left behind.
    drop(UnixListener::bind(&path).expect("a socket"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_proxied"));
    command.arg("127.0.0.1:0").arg(&path);
    let recipe = Program::run(command);
    // It is ready when the first connection is served.
    recipe.connect().get("/");
    let mode = path.metadata().expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let mut client = Caller::new(UnixStream::connect(&path).expect("a socket"));
    client
        .send("GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n\r\n");
    assert_eq!(client.answer().text(), "192.0.2.1 by https\n");
    // A client on the machine of the proxy.
    client.send("GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n");
    assert_eq!(client.answer().text(), "127.0.0.1 by http\n");
    drop(client);
    let (_, log) = recipe.stop();
    assert!(log.contains("192.0.2.1"), "{log}");
    assert!(!path.exists());
}

#[test]
fn the_proxy_protocol_has_the_address() {
    let folder = TempDir::new().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_proxied"));
    command.arg("127.0.0.1:0").arg(folder.path().join("site.sock")).arg("127.0.0.1:0");
    let mut recipe = Program::run(command);
    let line = recipe.line();
    let address = line.trim_end().trim_end_matches('/').rsplit_once("//").expect("an address").1;
    let connect = || Caller::connect(address.parse().expect("an address"));
    let mut client = connect();
    client.send("PROXY TCP4 192.0.2.1 198.51.100.1 4711 80\r\n");
    // The client is no proxy, so its fields do not count.
    client.send("GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 203.0.113.1\r\n\r\n");
    assert_eq!(client.answer().text(), "192.0.2.1 by http\n");
    let mut direct = connect();
    direct.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(direct.try_answer().is_err(), "the header is missing");
    recipe.stop();
}
