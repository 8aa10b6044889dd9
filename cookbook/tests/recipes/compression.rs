use std::io::Read;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use flate2::read::GzDecoder;
use futures_core::Stream;
use wsgi_tests::caller::{Answer, Caller};
use wsgi_tests::program::Program;
use wsgi_tokio::{Body, Bytes};

#[path = "../../src/bin/compression.rs"]
#[allow(dead_code, reason = "its `main` is for the program")]
mod program;

fn ask(client: &mut Caller, path: &str, accepted: &str) -> Answer {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\nAccept-Encoding: {accepted}\r\n\r\n"));
    client.answer()
}

fn decoded(answer: &Answer) -> String {
    let mut text = String::new();
    GzDecoder::new(&answer.body[..]).read_to_string(&mut text).expect("gzip");
    text
}

#[test]
fn a_text_is_compressed_for_clients_that_accept_it() {
    let recipe = Program::start(env!("CARGO_BIN_EXE_compression"));
    let mut client = recipe.connect();
    let page = "Hello\n".repeat(1000);
    for accepted in
        ["gzip", "deflate, GZIP;q=0.5", "*", "br, x-gzip", "gzip;q=1, identity; q=0.5", "identity;q=0, *"]
    {
        let answer = ask(&mut client, "/", accepted);
        assert_eq!(answer.field("Content-Encoding"), Some("gzip"), "{accepted}");
        assert_eq!(answer.field("Content-Length"), Some(&*answer.body.len().to_string()));
        assert!(answer.body.len() < 200, "{}", answer.body.len());
        assert_eq!(answer.field("ETag"), Some("W/\"1\""));
        assert_eq!(answer.field("Vary"), Some("Accept-Encoding"));
        assert_eq!(decoded(&answer), page);
    }
    for accepted in [
        "",
        "identity",
        "br",
        "gzip;q=0",
        "gzip;q=0, *",
        "*;q=0",
        "gzip;q=0.2, identity",
        "gzip;q=x",
        "gzip;q=nan",
    ] {
        let answer = ask(&mut client, "/", accepted);
        assert_eq!(answer.field("Content-Encoding"), None, "{accepted}");
        assert_eq!((answer.field("ETag"), answer.field("Vary")), (Some("\"1\""), Some("Accept-Encoding")));
        assert_eq!(answer.text(), page);
    }
    // A HEAD has the fields of the GET, and no body.
    client.send("HEAD / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n");
    let head = client.answer();
    assert_eq!((head.field("Content-Encoding"), head.body.len()), (Some("gzip"), 0), "{}", head.head);
    recipe.stop();
}

#[test]
fn what_is_small_compressed_or_a_part_stays_as_it_is() {
    let recipe = Program::start(env!("CARGO_BIN_EXE_compression"));
    let mut client = recipe.connect();
    for (path, status, vary) in [
        ("/small", 200, None),
        ("/image", 200, None),
        // The whole page is compressed.
        ("/range", 206, Some("Accept-Encoding")),
        ("/other", 404, None),
    ] {
        let answer = ask(&mut client, path, "gzip");
        assert_eq!((answer.status, answer.field("Content-Encoding")), (status, None), "{path}");
        assert_eq!(answer.field("Vary"), vary, "{path}");
    }
    recipe.stop();
}

#[test]
fn other_bodies_are_compressed_as_they_arrive() {
    let recipe = Program::start(env!("CARGO_BIN_EXE_compression"));
    let mut client = recipe.connect();
    let large = ask(&mut client, "/large", "gzip");
    assert_eq!(large.field("Transfer-Encoding"), Some("chunked"));
    assert_eq!(decoded(&large), "0123456789abcdef".repeat(1 << 16));

    // The first line can be read before the second is there.
    client.send("GET /log HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n");
    let mut received = Vec::new();
    while !received.ends_with(b"\r\n\r\n") {
        received.extend(client.bytes(1));
    }
    assert!(received.windows(14).any(|text| text == b"Encoding: gzip"));
    let (mut compressed, mut text) = (Vec::new(), Vec::new());
    while !text.starts_with(b"line 1\n") {
        compressed.extend(chunk(&mut client));
        text.clear();
        // It has not ended, so reading all of it fails.
        let _ = GzDecoder::new(&compressed[..]).read_to_end(&mut text);
    }
    assert_eq!(text, b"line 1\n");
    while let block = chunk(&mut client)
        && !block.is_empty()
    {
        compressed.extend(block);
    }
    text.clear();
    GzDecoder::new(&compressed[..]).read_to_end(&mut text).expect("gzip");
    assert_eq!(text, b"line 1\nline 2\nline 3\n");

    // A body that fails does not look whole, neither to HTTP nor to gzip.
    let cut = ask(&mut client, "/cut", "gzip");
    assert!(cut.status == 500 || !cut.whole, "{}", cut.head);
    recipe.stop();
}

#[test]
fn a_body_that_is_always_ready_leaves_other_tasks_their_turn() {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    let blocks = (0..256).map(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(Bytes::from(vec![0; 64 * 1024]))
    });
    let mut gzip = pin!(program::Gzip::new(Body::iterator(blocks)));
    // So many zeros are a small block of gzip, so nothing else ends the first poll.
    let poll = gzip.as_mut().poll_next(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(poll, Poll::Pending));
    assert_eq!(taken.load(Ordering::Relaxed), 4);
    while !matches!(gzip.as_mut().poll_next(&mut Context::from_waker(Waker::noop())), Poll::Ready(None)) {}
    assert_eq!(taken.load(Ordering::Relaxed), 256);
}

/// The next chunk; empty at the end.
#[expect(clippy::disallowed_methods, reason = "the server sends no `+`")]
fn chunk(client: &mut Caller) -> Vec<u8> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.extend(client.bytes(1));
    }
    let size = String::from_utf8(line).expect("text");
    let size = usize::from_str_radix(size.trim(), 16).expect("a size");
    let mut block = client.bytes(size + 2);
    block.truncate(size);
    block
}
