//! Counts the locks of a busy connection: a request takes those of its connection, and none that the server shares.
//!
//! All locks of this crate are taken with the functions of [`sync`](crate::sync), which count them in tests.

use std::collections::BTreeMap;
use std::future::{Future, ready};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use futures_core::Stream;
use wsgi_proto::{Address, Endpoints, NO_HEADERS};

use crate::application::blocking::Blocking;
use crate::application::body::Body;
use crate::application::environ::Environ;
use crate::application::start_response::StartResponse;
use crate::application::{Application, application_fn};
use crate::blocking;
use crate::connection::serve_connection;
use crate::context::runtime::Runtime;
use crate::exchange::error::Result;
use crate::io::blocking::BlockingTransport;
use crate::io::transport::Transport;
use crate::registry::ServerHandle;
use crate::server::Server;
use crate::server::options::Options;
use crate::sync::count;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab";

/// The server's end of a connection, which takes every byte. Its locks are not counted.
#[derive(Clone, Default)]
struct Pipe {
    sent: Arc<Mutex<Vec<u8>>>,
    answers: Arc<Mutex<usize>>,
}

impl Pipe {
    fn take(&self, space: &mut [u8]) -> Option<usize> {
        let mut sent = self.sent.lock().expect("no panic");
        let count = sent.len().min(space.len());
        space[..count].copy_from_slice(&sent[..count]);
        sent.drain(..count);
        (count > 0).then_some(count)
    }

    fn put(&self, slices: &[IoSlice<'_>]) -> usize {
        let answers = slices.iter().filter(|slice| slice.starts_with(b"HTTP/1.1 200")).count();
        *self.answers.lock().expect("no panic") += answers;
        slices.iter().map(|slice| slice.len()).sum()
    }
}

impl Transport for Pipe {
    fn poll_read(&mut self, _: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        self.take(space).map_or(Poll::Pending, |count| Poll::Ready(Ok(count)))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(self.put(slices)))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_deadline(&mut self, _: &mut Context<'_>, _: Instant) -> Poll<()> {
        Poll::Pending
    }
}

impl BlockingTransport for Pipe {
    fn read(&self, space: &mut [u8]) -> io::Result<usize> {
        self.take(space).ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(self.put(slices))
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

type Counts = BTreeMap<&'static str, usize>;

/// The locks of one request on a connection that has served others.
fn locks_of(request: &[u8], pipe: &Pipe, connection: impl Future<Output = ()>) -> Counts {
    let mut connection = pin!(connection);
    let mut serve = |request: &[u8]| {
        pipe.sent.lock().expect("no panic").extend(request);
        let before = *pipe.answers.lock().expect("no panic");
        count::take();
        assert!(connection.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(*pipe.answers.lock().expect("no panic"), before + 1);
        count::take()
    };
    let first = [serve(request), serve(request)];
    let locks = serve(request);
    assert_eq!(first[1], locks, "every further request takes the same locks");
    locks
}

fn server<A: Application>(options: Options, application: A) -> Arc<Server<A>> {
    Server::with_runtime(options, &ServerHandle::new(), application, Runtime::default())
        .expect("each option has an allowed value")
}

fn locks_of_async<A: Application>(request: &[u8], options: Options, application: A) -> Counts {
    let (server, pipe) = (server(options, application), Pipe::default());
    let guard = server.admit(Endpoints::new(Address::Local, Address::Local));
    locks_of(request, &pipe, serve_connection(server, guard, pipe.clone()))
}

fn locks_of_blocking<A: blocking::Application>(request: &[u8], application: A) -> Counts {
    let options = Options::default().log_output(false);
    let (server, pipe) = (server(options, Blocking(application)), Pipe::default());
    let guard = server.admit(Endpoints::new(Address::Local, Address::Local));
    locks_of(request, &pipe, blocking::serve::serve(server, guard, pipe.clone()))
}

fn quiet() -> Options {
    Options::default().log_output(false)
}

/// 100 pieces that are ready.
struct Pieces(usize);

impl Stream for Pieces {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        self.0 += 1;
        Poll::Ready((self.0 <= 100).then(|| Ok(Bytes::from_static(b"piece"))))
    }
}

fn answer(start: &StartResponse, body: impl Into<Body>) -> Result<Body> {
    start.start("200 OK", NO_HEADERS)?;
    Ok(body.into())
}

/// The locks of a connection and of one of its requests, by the types that they protect.
const CONNECTION: &str = "wsgi_app::exchange::shared::Inner";
const ENVIRON: &str = "wsgi_app::application::environ::Changes";
/// Those of a server.
const REGISTRY: &str = "wsgi_app::registry::Members";
const LOG: &str = "wsgi_app::context::log_writer::Queue";

#[test]
fn a_request_takes_few_locks_and_only_those_of_its_connection() {
    let hello = application_fn(|_: Environ, start: StartResponse| ready(answer(&start, "hello")));
    let locks = locks_of_async(GET, quiet(), hello);
    assert_eq!(locks.keys().collect::<Vec<_>>(), [&CONNECTION]);
    assert!(locks[CONNECTION] <= 4, "{locks:?}");

    let echo = application_fn(|environ: Environ, start: StartResponse| async move {
        answer(&start, environ.input().read_to_end().await?)
    });
    let locks = locks_of_async(POST, quiet(), echo);
    assert_eq!(locks.keys().collect::<Vec<_>>(), [&CONNECTION]);
    assert!(locks[CONNECTION] <= 5, "{locks:?}");

    // Pieces that are ready are sent together.
    let pieces =
        application_fn(|_: Environ, start: StartResponse| ready(answer(&start, Body::stream(Pieces(0)))));
    let locks = locks_of_async(GET, quiet(), pieces);
    assert_eq!(locks.keys().collect::<Vec<_>>(), [&CONNECTION]);
    assert!(locks[CONNECTION] <= 14, "{locks:?}");
}

#[test]
fn a_request_of_a_blocking_application_takes_few_locks_and_only_those_of_its_connection() {
    for request in [GET, POST] {
        let echo = blocking::application_fn(
            |environ: blocking::Environ, start: blocking::StartResponse| -> Result<Body> {
                let body = environ.input().read_to_end()?;
                start.start("200 OK", NO_HEADERS)?;
                Ok(body.into())
            },
        );
        let locks = locks_of_blocking(request, echo);
        assert_eq!(locks.keys().collect::<Vec<_>>(), [&CONNECTION]);
        assert!(locks[CONNECTION] <= 5, "{locks:?}");
    }
}

#[test]
fn a_line_of_the_log_takes_one_lock_of_the_log() {
    let hello = application_fn(|_: Environ, start: StartResponse| ready(answer(&start, "hello")));
    let locks = locks_of_async(GET, Options::default().log_to(io::sink()), hello);
    assert_eq!(locks.keys().collect::<Vec<_>>(), [&LOG, &CONNECTION]);
    assert_eq!(locks[LOG], 1);
}

#[test]
fn the_locks_that_an_application_causes_are_counted() {
    let handle = ServerHandle::new();
    let application = application_fn(move |environ: Environ, start: StartResponse| {
        environ.set("a.b", "c");
        ready(answer(&start, handle.connections().to_string()))
    });
    let locks = locks_of_async(GET, quiet(), application);
    assert_eq!((locks.get(REGISTRY), locks.get(ENVIRON)), (Some(&1), Some(&1)));
}
