//! Which connections make room for new ones, and what a stop owes to connections that are not accepted yet, on every
//! runtime.
#![cfg(unix)]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use wsgi_tests::adapters::Running;
use wsgi_tests::caller::Caller;
use wsgi_tests::live::{NOT_HELD_UP, eventually};
use wsgi_tests::runtimes::{Runtime, on_each};
use wsgi_tokio::{Body, Options, Result, application_fn};

const GET: &str = "GET /early HTTP/1.1\r\nHost: h\r\n\r\n";

/// How long a connection may wait before it has to make room.
const HALF_A_SECOND: Duration = Duration::from_millis(500);

/// How long a head may take while others can make room.
const HEAD_PATIENCE: Duration = Duration::from_secs(2);

/// A server that greets, with room for `max_size` connections.
fn greeting(runtime: Runtime, max_size: usize) -> Running {
    let options = Options::default().log_output(false).max_size(max_size);
    let application = application_fn(|_, start| async move {
        start.start("200 OK", [("Content-Type", "text/plain")])?;
        Ok(Body::from("served"))
    });
    let blocking = |_: wsgi_std::Environ, start: wsgi_std::StartResponse| -> Result<Body> {
        start.start("200 OK", [("Content-Type", "text/plain")])?;
        Ok(Body::from("served"))
    };
    runtime.begin(None, options, application, blocking)
}

/// Connects without waiting to be accepted.
fn come(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the queue has room");
    stream.set_nonblocking(true).expect("a socket");
    stream
}

/// Begins a request.
fn begin(address: SocketAddr) -> Caller {
    let mut client = Caller::connect(address);
    client.send(&GET[..9]);
    client
}

/// Sends the rest of a request that [`begin`] has begun, and returns whether it was refused. If it was not refused before,
/// that may happen just now.
fn is_refused(client: &mut Caller) -> bool {
    let refused = has_input(client.stream());
    let rest = &GET.as_bytes()[9..];
    let answer =
        if refused || client.stream().write_all(rest).is_ok() { client.try_answer() } else { return true };
    match answer {
        Ok(answer) if answer.status == 200 => false,
        Ok(answer) => {
            assert_eq!((answer.status, answer.closes()), (408, true));
            true
        }
        Err(error) => {
            assert!(!refused, "{error}");
            true
        }
    }
}

fn has_input(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket");
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).expect("a socket");
    peeked.is_ok()
}

fn is_closed(mut stream: &TcpStream) -> bool {
    !matches!(stream.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the clients wait until they may make room")]
fn silent_connections_make_room_before_heads_that_are_late() {
    const HONEST: usize = 24;
    on_each("late heads among silent clients", |runtime| {
        let running = greeting(runtime, 64);
        eventually("the rest of each head is sent in time", || {
            let begun = Instant::now();
            let mut honest: Vec<_> = (0..HONEST).map(|_| begin(running.address)).collect();
            eventually("they are accepted", || running.handle.connections() == HONEST);
            // More than there is room for, twice over: the heads are the oldest connections.
            let silent: Vec<_> = (0..128).map(|_| come(running.address)).collect();
            thread::sleep(HALF_A_SECOND + Duration::from_millis(100));
            let closed = || silent.iter().filter(|stream| is_closed(stream)).count();
            eventually("silent connections make room", || closed() > 0);
            let ends = |client: &mut Caller| client.stream().write_all(&GET.as_bytes()[9..]).is_ok();
            let sent = honest.iter_mut().filter_map(|client| ends(client).then_some(())).count();
            let in_time = begun.elapsed() < HEAD_PATIENCE;
            let served = honest.iter_mut().filter_map(|client| client.try_answer().ok());
            let served = served.filter(|answer| answer.status == 200).count();
            assert!(!in_time || (sent, served) == (HONEST, HONEST), "{sent} were sent, {served} were served");
            drop((honest, silent));
            eventually("they are closed", || running.handle.connections() == 0);
            in_time
        });
    });
}

#[test]
fn heads_alone_do_not_keep_others_out() {
    on_each("half heads in every place", |runtime| {
        let running = greeting(runtime, 8);
        // One client needs room. On a busy machine a connection may take too long to close, and then another one closes,
        // too: so this may need several tries.
        eventually("one of them makes room, and the others are served", || {
            let mut heads: Vec<_> = (0..8).map(|_| begin(running.address)).collect();
            eventually("they are accepted", || running.handle.connections() == 8);
            let begun = Instant::now();
            assert_eq!(Caller::connect(running.address).get("/").text(), "served");
            assert!(begun.elapsed() < NOT_HELD_UP, "{:?}", begun.elapsed());
            let refused = heads.iter_mut().filter_map(|client| is_refused(client).then_some(())).count();
            assert!(refused > 0);
            drop(heads);
            eventually("they are closed", || running.handle.connections() == 0);
            refused == 1
        });
    });
}

/// With programs, since signals and limits apply to a whole process.
#[cfg(target_os = "linux")]
mod programs {
    use super::*;
    use crate::program::Program;

    #[test]
    fn a_stop_serves_the_connections_in_the_queue_of_its_listener() {
        const CLIENTS: usize = 100;
        on_each("a queue at a stop", |runtime| {
            let program = Program::start(runtime, "");
            // The signal to stop and the connections arrive together.
            program.signal("-STOP");
            let mut clients: Vec<_> = (0..CLIENTS)
                .map(|_| {
                    let mut client = Caller::connect(program.address);
                    client.send(GET);
                    client
                })
                .collect();
            program.signal("-TERM");
            program.signal("-CONT");
            let lost: Vec<_> = clients
                .iter_mut()
                .filter_map(|client| client.try_answer().map(|answer| assert_eq!(answer.status, 200)).err())
                .collect();
            assert!(lost.is_empty(), "{lost:?}");
            drop(clients);
            let log = program.log();
            assert!(log.contains("100 finished and 0 cut"), "{log}");
        });
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "the clients wait until they may make room")]
    fn without_descriptors_a_waiting_connection_makes_room() {
        on_each("no descriptors", |runtime| {
            let program = Program::start(runtime, "");
            // As if the application had opened files: the server does not know of it.
            let limit = program.descriptors() + 40;
            program.run("prlimit", &[&format!("--nofile={limit}:{limit}"), "--pid"]);
            let silent: Vec<_> = (0..120).map(|_| come(program.address)).collect();
            // One is left when the queue is empty, for the next connection.
            eventually("descriptors run out", || program.descriptors() >= limit - 1);
            thread::sleep(HALF_A_SECOND);
            for _ in 0..3 {
                let begun = Instant::now();
                let mut client = Caller::connect(program.address);
                assert_eq!(client.get("/early").status, 200);
                // Beside silent clients that were before it in the queue, and do not make room one after the other.
                assert!(begun.elapsed() < NOT_HELD_UP, "{:?}", begun.elapsed());
            }
            drop(silent);
            program.signal("-TERM");
            let log = program.log();
            assert_eq!(log.matches("cannot accept connections").count(), 1, "{log}");
        });
    }
}
