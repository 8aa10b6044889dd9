//! Clients that read slowly, under a `socket_timeout`: one that reads steadily is served whole, and one that takes nothing
//! is cut. The buffers of the system decide this, so it is tested over sockets.
#![cfg(unix)]

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime::Runtime;
use wsgi_tests::adapters::{Adapter, AsyncStd, Running, Smol, Tls, Tokio, start_std_with};
use wsgi_tests::caller::Caller;
use wsgi_tests::live::{Journal, PATIENCE};
use wsgi_tests::secure::{Stream, trust};
use wsgi_tests::uninterrupted::uninterrupted;
use wsgi_tokio::{Body, Environ, Options, Result, StartResponse};

/// Much shorter than the time that the client takes to read a third of 4 MB. Linux has send buffers of 4 MB, and reports
/// room when a third is free.
const TIMEOUT: Duration = Duration::from_millis(1500);
const SLOW: Duration = Duration::from_secs(3);
const RATE: f64 = 400_000.0;

const BLOCK: usize = 64 * 1024;
const BLOCKS: usize = 128;

fn headers() -> [(&'static str, String); 2] {
    [("Content-Type", "text/plain".into()), ("Content-Length", (BLOCKS * BLOCK).to_string())]
}

fn body() -> Body {
    let block = Bytes::from(vec![b'x'; BLOCK]);
    Body::iterator((0..BLOCKS).map(move |_| Ok(block.clone())))
}

async fn site(_: Environ, start_response: StartResponse) -> Result<Body> {
    start_response.start("200 OK", headers())?;
    Ok(body())
}

fn blocking_site(_: wsgi_std::Environ, start_response: wsgi_std::StartResponse) -> Result<Body> {
    start_response.start("200 OK", headers())?;
    Ok(body())
}

type Start = fn(Tls<'_>, Options) -> Running;

const RUNTIMES: [(&str, Start); 5] = [
    ("tokio", |tls, options| {
        // The runtime lives as long as the test program.
        let runtime = Box::leak(Box::new(Tokio(Runtime::new().expect("threads are available"))));
        runtime.start_with(tls, options, site).expect("there is a port")
    }),
    ("smol", |tls, options| Smol.start_with(tls, options, site).expect("there is a port")),
    ("async-std", |tls, options| AsyncStd.start_with(tls, options, site).expect("there is a port")),
    ("smol, blocking", |tls, options| {
        Smol.start_with(tls, options, wsgi_smol::blocking(blocking_site)).expect("there is a port")
    }),
    ("std", |tls, options| start_std_with(tls, options, blocking_site).expect("there is a port")),
];

/// Runs `check` on every runtime, plain and over TLS, at the same time.
fn everywhere(check: impl Fn(&str, Box<dyn ReadWrite>, &Journal) + Sync) {
    thread::scope(|scope| {
        for (name, start) in RUNTIMES {
            for encrypted in [false, true] {
                let check = &check;
                scope.spawn(move || {
                    let name = format!("{name}{}", if encrypted { ", TLS" } else { "" });
                    let options = Options::default().debug(false).socket_timeout(TIMEOUT);
                    let (options, journal) = Journal::keep(options);
                    let running = start(encrypted.then_some(&trust().server), options);
                    let mut stream: Box<dyn ReadWrite> = if encrypted {
                        Box::new(Stream::connect(running.address))
                    } else {
                        Box::new(Caller::connect(running.address).clone_stream())
                    };
                    stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").expect("the server reads");
                    check(&name, stream, &journal);
                    running.handle.shutdown();
                    running.ended.recv_timeout(PATIENCE).expect("it stops").expect("it stops cleanly");
                });
            }
        }
    });
}

trait ReadWrite: Read + Write {}
impl<S: Read + Write> ReadWrite for S {}

#[test]
fn a_client_that_reads_slowly_but_steadily_is_served_whole() {
    everywhere(|name, mut stream, journal| {
        let (begun, mut read, mut space) = (Instant::now(), 0, vec![0; 1 << 20]);
        while begun.elapsed() < SLOW {
            let due = (begun.elapsed().as_secs_f64() * RATE) as usize;
            while read < due {
                let most = (due - read).min(space.len());
                read += uninterrupted(|| stream.read(&mut space[..most])).unwrap_or_else(|error| {
                    panic!("{name}: {read} bytes after {:?}, {error}, {journal:?}", begun.elapsed())
                });
            }
            thread::park_timeout(Duration::from_millis(10));
        }
        // Whether the connection was cut shows at its end.
        while read < BLOCKS * BLOCK {
            match uninterrupted(|| stream.read(&mut space)) {
                Ok(0) | Err(_) => break,
                Ok(count) => read += count,
            }
        }
        assert!(read >= BLOCKS * BLOCK, "{name}: {read} bytes, head included, of {} arrived", BLOCKS * BLOCK);
        drop(stream);
        assert_eq!(journal.accesses(1)[0].body_length, (BLOCKS * BLOCK) as u64, "{name}");
    });
}

#[test]
fn a_client_that_takes_nothing_is_cut() {
    everywhere(|name, stream, journal| {
        let begun = Instant::now();
        let record = &journal.accesses(1)[0];
        assert!(begun.elapsed() >= TIMEOUT, "{name}: cut after {:?}", begun.elapsed());
        assert!(record.body_length < (BLOCKS * BLOCK) as u64, "{name}: {}", record.body_length);
        drop(stream);
    });
}

/// With programs, since a signal stops a whole process.
#[cfg(target_os = "linux")]
#[test]
#[allow(clippy::disallowed_methods, reason = "a process is stopped until its deadline has passed")]
fn room_that_came_in_time_counts_although_the_process_was_stopped() {
    use wsgi_tests::runtimes::on_each;

    use crate::program::Program;

    const SIZE: usize = 32 << 20;
    on_each("late writes", |runtime| {
        let program = Program::start(runtime, "--socket-timeout 1");
        let mut client = Caller::connect(program.address);
        client.send(format!("GET /big?n={SIZE} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
        // The server writes until there is no room.
        thread::sleep(Duration::from_millis(300));
        program.signal("-STOP");
        let (mut stream, mut read, mut space) = (client.clone_stream(), 0, vec![0; 1 << 20]);
        stream.set_read_timeout(Some(Duration::from_millis(100))).expect("a socket");
        while let Ok(count) = uninterrupted(|| stream.read(&mut space)) {
            read += count;
        }
        assert!(read < SIZE, "all of it fits into the buffers of the system");
        thread::sleep(Duration::from_millis(1000));
        program.signal("-CONT");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        loop {
            match uninterrupted(|| stream.read(&mut space)) {
                Ok(0) => break,
                Ok(count) => read += count,
                Err(error) => panic!("{error} after {read} bytes"),
            }
        }
        assert!(read > SIZE, "{read} bytes, head included");
    });
}
