//! Executors that run a task inside `wake`: no task is woken under a lock that it needs.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use wsgi_app::adapter::{Server, Transport, serve_connection};
use wsgi_app::{Address, Body, Endpoints, Environ, Options, Result, ServerHandle, StartResponse};

/// The time limit for anything that has to happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// The bytes that the client has sent, and those sent to it.
#[derive(Clone, Default)]
struct Pipe(Arc<Mutex<(Vec<u8>, Vec<u8>)>>);

impl Pipe {
    fn send(&self, bytes: &str) {
        self.0.lock().expect("no panic").0.extend(bytes.as_bytes());
    }

    fn answered(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("no panic").1).into_owned()
    }
}

impl Transport for Pipe {
    fn poll_readable(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.0.lock().expect("no panic").0.is_empty() { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn poll_read(&mut self, _: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let sent = &mut self.0.lock().expect("no panic").0;
        if sent.is_empty() {
            return Poll::Pending;
        }
        let count = sent.len().min(space.len());
        space[..count].copy_from_slice(&sent[..count]);
        sent.drain(..count);
        Poll::Ready(Ok(count))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.0.lock().expect("no panic").1.extend(&*slices[0]);
        Poll::Ready(Ok(slices[0].len()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_deadline(&mut self, _: &mut Context<'_>, _: Instant) -> Poll<()> {
        Poll::Pending
    }
}

/// A task that runs inside `wake`.
struct Eager(Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>);

impl Eager {
    fn start(future: impl Future<Output = ()> + Send + 'static) {
        Arc::new(Self(Mutex::new(Some(Box::pin(future))))).wake();
    }
}

impl Wake for Eager {
    fn wake(self: Arc<Self>) {
        // If it is locked, the task is already running.
        let Ok(mut future) = self.0.try_lock() else { return };
        let waker = Waker::from(Arc::clone(&self));
        if let Some(running) = future.as_mut()
            && running.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
        {
            *future = None;
        }
    }
}

/// Fails if `work` hangs.
fn in_time(work: impl FnOnce() + Send + 'static) {
    let (tell, done) = channel();
    thread::spawn(move || {
        work();
        let _ = tell.send(());
    });
    done.recv_timeout(PATIENCE).expect("no task waits for a lock that it holds");
}

#[test]
fn a_task_that_runs_inside_wake_may_use_the_handles_at_once() {
    in_time(|| {
        let (read, reads) = channel();
        let application = move |environ: Environ, start: StartResponse| {
            let read = read.clone();
            // Another task reads the body and sends it back, from inside the wake of the connection's task.
            Eager::start(async move {
                let body = environ.input().read_to_end().await;
                let write =
                    start.start("200 OK", [("Content-Type", "text/plain")]).expect("nothing was sent");
                let sent = write.write(body.unwrap_or_default()).await;
                let _ = read.send(sent.is_ok());
            });
            // It never returns: everything happens in the other task.
            std::future::pending::<Result<Body>>()
        };
        let handle = ServerHandle::new();
        let server =
            Server::new(Options::default().log_output(false), &handle, application).expect("defaults");
        let pipe = Pipe::default();
        let guard = server.admit(Endpoints::new(Address::Local, Address::Local));
        let mut connection = Box::pin(serve_connection(Arc::clone(&server), guard, pipe.clone()));
        let mut poll = || connection.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        pipe.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nab");
        assert!(poll().is_pending());
        pipe.send("cd");
        assert!(poll().is_pending());
        assert!(reads.recv().expect("the body is read"), "the response was not sent");
        assert!(poll().is_pending());
        assert!(pipe.answered().contains("abcd"), "{}", pipe.answered());
    });
}

#[test]
fn a_stop_wakes_all_acceptors_and_all_drain_waiters() {
    in_time(|| {
        let handle = ServerHandle::new();
        // No request arrives.
        let server = Server::new(Options::default().log_output(false), &handle, ()).expect("defaults");
        let guard = server.admit(Endpoints::new(Address::Local, Address::Local));
        let (tell, heard) = channel();
        for _ in 0..2 {
            let (server, tell) = (Arc::clone(&server), tell.clone());
            Eager::start(async move {
                poll_fn(|context| server.poll_stop(context)).await;
                let _ = tell.send("stopped");
                server.drained().await;
                let _ = tell.send("drained");
            });
        }
        assert!(heard.try_recv().is_err());
        handle.shutdown();
        assert_eq!([heard.recv(), heard.recv()], [Ok("stopped"); 2]);
        assert!(heard.try_recv().is_err());
        drop(guard);
        assert_eq!([heard.recv(), heard.recv()], [Ok("drained"); 2]);
    });
}

#[test]
fn a_take_over_gets_the_stream_whenever_the_connection_task_runs() {
    in_time(|| {
        let (give, given) = channel();
        let application = move |environ: Environ, start: StartResponse| {
            let _ = give.send((environ, start));
            std::future::pending::<Result<Body>>()
        };
        let handle = ServerHandle::new();
        let server =
            Server::new(Options::default().log_output(false), &handle, application).expect("defaults");
        let pipe = Pipe::default();
        let guard = server.admit(Endpoints::new(Address::Local, Address::Local));
        pipe.send("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\n\r\n");
        Eager::start(serve_connection(Arc::clone(&server), guard, pipe));
        let (environ, start): (Environ, StartResponse) = given.recv().expect("the application is called");
        let (take, taken) = channel();
        // The connection's task runs inside the call that ends HTTP, and hands over the transport.
        Eager::start(async move {
            start.start("101 Switching Protocols", [("Upgrade", "x")]).expect("nothing was sent");
            let stream = environ.input().take_over().await;
            let _ = take.send(stream.map(drop));
        });
        assert_eq!(taken.recv(), Ok(Ok(())));
    });
}

#[test]
fn handles_of_a_dropped_connection_task_are_woken() {
    in_time(|| {
        let (tell, heard) = channel();
        let application = move |environ: Environ, _: StartResponse| {
            let tell = tell.clone();
            Eager::start(async move {
                let _ = tell.send(environ.input().read_to_end().await.is_err());
            });
            std::future::pending::<Result<Body>>()
        };
        let handle = ServerHandle::new();
        let server =
            Server::new(Options::default().log_output(false), &handle, application).expect("defaults");
        let pipe = Pipe::default();
        let guard = server.admit(Endpoints::new(Address::Local, Address::Local));
        let mut connection = Box::pin(serve_connection(Arc::clone(&server), guard, pipe.clone()));
        pipe.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nab");
        assert!(connection.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert!(heard.try_recv().is_err());
        drop(connection);
        assert_eq!(heard.recv(), Ok(true));
    });
}
