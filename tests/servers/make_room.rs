//! `make_room(false)`: no connection is closed for a new one, on every runtime.
//!
//! Where nothing may happen, a test waits longer than a connection would have before it makes room. A machine that is slower
//! only makes that wait longer.
#![cfg(unix)]

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use wsgi_tests::adapters::{self, Running};
use wsgi_tests::caller::Caller;
use wsgi_tests::echo::listen::Bound;
use wsgi_tests::live::eventually;
use wsgi_tests::runtimes::{Runtime, on_each};
use wsgi_tokio::{Body, Options, Result, application_fn};

const GET: &str = "GET /early HTTP/1.1\r\nHost: h\r\n\r\n";

/// After this time, every connection that waits for its client could have made room.
const LONG_ENOUGH: Duration = Duration::from_millis(700);

/// A server that greets and keeps its connections, with room for `max_size`, and a duplicate of its listener.
fn greeting(runtime: Runtime, max_size: usize) -> (Running, TcpListener) {
    let options = Options::default().log_output(false).max_size(max_size).make_room(false);
    let application = application_fn(|_, start| async move {
        start.start("200 OK", [("Content-Type", "text/plain")])?;
        Ok(Body::from("served"))
    });
    let blocking = |_: wsgi_std::Environ, start: wsgi_std::StartResponse| -> Result<Body> {
        start.start("200 OK", [("Content-Type", "text/plain")])?;
        Ok(Body::from("served"))
    };
    let Ok(Bound::Tcp(listener)) = adapters::bind() else { panic!("no port is free") };
    let duplicate = listener.try_clone().expect("it is a socket");
    (runtime.begin_on(Bound::Tcp(listener), None, options, application, blocking), duplicate)
}

fn client(address: SocketAddr, begins: &str) -> Caller {
    let mut client = Caller::connect(address);
    client.send(begins);
    client
}

/// Whether the server has neither sent anything nor closed the connection.
fn waits(client: &Caller) -> bool {
    let stream = client.stream();
    stream.set_nonblocking(true).expect("a socket");
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).expect("a socket");
    matches!(peeked, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

#[test]
#[allow(clippy::disallowed_methods, reason = "nothing may happen in this time")]
fn without_it_new_clients_wait_until_a_connection_ends() {
    on_each("nobody makes room", |runtime| {
        let (running, _listener) = greeting(runtime, 3);
        let mut idle = Caller::connect(running.address);
        assert!(!idle.get("/").closes());
        let mut half = client(running.address, &GET[..9]);
        let silent = Caller::connect(running.address);
        eventually("they are accepted", || running.handle.connections() == 3);
        let mut new = [(); 3].map(|()| client(running.address, GET));
        thread::sleep(LONG_ENOUGH);
        assert!(new.iter().chain([&idle, &half, &silent]).all(waits), "nobody is served or closed");
        assert_eq!(running.handle.connections(), 3);
        // Although others are waiting, these may come back.
        half.send(&GET[9..]);
        assert!(!half.answer().closes());
        assert!(!idle.get("/").closes());
        drop(silent);
        let served = || new.iter().filter(|client| !waits(client)).count();
        eventually("there is a place", || served() == 1);
        drop((idle, half));
        for client in &mut new {
            assert_eq!(client.answer().text(), "served");
        }
    });
}

#[test]
#[allow(clippy::disallowed_methods, reason = "nothing may happen in this time")]
fn clients_that_wait_can_be_accepted_by_another_process() {
    on_each("another process", |runtime| {
        let (running, listener) = greeting(runtime, 1);
        let mut idle = Caller::connect(running.address);
        assert_eq!(idle.get("/").text(), "served");
        let new = client(running.address, GET);
        thread::sleep(LONG_ENOUGH);
        let (_stream, remote) = listener.accept().expect("the server has left it in the queue");
        assert_eq!(remote, new.stream().local_addr().expect("it is connected"));
        assert_eq!(idle.get("/").text(), "served");
    });
}

#[test]
#[allow(clippy::disallowed_methods, reason = "nothing may happen in this time")]
fn clients_that_wait_at_a_stop_stay_in_the_queue_until_there_is_a_place() {
    on_each("a stop while nobody makes room", |runtime| {
        let (running, listener) = greeting(runtime, 1);
        // The stop waits for the rest of this request.
        let mut half = client(running.address, &GET[..9]);
        eventually("it is accepted", || running.handle.connections() == 1);
        let new = client(running.address, GET);
        running.handle.shutdown();
        // Longer than the stop waits for places.
        thread::sleep(Duration::from_millis(1500));
        listener.set_nonblocking(true).expect("a socket");
        let (_stream, remote) = listener.accept().expect("the server has left it in the queue");
        assert_eq!(remote, new.stream().local_addr().expect("it is connected"));
        half.send(&GET[9..]);
        assert!(half.answer().closes());
    });
}

/// With a program, since the limit applies to a whole process.
#[cfg(target_os = "linux")]
#[test]
#[allow(clippy::disallowed_methods, reason = "nothing may happen in this time")]
fn without_descriptors_new_clients_wait_as_well() {
    use crate::program::Program;

    on_each("no descriptors, and nobody makes room", |runtime| {
        let program = Program::start(runtime, "--make-room false");
        // As if the application had opened files: the server does not know of it.
        let limit = program.descriptors() + 40;
        program.run("prlimit", &[&format!("--nofile={limit}:{limit}"), "--pid"]);
        let mut silent: Vec<_> = (0..60).map(|_| Caller::connect(program.address)).collect();
        // One is left when the queue is empty, for the next connection.
        eventually("descriptors run out", || program.descriptors() >= limit - 1);
        let mut new = client(program.address, GET);
        thread::sleep(LONG_ENOUGH);
        assert!(silent.iter().chain([&new]).all(waits), "nobody is served or closed");
        // Those that are before it in the queue need places, too.
        silent.clear();
        assert_eq!(new.answer().status, 200);
        drop(new);
        program.signal("-TERM");
        let log = program.log();
        assert!(log.contains("cannot accept connections"), "{log}");
    });
}
