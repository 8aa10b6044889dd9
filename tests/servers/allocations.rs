//! A request on a warm connection allocates nothing, with an application whose future needs no box.
//!
//! `allocation_counter` replaces the allocator of the whole process and counts per thread. So this file is a separate
//! process, and the server runs on the thread that is measured.

use std::future::Future;
use std::io::{self, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, channel};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Instant;

use tokio::sync::Notify;
use wsgi_app::adapter::raw::{Raw, RawRequest};
use wsgi_app::adapter::{Blocking, BlockingTransport, Server, serve_blocking};
use wsgi_app::{Address, Endpoints, ServerHandle, blocking};
use wsgi_tokio::{Body, Environ, Options, Result, StartResponse};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const ROUNDS: usize = 100;

async fn hello(environ: Environ, start_response: StartResponse) -> Result<Body> {
    assert_eq!(environ.path(), "/");
    start_response.start("200 OK", [("Content-Type", "text/plain")])?;
    Ok("Hello, World!".into())
}

fn hello_blocking(environ: blocking::Environ, start_response: blocking::StartResponse) -> Result<Body> {
    assert_eq!(environ.path(), "/");
    start_response.start("200 OK", [("Content-Type", "text/plain")])?;
    Ok("Hello, World!".into())
}

fn hello_raw(request: &RawRequest) -> Result<Body> {
    assert_eq!(request.head().path(), b"/");
    let headers = [("Content-Type", "text/plain")];
    let sent = request.with(|mut exchange| exchange.answer("200 OK", headers, "Hello, World!"));
    sent.expect("the exchange is open")?;
    Ok(Body::empty())
}

/// A client that sends [`ROUNDS`] requests, one after the other, each time it is notified.
fn client(address: SocketAddr, rounds: Receiver<()>, done: &Notify) {
    let mut socket = TcpStream::connect(address).expect("the server listens");
    let mut answer = [0; 1024];
    while rounds.recv().is_ok() {
        for _ in 0..ROUNDS {
            socket.write_all(REQUEST).expect("the server reads");
            let count = socket.read(&mut answer).expect("the server answers");
            assert!(answer[..count].ends_with(b"Hello, World!"), "{}", answer[..count].escape_ascii());
        }
        done.notify_one();
    }
}

#[test]
fn a_request_on_a_warm_connection_of_tokio_allocates_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let server = wsgi_tokio::Server::new(listener, hello).options(Options::default().log_output(false));
    let serving = runtime.spawn(server.serve());
    let (begin, rounds) = channel();
    let done = Arc::new(Notify::new());
    let told = Arc::clone(&done);
    let client = thread::spawn(move || client(address, rounds, &told));
    let play = || {
        begin.send(()).expect("the client waits");
        runtime.block_on(done.notified());
    };
    play();
    let counted = allocation_counter::measure(play);
    // The channel to the client allocates now and then, but not for each request.
    assert!(counted.count_total < ROUNDS as u64 / 10, "{counted:?}");
    drop(begin);
    client.join().expect("each answer was right");
    serving.abort();
}

/// A client of a blocking application, in memory. It sends a request each time it is allowed to.
struct Memory {
    allowed: Arc<AtomicUsize>,
}

impl BlockingTransport for Memory {
    fn read(&self, space: &mut [u8]) -> io::Result<usize> {
        if self.allowed.load(Relaxed) == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.allowed.fetch_sub(1, Relaxed);
        space[..REQUEST.len()].copy_from_slice(REQUEST);
        Ok(REQUEST.len())
    }

    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let answer = slices.last().expect("none is empty");
        assert!(answer.ends_with(b"Hello, World!"), "{}", answer.escape_ascii());
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }

    fn shutdown(&self) -> io::Result<()> {
        Ok(())
    }

    fn cut(&self) {}

    fn leave(&self) {}

    fn remind(&self, _: Instant) {}

    fn wait(&self, _: bool, _: bool, _: Option<Instant>) -> io::Result<()> {
        Ok(())
    }

    fn waker(&self) -> Waker {
        Waker::noop().clone()
    }
}

#[test]
fn a_request_on_a_warm_connection_of_a_blocking_application_allocates_nothing() {
    allocates_nothing(hello_blocking);
    allocates_nothing(Raw::new(hello_raw));
}

fn allocates_nothing(application: impl blocking::Application) {
    let allowed = Arc::new(AtomicUsize::new(0));
    let options = Options::default().log_output(false);
    let server = Server::new(options, &ServerHandle::new(), Blocking(application)).expect("defaults");
    let guard = server.admit(Endpoints::new(Address::Local, Address::Local));
    let memory = Memory { allowed: Arc::clone(&allowed) };
    let mut connection = pin!(serve_blocking(server, guard, memory));
    let mut play = || {
        for _ in 0..ROUNDS {
            allowed.store(1, Relaxed);
            let polled = connection.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert_eq!((polled, allowed.load(Relaxed)), (Poll::Pending, 0));
        }
    };
    play();
    let counted = allocation_counter::measure(play);
    assert_eq!(counted.count_total, 0, "{counted:?}");
}
