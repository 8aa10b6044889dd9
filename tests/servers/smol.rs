//! Tests of `wsgi-smol` only: streams of any kind, executors, the listeners of two runtimes. The table of exchanges
//! tests the common behaviour of all adapters.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use smol::channel::unbounded;
use smol::io::{AsyncRead, AsyncWrite};
use smol::stream;
use smol::{Async, Executor};
use wsgi_smol::{
    Address, Application, Body, Duplex, Endpoints, Environ, IntoListener, Listener, Options, Report, Result,
    Server, StartResponse,
};
use wsgi_tests::live::PATIENCE;
use wsgi_tests::uninterrupted::uninterrupted;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const ELSEWHERE: Endpoints = Endpoints::new(Address::Local, Address::Local);

async fn hello(_: Environ, start_response: StartResponse) -> Result<Body> {
    start_response.start("200 OK", [("Content-Type", "text/plain")])?;
    Ok("hello".into())
}

fn server(listener: impl IntoListener) -> Server<impl Application> {
    Server::new(listener, hello).options(Options::default().log_output(false))
}

/// Serves on its own thread.
fn run(serving: impl Future<Output = io::Result<Report>> + Send + 'static) -> Receiver<io::Result<Report>> {
    let (tell, ended) = channel();
    std::thread::spawn(move || tell.send(smol::block_on(serving)));
    ended
}

fn free_port() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    (listener, address)
}

fn ask(mut stream: impl Read + Write) {
    stream.write_all(REQUEST).expect("the server reads");
    take_answer(stream);
}

fn take_answer(mut stream: impl Read) {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the server answers");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nhello"), "{answer}");
}

/// A stream of an unknown type that only reads and writes, with a count of its reads.
struct Plain {
    stream: smol::net::TcpStream,
    reads: Arc<AtomicUsize>,
}

impl Duplex for Plain {}

impl AsyncRead for Plain {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        space: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_read(context, space)
    }
}

impl AsyncWrite for Plain {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(context)
    }
}

/// Both ends of a connection.
fn pair() -> (TcpStream, Plain) {
    let (listener, address) = free_port();
    let client = TcpStream::connect(address).expect("the server listens");
    let (stream, _) = listener.accept().expect("a client has connected");
    let stream = stream.try_into().expect("the reactor has room");
    (client, Plain { stream, reads: Arc::default() })
}

#[test]
fn a_foreign_stream_is_served_in_a_box() {
    let (client, stream) = pair();
    let boxed: Box<dyn Foreign> = Box::new(stream.stream);
    let server = server(Listener::incoming(stream::once(Ok((boxed, ELSEWHERE)))));
    let handle = server.handle();
    let ended = run(server.serve());
    ask(client);
    handle.shutdown();
    ended.recv_timeout(PATIENCE).unwrap().unwrap();
}

trait Foreign: AsyncRead + AsyncWrite + Unpin + Send {}

impl Foreign for smol::net::TcpStream {}

#[test]
fn a_stream_that_cannot_tell_whether_it_is_readable_is_not_asked_in_circles() {
    let (mut client, stream) = pair();
    let reads = Arc::clone(&stream.reads);
    let server = server(Listener::incoming(stream::once(Ok((stream, ELSEWHERE)))));
    let handle = server.handle();
    let ended = run(server.serve());
    for _ in 0..10 {
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nhello") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
    }
    let reads = reads.load(Ordering::Relaxed);
    assert!(reads < 50, "{reads} reads for ten requests");
    handle.shutdown();
    ended.recv_timeout(PATIENCE).unwrap().unwrap();
}

#[test]
fn an_error_of_one_connection_ends_nothing_and_one_of_the_listener_does() {
    let errors = [io::ErrorKind::ConnectionAborted, io::ErrorKind::InvalidInput];
    let (mut client, stream) = pair();
    // The error stops the server, which still reads the bytes that have arrived by then.
    client.write_all(REQUEST).unwrap();
    let connections = [Err(errors[0].into()), Ok((stream, ELSEWHERE)), Err(errors[1].into())];
    let ended = run(server(Listener::incoming(stream::iter(connections))).serve());
    take_answer(client);
    assert_eq!(ended.recv_timeout(PATIENCE).unwrap().unwrap_err().kind(), errors[1]);
}

#[test]
fn a_signal_stops_the_server() {
    let ((listener, address), (stop, stopped)) = (free_port(), unbounded::<()>());
    let server = server(Async::new(listener).unwrap());
    let ended = run(server.serve_until(async move { stopped.recv().await }));
    ask(TcpStream::connect(address).unwrap());
    stop.send_blocking(()).unwrap();
    assert_eq!(ended.recv_timeout(PATIENCE).unwrap().unwrap().cut, 0);
}

#[test]
fn connections_run_on_the_executor_that_was_given() {
    let ((listener, address), executor) = (free_port(), Arc::new(Executor::new()));
    let server = server(Async::new(listener).unwrap()).pool(Arc::clone(&executor));
    let handle = server.handle();
    let ended = run(server.serve());
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    stream.write_all(REQUEST).unwrap();
    assert!(uninterrupted(|| stream.read(&mut [0])).is_err(), "it is not running yet");
    let (stop, stopped) = unbounded::<()>();
    std::thread::scope(|scope| {
        scope.spawn(|| smol::block_on(executor.run(stopped.recv())));
        ask(TcpStream::connect(address).unwrap());
        handle.shutdown();
        drop(stream);
        ended.recv_timeout(PATIENCE).unwrap().unwrap();
        drop(stop);
    });
}

#[test]
fn one_server_accepts_on_listeners_of_both_runtimes() {
    let ((one, one_address), (other, other_address)) = (free_port(), free_port());
    let one = smol::net::TcpListener::try_from(one).unwrap();
    // Other owners of the listener continue.
    let (kept, other) = (other.try_clone().unwrap(), async_std::net::TcpListener::from(other));
    let server = server(one.clone()).listener(other);
    let handle = server.handle();
    let ended = run(server.serve());
    for _ in 0..3 {
        ask(TcpStream::connect(one_address).unwrap());
        ask(TcpStream::connect(other_address).unwrap());
    }
    assert_eq!(handle.addresses(), [one_address, other_address]);
    handle.shutdown();
    ended.recv_timeout(PATIENCE).unwrap().unwrap();
    let _waiting = (TcpStream::connect(one_address).unwrap(), TcpStream::connect(other_address).unwrap());
    smol::block_on(one.accept()).unwrap();
    kept.set_nonblocking(false).unwrap();
    kept.accept().unwrap();
}

#[cfg(unix)]
#[test]
fn unix_sockets_of_both_runtimes_are_served() {
    use std::os::unix::net::{UnixListener, UnixStream};

    let folder = std::env::temp_dir().join(format!("wsgi-smol-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (one, other) = (folder.join("one"), folder.join("other"));
    let listener = async_std::os::unix::net::UnixListener::from(UnixListener::bind(&other).unwrap());
    let server = server(Async::<UnixListener>::bind(&one).unwrap()).listener(listener);
    let handle = server.handle();
    let ended = run(server.serve());
    ask(UnixStream::connect(&one).unwrap());
    ask(UnixStream::connect(&other).unwrap());
    handle.shutdown();
    ended.recv_timeout(PATIENCE).unwrap().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn connections_are_accepted_on_an_executor_whose_tasks_never_rest() {
    // The root future of an executor is polled after 200 tasks, 2 s here.
    const BUSY: Duration = Duration::from_millis(10);
    let (listener, address) = free_port();
    let (executor, polls) = (Arc::new(Executor::new()), Arc::new(AtomicUsize::new(0)));
    let server = server(Async::new(listener).expect("a socket")).pool(Arc::clone(&executor));
    let handle = server.handle();
    let counted = Arc::clone(&polls);
    let busy = executor.spawn(async move {
        loop {
            counted.fetch_add(1, Ordering::Relaxed);
            let end = Instant::now() + BUSY;
            while Instant::now() < end {
                std::hint::spin_loop();
            }
            smol::future::yield_now().await;
        }
    });
    let root = Arc::clone(&executor);
    let ended = run(async move { root.run(server.serve()).await });
    for _ in 0..3 {
        let before = polls.load(Ordering::Relaxed);
        ask(TcpStream::connect(address).expect("it listens"));
        let between = polls.load(Ordering::Relaxed) - before;
        assert!(between < 100, "{between} tasks ran before the answer");
    }
    drop(busy);
    handle.shutdown();
    ended.recv_timeout(PATIENCE).expect("it stops").expect("it stops cleanly");
}

#[test]
fn a_stop_needs_no_thread_of_the_pool() {
    let (listener, _) = free_port();
    // No thread runs it.
    let executor = Arc::new(Executor::new());
    let server = server(Async::new(listener).expect("a socket")).pool(executor);
    let handle = server.handle();
    let ended = run(server.serve());
    handle.shutdown();
    ended.recv_timeout(PATIENCE).expect("it stops").expect("it stops cleanly");
}

#[test]
fn a_server_that_is_dropped_closes_its_listener_at_once() {
    let (listener, address) = free_port();
    let executor = Arc::new(Executor::new());
    let server = server(Async::new(listener).expect("a socket")).pool(Arc::clone(&executor));
    let mut serving = server.serve();
    assert!(smol::block_on(smol::future::poll_once(&mut serving)).is_none());
    drop(TcpStream::connect(address).expect("it listens"));
    drop(serving);
    let error = TcpStream::connect(address).expect_err("nothing listens");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    // Nothing is left in the executor once it has run.
    while executor.try_tick() {}
    assert!(executor.is_empty());
}
