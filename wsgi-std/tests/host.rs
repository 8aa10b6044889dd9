//! A server inside of a host with one lock, which only one thread has at a time.
#![cfg(all(unix, not(loom)))]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wsgi_std::host::Host;
use wsgi_std::{
    Application, Body, Environ, NO_HEADERS, Report, Result, Server, ServerHandle, StartResponse,
    application_fn,
};

/// How long anything may take that has to happen.
const PATIENCE: Duration = Duration::from_secs(30);

thread_local! {
    static ATTACHED: Cell<bool> = const { Cell::new(false) };
}

/// The lock of the host.
#[derive(Default)]
struct HostLock {
    held: Mutex<bool>,
    released: Condvar,
}

impl HostLock {
    #[track_caller]
    fn attach(&self) {
        assert!(!ATTACHED.replace(true), "attached twice");
        let held = self.held.lock().unwrap();
        let (mut held, late) = self.released.wait_timeout_while(held, PATIENCE, |held| *held).unwrap();
        assert!(!late.timed_out(), "no other thread releases the lock");
        *held = true;
    }

    #[track_caller]
    fn detach(&self) {
        assert!(ATTACHED.replace(false), "not attached");
        *self.held.lock().unwrap() = false;
        self.released.notify_one();
    }

    /// Runs code of the host, on any thread.
    fn with<R>(&self, run: impl FnOnce() -> R) -> R {
        self.attach();
        let result = run();
        self.detach();
        result
    }

    /// What a blocking function of the host does.
    fn without<R>(&self, wait: impl FnOnce() -> R) -> R {
        self.detach();
        let result = wait();
        self.attach();
        result
    }
}

/// A host whose threads have the lock, except while they wait.
#[derive(Default)]
struct Locked {
    lock: Arc<HostLock>,
    waits: Arc<AtomicUsize>,
    yields: Arc<AtomicUsize>,
}

impl Host for Locked {
    fn thread(&self, run: &mut dyn FnMut()) {
        self.lock.with(run);
    }

    fn wait(&self, wait: &mut dyn FnMut()) {
        self.waits.fetch_add(1, Ordering::SeqCst);
        self.lock.without(wait);
    }

    fn yield_now(&self) {
        assert!(ATTACHED.get());
        self.yields.fetch_add(1, Ordering::SeqCst);
        self.lock.without(|| {});
    }
}

struct Running {
    handle: ServerHandle,
    serving: JoinHandle<std::io::Result<Report>>,
}

impl Running {
    fn new(threads: usize, host: impl Host, application: impl Application) -> Self {
        // A thread that ended would release the lock.
        Self::with(application, |server| server.pool(threads).keep_threads(true).host(host))
    }

    fn with<A: Application>(application: A, change: impl FnOnce(Server<A>) -> Server<A>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = change(Server::new(listener, application)).log_output(false);
        let handle = server.handle();
        let serving = thread::spawn(move || {
            let ended = server.serve();
            assert!(!ATTACHED.get());
            ended
        });
        eventually("it accepts", || !handle.addresses().is_empty());
        Self { handle, serving }
    }

    fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(self.handle.addresses()[0]).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client
    }

    fn send(&self, request: impl AsRef<[u8]>) -> TcpStream {
        let mut client = self.connect();
        client.write_all(request.as_ref()).unwrap();
        client
    }

    fn stop(self) -> Report {
        self.handle.shutdown();
        self.serving.join().unwrap().unwrap()
    }
}

fn response(mut client: TcpStream) -> String {
    let mut response = String::new();
    client.read_to_string(&mut response).unwrap();
    response
}

#[track_caller]
fn eventually(what: &str, condition: impl Fn() -> bool) {
    let until = std::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(std::time::Instant::now() < until, "not in time: {what}");
        thread::yield_now();
    }
}

fn fine(start: &StartResponse, body: impl Into<Body>) -> Result<Body> {
    start.start("200 OK", NO_HEADERS)?;
    Ok(body.into())
}

#[test]
fn applications_run_with_the_lock_and_all_waits_are_without_it() {
    let host = Locked::default();
    let (lock, yields) = (Arc::clone(&host.lock), Arc::clone(&host.yields));
    let running = Running::new(4, host, |environ: Environ, start: StartResponse| {
        assert!(ATTACHED.get());
        environ.add_post_hook(|_, _| assert!(ATTACHED.get()));
        match &*environ.path() {
            "/read" => fine(&start, environ.input().read_to_end()?),
            "/write" => {
                let write = start.start("200 OK", NO_HEADERS)?;
                (0..64).try_for_each(|_| write.write(vec![b'x'; 1 << 18]))?;
                Ok(Body::empty())
            }
            "/iterator" => fine(
                &start,
                Body::iterator((0..3).map(|_| {
                    assert!(ATTACHED.get());
                    Ok("block".into())
                })),
            ),
            _ => fine(&start, "fine"),
        }
    });
    // Each time the lock is free, although the server waits: for connections, for a body, for room.
    lock.with(|| {});
    let mut reading = running.send("POST /read HTTP/1.0\r\nContent-Length: 4\r\n\r\nbo");
    eventually("it is read", || running.handle.requests() == 1);
    lock.with(|| {});
    let writing = running.send("GET /write HTTP/1.0\r\n\r\n");
    eventually("it is written", || running.handle.requests() == 2);
    lock.with(|| {});
    // So the other threads work.
    assert!(response(running.send("GET / HTTP/1.0\r\n\r\n")).ends_with("\r\n\r\nfine"));
    assert!(response(running.send("GET /iterator HTTP/1.0\r\n\r\n")).ends_with("\r\n\r\nblockblockblock"));
    reading.write_all(b"dy").unwrap();
    assert!(response(reading).ends_with("\r\n\r\nbody"));
    assert!(response(writing).len() > 64 << 18);
    // Threads that wait for work do not have the lock, or no other one could serve these.
    for _ in 0..20 {
        assert!(response(running.send("GET / HTTP/1.0\r\n\r\n")).ends_with("\r\n\r\nfine"));
    }
    assert!(yields.load(Ordering::SeqCst) >= 4, "at least once for each request");
    assert_eq!(running.stop().cut, 0);
}

#[test]
fn the_thread_that_has_the_lock_may_call_the_server_at_any_time() {
    let host = Locked::default();
    let lock = Arc::clone(&host.lock);
    let application = {
        let lock = Arc::clone(&lock);
        move |environ: Environ, start: StartResponse| {
            // Another thread of the application, which uses the same exchange.
            let reader = {
                let (lock, input) = (Arc::clone(&lock), environ.input());
                thread::spawn(move || lock.with(|| input.read_to_end().map(|body| body.len())))
            };
            let write = start.start("200 OK", NO_HEADERS)?;
            for _ in 0..20 {
                lock.without(thread::yield_now);
                write.write(vec![b'x'; 1 << 15])?;
            }
            let read = lock.without(|| reader.join().unwrap())?;
            write.write(format!(" {read}"))?;
            Ok(Body::empty())
        }
    };
    let running = Running::new(3, host, application_fn(application));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let mut client = running.send("POST / HTTP/1.0\r\nContent-Length: 100000\r\n\r\n");
            let mut reader = client.try_clone().unwrap();
            let reading = thread::spawn(move || {
                let mut response = Vec::new();
                reader.read_to_end(&mut response).unwrap();
                response
            });
            let sending = thread::spawn(move || {
                (0..100).for_each(|_| client.write_all(&[b'y'; 1000]).unwrap());
                client.shutdown(Shutdown::Write).unwrap();
            });
            (reading, sending)
        })
        .collect();
    while !clients.iter().all(|(reading, _)| reading.is_finished()) {
        lock.with(|| (running.handle.connections(), running.handle.requests()));
    }
    for (reading, sending) in clients {
        sending.join().unwrap();
        assert!(reading.join().unwrap().ends_with(b"x 100000"));
    }
    lock.with(|| running.handle.shutdown());
    assert_eq!(running.stop().cut, 0);
}

#[test]
fn two_threads_with_the_lock_may_write_to_one_stream() {
    let host = Locked::default();
    let lock = Arc::clone(&host.lock);
    let running = Running::new(
        2,
        host,
        application_fn(move |environ, start| {
            start.start("101 Switching Protocols", [("Upgrade", "x")])?;
            let stream = Arc::new(environ.input().take_over()?);
            let writers: Vec<_> = (0..2)
                .map(|_| {
                    let (lock, stream) = (Arc::clone(&lock), Arc::clone(&stream));
                    thread::spawn(move || lock.with(|| (&*stream).write_all(&vec![b'x'; 8 << 20])))
                })
                .collect();
            lock.without(|| writers.into_iter().try_for_each(|writer| writer.join().unwrap()))?;
            stream.shutdown()?;
            Ok(Body::empty())
        }),
    );
    let client = running.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    assert!(response(client).len() > 16 << 20);
    assert_eq!(running.stop().cut, 0);
}

/// A body that ends when its waker is gone.
struct Parked(Arc<Mutex<Option<Waker>>>, bool);

impl futures_core::Stream for Parked {
    type Item = Result<wsgi_std::Bytes>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let mut waker = this.0.lock().unwrap();
        if std::mem::replace(&mut this.1, true) && waker.is_none() {
            return Poll::Ready(None);
        }
        *waker = Some(context.waker().clone());
        Poll::Pending
    }
}

/// A host that checks in each of its methods whether other threads can use the engine.
struct Probing {
    /// Where checks are requested, and how many are left.
    probe: Mutex<(Sender<Sender<()>>, usize)>,
}

impl Probing {
    fn check(&self, place: &str) {
        let mut probe = self.probe.lock().unwrap();
        if probe.1 > 0 {
            probe.1 -= 1;
            let (tell, ended) = channel();
            probe.0.send(tell).unwrap();
            ended.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("a lock is held {place}"));
        }
    }
}

impl Host for Probing {
    fn thread(&self, run: &mut dyn FnMut()) {
        self.check("at the beginning of a thread");
        run();
        self.check("at the end of a thread");
    }

    fn wait(&self, wait: &mut dyn FnMut()) {
        self.check("before a wait");
        wait();
        self.check("after a wait");
    }

    fn yield_now(&self) {
        self.check("between two tasks");
    }
}

#[test]
fn no_lock_of_the_engine_is_held_in_the_code_of_the_host() {
    let (probe, probes): (_, Receiver<Sender<()>>) = channel();
    let host = Probing { probe: Mutex::new((probe, 200)) };
    let parked: Arc<Mutex<Option<Waker>>> = Arc::default();
    let (stream, waiting) = (Arc::clone(&parked), Arc::clone(&parked));
    let (tell, address) = channel();
    // Uses the locks of the engine: those of the tasks for a new connection, and that of the scheduler for a wake-up.
    let prober = thread::spawn(move || {
        let (mut clients, mut handle): (Vec<TcpStream>, Option<ServerHandle>) = Default::default();
        for end in probes {
            handle = handle.or_else(|| address.try_recv().ok());
            if let Some(handle) = handle.as_ref().filter(|handle| !handle.is_stopping()) {
                let before = handle.connections();
                clients.extend(TcpStream::connect(handle.addresses()[0]));
                eventually("it is accepted", || handle.connections() > before || handle.is_stopping());
            }
            if let Some(waker) = parked.lock().unwrap().clone() {
                waker.wake();
            }
            let _ = end.send(());
        }
    });
    let running =
        Running::new(3, host, move |environ: Environ, start: StartResponse| match &*environ.path() {
            "/parked" => fine(&start, Body::stream(Parked(Arc::clone(&stream), false))),
            _ => fine(&start, environ.input().read_to_end()?),
        });
    tell.send(running.handle.clone()).unwrap();
    // No connection ends before the stop, so that their number shows whether one was accepted.
    let _parked = running.send("GET /parked HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut readers: Vec<_> =
        (0..4).map(|_| running.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbo")).collect();
    for reader in &mut readers {
        reader.write_all(b"dy").unwrap();
        let mut response = Vec::new();
        while !response.ends_with(b"\r\n\r\nbody") {
            let mut byte = [0];
            reader.read_exact(&mut byte).unwrap();
            response.extend(byte);
        }
    }
    eventually("the stream waits", || waiting.lock().unwrap().is_some());
    waiting.lock().unwrap().take().unwrap().wake();
    running.handle.shutdown();
    running.stop();
    prober.join().unwrap();
}

#[test]
fn a_thread_with_more_work_does_not_release_the_lock_to_look_for_it() {
    let host = Locked::default();
    let waits = Arc::clone(&host.waits);
    let (open, gate) = channel();
    let (gate, waited) = (Mutex::new(gate), Arc::clone(&waits));
    let running = Running::new(1, host, move |environ: Environ, start: StartResponse| {
        let before = waited.load(Ordering::SeqCst);
        if &*environ.path() == "/first" {
            let _ = gate.lock().unwrap().recv();
        }
        fine(&start, before.to_string())
    });
    let (mut second, mut first) = (running.connect(), running.connect());
    eventually("they are accepted", || running.handle.connections() == 2);
    first.write_all(b"GET /first HTTP/1.0\r\n\r\n").unwrap();
    eventually("it runs", || running.handle.requests() == 1);
    let before = waits.load(Ordering::SeqCst);
    second.write_all(b"GET /second HTTP/1.0\r\n\r\n").unwrap();
    open.send(()).unwrap();
    assert!(response(first).ends_with(&format!("\r\n\r\n{before}")));
    assert!(response(second).ends_with(&format!("\r\n\r\n{before}")));
    running.stop();
}

#[test]
fn a_host_that_runs_no_thread_does_not_hold_up_the_stop() {
    struct Refusing;

    impl Host for Refusing {
        fn thread(&self, _: &mut dyn FnMut()) {}
    }

    let running = Running::new(2, Refusing, |_: Environ, start: StartResponse| fine(&start, "fine"));
    assert_eq!(running.stop().finished, 0);
}

/// Uses about 4 KiB of stack for each level.
fn recurse(depth: usize) -> usize {
    let bytes = std::hint::black_box([1_u8; 4096]);
    if depth == 0 { 0 } else { recurse(depth - 1) + usize::from(bytes[depth % 4096]) }
}

#[test]
fn applications_have_a_stack_of_the_size_that_was_set() {
    // Twice as much as the default has.
    let running = Running::with(
        |_: Environ, start: StartResponse| fine(&start, recurse(1024).to_string()),
        |server| server.stack_size(16 << 20),
    );
    assert!(response(running.send("GET / HTTP/1.0\r\n\r\n")).ends_with("\r\n\r\n1024"));
    running.stop();
}

#[test]
fn a_stack_that_the_system_does_not_have_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let application = |_: Environ, start: StartResponse| fine(&start, "fine");
    let server = Server::new(listener, application).stack_size(usize::MAX >> 4).log_output(false);
    assert!(server.serve().is_err());
}
