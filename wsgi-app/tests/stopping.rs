//! `Environ::stopping`, and what a stop knows about connections that were taken over.

use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use wsgi_app::adapter::{Server, Transport, serve_connection};
use wsgi_app::{
    Address, Application, Body, Endpoints, Environ, Options, Report, Result, ServerHandle, StartResponse,
    Stopping, Stream, application_fn,
};

/// A client that has sent these bytes, and sends nothing more. Its connection remembers whether it was reset.
struct Silent(&'static [u8], Arc<AtomicBool>);

impl Transport for Silent {
    fn poll_read(&mut self, _: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.0.is_empty() {
            return Poll::Pending;
        }
        Poll::Ready(io::Read::read(&mut self.0, space))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_abort(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.1.store(true, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }

    fn poll_deadline(&mut self, _: &mut Context<'_>, _: Instant) -> Poll<()> {
        Poll::Pending
    }
}

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A future, polled by hand.
struct Task<F>(Pin<Box<F>>, Arc<Count>);

impl<F: Future> Task<F> {
    fn new(future: F) -> Self {
        Self(Box::pin(future), Arc::default())
    }

    fn poll(&mut self) -> Poll<F::Output> {
        self.0.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(&self.1))))
    }

    fn woken(&self) -> usize {
        self.1.0.load(Ordering::Relaxed)
    }
}

/// A server, and the task of its only connection.
fn serve<A: Application>(
    handle: &ServerHandle,
    request: &'static str,
    application: A,
) -> (Arc<Server<A>>, Task<impl Future<Output = ()> + use<A>>) {
    serve_watched(handle, request, application, Arc::default())
}

/// Like [`serve`]; `is_reset` is set when the connection is reset.
fn serve_watched<A: Application>(
    handle: &ServerHandle,
    request: &'static str,
    application: A,
    is_reset: Arc<AtomicBool>,
) -> (Arc<Server<A>>, Task<impl Future<Output = ()> + use<A>>) {
    let server = Server::new(Options::default().log_output(false), handle, application).expect("defaults");
    let guard = server.admit(Endpoints::new(Address::Local, Address::Local));
    let connection = serve_connection(Arc::clone(&server), guard, Silent(request.as_bytes(), is_reset));
    (server, Task::new(connection))
}

/// What an application gives to a test.
type Given<T> = Arc<Mutex<Option<T>>>;

fn take<T>(given: &Given<T>) -> T {
    given.lock().expect("no panic").take().expect("it was given")
}

/// Gives the environ away, and waits.
fn waits(given: &Given<Environ>) -> impl Application + use<> {
    let given = Arc::clone(given);
    application_fn(move |environ, _| {
        *given.lock().expect("no panic") = Some(environ);
        std::future::pending()
    })
}

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn each_waiter_is_woken_once_and_later_ones_do_not_wait() {
    let (handle, given) = (ServerHandle::new(), Given::default());
    let (_server, mut connection) = serve(&handle, GET, waits(&given));
    assert!(connection.poll().is_pending());
    let environ = take(&given);
    let mut waiters = [(); 3].map(|()| Task::new(environ.stopping()));
    let (mut moved, mut dropped) = (Task::new(environ.stopping()), Task::new(environ.stopping()));
    for _ in 0..2 {
        for waiter in waiters.iter_mut().chain([&mut moved, &mut dropped]) {
            assert!(waiter.poll().is_pending());
        }
    }
    let left = std::mem::take(&mut moved.1);
    assert!(moved.poll().is_pending(), "another task has it now");
    let unwoken = Arc::clone(&dropped.1);
    drop(dropped);
    assert!(!environ.is_stopping());
    for _ in 0..2 {
        handle.shutdown();
    }
    assert!(environ.is_stopping());
    for waiter in waiters.iter_mut().chain([&mut moved]) {
        assert_eq!((waiter.woken(), waiter.poll()), (1, Poll::Ready(())));
        assert!(waiter.poll().is_ready(), "it stays ready");
    }
    assert_eq!([left, unwoken].map(|count| count.0.load(Ordering::Relaxed)), [0, 0]);
    let mut late = Task::new(environ.stopping());
    assert_eq!((late.poll(), late.woken()), (Poll::Ready(()), 0));
}

#[test]
fn the_wait_ends_with_its_connection() {
    let (handle, given) = (ServerHandle::new(), Given::default());
    let (_server, mut connection) = serve(&handle, GET, waits(&given));
    assert!(connection.poll().is_pending());
    let environ = take(&given);
    let mut waiter = Task::new(environ.stopping());
    assert!(waiter.poll().is_pending());
    drop(connection);
    assert_eq!((waiter.woken(), waiter.poll(), environ.is_stopping()), (1, Poll::Ready(()), true));
}

/// Takes the connection over, gives the stream away, and returns.
fn gives_away(given: &Given<Stream>) -> impl Application + use<> {
    let given = Arc::clone(given);
    application_fn(move |environ: Environ, start: StartResponse| {
        let given = Arc::clone(&given);
        async move {
            start.start("101 Switching Protocols", [("Upgrade", "x")])?;
            *given.lock().expect("no panic") = Some(environ.take_over().await?);
            Ok(Body::empty()) as Result<Body>
        }
    })
}

const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n";

#[test]
fn a_stream_that_outlives_its_application_is_known_until_it_is_dropped() {
    let (handle, given) = (ServerHandle::new(), Given::default());
    let (server, mut connection) = serve(&handle, UPGRADE, gives_away(&given));
    assert!(connection.poll().is_ready());
    drop(connection);
    let stream = take(&given);
    assert_eq!((handle.connections(), handle.requests()), (1, 0));
    let mut stopping = Task::new(stream.stopping());
    assert!(stopping.poll().is_pending());
    let mut drained = Task::new(server.drained());
    assert!(drained.poll().is_pending());
    handle.shutdown();
    assert!(stream.is_stopping() && stopping.poll().is_ready());
    assert!(drained.poll().is_pending(), "the stop waits for it");
    drop(stream);
    assert_eq!((drained.woken(), drained.poll(), handle.connections()), (1, Poll::Ready(()), 0));
    assert_eq!(server.report(), Report { finished: 1, cut: 0 });
}

#[test]
fn a_wait_for_a_stop_ends_with_the_stream() {
    let (handle, given) = (ServerHandle::new(), Given::default());
    let (_server, mut connection) = serve(&handle, UPGRADE, gives_away(&given));
    assert!(connection.poll().is_ready());
    drop(connection);
    let stream = take(&given);
    let mut stopping: Task<Stopping> = Task::new(stream.stopping());
    assert!(stopping.poll().is_pending());
    drop(stream);
    assert_eq!((stopping.woken(), stopping.poll()), (1, Poll::Ready(())));
}

#[test]
fn a_stop_that_waits_no_longer_ends_the_calls_of_a_stream() {
    let (handle, given) = (ServerHandle::new(), Given::default());
    let (server, mut connection) = serve(&handle, UPGRADE, gives_away(&given));
    assert!(connection.poll().is_ready());
    drop(connection);
    let mut stream = take(&given);
    let mut space = [0; 8];
    let mut reading = Task::new(async {
        let read = stream.read(&mut space).await;
        (read, stream.write_all(b"a").await)
    });
    assert!(reading.poll().is_pending());
    handle.shutdown();
    assert_eq!((reading.woken(), reading.poll().is_pending()), (0, true));
    server.abort();
    assert_eq!(reading.woken(), 1);
    let Poll::Ready((read, written)) = reading.poll() else { panic!("it was cut") };
    assert_eq!(read.expect_err("it was cut").kind(), ErrorKind::ConnectionAborted);
    assert_eq!(written.expect_err("it was cut").kind(), ErrorKind::ConnectionAborted);
    drop(reading);
    drop(stream);
    assert_eq!(server.report(), Report { finished: 0, cut: 1 });
    assert!(pin!(server.drained()).poll(&mut Context::from_waker(Waker::noop())).is_ready());
}

#[test]
fn a_stream_that_a_stop_cuts_is_reset_unless_it_has_ended() {
    for (cuts, ends) in [(false, false), (true, false), (true, true)] {
        let (handle, given, is_reset) = (ServerHandle::new(), Given::default(), Arc::default());
        let (server, mut connection) =
            serve_watched(&handle, UPGRADE, gives_away(&given), Arc::clone(&is_reset));
        assert!(connection.poll().is_ready());
        drop(connection);
        let mut stream = take(&given);
        if ends {
            assert!(matches!(Task::new(stream.shutdown()).poll(), Poll::Ready(Ok(()))));
        }
        handle.shutdown();
        if cuts {
            server.abort();
        }
        drop(stream);
        assert_eq!(is_reset.load(Ordering::Relaxed), cuts && !ends, "{cuts} {ends}");
    }
}

#[test]
fn a_stream_is_reset_if_its_application_is_dropped_by_the_cut() {
    let (handle, is_reset) = (ServerHandle::new(), Arc::default());
    let application = application_fn(|environ: Environ, start: StartResponse| async move {
        start.start("101 Switching Protocols", [("Upgrade", "x")])?;
        let mut stream = environ.take_over().await?;
        stream.write_all(b"half of it").await?;
        std::future::pending::<()>().await;
        Ok(Body::empty()) as Result<Body>
    });
    let (server, mut connection) = serve_watched(&handle, UPGRADE, application, Arc::clone(&is_reset));
    assert!(connection.poll().is_pending());
    server.abort();
    assert!(connection.poll().is_ready());
    assert!(is_reset.load(Ordering::Relaxed));
}
