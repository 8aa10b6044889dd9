//! Options that are times.
//!
//! The server without the option, or with a long time, starts first and is tested last, when the other's time is over:
//! if the option were ignored, both would behave the same.

use std::io::{Read, Write};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use wsgi_tests::live::{Entry, Journal, Kind, SOON, eventually};
use wsgi_tokio::{Options, Report};

use super::site::{ECHO, HELLO, MEBIBYTE, MUCH, Serve as _, Site, busy, on_each, quiet};

/// Longer than any test waits.
const LONG: Duration = Duration::from_secs(300);

const HALF_A_HEAD: &str = "GET / HTTP/1.1\r\nHos";
const OTHER_HALF: &str = "t: h\r\n\r\n";

#[test]
fn socket_timeout_answers_408_in_the_middle_of_a_body() {
    on_each("socket_timeout", |runtime| {
        let [with, without] = runtime.pair(|options| options.socket_timeout(SOON), ECHO);
        let mut usual = busy(&without, 10);
        usual.send("hello");
        let mut stalls = busy(&with, 10);
        stalls.send("hello");
        let answer = stalls.answer();
        assert_eq!((answer.status, answer.closes()), (408, true), "{answer:?}");
        usual.send("world");
        assert_eq!(usual.answer().text(), "helloworld");
    });
}

#[test]
fn socket_timeout_answers_408_in_the_middle_of_a_head() {
    on_each("socket_timeout", |runtime| {
        let [with, without] = runtime.pair(|options| options.socket_timeout(SOON), HELLO);
        let mut usual = without.connect();
        usual.send(HALF_A_HEAD);
        assert_eq!(with.open(HALF_A_HEAD).1.status, 408);
        usual.send(OTHER_HALF);
        assert_eq!(usual.answer().status, 200);
    });
}

#[test]
fn socket_timeout_closes_an_idle_connection_without_a_word() {
    on_each("socket_timeout", |runtime| {
        let [with, without] = runtime.pair(|options| options.socket_timeout(SOON), HELLO);
        let none = runtime.serve(quiet().socket_timeout(SOON).socket_timeout(None), HELLO);
        let mut usual = [&without, &none].map(Site::connect);
        for client in &mut usual {
            assert_eq!(client.get("/").text(), "hello");
        }
        let (mut used, answer) = with.open("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(!answer.closes());
        assert!(used.ends());
        assert!(with.connect().ends(), "even before the first request");
        for client in &mut usual {
            assert_eq!(client.get("/").text(), "hello");
        }
    });
}

#[test]
fn socket_timeout_closes_a_client_that_does_not_read() {
    on_each("socket_timeout", |runtime| {
        let [with, without] = [Some(SOON), None].map(|timeout| {
            let (options, entries) = Journal::keep(quiet().log_output(true).socket_timeout(timeout));
            (runtime.serve(options, MUCH), entries)
        });
        let mut clients = [&without, &with].map(|(site, _)| {
            let mut client = site.connect_narrowly();
            client.send(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {MEBIBYTE}\r\n\r\n"));
            client.send(vec![b'x'; MEBIBYTE]);
            client
        });
        let (site, entries) = &with;
        let timed_out = |entry: &Entry| entry.text.contains(" timed out 127.0.0.1");
        eventually("the client has timed out", || entries.of(Kind::Debug).iter().any(timed_out));
        site.comes_down_to(0);
        let [usual, left] = &mut clients;
        // The end is an error, if the client notices it at all.
        let mut rest = Vec::new();
        let _ = left.stream().read_to_end(&mut rest);
        assert!(rest.len() < 16 * MEBIBYTE, "the whole answer arrived");
        let answer = usual.answer();
        assert_eq!((answer.status, answer.body.len()), (200, 16 * MEBIBYTE));
        let (_, entries) = &without;
        assert!(!entries.of(Kind::Debug).iter().any(timed_out), "{entries:?}");
    });
}

#[test]
fn min_request_rate_answers_408_to_a_body_that_drips() {
    on_each("min_request_rate", |runtime| {
        let rate = |options: Options| options.min_request_rate(1000).rate_grace(SOON);
        let [with, without] = runtime.pair(rate, ECHO);
        let (mut usual, mut drips) = (busy(&without, 1000), busy(&with, 1_000_000));
        let mut dripping = drips.clone_stream();
        let (stop, stopped) = channel::<()>();
        let sender = thread::spawn(move || {
            while stopped.recv_timeout(SOON / 20).is_err() {
                // The server reads on after its answer.
                let _ = dripping.write_all(b"x");
            }
        });
        let answer = drips.answer();
        assert_eq!((answer.status, answer.closes()), (408, true), "{answer:?}");
        stop.send(()).expect("it still sends");
        sender.join().expect("no panic");
        usual.send([b'x'; 1000]);
        assert_eq!(usual.answer().body.len(), 1000);
    });
}

#[test]
fn min_response_rate_resets_a_client_that_does_not_read() {
    on_each("min_response_rate", |runtime| {
        let [with, without] = [Some(1000), None].map(|rate| {
            let options = quiet().log_output(true).min_response_rate(rate).rate_grace(SOON);
            let (options, entries) = Journal::keep(options);
            (runtime.serve(options, MUCH), entries)
        });
        let mut clients = [&without, &with].map(|(site, _)| {
            let mut client = site.connect_narrowly();
            client.send(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {MEBIBYTE}\r\n\r\n"));
            client.send(vec![b'x'; MEBIBYTE]);
            client
        });
        let (site, entries) = &with;
        let timed_out = |entry: &Entry| entry.text.contains(" timed out 127.0.0.1");
        eventually("the client is given up", || entries.of(Kind::Debug).iter().any(timed_out));
        site.comes_down_to(0);
        let [usual, left] = &mut clients;
        let mut rest = Vec::new();
        let _ = left.stream().read_to_end(&mut rest);
        assert!(rest.len() < 16 * MEBIBYTE, "all of it came");
        let answer = usual.answer();
        assert_eq!((answer.status, answer.body.len()), (200, 16 * MEBIBYTE));
    });
}

#[test]
fn rate_grace_is_how_long_a_client_may_be_slow() {
    on_each("rate_grace", |runtime| {
        let [long, short] =
            [LONG, SOON].map(|grace| runtime.serve(quiet().min_request_rate(1000).rate_grace(grace), ECHO));
        let (mut usual, mut slow) = (busy(&long, 10), busy(&short, 10));
        assert_eq!(slow.answer().status, 408);
        usual.send("helloworld");
        assert_eq!(usual.answer().text(), "helloworld");
    });
}

#[test]
fn header_timeout_answers_408() {
    on_each("header_timeout", |runtime| {
        let [with, without] = runtime.pair(|options| options.header_timeout(SOON), HELLO);
        let none = runtime.serve(quiet().header_timeout(SOON).header_timeout(None), HELLO);
        // The time starts with the first byte of a head: an idle client loses none of it.
        let mut idle = with.connect();
        assert_eq!(idle.get("/").status, 200);
        let mut clients = [&without, &none, &with].map(Site::connect);
        for client in &mut clients {
            client.send(HALF_A_HEAD);
        }
        let [usual, unbounded, late] = &mut clients;
        let answer = late.answer();
        assert_eq!((answer.status, answer.closes()), (408, true), "{answer:?}");
        for client in [usual, unbounded] {
            client.send(OTHER_HALF);
            assert_eq!(client.answer().status, 200);
        }
        assert_eq!(idle.get("/").status, 200);
    });
}

#[test]
fn linger_timeout_bounds_the_wait_for_an_unread_body() {
    on_each("linger_timeout", |runtime| {
        let [long, short] = [LONG, SOON].map(|time| runtime.serve(quiet().linger_timeout(time), HELLO));
        let mut clients = [&long, &short].map(Site::connect);
        for client in &mut clients {
            client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhello");
            let answer = client.answer();
            assert_eq!((answer.text(), answer.closes()), ("hello".into(), false));
        }
        let [waits, gives_up] = &mut clients;
        assert!(gives_up.ends());
        waits.send("worldGET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(
            waits.answer().text(),
            "hello",
            "the remaining body was dropped, and the connection kept open"
        );
    });
}

#[test]
fn linger_timeout_bounds_the_wait_after_the_last_answer() {
    on_each("linger_timeout", |runtime| {
        let [long, short] = [LONG, SOON].map(|time| runtime.serve(quiet().linger_timeout(time), HELLO));
        let mut clients = [&long, &short].map(Site::connect);
        for client in &mut clients {
            client.send("GET / HTTP/3.0\r\nHost: h\r\n\r\n");
            assert_eq!(client.answer().status, 505);
            assert!(client.ends(), "our half is closed");
        }
        // The clients could still send.
        short.comes_down_to(0);
        assert_eq!(long.handle().connections(), 1);
    });
}

#[test]
fn linger_limit_bounds_a_client_that_continues_to_send() {
    on_each("linger_limit", |runtime| {
        let [long, short] =
            [LONG, SOON].map(|time| runtime.serve(quiet().linger_timeout(LONG).linger_limit(time), HELLO));
        let mut clients = [&long, &short].map(Site::connect);
        for client in &mut clients {
            client.send("GET / HTTP/3.0\r\nHost: h\r\n\r\n");
            assert_eq!(client.answer().status, 505);
            assert!(client.ends(), "our half is closed");
            client.send("more");
        }
        short.comes_down_to(0);
        assert_eq!(long.handle().connections(), 1);
    });
}

#[test]
fn graceful_timeout_cuts_what_is_not_finished() {
    on_each("graceful_timeout", |runtime| {
        let [with, without] = runtime.pair(|options| options.graceful_timeout(SOON), ECHO);
        let (mut usual, mut late) = (busy(&without, 2), busy(&with, 2));
        for site in [&without, &with] {
            site.handle().shutdown();
        }
        assert_eq!(with.report(), Report { finished: 0, cut: 1 });
        late.try_answer().expect_err("it was cut");
        usual.send("hi");
        assert_eq!(usual.answer().text(), "hi", "it has more time");
        assert!(usual.ends());
        drop(usual);
        assert_eq!(without.report(), Report { finished: 1, cut: 0 });
    });
}
