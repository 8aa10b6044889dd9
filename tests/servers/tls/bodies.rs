//! Large bodies, while the peer has no room.

use std::io::Write;
use std::sync::mpsc::sync_channel;
use std::thread;

use wsgi_std::{Environ, Result, StartResponse};
use wsgi_tests::caller::Caller;
use wsgi_tests::secure::{Stream, narrow, trust};
use wsgi_tokio::Body;

use super::application::pattern;
use super::on_every_runtime;
use super::site::{Runtime, Site};

on_every_runtime! {
    eight_megabytes_go_there_and_back_to_a_client_that_reads_slowly
    bodies_go_both_ways_at_a_time
    a_client_that_sends_bit_by_bit_while_it_is_answered_is_answered_whole
    an_early_answer_reaches_a_client_that_reads_only_after_its_upload
}

fn post(path: &str, length: usize) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n")
}

/// A client with a small buffer.
fn slow(site: &Site) -> Caller<Stream> {
    let socket = narrow(site.address(), 4 * 1024);
    Caller::new(Stream::shake_hands(socket, &trust().client, usize::MAX).expect("it shakes hands"))
}

/// The bytes before the body of an answer; the body has the length that was sent.
fn take_head(client: &mut Caller<Stream>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(client.bytes(1));
    }
    assert!(head.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", String::from_utf8_lossy(&head));
}

fn eight_megabytes_go_there_and_back_to_a_client_that_reads_slowly(runtime: Runtime) {
    const LENGTH: usize = 8_000_000;
    let site = Site::new(runtime);
    let (mut client, mut other) = (slow(&site), site.connect());
    client.send(post("/", LENGTH));
    client.send(pattern(0, LENGTH));
    take_head(&mut client);
    for (turn, from) in (0..LENGTH).step_by(40_000).enumerate() {
        assert!(client.bytes(40_000) == pattern(from, 40_000), "from {from} on");
        // Other clients are served each time, so that the server has found no room and waits.
        if turn % 8 == 0 {
            assert_eq!(other.get("/").status, 200);
        }
    }
    assert_eq!(client.get("/").status, 200);
}

fn bodies_go_both_ways_at_a_time(runtime: Runtime) {
    const LENGTH: usize = 8_000_000;
    let site = Site::new(runtime);
    let mut client = slow(&site);
    let mut sending = client.stream().clone();
    thread::scope(|scope| {
        scope.spawn(|| {
            sending.write_all(post(&format!("/back/{LENGTH}"), LENGTH).as_bytes()).expect("it reads");
            sending.write_all(&pattern(0, LENGTH)).expect("it reads");
        });
        take_head(&mut client);
        for from in (0..LENGTH).step_by(40_000) {
            assert!(client.bytes(40_000) == pattern(from, 40_000), "from {from} on");
        }
    });
    assert_eq!(client.get("/").status, 200);
}

fn a_client_that_sends_bit_by_bit_while_it_is_answered_is_answered_whole(runtime: Runtime) {
    const LENGTH: usize = 3_000_000;
    // When it finds no room, the server reads parts of records, which yield no plaintext.
    let site = Site::new(runtime);
    let mut client = slow(&site);
    client.send(format!("GET /large/{LENGTH} HTTP/1.1\r\nHost: h\r\n\r\n"));
    let stream = client.stream().clone();
    thread::scope(|scope| {
        scope.spawn(|| {
            let records = [stream.seal(post("/", 10_000)), stream.seal(pattern(0, 10_000))].concat();
            for byte in records.chunks(1) {
                { stream.socket() }.write_all(byte).expect("it reads");
            }
        });
        assert!(client.answer().body == pattern(0, LENGTH));
    });
    assert_eq!(client.answer().body, pattern(0, 10_000));
}

fn an_early_answer_reaches_a_client_that_reads_only_after_its_upload(runtime: Runtime) {
    // More than the system's buffers on both sides hold.
    const UPLOAD: usize = 8_000_000;
    let site = Site::new(runtime);
    let mut client = site.connect();
    client.send(post("/scheme", UPLOAD));
    for part in vec![b'x'; UPLOAD].chunks(100_000) {
        client.send(part);
    }
    let answer = client.answer();
    assert_eq!((answer.status, answer.whole), (200, true));
    assert!(client.ends());
}

#[test]
fn two_threads_read_and_write_one_exchange_at_a_time() {
    const LENGTH: usize = 8_000_000;
    // A second thread writes back the received bytes, more than all buffers in between can hold.
    let site = Site::blocking(|environ: Environ, start: StartResponse| -> Result<Body> {
        let write = start.start("200 OK", [("Content-Length", LENGTH.to_string())])?;
        let (send, receive) = sync_channel::<Vec<u8>>(1);
        let writer = thread::spawn(move || {
            receive.iter().try_for_each(|block| write.write(block)).map_err(|error| error.to_string())
        });
        let input = environ.input();
        loop {
            let block = input.read_some(10_000)?;
            if block.is_empty() {
                break;
            }
            send.send(block.to_vec())?;
        }
        drop(send);
        writer.join().map_err(|_| "the writer panicked")??;
        Ok(Body::empty())
    });
    let mut client = slow(&site);
    let mut sending = client.stream().clone();
    thread::scope(|scope| {
        scope.spawn(|| {
            sending.write_all(post("/", LENGTH).as_bytes()).expect("it reads");
            sending.write_all(&pattern(0, LENGTH)).expect("it reads");
        });
        take_head(&mut client);
        for from in (0..LENGTH).step_by(40_000) {
            assert!(client.bytes(40_000) == pattern(from, 40_000), "from {from} on");
        }
    });
    site.is_at_peace();
}
