//! Blocking applications on a runtime with one thread for them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use wsgi_tokio::blocking::{Application, Environ, StartResponse};
use wsgi_tokio::test::{Request, call};
use wsgi_tokio::{
    Application as _, Body, Bytes, NO_HEADERS, Options, Report, Result, Server, ServerHandle, application_fn,
    blocking,
};

const PATIENCE: Duration = Duration::from_secs(30);
const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

/// A runtime with a server.
struct Site {
    runtime: Runtime,
    address: SocketAddr,
    handle: ServerHandle,
    serving: JoinHandle<std::io::Result<Report>>,
}

impl Site {
    fn new(options: Options, application: impl Application) -> Self {
        Self::serving(options, blocking(application))
    }

    fn serving(options: Options, application: impl wsgi_tokio::Application) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(1)
            .enable_all()
            .build()
            .expect("threads are available");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        listener.set_nonblocking(true).expect("a socket");
        let _inside = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
        let server = Server::new(listener, application).options(options);
        let (handle, serving) = (server.handle(), runtime.spawn(server.serve()));
        drop(_inside);
        Self { runtime, address, handle, serving }
    }

    fn send(&self, request: &str) -> TcpStream {
        let mut client = TcpStream::connect(self.address).expect("it accepts");
        client.set_read_timeout(Some(PATIENCE)).expect("a socket");
        client.write_all(request.as_bytes()).expect("there is room");
        client
    }

    /// Waits until this number of requests is with the application.
    fn has_requests(&self, count: usize) {
        let end = Instant::now() + PATIENCE;
        while self.handle.requests() != count {
            assert!(Instant::now() < end, "{} requests", self.handle.requests());
            std::thread::yield_now();
        }
    }

    fn ask(&self, request: &str) -> String {
        answer(self.send(request))
    }
}

/// All that the client gets, as far as it is text.
fn answer(mut client: TcpStream) -> String {
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).expect("an answer, in time");
    String::from_utf8_lossy(&answer).into_owned()
}

fn quiet() -> Options {
    Options::default().debug(false).log_output(false)
}

fn fine(start: &StartResponse, body: impl Into<Body>) -> Result<Body> {
    start.start("200 OK", NO_HEADERS)?;
    Ok(body.into())
}

/// Waits until the test sends something, or ends.
fn pass(gate: &Mutex<Receiver<()>>) {
    let _ = gate.lock().expect("no panic").recv();
}

fn gate() -> (Sender<()>, Arc<Mutex<Receiver<()>>>) {
    let (open, gate) = channel();
    (open, Arc::new(Mutex::new(gate)))
}

#[test]
fn a_client_that_reads_slowly_holds_no_thread() {
    const BLOCKS: usize = 1000;
    let site = Site::new(quiet(), |environ: Environ, start: StartResponse| match &*environ.path() {
        "/much" => {
            let block = Bytes::from(vec![b'x'; 64 * 1024]);
            fine(&start, Body::iterator((0..BLOCKS).map(move |_| Ok(block.clone()))))
        }
        _ => fine(&start, "fine"),
    });
    let mut slow = site.send("GET /much HTTP/1.0\r\n\r\n");
    // The answer has begun.
    slow.read_exact(&mut [0; 10]).expect("it is sent");
    assert!(site.ask(GET).ends_with("fine"));
    assert!(answer(slow).len() > BLOCKS * 64 * 1024);
}

#[test]
fn a_client_that_sends_slowly_holds_no_thread_if_the_body_is_received_before_the_call() {
    let options = quiet().receive_before_call(1000);
    let site = Site::new(options, |environ: Environ, start: StartResponse| {
        fine(&start, environ.input().read_to_end()?)
    });
    let mut slow =
        site.send("POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 9\r\n\r\nslow");
    site.has_requests(1);
    assert!(site.ask(GET).starts_with("HTTP/1.1 200 OK\r\n"));
    slow.write_all(b" body").expect("there is room");
    assert!(answer(slow).ends_with("slow body"));
}

#[test]
fn calls_wait_for_a_thread_and_those_of_cut_connections_do_not_begin() {
    let (open, gate) = gate();
    let (tell, begun) = channel();
    let tell = Mutex::new(tell);
    let options = quiet().graceful_timeout(Duration::from_millis(200));
    let site = Site::new(options, move |environ: Environ, start: StartResponse| {
        tell.lock().expect("no panic").send(environ.path().into_owned())?;
        pass(&gate);
        fine(&start, "fine")
    });
    let first = site.send("GET /1 HTTP/1.0\r\n\r\n");
    assert_eq!(begun.recv_timeout(PATIENCE).as_deref(), Ok("/1"));
    let second = site.send("GET /2 HTTP/1.0\r\n\r\n");
    site.has_requests(2);
    open.send(()).expect("it waits");
    assert!(answer(first).ends_with("fine"));
    assert_eq!(begun.recv_timeout(PATIENCE).as_deref(), Ok("/2"));
    let third = site.send("GET /3 HTTP/1.0\r\n\r\n");
    site.has_requests(2);
    site.handle.shutdown();
    let report = site.runtime.block_on(site.serving).expect("no panic").expect("the listener is sound");
    assert_eq!(report.cut, 2);
    // The second call returns, and the thread is free for the third.
    drop(open);
    site.runtime.shutdown_timeout(PATIENCE);
    assert!(begun.try_recv().is_err(), "the third call has begun");
    drop((second, third));
}

#[test]
fn a_runtime_that_is_dropped_ends_the_calls_that_wait_for_a_client() {
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let site = Site::new(quiet(), move |environ: Environ, start: StartResponse| {
        tell.lock().expect("no panic").send(())?;
        let read = environ.input().read_to_end();
        tell.lock().expect("no panic").send(())?;
        fine(&start, read?)
    });
    let _client = site.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n");
    told.recv_timeout(PATIENCE).expect("it is called");
    // It waits for the thread.
    drop(site.runtime);
    told.try_recv().expect("the read has ended");
}

#[tokio::test]
async fn it_is_called_without_a_socket() {
    let application = blocking(|environ: Environ, start: StartResponse| -> Result<Body> {
        fine(&start, environ.input().read_to_end()?)
    });
    let response = call(application, Request::post("/", "abc")).await;
    assert_eq!(response.body().as_bytes(), Some(&b"abc"[..]));
}

#[test]
fn a_function_of_map_that_would_wait_for_its_own_task_fails() {
    let site = Site::new(quiet(), |environ: Environ, start: StartResponse| -> Result<Body> {
        let asked = environ.clone();
        let start = start.map(move |_, headers| {
            let is_gone = asked.input().is_client_gone();
            headers.insert("X-Gone", is_gone.to_string());
        });
        if environ.path() == "/fails" {
            return Err("a failure".into());
        }
        start.start("200 OK", NO_HEADERS)?;
        Ok("fine".into())
    });
    // In the call it may wait.
    assert!(site.ask(GET).contains("X-Gone: false\r\n"));
    let failed = site.ask("GET /fails HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert!(failed.starts_with("HTTP/1.1 500 ") && !failed.contains("X-Gone"), "{failed}");
    assert!(site.ask(GET).contains("X-Gone: false\r\n"));
}

#[test]
fn the_wait_for_a_stop_ends_when_the_connection_is_over() {
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let site = Site::new(quiet(), move |environ: Environ, start: StartResponse| -> Result<Body> {
        let tell = tell.lock().expect("no panic").clone();
        std::thread::spawn(move || {
            let seen = environ.wait_stopping(PATIENCE);
            tell.send((seen, environ.is_stopping(), environ.wait_stopping(PATIENCE))).expect("it is awaited");
        });
        fine(&start, "fine")
    });
    assert!(site.ask(GET).ends_with("fine"));
    assert_eq!(told.recv_timeout(PATIENCE / 2).expect("it ends"), (true, true, true));
}

#[test]
fn an_iterator_of_empty_blocks_ends_with_its_connection() {
    struct Empty(Sender<()>);

    impl Iterator for Empty {
        type Item = Result<Bytes>;

        fn next(&mut self) -> Option<Self::Item> {
            std::thread::yield_now();
            Some(Ok(Bytes::new()))
        }
    }

    impl Drop for Empty {
        fn drop(&mut self) {
            // The receiver is gone if the test has failed.
            let _ = self.0.send(());
        }
    }

    let (dropped, is_dropped) = channel();
    let dropped = Mutex::new(dropped);
    let site =
        Site::new(quiet().graceful_timeout(Duration::ZERO), move |_: Environ, start: StartResponse| {
            let empty = Empty(dropped.lock().expect("no panic").clone());
            fine(&start, Body::iterator([Ok("begun".into())].into_iter().chain(empty)))
        });
    let mut client = site.send(GET);
    let mut begun = Vec::new();
    while !begun.ends_with(b"begun\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).expect("it begins");
        begun.extend(byte);
    }
    site.handle.shutdown();
    is_dropped.recv_timeout(PATIENCE).expect("its thread is free");
}

#[test]
fn a_stop_ends_the_reads_of_all_threads() {
    for readers in [1, 2, 3] {
        let (tell, told) = channel();
        let tell = Mutex::new(tell);
        let site = Site::new(quiet(), move |environ: Environ, start: StartResponse| -> Result<Body> {
            start.start("101 Switching Protocols", [("Upgrade", "x")])?;
            let stream = Arc::new(environ.take_over()?);
            stream.set_stop_ends_reads(true);
            for _ in 0..readers {
                let (stream, tell) = (Arc::clone(&stream), tell.lock().expect("no panic").clone());
                std::thread::spawn(move || {
                    let read = Read::read(&mut &*stream, &mut [0; 8]).map_err(|error| error.kind());
                    tell.send(read).expect("it is awaited");
                });
            }
            Ok(Body::empty())
        });
        let mut clients = Vec::new();
        for _ in 0..20 {
            let mut client = site.send("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\n\r\n");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                client.read_exact(&mut byte).expect("it answers");
                head.extend(byte);
            }
            clients.push(client);
        }
        site.handle.shutdown();
        for _ in 0..20 * readers {
            let read = told.recv_timeout(PATIENCE).expect("each read ends");
            assert_eq!(read, Err(std::io::ErrorKind::TimedOut));
        }
    }
}

#[test]
fn a_thread_of_no_runtime_can_read_and_drop_bodies() {
    struct Tells(Sender<&'static str>);

    impl Drop for Tells {
        fn drop(&mut self) {
            // The test may have ended.
            let _ = self.0.send("dropped");
        }
    }

    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let inner = blocking(move |_: Environ, start: StartResponse| {
        let tells = Tells(tell.lock().expect("no panic").clone());
        fine(
            &start,
            Body::iterator((0..1000).map(move |_| {
                let _ = &tells;
                Ok(Bytes::from_static(&[b'x'; 1000]))
            })),
        )
    });
    let (send, read) = channel();
    let send = Mutex::new(send);
    let application =
        application_fn(move |environ: wsgi_tokio::Environ, start: wsgi_tokio::StartResponse| {
            let (inner, send) = (inner.clone(), send.lock().expect("no panic").clone());
            async move {
                let whole = environ.path() == "/whole";
                let body = inner.call(environ, start).await?;
                std::thread::spawn(move || {
                    let mut blocks = body.into_iter();
                    let blocks =
                        if whole { blocks.by_ref().collect() } else { blocks.by_ref().take(1).collect() };
                    let bytes: Result<Vec<Bytes>> = blocks;
                    let length = bytes.map(|bytes| bytes.iter().map(Bytes::len).sum::<usize>());
                    send.send(length.map_err(|error| error.to_string())).expect("it is awaited");
                });
                Ok(Body::empty())
            }
        });
    let site = Site::serving(quiet(), application);
    for (path, length) in [("/whole", 1_000_000), ("/part", 1000)] {
        site.ask(&GET.replace("/ ", &format!("{path} ")));
        assert_eq!(read.recv_timeout(PATIENCE).expect("it is read"), Ok(length), "{path}");
        told.recv_timeout(PATIENCE).expect("the iterator is dropped");
    }
}
