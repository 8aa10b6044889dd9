//! A running server: hooks, timeouts, sockets, pools, and how it stops.

use std::net::{Shutdown, TcpListener as StdListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use wsgi_tests::caller::Caller;
use wsgi_tests::live::{SOON, Site, Threads, eventually};
use wsgi_tokio::{Application, Environ, Options, Server, StartResponse, application_fn};

use super::logs::logged;
use super::talk::{END, PLAIN, converse_with, echo, hello, quiet, take};

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A site on a listener of which the test keeps a duplicate.
fn on_duplicate(options: Options, application: impl Application) -> (Site, StdListener) {
    let listener = StdListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let kept = listener.try_clone().expect("descriptors are available");
    let site = Site::run(Threads::Several, options, || async {
        Ok(Server::new(TcpListener::from_std(listener)?, application))
    });
    (site, kept)
}

#[test]
pub(crate) fn test_socket_remains_open() {
    let (site, kept) = on_duplicate(quiet(), hello);
    let address = site.address();
    assert_eq!(site.connect().get("/").text(), "hello world");
    site.stop();
    // The kernel still listens; a second server continues with the same socket.
    let mut early = Caller::connect(address);
    let site = Site::run(Threads::Several, quiet(), || async {
        Ok(Server::new(TcpListener::from_std(kept)?, hello))
    });
    assert_eq!(early.get("/").text(), "hello world");
    site.stop();
}

#[test]
pub(crate) fn test_022_custom_pool() {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let pool = builder.worker_threads(1).thread_name("the pool").enable_all().build().expect("a runtime");
    let application = application_fn(|_, start| async move {
        start.start("200 OK", PLAIN)?;
        Ok(std::thread::current().name().unwrap_or_default().to_owned().into())
    });
    let handle = pool.handle().clone();
    let site = Site::run(Threads::Several, quiet(), move || async move {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        Ok(Server::new(listener, application).custom_pool(handle))
    });
    assert_eq!(site.connect().get("/").text(), "the pool");
    site.stop();
    pool.shutdown_background();
}

#[cfg(target_os = "linux")]
#[test]
pub(crate) fn test_025_accept_errors() {
    let site = Site::run(Threads::Several, quiet(), || async {
        // Bound, and not listening.
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
        socket.set_nonblocking(true)?;
        Ok(Server::new(TcpListener::from_std(socket.into())?, hello))
    });
    let error = site.ended().expect_err("it cannot accept");
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{error}");
    site.journal().error("Invalid argument");
}

/// The behaviour of such a socket depends on the platform; the row stays in the table.
#[cfg(not(target_os = "linux"))]
pub(crate) fn test_025_accept_errors() {}

#[test]
pub(crate) fn test_029_posthooks() {
    let notes: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = Arc::clone(&notes);
    let site = Site::new(application_fn(move |environ, start| {
        let noted = Arc::clone(&noted);
        async move {
            let count = if environ.path() == "/two" { 2 } else { 1 };
            for value in 0..count {
                let noted = Arc::clone(&noted);
                environ.add_post_hook(move |environ, record| {
                    let seen = (environ.get("spam"), value, record.body_length);
                    noted.lock().expect("no panic").push(format!("{seen:?}"));
                });
            }
            environ.set("spam", "ham");
            start.start("200 OK", PLAIN)?;
            Ok("hello world".into())
        }
    }));
    let mut client = site.connect();
    for (path, wanted) in [
        ("/one", &["(Some(\"ham\"), 0, 11)"][..]),
        ("/two", &["(Some(\"ham\"), 0, 11)", "(Some(\"ham\"), 1, 11)"]),
    ] {
        client.get(path);
        eventually("the hooks run", || notes.lock().expect("no panic").len() == wanted.len());
        assert_eq!(std::mem::take(&mut *notes.lock().expect("no panic")), wanted);
    }
}

#[test]
pub(crate) fn test_aborted_post_io_error() {
    let ran = Arc::new(Mutex::new(0));
    let runs = Arc::clone(&ran);
    let site = Site::new(move |environ: Environ, start: StartResponse| {
        let runs = Arc::clone(&runs);
        environ.add_post_hook(move |_, _| *runs.lock().expect("no panic") += 1);
        hello(environ, start)
    });
    let mut client = site.connect();
    client.send("PUT / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n12\r\nsome");
    client.half_close();
    assert_eq!(client.answer().text(), "hello world");
    assert!(client.ends());
    eventually("the hook runs", || *ran.lock().expect("no panic") == 1);
}

#[test]
pub(crate) fn test_server_connection_timeout_exception() {
    let idle = || quiet().socket_timeout(SOON);
    converse_with(idle(), hello, &[(GET, &["200 OK", "!Connection"]), ("", END)]);
    assert!(!logged(idle(), hello, "").contains("timed out"));
    let log = logged(idle().debug(true), hello, "");
    assert!(log.contains(") timed out 127.0.0.1:"), "{log}");
}

#[test]
pub(crate) fn test_server_socket_timeout() {
    let patient = || quiet().socket_timeout(SOON);
    converse_with(patient(), hello, &[("", END)]);
    let stalled = ["408 Request Timeout", "Connection: close"];
    converse_with(patient(), hello, &[("GET / HTTP/1.1\r\n", &stalled), ("", END)]);
    converse_with(patient(), hello, &[("GET / HTTP/1.1\r\nHost: loc", &stalled), ("", END)]);
    let stalled_body = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab";
    converse_with(patient(), echo, &[(stalled_body, &stalled), ("", END)]);
}

#[test]
pub(crate) fn test_server_keepalive_as_timeout() {
    // A whole second would be announced.
    let options = || quiet().keepalive(SOON.mul_f32(0.9));
    converse_with(options(), hello, &[("", END)]);
    converse_with(options(), hello, &[(GET, &["200 OK", "!Keep-Alive"]), ("", END)]);
    // It bounds idle time only, not time within a request.
    let site = Site::with(options(), hello);
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\n");
    client.stream().set_read_timeout(Some(2 * SOON)).expect("a socket");
    client.peek(&mut [0]).expect_err("no data, and no end");
    take(&mut client, ("Host: localhost\r\nConnection: keep-alive\r\n\r\n", &["200 OK", "!Keep-Alive: "]));
}

#[test]
pub(crate) fn test_server_keepalive_sent_in_headers() {
    let keeps = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n";
    let heard = ["Connection: keep-alive", "Keep-Alive: timeout=2"];
    let options = quiet().keepalive(Duration::from_millis(2500));
    converse_with(options, hello, &[(keeps, &heard), (GET, &["200 OK", "!Keep-Alive"])]);
}

#[test]
pub(crate) fn test_close_idle_connections() {
    let site = Site::new(hello);
    let mut used = site.connect();
    assert_eq!(used.get("/").text(), "hello world");
    let mut fresh = site.connect();
    eventually("both are known", || site.handle().connections() == 2);
    site.handle().shutdown();
    assert!(used.ends() && fresh.ends());
    assert_eq!(site.ended().expect("the listener is sound").cut, 0);
}

/// The listener breaks under the server: it ends as after a stop, and returns the error.
#[cfg(target_os = "linux")]
#[test]
pub(crate) fn test_close_idle_connections_listen_socket_closed() {
    let (site, kept) = on_duplicate(quiet(), hello);
    let mut idle = Caller::connect(site.address());
    assert_eq!(idle.get("/").text(), "hello world");
    SockRef::from(&kept).shutdown(Shutdown::Both).expect("a socket");
    assert!(idle.ends());
    assert_eq!(site.ended().expect_err("it cannot accept").kind(), std::io::ErrorKind::InvalidInput);
}

/// Other platforms cannot shut down a listener; the row stays in the table.
#[cfg(not(target_os = "linux"))]
pub(crate) fn test_close_idle_connections_listen_socket_closed() {}

#[test]
pub(crate) fn test_do_not_close_non_idle_connections() {
    let begun = Arc::new(Semaphore::new(0));
    let begins = Arc::clone(&begun);
    let site = Site::new(move |environ: Environ, start: StartResponse| {
        begins.add_permits(1);
        echo(environ, start)
    });
    let mut client = site.connect();
    client.send("PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nunfi");
    eventually("the application has the request", || begun.available_permits() == 1);
    site.handle().shutdown();
    take(&mut client, ("nished", &["200 OK", "Connection: close", "\r\n\r\nunfinishe"]));
    let report = site.ended().expect("the listener is sound");
    assert_eq!((report.finished, report.cut), (1, 0));
}
