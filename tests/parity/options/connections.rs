//! Options for the number of connections and their lifetime.

use std::time::Duration;

use wsgi_tests::live::SOON;

use super::site::{ECHO, HELLO, Serve as _, Site, busy, on_each, quiet};

/// Sends two requests on one connection. Returns whether it was kept open; if not, the first answer must announce it.
fn is_kept(site: &Site) -> bool {
    let mut client = site.connect();
    let first = client.get("/");
    if first.closes() {
        assert!(client.ends(), "the answer announced the close");
        return false;
    }
    assert_eq!(client.get("/").text(), "hello");
    true
}

#[test]
fn at_max_size_an_idle_connection_is_closed_for_a_new_one() {
    on_each("max_size", |runtime| {
        let [with, without] = runtime.pair(|options| options.max_size(1), HELLO);
        let mut clients = [&with, &without].map(Site::connect);
        for client in &mut clients {
            assert_eq!(client.get("/").text(), "hello");
        }
        let mut new = [&with, &without].map(Site::connect);
        for client in &mut new {
            assert_eq!(client.get("/").text(), "hello");
        }
        let [closing, stays] = &mut clients;
        assert!(closing.ends(), "there is room for one");
        assert_eq!(stays.get("/").text(), "hello");
        assert_eq!((with.handle().connections(), without.handle().connections()), (1, 2));
    });
}

#[test]
fn max_size_has_a_new_connection_wait_while_all_are_busy() {
    on_each("max_size", |runtime| {
        let [with, without] = runtime.pair(|options| options.max_size(1), ECHO);
        let mut busy = [&with, &without].map(|site| busy(site, 2));
        let mut new = [&with, &without].map(Site::connect);
        for client in &mut new {
            client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        }
        let [waits, second] = &mut new;
        assert_eq!(second.answer().status, 200);
        assert_eq!(without.handle().connections(), 2);
        // It was sent before the other request, which is answered.
        waits.stream().set_nonblocking(true).expect("a socket");
        waits.peek(&mut [0]).expect_err("there is no room for it yet");
        waits.stream().set_nonblocking(false).expect("a socket");
        assert_eq!((with.handle().connections(), with.handle().requests()), (1, 1));
        let [with, _] = &mut busy;
        with.send("hi");
        assert_eq!((with.answer().text(), waits.answer().status), ("hi".into(), 200));
    });
}

#[test]
#[allow(clippy::disallowed_methods, reason = "nothing may happen in this time")]
fn make_room_off_keeps_idle_connections_at_max_size() {
    on_each("make_room", |runtime| {
        for makes_room in [true, false] {
            let site = runtime.serve(quiet().max_size(1).make_room(makes_room), HELLO);
            let mut idle = site.connect();
            assert_eq!(idle.get("/").text(), "hello");
            let mut new = site.connect();
            new.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
            if makes_room {
                assert!(idle.ends(), "there is room for one");
            } else {
                // Longer than an idle connection would be left alone.
                std::thread::sleep(Duration::from_millis(700));
                assert!(!idle.get("/").closes());
                drop(idle);
            }
            assert_eq!(new.answer().text(), "hello");
        }
    });
}

#[test]
fn max_requests_closes_a_connection_after_its_last_response() {
    on_each("max_requests", |runtime| {
        let [with, without] = runtime.pair(|options| options.max_requests(3), HELLO);
        let mut clients = [&with, &without].map(Site::connect);
        for client in &mut clients {
            for _ in 0..2 {
                assert!(!client.get("/").closes());
            }
        }
        let [ends, stays] = &mut clients;
        assert!(ends.get("/").closes() && ends.ends(), "the third one is the last");
        assert!(!stays.get("/").closes());
        let one = runtime.serve(quiet().max_requests(1), HELLO);
        assert!(!is_kept(&one));
    });
}

#[test]
fn max_connection_age_closes_idle_and_busy_connections() {
    on_each("max_connection_age", |runtime| {
        let [with, without] = runtime.pair(|options| options.max_connection_age(SOON), ECHO);
        let mut usual = without.connect();
        assert_eq!(usual.get("/").status, 200);
        let mut busy = busy(&with, 2);
        let mut idle = with.connect();
        assert!(idle.ends(), "without a word");
        busy.send("hi");
        let answer = busy.answer();
        assert_eq!((answer.text().as_str(), answer.closes()), ("hi", true), "it may finish");
        assert!(busy.ends());
        assert_eq!(usual.get("/").status, 200, "as old as the others, and open");
    });
}

#[test]
fn keepalive_off_closes_after_one_response() {
    on_each("keepalive", |runtime| {
        let [with, without] = runtime.pair(|options| options.keepalive(false), HELLO);
        assert_eq!((is_kept(&with), is_kept(&without)), (false, true));
        let zero = runtime.serve(quiet().keepalive(Duration::ZERO), HELLO);
        assert!(!is_kept(&zero), "a time of zero switches it off");
    });
}

#[test]
fn keepalive_on_keeps_connections() {
    on_each("keepalive", |runtime| {
        // On is the default, so it is switched off first to show that the option has an effect.
        let options = || quiet().keepalive(false);
        let (off, on) = (runtime.serve(options(), HELLO), runtime.serve(options().keepalive(true), HELLO));
        assert_eq!((is_kept(&off), is_kept(&on)), (false, true));
        let unlimited = runtime.serve(options().keepalive(None), HELLO);
        assert!(is_kept(&unlimited), "no limit of the time is on");
    });
}

#[test]
fn keepalive_with_a_time_is_announced_to_a_client_that_requests_it() {
    on_each("keepalive", |runtime| {
        let change = |seconds| move |options: wsgi_tokio::Options| options.keepalive(seconds);
        let [with, without] = runtime.pair(change(Duration::from_secs(7)), HELLO);
        for version in ["1.0", "1.1"] {
            let keeps = format!("GET / HTTP/{version}\r\nHost: h\r\nConnection: keep-alive\r\n\r\n");
            let (answer, usual) = (with.ask(&keeps), without.ask(&keeps));
            assert_eq!(answer.field("Keep-Alive"), Some("timeout=7"), "{answer:?}");
            assert_eq!(usual.field("Keep-Alive"), None, "{usual:?}");
        }
        let answer = with.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(answer.field("Keep-Alive"), None, "not requested: {answer:?}");
        assert!(is_kept(&with));
    });
}

#[test]
fn keepalive_with_a_time_closes_idle_connections() {
    on_each("keepalive", |runtime| {
        let [with, without] = runtime.pair(|options| options.keepalive(SOON), ECHO);
        let mut usual = without.connect();
        assert_eq!(usual.get("/").status, 200);
        // The time within a request does not count as idle.
        let mut busy = busy(&with, 2);
        let (mut used, answer) = with.open("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(!answer.closes(), "it is kept open for some time");
        assert!(used.ends(), "without a message");
        assert!(with.connect().ends(), "even before the first request");
        busy.send("hi");
        assert_eq!(busy.answer().text(), "hi");
        assert!(busy.ends());
        assert_eq!(usual.get("/").status, 200, "as idle as the others, and open");
    });
}

#[test]
fn drain_backlog_serves_the_connections_that_are_not_accepted_at_a_stop() {
    on_each("drain_backlog", |runtime| {
        for (drains, makes_room) in [(true, true), (false, true), (true, false), (false, false)] {
            let options = quiet().max_size(1).make_room(makes_room).drain_backlog(drains);
            let site = runtime.serve(options, ECHO);
            let mut first = busy(&site, 2);
            // The server accepts one of them and has no room for it, where connections make room. The others stay in the queue.
            let mut waiting = [(); 3].map(|()| site.connect());
            waiting.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
            site.handle().shutdown();
            first.send("hi");
            assert!(first.answer().closes());
            drop(first);
            let served = waiting.map(|mut client| client.try_answer().is_ok_and(|answer| answer.closes()));
            let queued = usize::from(makes_room);
            assert!(
                served[queued..].iter().all(|served| *served == drains),
                "{drains} {makes_room} {served:?}"
            );
            assert_eq!(site.report().cut, 0);
        }
    });
}
