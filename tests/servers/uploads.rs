//! Uploads on every runtime: a body is the same however the application reads it, and requests behind it are whole.
#![cfg(unix)]

use std::future::{Future, poll_fn};
use std::io::{BufRead, Read};
use std::pin::{Pin, pin};

use smol::io::AsyncReadExt;
use wsgi_std::Input as BlockingInput;
use wsgi_tests::adapters::Running;
use wsgi_tests::caller::Caller;
use wsgi_tests::live::PATIENCE;
use wsgi_tests::runtimes::{Runtime, on_each};
use wsgi_tests::secure::trust;
use wsgi_tokio::{Body, Bytes, Input, Options, Result, application_fn};

const PLAIN: [(&str, &str); 1] = [("Content-Type", "text/plain")];

/// The ways to read. Each is a path.
const WAYS: [&str; 9] = ["chunk", "some", "into", "small", "read", "end", "lines", "trait", "mixed"];

/// Neither a multiple of a buffer nor of a chunk.
const LENGTH: usize = 1_000_003;

async fn read(input: &Input, way: &str) -> Result<Vec<u8>> {
    let (mut body, mut kept, mut space) = (Vec::new(), Vec::new(), vec![0; 64 * 1024]);
    let mut round = 0;
    loop {
        round += 1;
        let way = if way == "mixed" { WAYS[round % 8] } else { way };
        let bytes = match way {
            "chunk" => input.chunk().await?,
            "some" => input.read_some(50_000).await?,
            "into" => {
                let count = input.read_into(&mut space).await?;
                Bytes::copy_from_slice(&space[..count])
            }
            "small" => {
                let count = input.read_into(&mut space[..500]).await?;
                Bytes::copy_from_slice(&space[..count])
            }
            "read" => input.read(100_000).await?,
            "end" if round < 7 => input.read(10).await?,
            "end" => input.read_to_end().await?,
            "lines" => input.read_line(3000).await?,
            _ => {
                let count = AsyncReadExt::read(&mut input.clone(), &mut space).await?;
                Bytes::copy_from_slice(&space[..count])
            }
        };
        if bytes.is_empty() {
            // What arrived later has not touched the bytes that were kept.
            assert_eq!(kept.concat(), body);
            return Ok(body);
        }
        body.extend_from_slice(&bytes);
        kept.push(bytes);
    }
}

fn read_blocking(input: &mut BlockingInput, way: &str) -> Result<Vec<u8>> {
    let (mut body, mut kept, mut space) = (Vec::new(), Vec::new(), vec![0; 64 * 1024]);
    let mut round = 0;
    loop {
        round += 1;
        let way = if way == "mixed" { WAYS[round % 8] } else { way };
        let bytes = match way {
            "chunk" => BlockingInput::chunk(input)?,
            "some" => BlockingInput::read_some(input, 50_000)?,
            "into" => {
                let count = BlockingInput::read_into(input, &mut space)?;
                Bytes::copy_from_slice(&space[..count])
            }
            "small" => {
                let count = Read::read(input, &mut space[..500])?;
                Bytes::copy_from_slice(&space[..count])
            }
            "read" => BlockingInput::read(input, 100_000)?,
            "end" if round < 7 => BlockingInput::read(input, 10)?,
            "end" => BlockingInput::read_to_end(input)?,
            "lines" => {
                let shown = Bytes::copy_from_slice(input.fill_buf()?);
                // Bytes that are not consumed are shown again.
                let count = shown.len() - shown.len() / 3;
                input.consume(count);
                shown.slice(..count)
            }
            _ => {
                let count = Read::read(input, &mut space)?;
                Bytes::copy_from_slice(&space[..count])
            }
        };
        if bytes.is_empty() {
            assert_eq!(kept.concat(), body);
            return Ok(body);
        }
        body.extend_from_slice(&bytes);
        kept.push(bytes);
    }
}

/// A server that reads the body in the way that the path names, and answers with it.
fn serve(runtime: Runtime, encrypted: bool) -> Running {
    let application = application_fn(|environ, start| async move {
        let body = read(&environ.input(), environ.path().trim_start_matches('/')).await?;
        start.start("200 OK", PLAIN)?;
        Ok(body.into())
    });
    let blocking = wsgi_std::application_fn(|environ, start| {
        let body = read_blocking(&mut environ.input(), environ.path().trim_start_matches('/'))?;
        start.start("200 OK", PLAIN)?;
        Ok(Body::from(body))
    });
    let tls = encrypted.then(|| &trust().server);
    runtime.begin(tls, Options::default().log_output(false), application, blocking)
}

fn body() -> Vec<u8> {
    (0..LENGTH).map(|at| (at % 253) as u8).collect()
}

fn request(way: &str, chunk: Option<usize>, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("POST /{way} HTTP/1.1\r\nHost: h\r\n").into_bytes();
    match chunk {
        None => {
            bytes.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
            bytes.extend(body);
        }
        Some(size) => {
            bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
            for chunk in body.chunks(size) {
                bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
                bytes.extend([chunk, b"\r\n"].concat());
            }
            bytes.extend(b"0\r\n\r\n");
        }
    }
    bytes
}

fn stop(running: &Running) {
    running.handle.shutdown();
    running.ended.recv_timeout(PATIENCE).expect("it stops").expect("the listener is sound");
}

#[test]
fn a_body_is_the_same_however_it_is_read() {
    on_each("uploads", |runtime| {
        let running = serve(runtime, false);
        let sent = body();
        for chunk in [None, Some(1000), Some(16_384), Some(300_000)] {
            let mut client = Caller::connect(running.address);
            // All requests are sent ahead, so that the next one follows each body immediately.
            let mut sending = client.clone_stream();
            let requests: Vec<u8> = WAYS.iter().flat_map(|way| request(way, chunk, &sent)).collect();
            let sender = std::thread::spawn(move || std::io::Write::write_all(&mut sending, &requests));
            for way in WAYS {
                let answer = client.answer();
                assert_eq!((answer.status, answer.body == sent), (200, true), "{way} in chunks of {chunk:?}");
            }
            sender.join().expect("no panic").expect("the server reads");
        }
        stop(&running);
    });
}

#[test]
fn a_body_that_arrives_in_small_parts_is_the_same_however_it_is_read() {
    on_each("slow uploads", |runtime| {
        let running = serve(runtime, false);
        let sent = &body()[..40_000];
        for (way, chunk) in WAYS.into_iter().flat_map(|way| [(way, None), (way, Some(7000))]) {
            let mut client = Caller::connect(running.address);
            for part in request(way, chunk, sent).chunks(3100) {
                client.send(part);
                std::thread::yield_now();
            }
            assert!(client.answer().body == sent, "{way} in chunks of {chunk:?}");
        }
        stop(&running);
    });
}

#[test]
fn a_body_over_tls_is_the_same_however_it_is_read() {
    on_each("uploads over TLS", |runtime| {
        let running = serve(runtime, true);
        let sent = body();
        for (way, chunk) in WAYS.into_iter().flat_map(|way| [(way, None), (way, Some(20_000))]) {
            let mut client = Caller::secure(running.address);
            client.send(request(way, chunk, &sent));
            assert!(client.answer().body == sent, "{way} in chunks of {chunk:?}");
        }
        stop(&running);
    });
}

#[test]
fn a_reading_future_that_is_dropped_loses_no_bytes() {
    on_each("dropped reads", |runtime| {
        let application = application_fn(|environ, start| async move {
            let input = environ.input();
            let (mut body, mut space, mut round) = (Vec::new(), vec![0; 64 * 1024], 0);
            loop {
                // Each poll is that of another future, which is dropped after it.
                let part = poll_fn(|context| {
                    round += 1;
                    let mut chunk = pin!(input.chunk());
                    let mut into = pin!(async {
                        let count = input.read_into(&mut space).await?;
                        Ok(Bytes::copy_from_slice(&space[..count]))
                    });
                    let mut part: [Pin<&mut dyn Future<Output = Result<Bytes, _>>>; 2] =
                        [chunk.as_mut(), into.as_mut()];
                    part[round % 2].as_mut().poll(context)
                });
                let part: Bytes = part.await?;
                if part.is_empty() {
                    break;
                }
                body.extend_from_slice(&part);
            }
            start.start("200 OK", PLAIN)?;
            Ok(body.into())
        });
        // A blocking read cannot be dropped.
        let blocking = wsgi_std::application_fn(|environ, start| {
            let body = read_blocking(&mut environ.input(), "mixed")?;
            start.start("200 OK", PLAIN)?;
            Ok(Body::from(body))
        });
        let running = runtime.begin(None, Options::default().log_output(false), application, blocking);
        let sent = body();
        for chunk in [None, Some(9000)] {
            let mut client = Caller::connect(running.address);
            let bytes = request("", chunk, &sent);
            for part in bytes.chunks(50_000) {
                client.send(part);
                std::thread::yield_now();
            }
            assert!(client.answer().body == sent);
        }
        stop(&running);
    });
}
