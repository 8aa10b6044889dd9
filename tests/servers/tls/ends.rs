//! How encrypted connections end, from either side.

use std::io::Write;
use std::net::Shutdown;
use std::thread;
use std::time::Duration;

use socket2::SockRef;
use wsgi_tests::caller::Caller;
use wsgi_tests::live::{Kind, SOON, eventually};
use wsgi_tests::secure::{Stream, narrow, trust};
use wsgi_tests::uninterrupted::uninterrupted;
use wsgi_tokio::Lost;
use wsgi_tokio::rustls::version::{TLS12, TLS13};

use super::application::pattern;
use super::on_every_runtime;
use super::site::{GET, Runtime, Site, options};

on_every_runtime! {
    the_environ_says_https_in_both_versions_of_tls
    an_answer_that_closes_ends_with_close_notify
    an_answer_is_not_given_up_while_its_last_bytes_wait_to_be_encrypted_and_sent
    an_idle_connection_ends_with_close_notify_when_its_time_is_over
    a_stop_ends_idle_connections_with_close_notify
    after_its_close_notify_a_client_is_still_answered
    a_close_notify_while_the_answer_is_written_cuts_nothing
    a_client_that_vanishes_anywhere_disturbs_no_other
    a_body_that_ends_without_close_notify_is_not_whole
    the_record_has_what_was_sent_to_a_client_that_disconnects
}

fn the_environ_says_https_in_both_versions_of_tls(runtime: Runtime) {
    let site = Site::new(runtime);
    for version in [&TLS12, &TLS13] {
        let socket = site.plain().clone_stream();
        let stream = Stream::shake_hands(socket, &trust().client_of(&[version]), usize::MAX);
        let mut client = Caller::new(stream.expect("they have a version in common"));
        for _ in 0..3 {
            let answer = client.get("/scheme");
            assert_eq!(answer.text(), r#"[Some("https"), Some("on"), Some("HTTP/1.1")]"#);
        }
        // A large body passes through the session many times.
        assert_eq!(client.get("/large/300000").body, pattern(0, 300_000), "{version:?}");
    }
    let started = site.journal.first(Kind::Info, "starting up");
    assert!(started.ends_with(&format!("https://{}", site.address())), "{started}");
}

fn an_answer_that_closes_ends_with_close_notify(runtime: Runtime) {
    let site = Site::new(runtime);
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 200),
        ("GET / HTTP/1.0\r\n\r\n", 200),
        ("GET /large/1000000 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 200),
        ("GET /error HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 500),
        ("POST /error HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n", 500),
        ("no request\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 400),
    ] {
        let mut client = site.connect();
        client.send(request);
        let answer = client.answer();
        assert_eq!((answer.status, answer.whole), (status, true), "{request:?}");
        assert!(client.ends(), "{request:?}");
    }
}

/// The client reads the answer slowly, and takes longer than the closing handshake may take.
fn an_answer_is_not_given_up_while_its_last_bytes_wait_to_be_encrypted_and_sent(runtime: Runtime) {
    const LINGER: Duration = Duration::from_millis(20);
    let site = Site::narrow(runtime, options().linger_timeout(LINGER));
    // For some of these sizes rustls holds the last bytes when the system's buffers are full.
    let clients: Vec<_> = (1..16)
        .map(|step| {
            let length = step * 8000;
            let socket = narrow(site.address(), 4096);
            let stream = Stream::shake_hands(socket, &trust().client, usize::MAX).expect("it shakes hands");
            let mut client = Caller::new(stream);
            // Chunked, so that it is complete without close_notify, which may not find room in time.
            client.send(format!("GET /large/{length} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
            (length, client)
        })
        .collect();
    thread::park_timeout(20 * LINGER);
    for (length, mut client) in clients {
        let answer = client.try_answer().unwrap_or_else(|error| panic!("{length}: {error}"));
        assert!(answer.whole && answer.body == pattern(0, length), "{length}: only {}", answer.body.len());
    }
    site.is_at_peace();
}

fn an_idle_connection_ends_with_close_notify_when_its_time_is_over(runtime: Runtime) {
    let site = Site::with(runtime, options().keepalive(SOON));
    let (mut fresh, mut used) = (site.connect(), site.connect());
    assert_eq!(used.get("/").status, 200);
    assert!(fresh.ends() && used.ends());
    site.journal.first(Kind::Debug, "timed out");
    site.is_at_peace();
}

fn a_stop_ends_idle_connections_with_close_notify(runtime: Runtime) {
    let site = Site::new(runtime);
    let (mut fresh, mut used) = (site.connect(), site.connect());
    assert_eq!(used.get("/").status, 200);
    // The client's handshake completes a little before the server's.
    assert_eq!(fresh.get("/").status, 200);
    site.handle().shutdown();
    assert!(fresh.ends() && used.ends());
    drop((fresh, used));
    let report = site.ended();
    assert_eq!((report.finished, report.cut), (2, 0));
}

fn after_its_close_notify_a_client_is_still_answered(runtime: Runtime) {
    let site = Site::new(runtime);
    // All three in one segment: two requests, and close_notify.
    let mut client = site.connect();
    let stream = client.stream().clone();
    let mut sent = stream.seal(GET.repeat(2));
    sent.extend(stream.farewell());
    { stream.socket() }.write_all(&sent).expect("there is room");
    assert_eq!(client.answer().status, 200);
    assert_eq!(client.answer().status, 200);
    assert!(client.ends());
    // close_notify arrives while the application has the request.
    let mut client = site.connect();
    client.send("GET /half HTTP/1.1\r\nHost: h\r\n\r\n");
    site.runs(1);
    client.stream().close_notify().expect("there is room");
    site.common.gate.add_permits(1);
    let answer = client.answer();
    assert_eq!((answer.text().as_str(), answer.whole), ("half whole", true));
    assert!(client.ends());
    site.is_at_peace();
}

fn a_close_notify_while_the_answer_is_written_cuts_nothing(runtime: Runtime) {
    const LENGTH: usize = 8_000_000;
    let site = Site::new(runtime);
    let socket = narrow(site.address(), 16 * 1024);
    let stream = Stream::shake_hands(socket, &trust().client, usize::MAX).expect("it shakes hands");
    let mut client = Caller::new(stream);
    client.send(format!("GET /large/{LENGTH} HTTP/1.1\r\nHost: h\r\n\r\n"));
    // No system buffers that much: the server is writing.
    uninterrupted(|| client.stream().socket().peek(&mut [0])).expect("the answer begins");
    client.stream().close_notify().expect("there is room");
    let answer = client.answer();
    assert!(answer.body == pattern(0, LENGTH), "{} bytes", answer.body.len());
    assert!(client.ends());
    let record = site.record();
    assert_eq!((record.lost, record.body_length), (None, LENGTH as u64));
}

fn a_client_that_vanishes_anywhere_disturbs_no_other(runtime: Runtime) {
    let site = Site::new(runtime);
    let post = "POST /back/1000 HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n0123456789";
    for reset in [false, true] {
        for sent in ["", "G", &post[..20], post, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n", GET] {
            let mut client = site.connect();
            client.send(sent);
            if sent.contains("/wait") {
                site.runs(1);
            }
            vanish(client.stream(), reset);
            site.common.gate.add_permits(usize::from(sent.contains("/wait")));
            drop(client);
            site.counts(0);
        }
        // In the middle of a record.
        let client = site.connect();
        let record = client.stream().seal(GET);
        let mut socket = client.stream().socket();
        socket.write_all(&record[..record.len() - 1]).expect("there is room");
        vanish(client.stream(), reset);
        drop(client);
        site.counts(0);
        // While the answer is written.
        let mut client = site.connect();
        client.send("GET /large/100000000 HTTP/1.1\r\nHost: h\r\n\r\n");
        client.bytes(1);
        vanish(client.stream(), reset);
        drop(client);
        site.counts(0);
    }
    site.serves();
    site.is_at_peace();
}

/// Ends without close_notify.
fn vanish(stream: &Stream, reset: bool) {
    if reset {
        SockRef::from(stream.socket()).set_linger(Some(Duration::ZERO)).expect("a socket");
    } else {
        let _ = stream.socket().shutdown(Shutdown::Write);
    }
}

fn a_body_that_ends_without_close_notify_is_not_whole(runtime: Runtime) {
    let site = Site::new(runtime);
    for request in [
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n1234",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n1234\r\n",
    ] {
        let mut client = site.connect();
        client.send(request);
        site.runs(1);
        client.stream().socket().shutdown(Shutdown::Write).expect("it is open");
        let answer = client.try_answer();
        assert!(answer.as_ref().map_or(true, |answer| answer.status != 200), "{answer:?}");
        drop(client);
        site.counts(0);
    }
    eventually("both are over", || site.common.records().len() == 2);
    for record in site.common.records() {
        assert!(record.lost.is_some(), "{record:?}");
    }
}

fn the_record_has_what_was_sent_to_a_client_that_disconnects(runtime: Runtime) {
    const READ: u64 = 1_000_000;
    /// The most that the system may hold for both sides beyond the bytes read, plus the TLS session.
    const BUFFERS: u64 = 16_000_000 + (1 << 20);
    let site = Site::new(runtime);
    let socket = narrow(site.address(), 64 * 1024);
    let stream = Stream::shake_hands(socket, &trust().client, usize::MAX).expect("it shakes hands");
    let mut client = Caller::new(stream);
    client.send("GET /large/100000000 HTTP/1.1\r\nHost: h\r\n\r\n");
    client.bytes(READ as usize);
    drop(client);
    let record = site.record();
    assert!(matches!(record.lost, Some(Lost::Reset | Lost::BrokenPipe)), "{record:?}");
    assert_eq!(record.status, 200);
    assert!((READ..READ + BUFFERS).contains(&record.response_length), "{record:?}");
    assert!(record.body_length > 0 && record.body_length < record.response_length, "{record:?}");
    assert_eq!(site.journal.accesses(1)[0].lost, record.lost);
    site.is_at_peace();
    site.counts(0);
}
