//! A graceful stop in every state of an encrypted connection.

use std::io::{Read, Write};

use wsgi_tests::caller::Caller;
use wsgi_tests::secure::{Stream, greeting, trust};
use wsgi_tests::uninterrupted::uninterrupted;
use wsgi_tokio::rustls::version::TLS12;

use super::application::pattern;
use super::on_every_runtime;
use super::site::{GET, NEVER, Runtime, Site, options};

on_every_runtime! {
    a_stop_during_a_handshake_ends_soon_and_cuts_nothing
    requests_in_flight_are_finished
    a_large_answer_in_flight_is_finished
    a_request_that_was_sent_before_the_stop_is_served
}

fn a_stop_during_a_handshake_ends_soon_and_cuts_nothing(runtime: Runtime) {
    let site = Site::with(runtime, options().handshake_timeout(NEVER));
    let greeting = greeting();
    let mut stalled = [&[], &greeting[..20], &greeting[..]].map(|sent| {
        let mut socket = site.plain().clone_stream();
        socket.write_all(sent).expect("there is room");
        socket
    });
    site.counts(3);
    let report = site.stop();
    assert_eq!((report.finished, report.cut), (3, 0));
    for socket in &mut stalled {
        let mut heard = Vec::new();
        socket.read_to_end(&mut heard).expect("an end without a reset");
    }
    site.is_at_peace();
}

fn requests_in_flight_are_finished(runtime: Runtime) {
    let site = Site::new(runtime);
    let (mut wait, mut half) = (site.connect(), site.connect());
    wait.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
    half.send("GET /half HTTP/1.1\r\nHost: h\r\n\r\n");
    // One client has sent a part of its body, and one is in the middle of a record.
    let (mut body, record) = (site.connect(), site.connect());
    body.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbo");
    site.runs(3);
    uninterrupted(|| half.stream().socket().peek(&mut [0])).expect("its head was sent");
    let sealed = record.stream().seal(GET);
    { record.stream().socket() }.write_all(&sealed[..10]).expect("there is room");
    site.handle().shutdown();
    body.send("dy");
    site.common.gate.add_permits(2);
    let answer = wait.answer();
    assert_eq!((answer.text().as_str(), answer.closes()), ("waited", true));
    assert_eq!(half.answer().text(), "half whole");
    assert_eq!(body.answer().text(), "body");
    assert!(wait.ends() && half.ends() && body.ends());
    drop((wait, half, body, record));
    assert_eq!(site.ended().cut, 0);
}

fn a_large_answer_in_flight_is_finished(runtime: Runtime) {
    const LENGTH: usize = 8_000_000;
    let site = Site::new(runtime);
    let mut client = site.connect();
    client.send(format!("GET /large/{LENGTH} HTTP/1.1\r\nHost: h\r\n\r\n"));
    uninterrupted(|| client.stream().socket().peek(&mut [0])).expect("it begins");
    site.handle().shutdown();
    assert!(client.answer().body == pattern(0, LENGTH));
    assert!(client.ends());
    drop(client);
    assert_eq!(site.ended().cut, 0);
}

fn a_request_that_was_sent_before_the_stop_is_served(runtime: Runtime) {
    const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody";
    for round in 0..50 {
        let site = Site::new(runtime);
        // In this version the server's handshake completes before the client's.
        let socket = site.plain().clone_stream();
        let stream = Stream::shake_hands(socket, &trust().client_of(&[&TLS12]), usize::MAX);
        let mut client = Caller::new(stream.expect("it shakes hands"));
        // Whole, or at most one byte of it.
        let (before, after) = POST.split_at(if round % 2 == 0 { POST.len() } else { 1 });
        client.send(before);
        site.handle().shutdown();
        client.send(after);
        let answer = client.try_answer();
        let answer = answer.unwrap_or_else(|error| panic!("in round {round}: {error}"));
        assert_eq!(answer.text(), "body");
        assert!(client.ends());
        drop(client);
        assert_eq!(site.ended().cut, 0);
    }
}
