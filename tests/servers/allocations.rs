//! A request on a warm connection allocates nothing, with an application whose future needs no box.
//!
//! `allocation_counter` replaces the allocator of the whole process and counts per thread. So this file is a separate
//! process, and the server runs on the thread that is measured.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
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
use tower_service::Service;
use wsgi_app::adapter::raw::{Raw, RawRequest};
use wsgi_app::adapter::{Blocking, BlockingTransport, Server, serve_blocking};
use wsgi_app::{Address, Endpoints, ServerHandle, blocking};
use wsgi_tests::uninterrupted::uninterrupted;
use wsgi_tokio::{Application, Body, Environ, Input, Options, StartResponse, tower};

/// `http` does not know the name of its second field.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nX-Custom: b\r\n\r\n";
const ROUNDS: usize = 100;

async fn hello(environ: Environ, start_response: StartResponse) -> wsgi_tokio::Result<Body> {
    assert_eq!(environ.path(), "/");
    start_response.start("200 OK", [("Content-Type", "text/plain")])?;
    Ok("Hello, World!".into())
}

fn hello_blocking(
    environ: blocking::Environ,
    start_response: blocking::StartResponse,
) -> wsgi_tokio::Result<Body> {
    assert_eq!(environ.path(), "/");
    start_response.start("200 OK", [("Content-Type", "text/plain")])?;
    Ok("Hello, World!".into())
}

fn hello_raw(request: &RawRequest) -> wsgi_tokio::Result<Body> {
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
            let count = uninterrupted(|| socket.read(&mut answer)).expect("the server answers");
            assert!(answer[..count].ends_with(b"Hello, World!"), "{}", answer[..count].escape_ascii());
        }
        done.notify_one();
    }
}

#[test]
fn a_request_on_a_warm_connection_of_tokio_allocates_nothing() {
    // The channel to the client allocates now and then, but not for each request.
    let counted = allocations_on_tokio(hello);
    assert!(counted < ROUNDS as u64 / 10, "{counted}");
}

/// A service, with one field in its responses.
#[derive(Clone)]
struct Hello;

impl Service<http::Request<Input>> for Hello {
    type Response = http::Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Input>) -> Self::Future {
        assert_eq!((request.uri().path(), request.headers().len()), ("/", 2));
        let mut response = http::Response::new("Hello, World!".into());
        response.headers_mut().insert("content-type", http::HeaderValue::from_static("text/plain"));
        ready(Ok(response))
    }
}

#[test]
fn a_request_of_a_service_allocates_only_what_the_types_of_http_need() {
    // The service: its text, and two for the map of its response, which serves the next request. The request: the owner of
    // the shared head; the extensions, their table, and the box of the environ. The response: the box of its body.
    const NEEDED: u64 = 3 + 4 + 1;
    let counted = allocations_on_tokio(tower(Hello));
    assert!(counted < (NEEDED * ROUNDS as u64) + ROUNDS as u64 / 10, "{counted}");
}

fn allocations_on_tokio(application: impl Application) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let server = wsgi_tokio::Server::new(listener, application).options(Options::default().log_output(false));
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
    drop(begin);
    client.join().expect("each answer was right");
    serving.abort();
    counted.count_total
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
