//! The log, and the client addresses in it.

use std::io::{ErrorKind, Write};
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use wsgi_tests::caller::Caller;
use wsgi_tests::live::{Kind, Site, Threads, eventually};
use wsgi_tokio::{Application, Listener, Options, Server};

use super::talk::{hello, quiet, showing};

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A log that is written line by line.
#[derive(Clone, Default)]
pub(crate) struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Written {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no panic").clone()).expect("text")
    }
}

/// Serves a conversation with a log of lines, and returns the log when the server has ended.
pub(crate) fn logged(options: Options, application: impl Application, request: &str) -> String {
    let log = Written::default();
    let options = options.log_to(log.clone());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (handle, address, serving) = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("a port");
        let server = Server::new(listener, application).options(options);
        (server.handle(), address, tokio::spawn(server.serve()))
    });
    let mut client = Caller::connect(address);
    client.send(request);
    // The request may be answered, or the connection closed silently.
    let _ = client.try_answer();
    handle.shutdown();
    runtime.block_on(serving).expect("no panic").expect("the listener is sound");
    log.text()
}

#[test]
pub(crate) fn test_020_x_forwarded_for() {
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 1.2.3.4, 5.6.7.8\r\n\r\n";
    let log = logged(quiet(), hello, request);
    assert!(log.contains("\n1.2.3.4,5.6.7.8,127.0.0.1 - - ["), "{log}");
    let log = logged(quiet().log_x_forwarded_for(false), hello, request);
    assert!(log.contains("\n127.0.0.1 - - [") && !log.contains("1.2.3.4"), "{log}");
}

#[test]
pub(crate) fn test_026_log_format() {
    let template = "HI %(request_line)s HI";
    let log = logged(quiet().log_format(template), hello, "GET /yo! HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(log.contains("\nHI GET /yo! HTTP/1.1 HI\n"), "{log}");
}

#[test]
pub(crate) fn test_log_disable() {
    assert_eq!(logged(quiet().log_output(false), hello, GET), "");
    assert_eq!(logged(quiet().log_output(false).debug(true), hello, "nonsense\r\n\r\n"), "");
}

#[test]
pub(crate) fn test_ipv6() {
    match std::net::TcpListener::bind("[::1]:0") {
        Err(error) if error.kind() == ErrorKind::AddrNotAvailable => return,
        _ => {}
    }
    let site = Site::run(Threads::Several, quiet(), || async {
        Ok(Server::new(TcpListener::bind("[::1]:0").await?, showing(&["SERVER_NAME", "REMOTE_ADDR"])))
    });
    let address = site.address();
    assert_eq!(site.connect().get("/").text(), "SERVER_NAME=Some(\"[::1]\")\nREMOTE_ADDR=Some(\"::1\")\n");
    site.journal().accesses(1);
    let start = format!("wsgi starting up on http://[::1]:{}", address.port());
    assert!(site.journal().texts(Kind::Info)[0].ends_with(&start));
    assert!(site.journal().texts(Kind::Access)[0].starts_with("::1 - - ["));
}

#[cfg(unix)]
#[test]
pub(crate) fn test_log_unix_address() {
    use std::os::unix::net::UnixStream;

    let path = std::env::temp_dir().join(format!("wsgi-eventlet-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let place = path.clone();
    let names = &["SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR", "REMOTE_PORT"];
    let site = Site::run(Threads::Several, quiet(), move || async move {
        let listener = tokio::net::UnixListener::bind(place)?;
        Ok(Server::new(Listener::from(listener), showing(names)))
    });
    eventually("the server starts", || !site.journal().texts(Kind::Info).is_empty());
    let mut client = Caller::new(UnixStream::connect(&path).expect("the server accepts"));
    assert_eq!(
        client.get("/").text(),
        "SERVER_NAME=Some(\"unix\")\nSERVER_PORT=Some(\"\")\nREMOTE_ADDR=Some(\"unix\")\nREMOTE_PORT=Some(\"\")\n"
    );
    site.journal().accesses(1);
    let start = format!("wsgi starting up on http:{}", path.display());
    assert!(site.journal().texts(Kind::Info)[0].ends_with(&start));
    assert!(site.journal().texts(Kind::Access)[0].starts_with("unix - - ["));
    site.stop();
    assert!(path.exists(), "the file does not belong to the server");
    std::fs::remove_file(&path).expect("the file exists");
}

/// This platform has no unix sockets; the row stays in the table.
#[cfg(not(unix))]
pub(crate) fn test_log_unix_address() {}
