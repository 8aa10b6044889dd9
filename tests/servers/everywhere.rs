//! Further guarantees of the manual besides its options, on every runtime: the records in post hooks when a client
//! disconnects, a listener that outlives its server, and fairness among many clients.
#![cfg(unix)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use wsgi_tests::adapters::Running;
use wsgi_tests::caller::Caller;
use wsgi_tests::echo::listen::Bound;
use wsgi_tests::echo::stream::ready_blocks;
use wsgi_tests::live::{PATIENCE, eventually};
use wsgi_tests::runtimes::{Runtime, on_each};
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
    let (tell, told) = channel();
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
    (running, told, complaints)
}

#[test]
fn post_hooks_learn_how_much_went_to_a_client_that_left() {
    /// The most that the system's buffers on both sides may hold beyond the bytes read.
    const BUFFERS: u64 = 16_000_000;
    on_each("the record of a client that disconnected", |runtime| {
        for (name, body) in BODIES {
            let (running, told, complaints) = telling(runtime, body);
            let mut client = TcpStream::connect(running.address).expect("it accepts");
            client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").expect("there is room");
            let read = std::io::copy(&mut (&client).take(1_000_000), &mut std::io::sink()).expect("it sends");
            drop(client);
            let record = told.recv_timeout(PATIENCE).expect("the hook runs");
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
            let (running, told, complaints) = telling(runtime, body);
            let answer = Caller::connect(running.address).get("/");
            assert_eq!((answer.whole, answer.body.len()), (true, LENGTH), "{name}");
            let record = told.recv_timeout(PATIENCE).expect("the hook runs");
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
        let mut clients: Vec<_> = (0..24).map(|_| Caller::connect(running.address)).collect();
        eventually("the limit is reached", || running.handle.connections() == 4);
        // None of them was served yet, so none is closed: each may still send its request.
        clients.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
        for client in &mut clients {
            assert_eq!(client.answer().text(), "served");
        }
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
        client.stream().peek(&mut [0]).expect("the answer begins");
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
        let mut idle = Caller::connect(running.address);
        assert_eq!(idle.get("/").text(), "served");
        let mut refused = Caller::connect(running.address);
        refused.send("no request\r\n\r\n");
        assert_eq!(refused.answer().status, 400);
        let mut last = Caller::connect(running.address);
        last.send("GET / HTTP/1.0\r\n\r\n");
        assert_eq!(last.answer().text(), "served");
        let asked = Instant::now();
        let others: Vec<_> = (0..2)
            .map(|_| {
                let mut other = Caller::connect(running.address);
                assert_eq!(other.get("/").text(), "served");
                other
            })
            .collect();
        assert!(asked.elapsed() < PATIENCE / 3, "clients waited until the lingering connections were closed");
        assert_eq!(idle.get("/").text(), "served");
        drop((refused, last, others));
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
        let running = runtime.begin(None, quiet(), application, blocking);
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
