//! Connections that the application has taken over, which stay encrypted.

use std::io::{ErrorKind, Write};
use std::thread;
use std::time::Duration;

use socket2::SockRef;
use wsgi_std::{Body, Environ, Result, StartResponse};
use wsgi_tests::caller::Caller;
use wsgi_tests::live::eventually;
use wsgi_tests::secure::{Stream, narrow, trust};

use super::application::pattern;
use super::on_every_runtime;
use super::site::{Runtime, Site};

const UPGRADE: &str = "GET /upgrade HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
const SWITCHES: [(&str, &str); 2] = [("Upgrade", "echo"), ("Connection", "upgrade")];

on_every_runtime! {
    a_stream_that_was_taken_goes_both_ways_and_ends_with_close_notify
    a_taken_stream_reports_a_client_that_vanishes
}

fn a_stream_that_was_taken_goes_both_ways_and_ends_with_close_notify(runtime: Runtime) {
    const LENGTH: usize = 3_000_000;
    let site = Site::new(runtime);
    for early in ["", "early", "GET / HTTP/1.1\r\nHost: h\r\n\r\n"] {
        let mut client = site.connect();
        // Early bytes, in the same record and in the next one of the same segment.
        let mut records = client.stream().seal(format!("{UPGRADE}{early}"));
        records.extend(client.stream().seal("more"));
        { client.stream().socket() }.write_all(&records).expect("there is room");
        assert_eq!(client.answer().status, 101);
        assert_eq!(client.bytes(early.len() + 4), [early, "more"].concat().as_bytes());
        for line in ["one", "GET / HTTP/1.1\r\n\r\n", "\0\u{1}"] {
            client.send(line);
            assert_eq!(client.bytes(line.len()), line.as_bytes());
        }
        let (mut sending, body) = (client.stream().clone(), pattern(0, LENGTH));
        thread::scope(|scope| {
            scope.spawn(|| sending.write_all(&body).expect("it reads"));
            assert!(client.bytes(LENGTH) == body);
        });
        client.stream().close_notify().expect("there is room");
        assert!(client.ends());
    }
    eventually("they ended", || site.common.records().len() == 3);
    site.counts(0);
    site.is_at_peace();
}

fn a_taken_stream_reports_a_client_that_vanishes(runtime: Runtime) {
    let site = Site::new(runtime);
    for reset in [false, true] {
        let mut client = site.connect();
        client.send(format!("{UPGRADE}a"));
        assert_eq!(client.answer().status, 101);
        assert_eq!(client.bytes(1), b"a");
        if reset {
            SockRef::from(client.stream().socket()).set_linger(Some(Duration::ZERO)).expect("a socket");
        }
        drop(client);
        let mut ended = Vec::new();
        eventually("the stream ends", || {
            ended.extend(site.common.ended());
            !ended.is_empty()
        });
        let wanted = if reset { ErrorKind::ConnectionReset } else { ErrorKind::UnexpectedEof };
        assert_eq!(ended.remove(0).expect_err("it ended without close_notify").kind(), wanted);
    }
    site.counts(0);
    site.is_at_peace();
}

#[test]
fn two_threads_may_write_to_one_taken_stream() {
    const LENGTH: usize = 2_000_000;
    let site = Site::blocking(|environ: Environ, start: StartResponse| -> Result<Body> {
        start.start("101 Switching Protocols", SWITCHES)?;
        let stream = environ.input().take_over()?;
        let write = |letter: u8, size: usize| {
            let part = vec![letter; size];
            (0..LENGTH / size).try_for_each(|_| (&stream).write_all(&part))
        };
        let ends = thread::scope(|scope| {
            [scope.spawn(|| write(b'a', 100_000)), scope.spawn(|| write(b'b', 100))]
                .map(|thread| thread.join())
        });
        for end in ends {
            end.map_err(|_| "a write claims more than it was passed")??;
        }
        stream.shutdown()?;
        Ok(Body::empty())
    });
    let socket = narrow(site.address(), 4 * 1024);
    let stream = Stream::shake_hands(socket, &trust().client, usize::MAX).expect("it shakes hands");
    let mut client = Caller::new(stream);
    client.send(UPGRADE);
    assert_eq!(client.answer().status, 101);
    let all = client.bytes(2 * LENGTH);
    assert!(client.ends());
    // No byte is duplicated or missing.
    for letter in [b'a', b'b'] {
        assert_eq!(all.iter().filter(|byte| **byte == letter).count(), LENGTH);
    }
}
