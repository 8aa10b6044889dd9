//! Further guarantees of the manual besides its options, on every runtime: the records in post hooks when a client
//! disconnects, a listener that outlives its server, and fairness among many clients.
#![cfg(unix)]

use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use socket2::SockRef;
use wsgi_tests::adapters::Running;
use wsgi_tests::caller::Caller;
use wsgi_tests::echo::listen::Bound;
use wsgi_tests::echo::stream::ready_blocks;
use wsgi_tests::live::{Journal, Kind, NOT_HELD_UP, PATIENCE, eventually};
use wsgi_tests::runtimes::{Runtime, on_each};
use wsgi_tests::uninterrupted::uninterrupted;
use wsgi_tokio::Lost;
use wsgi_tokio::{Body, LogEntry, Options, Record, Result, application_fn};

const PLAIN: [(&str, &str); 1] = [("Content-Type", "text/plain")];

fn quiet() -> Options {
    Options::default().log_output(false)
}

fn stop(running: &Running) {
    running.handle.shutdown();
    let ended = running.ended.recv_timeout(PATIENCE).expect("it stops");
    assert_eq!(ended.expect("the listener is sound").cut, 0);
}

type Make = fn() -> Body;

/// 100 MB, as every kind of body.
const BODIES: [(&str, Make); 4] = [
    ("whole", || vec![b'x'; LENGTH].into()),
    ("blocks", || Body::blocks((0..100).map(|_| vec![b'x'; LENGTH / 100]))),
    ("iterator", || Body::iterator((0..100).map(|_| Ok(vec![b'x'; LENGTH / 100].into())))),
    ("stream", || ready_blocks((0..100).map(|_| Bytes::from(vec![b'x'; LENGTH / 100])))),
];
const LENGTH: usize = 100_000_000;

/// A server with such a body; its post hooks report the record, and its log reports the errors.
fn telling(runtime: Runtime, body: Make) -> (Running, Receiver<Record>, Receiver<String>) {
    let (tell, heard) = channel();
    let tell = Arc::new(Mutex::new(tell));
    let hook = move || -> Sender<Record> { tell.lock().expect("no panic").clone() };
    let blocking_hook = hook.clone();
    let (complain, complaints) = channel();
    let complain = Mutex::new(complain);
    let log = move |entry: &LogEntry<'_>| {
        if let LogEntry::Error(text) = entry {
            // The receiver may be dropped when the test is over.
            let _ = complain.lock().expect("no panic").send((*text).to_owned());
        }
    };
    let application = application_fn(move |environ, start| {
        let tell = hook();
        environ.add_post_hook(move |_, record| drop(tell.send(record.clone())));
        async move {
            start.start("200 OK", PLAIN)?;
            Ok(body())
        }
    });
    let blocking = wsgi_std::application_fn(move |environ, start| {
        let tell = blocking_hook();
        environ.add_post_hook(move |_, record| drop(tell.send(record.clone())));
        start.start("200 OK", PLAIN)?;
        Ok(body())
    });
    let running = runtime.begin(None, Options::default().debug(false).log(log), application, blocking);
    (running, heard, complaints)
}

#[test]
fn post_hooks_learn_how_much_went_to_a_client_that_left() {
    /// The most that the system's buffers on both sides may hold beyond the bytes read.
    const BUFFERS: u64 = 16_000_000;
    on_each("the record of a client that disconnected", |runtime| {
        for (name, body) in BODIES {
            let (running, heard, complaints) = telling(runtime, body);
            let mut client = TcpStream::connect(running.address).expect("it accepts");
            client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").expect("there is room");
            let read = std::io::copy(&mut (&client).take(1_000_000), &mut std::io::sink()).expect("it sends");
            drop(client);
            let record = heard.recv_timeout(PATIENCE).expect("the hook runs");
            assert!(matches!(record.lost, Some(Lost::Reset | Lost::BrokenPipe)), "{name}: {record:?}");
            assert!((read..read + BUFFERS).contains(&record.response_length), "{name}: {record:?}");
            let head = record.response_length - record.body_length;
            assert!((50..500).contains(&head), "{name}: {record:?}");
            eventually("the connection is closed", || running.handle.connections() == 0);
            stop(&running);
            assert!(complaints.try_recv().is_err(), "{name}: only the client is at fault");
        }
    });
}

#[test]
fn post_hooks_learn_that_all_went_to_a_client_that_stayed() {
    on_each("the record of a client that stayed connected", |runtime| {
        for (name, body) in [BODIES[0], BODIES[2]] {
            let (running, heard, complaints) = telling(runtime, body);
            let answer = Caller::connect(running.address).get("/");
            assert_eq!((answer.whole, answer.body.len()), (true, LENGTH), "{name}");
            let record = heard.recv_timeout(PATIENCE).expect("the hook runs");
            assert_eq!((record.lost, record.cut, record.body_length), (None, false, LENGTH as u64), "{name}");
            stop(&running);
            assert!(complaints.try_recv().is_err(), "{name}: no one is at fault");
        }
    });
}

/// Serves a greeting on this listener.
fn greeting(runtime: Runtime, bound: Bound, options: Options) -> Running {
    let application = application_fn(|_, start| async move {
        start.start("200 OK", PLAIN)?;
        Ok("served".into())
    });
    let blocking = |_: wsgi_std::Environ, start: wsgi_std::StartResponse| -> Result<Body> {
        start.start("200 OK", PLAIN)?;
        Ok("served".into())
    };
    runtime.begin_on(bound, None, options, application, blocking)
}

/// Serves a greeting, requests it, and stops.
fn serve_once(runtime: Runtime, bound: Bound, ask: impl FnOnce() -> String) {
    let running = greeting(runtime, bound, quiet());
    assert_eq!(ask(), "served", "{runtime}");
    stop(&running);
}

#[test]
fn a_duplicate_of_a_listener_outlives_the_server() {
    on_each("a duplicate of a listener", |runtime| {
        let original = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = original.local_addr().expect("it is bound");
        for _ in 0..2 {
            let duplicate = original.try_clone().expect("descriptors are available");
            duplicate.set_nonblocking(true).expect("a socket");
            serve_once(runtime, Bound::Tcp(duplicate), || Caller::connect(address).get("/").text());
            // New connections now wait in its queue until they are accepted.
            let _waiting = TcpStream::connect(address).expect("it listens");
            original.set_nonblocking(false).expect("a socket");
            original.accept().expect("it was not shut down");
        }
    });
}

#[test]
fn the_file_of_a_unix_socket_outlives_the_server() {
    on_each("the file of a unix socket", |runtime| {
        let name = format!("wsgi-everywhere-{}-{runtime:?}.sock", std::process::id());
        let path = std::env::temp_dir().join(name);
        let original = UnixListener::bind(&path).expect("a place for a file");
        for _ in 0..2 {
            let duplicate = original.try_clone().expect("descriptors are available");
            duplicate.set_nonblocking(true).expect("a socket");
            let connect = || UnixStream::connect(&path).expect("it listens");
            serve_once(runtime, Bound::Unix(duplicate), || Caller::new(connect()).get("/").text());
            assert!(path.exists(), "the server did not create it, so it does not remove it");
            let _waiting = connect();
            original.set_nonblocking(false).expect("a socket");
            original.accept().expect("it was not shut down");
        }
        std::fs::remove_file(&path).expect("the file exists");
    });
}

#[test]
fn clients_that_connect_together_do_not_evict_each_other() {
    on_each("a crowd", |runtime| {
        let bound = wsgi_tests::adapters::bind().expect("a free port");
        let running = greeting(runtime, bound, quiet().max_size(4));
        // On a busy machine the clients may need more than the half second that they have: so this may need several tries.
        eventually("all are served", || {
            let begun = Instant::now();
            let mut clients: Vec<_> = (0..24).map(|_| Caller::connect(running.address)).collect();
            eventually("the limit is reached", || running.handle.connections() == 4);
            // None of them was served yet, so none is closed: each may still send its request.
            let request = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
            let sent = clients.iter().filter_map(|client| client.stream().write_all(request).ok()).count();
            let in_time = begun.elapsed() < Duration::from_millis(500);
            let answers = clients.iter_mut().filter_map(|client| client.try_answer().ok());
            let served = answers.filter(|answer| answer.text() == "served").count();
            assert!(
                !in_time || (sent, served) == (24, 24),
                "{sent} requests were sent, {served} were served"
            );
            drop(clients);
            eventually("they are closed", || running.handle.connections() == 0);
            in_time
        });
        stop(&running);
    });
}

#[test]
fn a_stop_does_not_destroy_an_answer_though_more_was_asked_behind_it() {
    on_each("an answer in flight at a stop", |runtime| {
        let (running, _told, _complaints) = telling(runtime, || vec![b'x'; 8_000_000].into());
        let client = TcpStream::connect(running.address).expect("it accepts");
        let mut client = Caller::over(client);
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        client.peek(&mut [0]).expect("the answer begins");
        // The server is busy with the first request, and does not read this one yet.
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        running.handle.shutdown();
        let answer = client.answer();
        assert_eq!((answer.whole, answer.body.len()), (true, 8_000_000));
        drop(client);
        let ended = running.ended.recv_timeout(PATIENCE).expect("it stops");
        ended.expect("the listener is sound");
    });
}

#[test]
fn connections_that_linger_are_the_first_to_make_room() {
    on_each("room beside clients that do not close", |runtime| {
        let bound = wsgi_tests::adapters::bind().expect("a free port");
        let running = greeting(runtime, bound, quiet().max_size(3).linger_timeout(PATIENCE / 2));
        // On a busy machine a connection may take too long to close, and then another one closes, too: so this may need
        // several tries.
        eventually("the idle connection stays", || {
            let mut idle = Caller::connect(running.address);
            assert_eq!(idle.get("/").text(), "served");
            let mut refused = Caller::connect(running.address);
            refused.send("no request\r\n\r\n");
            assert_eq!(refused.answer().status, 400);
            let mut last = Caller::connect(running.address);
            last.send("GET / HTTP/1.0\r\n\r\n");
            assert_eq!(last.answer().text(), "served");
            // It is idle for a shorter time than the others linger, even if this test gets no processor for long.
            assert_eq!(idle.get("/").text(), "served");
            let asked = Instant::now();
            let others: Vec<_> = (0..2)
                .map(|_| {
                    let mut other = Caller::connect(running.address);
                    assert_eq!(other.get("/").text(), "served");
                    other
                })
                .collect();
            assert!(
                asked.elapsed() < NOT_HELD_UP,
                "clients waited until the lingering connections were closed"
            );
            let stays = idle.try_get("/").is_some_and(|answer| answer.text() == "served");
            drop((idle, refused, last, others));
            eventually("they are closed", || running.handle.connections() == 0);
            stays
        });
        stop(&running);
    });
}

#[test]
fn an_early_answer_reaches_a_client_that_reads_only_after_its_upload() {
    // More than the system's buffers on both sides hold.
    const UPLOAD: usize = 20_000_000;
    on_each("early answer", |runtime| {
        let application = application_fn(|_, start| async move {
            start.start("413 Content Too Large", PLAIN)?;
            Ok("too large".into())
        });
        let blocking = wsgi_std::application_fn(|_, start| {
            start.start("413 Content Too Large", PLAIN)?;
            Ok("too large".into())
        });
        // The client may pause during its upload: the machine may be busy.
        let options = quiet().linger_timeout(PATIENCE).linger_limit(2 * PATIENCE);
        let running = runtime.begin(None, options, application, blocking);
        for _ in 0..3 {
            let mut client = Caller::connect(running.address);
            client.send(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {UPLOAD}\r\n\r\n"));
            client.send(vec![b'x'; UPLOAD]);
            let answer = client.answer();
            assert_eq!((answer.status, answer.text().as_str(), answer.whole), (413, "too large", true));
            assert!(client.ends());
        }
        stop(&running);
    });
}

#[test]
fn the_log_shows_only_what_was_sent_to_a_client_that_disconnected() {
    on_each("record of a reset", |runtime| {
        let (options, journal) = Journal::keep(Options::default().debug(false));
        let (go, wait) = channel::<()>();
        let wait = Arc::new(Mutex::new(wait));
        let blocking_wait = Arc::clone(&wait);
        // The client decides when its request is answered: it blocks the thread, so that nothing else is noticed.
        let hold = |wait: &Mutex<Receiver<()>>| wait.lock().expect("no panic").recv_timeout(PATIENCE);
        let application = application_fn(move |environ, start| {
            let wait = Arc::clone(&wait);
            async move {
                let write = start.start("200 OK", PLAIN)?;
                if environ.path() == "/stream" {
                    write.write("first\n").await?;
                    // The connection's task sends it while the application waits.
                    let mut waited = false;
                    poll_fn(|context| {
                        context.waker().wake_by_ref();
                        if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }
                    })
                    .await;
                }
                hold(&wait)?;
                write.write("second\n").await?;
                Ok("third\n".into())
            }
        });
        let blocking = wsgi_std::application_fn(move |environ, start| {
            let write = start.start("200 OK", PLAIN)?;
            if environ.path() == "/stream" {
                write.write("first\n")?;
            }
            hold(&blocking_wait)?;
            write.write("second\n")?;
            Ok("third\n".into())
        });
        let running = runtime.begin(None, options, application, blocking);
        for path in ["/stream", "/whole"] {
            let mut client = Caller::connect(running.address);
            client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
            if path == "/stream" {
                let mut block = [0; 200];
                let mut received = Vec::new();
                while !received.ends_with(b"6\r\nfirst\n\r\n") {
                    let count = uninterrupted(|| client.stream().read(&mut block)).expect("it is sent");
                    received.extend_from_slice(&block[..count]);
                }
            } else {
                eventually("the request is served", || running.handle.requests() == 1);
            }
            SockRef::from(client.stream()).set_linger(Some(Duration::ZERO)).expect("a socket");
            drop(client);
            go.send(()).expect("the application waits");
            eventually("the client is gone", || running.handle.connections() == 0);
        }
        let records = journal.accesses(2);
        let shown: Vec<_> = records.iter().map(|record| (record.status, record.body_length)).collect();
        assert_eq!(shown, [(200, 6), (0, 0)], "{records:?}");
        stop(&running);
    });
}

#[test]
fn a_whole_response_to_a_client_that_disconnected_was_not_sent() {
    on_each("record of a reset", |runtime| {
        let (options, journal) = Journal::keep(Options::default().debug(false));
        let (go, wait) = channel::<()>();
        let wait = Arc::new(Mutex::new(wait));
        let blocking_wait = Arc::clone(&wait);
        let hold = |wait: &Mutex<Receiver<()>>| wait.lock().expect("no panic").recv_timeout(PATIENCE);
        let application = application_fn(move |_, start| {
            let wait = Arc::clone(&wait);
            async move {
                hold(&wait)?;
                start.start("200 OK", PLAIN)?;
                Ok("answer".into())
            }
        });
        let blocking = wsgi_std::application_fn(move |_, start| {
            hold(&blocking_wait)?;
            start.start("200 OK", PLAIN)?;
            Ok("answer".into())
        });
        let running = runtime.begin(None, options, application, blocking);
        let mut client = Caller::connect(running.address);
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        eventually("the request is served", || running.handle.requests() == 1);
        SockRef::from(client.stream()).set_linger(Some(Duration::ZERO)).expect("a socket");
        drop(client);
        go.send(()).expect("the application waits");
        let record = journal.accesses(1).remove(0);
        assert_eq!((record.status, record.response_length, record.body_length), (0, 0, 0));
        assert!(record.lost.is_some());
        stop(&running);
    });
}

#[test]
fn other_protocols_are_answered_immediately_and_logged() {
    on_each("other protocols", |runtime| {
        let (options, journal) = Journal::keep(Options::default().debug(false));
        let bound = wsgi_tests::adapters::bind().expect("a free port");
        let running = greeting(runtime, bound, options);
        // The client waits for an answer and neither sends more nor closes.
        let greetings: [(&[u8], &str); 4] = [
            // The beginning of a TLS ClientHello.
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\x03\x03", r#"\x16\x03\x01\x02\x00\x01\x00\x01\x03\x03"#),
            (b"SSH-2.0-OpenSSH_9.6\r\n", r#"SSH-2.0-OpenSSH_9.6"#),
            // SOCKS 5 and 4.
            (b"\x05\x01\x00", r#"\x05\x01\x00"#),
            (b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00", r#"\x04\x01\x00P\x7f\x00\x00\x01\x00"#),
        ];
        for (greeting, shown) in greetings {
            let asked = Instant::now();
            let mut client = Caller::connect(running.address);
            client.send(greeting);
            let answer = client.answer();
            assert_eq!((answer.status, answer.whole), (400, true), "{shown}");
            // The next deadline that could answer is that of the head, after 30 s.
            assert!(asked.elapsed() < NOT_HELD_UP, "{shown}");
            let line = journal.first(Kind::Access, &format!("\"{shown}\" 400 "));
            assert!(line.len() < 200, "{line}");
        }
        stop(&running);
    });
}
