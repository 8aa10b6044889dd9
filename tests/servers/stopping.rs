//! A graceful stop: idle connections close soon, requests in progress are finished, and those that do not end
//! are cut.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use wsgi_tests::caller::Caller;
use wsgi_tests::echo::stream::ready_blocks;
use wsgi_tests::live::{PATIENCE, Site, Threads, eventually};
use wsgi_tokio::{Application, Options, Report, Server, application_fn};

const PLAIN: [(&str, &str); 1] = [("Content-Type", "text/plain")];

/// Longer than any test may take: waiting this long fails.
const NEVER: Duration = Duration::from_secs(600);

fn options(graceful_timeout: Duration) -> Options {
    Options::default().debug(false).graceful_timeout(graceful_timeout)
}

/// Reads the body; then `/wait` answers when a permit is available, and `/half` sends a block before it waits.
fn gated() -> (impl Application, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let closed = Arc::clone(&gate);
    let application = application_fn(move |environ, start| {
        let gate = Arc::clone(&closed);
        async move {
            let body = environ.input().read_to_end().await?;
            let write = start.start("200 OK", PLAIN)?;
            match &*environ.path() {
                "/wait" => gate.acquire().await?.forget(),
                "/half" => {
                    write.write("half ").await?;
                    gate.acquire().await?.forget();
                }
                _ => {}
            }
            Ok(ready_blocks(std::iter::once(body)))
        }
    });
    (application, gate)
}

fn post(path: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n")
}

fn refuses(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

#[test]
fn idle_connections_are_closed_and_not_cut() {
    let (application, _gate) = gated();
    let site = Site::with(options(NEVER), application);
    let fresh = [(); 3].map(|()| site.connect());
    let mut used = [(); 3].map(|()| site.connect());
    for client in &mut used {
        assert_eq!(client.get("/").status, 200);
    }
    eventually("all are connected", || site.handle().connections() == 6);
    let address = site.address();
    assert_eq!(site.stop(), Report { finished: 6, cut: 0 });
    for mut client in fresh.into_iter().chain(used) {
        assert!(client.ends());
    }
    assert!(refuses(address));
}

#[test]
fn what_has_begun_is_finished_and_nothing_new_is_let_in() {
    let (application, gate) = gated();
    let site = Site::with(options(NEVER), application);
    let mut sent = ["/wait", "/half"].map(|path| {
        let mut client = site.connect();
        client.send(post(path) + "body");
        client
    });
    eventually("the application has them", || site.handle().requests() == 2);
    // One byte of a request, and all but one of a body.
    let (mut head, mut body) = (site.connect(), site.connect());
    head.send("P");
    body.send(post("/") + "bod");
    eventually("the body is read", || site.handle().requests() == 3);
    let address = site.address();
    site.handle().shutdown();
    assert!(site.handle().is_stopping());
    eventually("no new connections are accepted", || refuses(address));
    head.send(&(post("/") + "body")[1..]);
    body.send("y");
    for client in [&mut head, &mut body] {
        let answer = client.answer();
        assert_eq!((answer.status, answer.text().as_str(), answer.whole), (200, "body", true));
        assert!(answer.closes() && client.ends());
    }
    drop((head, body));
    eventually("two are left", || site.handle().connections() == 2);
    gate.add_permits(2);
    let [wait, half] = &mut sent;
    let answer = wait.answer();
    assert_eq!((answer.text().as_str(), answer.whole, answer.closes()), ("body", true, true));
    let answer = half.answer();
    assert_eq!((answer.text().as_str(), answer.whole), ("half body", true));
    assert!(!answer.closes(), "its head was sent before the stop");
    assert!(wait.ends() && half.ends());
    drop(sent);
    let report = site.ended().expect("the listener is sound");
    // The check above may have connected before the listener was closed: the stop accepts those connections, too.
    assert!(report.finished >= 4 && report.cut == 0, "{report:?}");
}

#[test]
fn a_request_that_was_sent_before_the_stop_is_served() {
    for _ in 0..20 {
        let (application, _gate) = gated();
        let site = Site::with(options(NEVER), application);
        let mut client = site.connect();
        eventually("it is accepted", || site.handle().connections() == 1);
        client.send(post("/") + "body");
        site.handle().shutdown();
        let answer = client.answer();
        assert_eq!((answer.status, answer.text().as_str(), answer.whole), (200, "body", true));
        assert!(client.ends());
        drop(client);
        assert_eq!(site.ended().expect("the listener is sound").cut, 0);
    }
}

#[test]
fn after_the_answer_that_closes_no_pipelined_request_is_executed() {
    let (application, gate) = gated();
    let site = Site::with(options(NEVER), application);
    let mut client = site.connect();
    client.send(post("/wait") + "body" + &post("/") + "more");
    eventually("the application has it", || site.handle().requests() == 1);
    site.handle().shutdown();
    gate.add_permits(1);
    let answer = client.answer();
    assert_eq!((answer.text().as_str(), answer.closes()), ("body", true));
    assert!(client.ends());
    drop(client);
    site.ended().expect("the listener is sound");
    assert_eq!(site.journal().accesses(1).len(), 1);
}

#[test]
fn what_does_not_end_is_cut_at_the_deadline_and_reported() {
    const TIMEOUT: Duration = Duration::from_millis(200);
    struct Counted<'c>(&'c AtomicUsize);
    impl Drop for Counted<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    let application = application_fn(|environ, start| async move {
        let _counted = Counted(&DROPPED);
        let write = start.start("200 OK", PLAIN)?;
        match &*environ.path() {
            "/stuck" => std::future::pending().await,
            "/read" => Ok(environ.input().read_to_end().await?.into()),
            _ => loop {
                write.write(vec![0; 100_000]).await?;
            },
        }
    });
    let site = Site::with(options(TIMEOUT), application);
    let [mut stuck, mut slow, mut deaf] = ["/stuck", "/read", "/endless"].map(|path| {
        let mut client = site.connect();
        client.send(post(path));
        client
    });
    let mut half = site.connect();
    half.send("GET / HT");
    eventually("the application has them", || site.handle().requests() == 3);
    eventually("all are connected", || site.handle().connections() == 4);
    let began = Instant::now();
    site.handle().shutdown();
    assert_eq!(site.ended().expect("the listener is sound"), Report { finished: 0, cut: 4 });
    assert!(began.elapsed() >= TIMEOUT);
    assert_eq!(DROPPED.load(Ordering::SeqCst), 3, "the applications are dropped");
    for client in [&mut stuck, &mut slow, &mut half] {
        assert!(client.try_answer().is_err(), "there must be no answer");
    }
    assert!(deaf.try_answer().is_ok_and(|answer| !answer.whole) || deaf.try_answer().is_err());
    assert_eq!((site.handle().connections(), site.handle().requests()), (0, 0));
}

#[test]
fn without_a_grace_everything_is_cut_at_once() {
    let (application, _gate) = gated();
    let site = Site::with(options(Duration::ZERO), application);
    let mut client = site.connect();
    client.send(post("/wait") + "body");
    eventually("the application has it", || site.handle().requests() == 1);
    assert_eq!(site.stop().cut, 1);
    assert!(client.try_answer().is_err());
}

#[test]
fn a_handle_may_be_pulled_before_the_server_runs_and_more_than_once() {
    let site = Site::run(Threads::Several, options(NEVER), || async {
        let server = Server::new(TcpListener::bind("127.0.0.1:0").await?, gated().0);
        server.handle().shutdown();
        server.handle().shutdown();
        Ok(server)
    });
    site.handle().shutdown();
    assert_eq!(site.ended().expect("the listener is sound"), Report::default());
}

#[test]
fn any_thread_may_stop_a_server_that_is_flooded() {
    let (application, _gate) = gated();
    let site = Site::with(options(NEVER), application);
    let address = site.address();
    let flood: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn(move || {
                let mut answers = 0;
                // Until the listener is closed; a client that is cut during the stop tries again.
                while let Ok(stream) = TcpStream::connect(address) {
                    let mut client = Caller::over(stream);
                    let sent = client.stream().write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
                    answers +=
                        usize::from(sent.is_ok() && client.try_answer().is_ok_and(|answer| answer.whole));
                }
                answers
            })
        })
        .collect();
    site.journal().accesses(100);
    let handle = site.handle().clone();
    thread::spawn(move || handle.shutdown());
    let report = site.ended().expect("the listener is sound");
    assert_eq!(report.cut, 0);
    let answers: usize = flood.into_iter().map(|thread| thread.join().expect("no panic")).sum();
    assert_eq!(answers, site.journal().accesses(answers).len(), "each served client has its answer");
}

#[test]
fn a_duplicate_of_the_listener_stays_usable() {
    let original = StdListener::bind("127.0.0.1:0").expect("a free port");
    let address = original.local_addr().expect("it is bound");
    for round in ["/one", "/two"] {
        let duplicate = original.try_clone().expect("descriptors are available");
        duplicate.set_nonblocking(true).expect("a socket");
        let site = Site::run(Threads::Several, options(NEVER), || async move {
            Ok(Server::new(TcpListener::from_std(duplicate)?, gated().0))
        });
        assert_eq!(site.connect().get(round).status, 200);
        site.stop();
        // It is not shut down: new connections wait in its queue.
        let mut waiting = TcpStream::connect(address).expect("it listens");
        original.set_nonblocking(false).expect("a socket");
        let (mut accepted, _) = original.accept().expect("it accepts");
        accepted.write_all(b"by hand").expect("it is open");
        drop(accepted);
        let mut text = String::new();
        waiting.set_read_timeout(Some(PATIENCE)).expect("a socket");
        waiting.read_to_string(&mut text).expect("an end");
        assert_eq!(text, "by hand", "{round}");
    }
}
