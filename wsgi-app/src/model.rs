//! Handles of one exchange on two threads, or of a blocking application on its own thread, and the task of their connection,
//! under every interleaving. To run it:
//! `RUSTFLAGS="--cfg loom" cargo test -p wsgi-app --release --lib model`, or `cargo xtask model`.
//!
//! The whole crate is compiled with loom's locks ([`sync`](crate::sync)). A thread that loom finds waiting indefinitely
//! is a lost wake-up. Time is not modelled: no deadline is set.

use std::future::{Future, pending, poll_fn};
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use loom::future::block_on;
use loom::model::Builder;
use loom::thread;
use wsgi_proto::{Address, Endpoints};

use crate::application::body::Body;
use crate::application::environ::Environ;
use crate::application::start_response::StartResponse;
use crate::application::{Application, application_fn};
use crate::blocking;
use crate::connection::serve_connection;
use crate::context::runtime::{Clock, Runtime};
use crate::exchange::error::Result;
use crate::io::transport::Transport;
use crate::registry::ServerHandle;
use crate::server::Server;
use crate::server::options::Options;
use crate::sync::{Mutex, lock};

/// Tries all interleavings with at most the given number of switches away from a thread that could continue, and counts
/// them.
#[allow(clippy::print_stdout, reason = "the figure is what the model is run for")]
fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let tried = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&tried);
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    println!("{name}: {} interleavings", tried.load(Ordering::Relaxed));
}

/// A clock that stands still.
#[derive(Debug)]
struct Still(Instant);

impl Clock for Still {
    fn now(&self) -> Instant {
        self.0
    }

    fn wall(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1)
    }
}

/// What a client sends, and whether it ends after that.
#[derive(Default)]
struct Sent {
    bytes: Vec<u8>,
    ended: bool,
    reader: Option<Waker>,
}

/// The server's end of a connection that takes every byte immediately.
#[derive(Clone, Default)]
struct Pipe(Arc<Mutex<Sent>>);

impl Pipe {
    fn send(&self, bytes: &[u8], ended: bool) {
        let mut sent = lock(&self.0);
        sent.bytes.extend(bytes);
        sent.ended |= ended;
        let reader = sent.reader.take();
        drop(sent);
        reader.into_iter().for_each(Waker::wake);
    }
}

impl Transport for Pipe {
    fn poll_read(&mut self, context: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut sent = lock(&self.0);
        if sent.bytes.is_empty() && !sent.ended {
            sent.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let count = sent.bytes.len().min(space.len());
        space[..count].copy_from_slice(&sent.bytes[..count]);
        sent.bytes.drain(..count);
        Poll::Ready(Ok(count))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_deadline(&mut self, _: &mut Context<'_>, _: Instant) -> Poll<()> {
        Poll::Pending
    }
}

/// A server without time and log, and its connection's task.
fn serve<A: Application>(
    handle: &ServerHandle,
    pipe: Pipe,
    application: A,
) -> impl Future<Output = ()> + use<A> {
    let options =
        Options::default().log_output(false).header_timeout(None).linger_timeout(Duration::ZERO).debug(false);
    let runtime = Runtime::default().clock(Still(Instant::now())).blocking(|work| drop(thread::spawn(work)));
    let server = Server::with_runtime(options, handle, application, runtime)
        .expect("each option has an allowed value");
    let guard = server.admit(Endpoints::new(Address::Local, Address::Local));
    serve_connection(server, guard, pipe)
}

#[test]
fn a_handle_that_looks_at_the_body_leaves_nothing_to_the_next_exchange() {
    check(3, || {
        let pipe = Pipe::default();
        pipe.send(b"POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\naa", false);
        pipe.send(b"POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nbb", true);
        let served = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&served);
        let application = application_fn(move |environ: Environ, start: StartResponse| {
            let count = Arc::clone(&count);
            async move {
                start.start("200 OK", wsgi_proto::NO_HEADERS)?;
                if environ.path() == "/1" {
                    for peeks in [true, false] {
                        let input = environ.input();
                        thread::spawn(move || {
                            let seen = match peeks {
                                true => block_on(poll_fn(|context| input.handle.poll_peek(context)))
                                    .map(|(_, seen)| seen),
                                false => block_on(input.read_some(1)),
                            };
                            assert!(seen.iter().flatten().all(|byte| *byte == b'a'), "{seen:?}");
                        });
                    }
                } else {
                    assert_eq!(environ.input().read_to_end().await?, "bb");
                    count.fetch_add(1, Ordering::Relaxed);
                }
                Ok(Body::empty())
            }
        });
        block_on(serve(&ServerHandle::new(), pipe, application));
        assert_eq!(served.load(Ordering::Relaxed), 1);
    });
}

/// A thread has finished, and the task that waits for it.
#[derive(Clone, Default)]
struct Done(Arc<Mutex<(bool, Option<Waker>)>>);

impl Done {
    fn tell(&self) {
        let mut inner = lock(&self.0);
        inner.0 = true;
        let waker = inner.1.take();
        drop(inner);
        waker.into_iter().for_each(Waker::wake);
    }

    fn wait(&self) -> impl Future<Output = ()> {
        poll_fn(|context| {
            let mut inner = lock(&self.0);
            if inner.0 {
                return Poll::Ready(());
            }
            inner.1 = Some(context.waker().clone());
            Poll::Pending
        })
    }
}

#[test]
fn a_connection_can_be_taken_over_from_another_thread_while_a_second_one_reads() {
    check(2, || {
        let pipe = Pipe::default();
        pipe.send(b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\n\r\nhello", true);
        let application = application_fn(move |environ: Environ, start: StartResponse| async move {
            start.start("101 Switching Protocols", [("Upgrade", "x")])?;
            let (input, done) = (environ.input(), Done::default());
            let (other, heard) = (input.clone(), done.clone());
            thread::spawn(move || {
                let mut stream = block_on(input.take_over()).expect("the application waits for it");
                let mut space = [0; 8];
                let count = block_on(stream.read(&mut space)).expect("the pipe has no errors");
                assert_eq!(&space[..count], b"hello");
                heard.tell();
            });
            thread::spawn(move || drop(block_on(other.read_to_end())));
            done.wait().await;
            Ok(Body::empty())
        });
        block_on(serve(&ServerHandle::new(), pipe, application));
    });
}

#[test]
fn a_stop_ends_the_wait_for_a_connection_that_is_taken_over() {
    check(2, || {
        let pipe = Pipe::default();
        pipe.send(b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\n\r\n", false);
        let (handle, done) = (ServerHandle::new(), Done::default());
        let heard = done.clone();
        let application = application_fn(move |environ: Environ, start: StartResponse| {
            let heard = heard.clone();
            async move {
                start.start("101 Switching Protocols", [("Upgrade", "x")])?;
                let input = environ.input();
                thread::spawn(move || {
                    drop(block_on(input.take_over()));
                    heard.tell();
                });
                // It never returns: only the abort ends it.
                pending::<Result<Body>>().await
            }
        });
        let connection = serve(&handle, pipe, application);
        let stops = handle.clone();
        thread::spawn(move || stops.registry.abort());
        block_on(connection);
        // The connection is known until the thread no longer waits for its stream.
        if handle.connections() > 0 {
            block_on(done.wait());
        }
        assert_eq!(handle.connections(), 0);
    });
}

#[test]
fn two_handles_that_wait_are_woken_for_bytes_that_arrive_and_for_an_abort() {
    check(1, || {
        let pipe = Pipe::default();
        pipe.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n", false);
        let (handle, peer) = (ServerHandle::new(), pipe.clone());
        let application = application_fn(move |environ: Environ, start: StartResponse| async move {
            let (input, other) = (environ.input(), environ.input());
            thread::spawn(move || drop(block_on(input.read_to_end())));
            thread::spawn(move || {
                block_on(other.client_gone());
                drop(start);
            });
            pending::<Result<Body>>().await
        });
        let connection = serve(&handle, pipe, application);
        let stops = handle.clone();
        thread::spawn(move || {
            peer.send(b"ab", false);
            stops.registry.abort();
        });
        block_on(connection);
        assert_eq!(handle.connections(), 0);
    });
}

#[test]
fn tasks_that_wait_for_a_stop_are_woken_by_it_or_by_the_end_of_the_connection() {
    for stops in [true, false] {
        check(2, move || {
            let pipe = Pipe::default();
            pipe.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", false);
            let (handle, done) = (ServerHandle::new(), Done::default());
            let heard = done.clone();
            let application = application_fn(move |environ: Environ, start: StartResponse| {
                let heard = heard.clone();
                async move {
                    start.start("200 OK", wsgi_proto::NO_HEADERS)?;
                    let stopping = environ.stopping();
                    thread::spawn(move || {
                        block_on(stopping);
                        heard.tell();
                    });
                    Ok(Body::empty())
                }
            });
            let connection = serve(&handle, pipe.clone(), application);
            if stops {
                let stops = handle.clone();
                thread::spawn(move || {
                    stops.shutdown();
                    pipe.send(b"", true);
                });
            } else {
                thread::spawn(move || pipe.send(b"", true));
            }
            block_on(connection);
            block_on(done.wait());
        });
    }
}

#[test]
fn a_stream_that_another_thread_has_leaves_the_registry_with_its_task_or_after_it() {
    check(2, || {
        let pipe = Pipe::default();
        pipe.send(b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\n\r\n", false);
        let (handle, done) = (ServerHandle::new(), Done::default());
        let heard = done.clone();
        let application = application_fn(move |environ: Environ, start: StartResponse| {
            let heard = heard.clone();
            async move {
                start.start("101 Switching Protocols", [("Upgrade", "x")])?;
                let mut stream = environ.take_over().await?;
                thread::spawn(move || {
                    // Only the abort ends it.
                    assert!(block_on(stream.read(&mut [0])).is_err());
                    drop(stream);
                    heard.tell();
                });
                Ok(Body::empty())
            }
        });
        let connection = serve(&handle, pipe, application);
        let stops = handle.clone();
        thread::spawn(move || stops.registry.abort());
        block_on(connection);
        if handle.connections() > 0 {
            block_on(done.wait());
        }
    });
}

#[test]
fn a_blocking_call_is_woken_for_bytes_that_arrive() {
    check(2, || {
        let pipe = Pipe::default();
        pipe.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n", false);
        let (peer, served) = (pipe.clone(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&served);
        let application = blocking::application_fn(move |environ, start| {
            assert_eq!(environ.input().read_to_end()?, "ab");
            count.fetch_add(1, Ordering::Relaxed);
            start.start("200 OK", wsgi_proto::NO_HEADERS)?.write("c")?;
            Ok(Body::empty())
        });
        let connection = serve(&ServerHandle::new(), pipe, blocking::on_threads::blocking(application));
        thread::spawn(move || {
            peer.send(b"a", false);
            peer.send(b"b", true);
        });
        block_on(connection);
        assert_eq!(served.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_blocking_call_looks_whether_its_client_has_disconnected_and_a_stop_ends_it() {
    check(2, || {
        let pipe = Pipe::default();
        pipe.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n", false);
        let handle = ServerHandle::new();
        let application = blocking::application_fn(move |environ, _| {
            environ.input().is_client_gone();
            environ.input().read_to_end().expect_err("the rest does not arrive");
            Ok(Body::empty())
        });
        let connection = serve(&handle, pipe, blocking::on_threads::blocking(application));
        let stops = handle.clone();
        thread::spawn(move || stops.registry.abort());
        block_on(connection);
        assert_eq!(handle.connections(), 0);
    });
}

#[test]
fn a_connection_that_is_dropped_by_its_runtime_ends_a_blocking_call() {
    check(2, || {
        let pipe = Pipe::default();
        pipe.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n", false);
        let application = blocking::application_fn(move |environ, _| {
            environ.input().is_client_gone();
            environ.input().read_to_end().expect_err("the rest does not arrive");
            Ok(Body::empty())
        });
        let connection = serve(&ServerHandle::new(), pipe, blocking::on_threads::blocking(application));
        let mut connection = Box::pin(connection);
        block_on(poll_fn(|context| {
            assert!(connection.as_mut().poll(context).is_pending(), "it waits for the call");
            Poll::Ready(())
        }));
        drop(connection);
    });
}

#[test]
fn the_blocks_of_an_iterator_that_blocks_are_all_sent() {
    check(2, || {
        let pipe = Pipe::default();
        pipe.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", true);
        let computed = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&computed);
        let application = blocking::application_fn(move |_, start| {
            start.start("200 OK", wsgi_proto::NO_HEADERS)?;
            let count = Arc::clone(&count);
            Ok(Body::iterator((0..3).map(move |_| {
                count.fetch_add(1, Ordering::Relaxed);
                Ok("block".into())
            })))
        });
        block_on(serve(&ServerHandle::new(), pipe, blocking::on_threads::blocking(application)));
        assert_eq!(computed.load(Ordering::Relaxed), 3);
    });
}

#[test]
fn a_blocking_application_reads_a_connection_that_it_has_taken_over_until_a_stop() {
    check(2, || {
        let pipe = Pipe::default();
        pipe.send(b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\n\r\n", false);
        let (handle, peer, done) = (ServerHandle::new(), pipe.clone(), Done::default());
        let heard = done.clone();
        let application = blocking::application_fn(move |environ, start| {
            start.start("101 Switching Protocols", [("Upgrade", "x")])?;
            if let Ok(mut stream) = environ.take_over() {
                // Until the stop cuts it.
                while let Ok(1..) = std::io::Read::read(&mut stream, &mut [0; 8]) {}
            }
            heard.tell();
            Ok(Body::empty())
        });
        let connection = serve(&handle, pipe, blocking::on_threads::blocking(application));
        let stops = handle.clone();
        thread::spawn(move || {
            peer.send(b"ab", false);
            stops.registry.abort();
        });
        block_on(connection);
        // The stream counts until its thread drops it.
        if handle.connections() > 0 {
            block_on(done.wait());
        }
        assert_eq!(handle.connections(), 0);
    });
}

#[test]
fn two_threads_read_a_connection_that_was_taken_over_to_its_end() {
    check(2, || {
        let pipe = Pipe::default();
        pipe.send(b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\n\r\n", false);
        let peer = pipe.clone();
        let application = blocking::application_fn(move |environ, start| {
            start.start("101 Switching Protocols", [("Upgrade", "x")])?;
            let stream = Arc::new(environ.take_over()?);
            let other = Arc::clone(&stream);
            let read = |stream: &blocking::Stream| {
                while let Ok(1..) = std::io::Read::read(&mut { stream }, &mut [0; 1]) {}
            };
            thread::spawn(move || read(&other));
            read(&stream);
            Ok(Body::empty())
        });
        let connection = serve(&ServerHandle::new(), pipe, blocking::on_threads::blocking(application));
        thread::spawn(move || {
            peer.send(b"a", false);
            peer.send(b"", true);
        });
        block_on(connection);
    });
}

#[test]
fn a_stop_ends_the_reads_of_two_threads() {
    check(2, || {
        let pipe = Pipe::default();
        pipe.send(b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\n\r\n", false);
        let (handle, read) = (ServerHandle::new(), Arc::new(AtomicUsize::new(0)));
        let (stops, ended) = (handle.clone(), Arc::clone(&read));
        let application = blocking::application_fn(move |environ, start| {
            start.start("101 Switching Protocols", [("Upgrade", "x")])?;
            let stream = Arc::new(environ.take_over()?);
            stream.set_stop_ends_reads(true);
            let read = |stream: &blocking::Stream, ended: &AtomicUsize| {
                std::io::Read::read(&mut { stream }, &mut [0; 1]).expect_err("nothing arrives");
                ended.fetch_add(1, Ordering::Relaxed);
            };
            let (other, count, stops) = (Arc::clone(&stream), Arc::clone(&ended), stops.clone());
            let second = thread::spawn(move || read(&other, &count));
            thread::spawn(move || stops.shutdown());
            read(&stream, &ended);
            second.join().expect("it ends");
            Ok(Body::empty())
        });
        block_on(serve(&handle, pipe, blocking::on_threads::blocking(application)));
        assert_eq!(read.load(Ordering::Relaxed), 2);
    });
}
