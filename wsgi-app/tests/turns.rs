//! A connection that always has something to do yields after its turn, and one that has nothing more to do does not.
//! Transport and clock are simulated.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use wsgi_app::adapter::{
    Blocking, BlockingTransport, Clock, Runtime, Server, Transport, serve_blocking, serve_connection,
};
use wsgi_app::blocking;
use wsgi_app::{Address, Body, Endpoints, Environ, Options, Result, ServerHandle, StartResponse};

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const PLAIN: [(&str, &str); 1] = [("Content-Type", "text/plain")];

/// What the client has sent, what was written, and how often the connection has yielded.
#[derive(Default)]
struct Wire {
    sent: Mutex<Vec<u8>>,
    /// The largest read; 0 for no limit.
    piece: usize,
    reads: AtomicUsize,
    read: AtomicUsize,
    written: Mutex<Vec<u8>>,
    writes: AtomicUsize,
    yields: AtomicUsize,
}

impl Wire {
    fn new(sent: impl Into<Vec<u8>>, piece: usize) -> Arc<Self> {
        Arc::new(Self { sent: Mutex::new(sent.into()), piece, ..Self::default() })
    }

    fn yields(&self) -> usize {
        self.yields.load(Ordering::Relaxed)
    }

    fn take(&self, space: &mut [u8]) -> Option<usize> {
        let mut sent = self.sent.lock().expect("no panic");
        if sent.is_empty() {
            return None;
        }
        let piece = if self.piece == 0 { usize::MAX } else { self.piece };
        let count = sent.len().min(space.len()).min(piece);
        space[..count].copy_from_slice(&sent[..count]);
        sent.drain(..count);
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.read.fetch_add(count, Ordering::Relaxed);
        Some(count)
    }

    fn put(&self, slices: &[IoSlice<'_>]) -> usize {
        self.writes.fetch_add(1, Ordering::Relaxed);
        let mut written = self.written.lock().expect("no panic");
        slices.iter().for_each(|slice| written.extend(&**slice));
        slices.iter().map(|slice| slice.len()).sum()
    }

    /// The number of answers that were written.
    fn answers(&self) -> usize {
        let written = self.written.lock().expect("no panic");
        written.windows(12).filter(|window| window == b"HTTP/1.1 200").count()
    }
}

struct Async(Arc<Wire>);

impl Transport for Async {
    fn poll_readable(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.0.sent.lock().expect("no panic").is_empty() { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn poll_read(&mut self, _: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        self.0.take(space).map_or(Poll::Pending, |count| Poll::Ready(Ok(count)))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(self.0.put(slices)))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_yield(&mut self, _: &mut Context<'_>) -> Poll<()> {
        self.0.yields.fetch_add(1, Ordering::Relaxed);
        Poll::Pending
    }

    fn poll_deadline(&mut self, _: &mut Context<'_>, _: Instant) -> Poll<()> {
        Poll::Pending
    }
}

/// A clock that only the application moves, and that counts its readings.
#[derive(Clone, Debug)]
struct Time {
    start: Instant,
    micros: Arc<AtomicU64>,
    readings: Arc<AtomicUsize>,
}

impl Time {
    fn new() -> Self {
        Self { start: Instant::now(), micros: Arc::default(), readings: Arc::default() }
    }

    fn pass(&self, micros: u64) {
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    fn readings(&self) -> usize {
        self.readings.load(Ordering::Relaxed)
    }
}

impl Clock for Time {
    fn now(&self) -> Instant {
        self.readings.fetch_add(1, Ordering::Relaxed);
        self.start + Duration::from_micros(self.micros.load(Ordering::Relaxed))
    }
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A connection that the test polls.
struct Connection {
    future: Pin<Box<dyn Future<Output = ()>>>,
    wire: Arc<Wire>,
    wakes: Arc<Wakes>,
}

impl Connection {
    fn new<F>(
        wire: &Arc<Wire>,
        time: &Time,
        application: impl Fn(Environ, StartResponse) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Body>> + Send + 'static,
    {
        Self::with_options(wire, time, application, Options::default().log_output(false))
    }

    fn with_options<F>(
        wire: &Arc<Wire>,
        time: &Time,
        application: impl Fn(Environ, StartResponse) -> F + Send + Sync + 'static,
        options: Options,
    ) -> Self
    where
        F: Future<Output = Result<Body>> + Send + 'static,
    {
        let runtime = Runtime::default().clock(time.clone());
        let server = Server::with_runtime(options, &ServerHandle::new(), application, runtime);
        let server = server.expect("the options are allowed");
        let guard = server.admit(Endpoints::new(Address::Local, Address::Local));
        let future = Box::pin(serve_connection(server, guard, Async(Arc::clone(wire))));
        Self { future, wire: Arc::clone(wire), wakes: Arc::default() }
    }

    /// Gives the connection one turn. Returns whether it yielded; if not, nothing woke it either.
    fn turn(&mut self) -> bool {
        let before = self.wire.yields();
        let waker = Waker::from(Arc::clone(&self.wakes));
        assert!(self.future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert_eq!(self.wakes.0.load(Ordering::Relaxed), 0, "the connection woke itself");
        self.wire.yields() > before
    }
}

/// An application whose every call takes this long.
fn takes(
    time: &Time,
    micros: u64,
) -> impl Fn(Environ, StartResponse) -> std::future::Ready<Result<Body>> + Send + Sync + 'static {
    let time = time.clone();
    move |_, start| {
        time.pass(micros);
        std::future::ready(start.start("200 OK", PLAIN).map(|_| "ok".into()).map_err(Into::into))
    }
}

#[test]
fn a_client_that_pipelines_yields_after_64_requests_which_are_answered_by_then() {
    for piece in [0, 600] {
        let (wire, time) = (Wire::new(GET.repeat(200), piece), Time::new());
        let mut connection = Connection::new(&wire, &time, takes(&time, 0));
        for answered in [64, 128, 192] {
            assert!(connection.turn(), "{answered}");
            assert_eq!(wire.answers(), answered);
        }
        assert!(!connection.turn(), "nothing more is waiting");
        assert_eq!(wire.answers(), 200);
    }
}

#[test]
fn a_batch_that_fits_into_a_turn_costs_one_wake_up_and_one_write() {
    for count in [1, 16, 63, 64] {
        let (wire, time) = (Wire::new(GET.repeat(count), 0), Time::new());
        let mut connection = Connection::new(&wire, &time, takes(&time, 0));
        assert!(!connection.turn(), "{count} requests");
        assert_eq!((wire.answers(), wire.writes.load(Ordering::Relaxed)), (count, 1));
    }
}

#[test]
fn a_turn_ends_after_300_microseconds_of_application_time() {
    for (micros, requests) in [(100, 3), (200, 2), (299, 2), (300, 1), (5000, 1)] {
        let (wire, time) = (Wire::new(GET.repeat(2 * requests + 1), 0), Time::new());
        let mut connection = Connection::new(&wire, &time, takes(&time, micros));
        for answered in [requests, 2 * requests] {
            assert!(connection.turn(), "{micros} us, {answered} requests");
            assert_eq!(wire.answers(), answered, "{micros} us");
        }
        assert!(!connection.turn(), "{micros} us: nothing more is waiting");
        assert_eq!(wire.answers(), 2 * requests + 1);
    }
}

#[test]
fn a_long_request_with_nothing_behind_it_does_not_yield() {
    let (wire, time) = (Wire::new(GET, 0), Time::new());
    let mut connection = Connection::new(&wire, &time, takes(&time, 1_000_000));
    assert!(!connection.turn());
    assert_eq!((wire.answers(), wire.writes.load(Ordering::Relaxed)), (1, 1));
}

#[test]
fn the_clock_is_read_once_per_wake_up_and_once_after_each_application() {
    for requests in [1, 16] {
        let (wire, time) = (Wire::new(GET.repeat(requests), 0), Time::new());
        let mut connection = Connection::new(&wire, &time, takes(&time, 0));
        let before = time.readings();
        assert!(!connection.turn());
        assert_eq!(time.readings() - before, 1 + requests);
    }
}

#[test]
fn a_log_reads_the_clock_no_more_often() {
    let (wire, time) = (Wire::new(GET.repeat(16), 0), Time::new());
    let lines = Arc::new(AtomicUsize::new(0));
    let logged = Arc::clone(&lines);
    let options = Options::default().log(move |_| _ = logged.fetch_add(1, Ordering::Relaxed));
    let mut connection = Connection::with_options(&wire, &time, takes(&time, 0), options);
    let (before, logged) = (time.readings(), lines.load(Ordering::Relaxed));
    assert!(!connection.turn());
    assert_eq!((time.readings() - before, lines.load(Ordering::Relaxed) - logged), (1 + 16, 16));
}

#[test]
fn a_blocking_application_reads_the_clock_no_more_often() {
    let (wire, time) = (Wire::new(GET.repeat(16), 0), Time::new());
    let application = |_: blocking::Environ, start: blocking::StartResponse| -> Result<Body> {
        start.start("200 OK", PLAIN)?;
        Ok("ok".into())
    };
    let runtime = Runtime::default().clock(time.clone());
    let options = Options::default().log_output(false);
    let server = Server::with_runtime(options, &ServerHandle::new(), Blocking(application), runtime);
    let server = server.expect("the options are allowed");
    let guard = server.admit(Endpoints::new(Address::Local, Address::Local));
    let transport = Reminded(Arc::clone(&wire), Arc::default());
    let mut connection = Box::pin(serve_blocking(server, guard, transport));
    let before = time.readings();
    assert!(connection.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!((time.readings() - before, wire.answers()), (1 + 16, 16));
}

/// Reads and drops the request body; each read takes this long.
async fn drain(environ: Environ, start: StartResponse, time: Time, micros: u64) -> Result<Body> {
    let input = environ.input();
    while !input.read_some(64 * 1024).await?.is_empty() {
        time.pass(micros);
    }
    start.start("200 OK", PLAIN)?;
    Ok("ok".into())
}

fn upload(body: &[u8], encoding: &str) -> Vec<u8> {
    let mut request = format!("POST / HTTP/1.1\r\nHost: h\r\n{encoding}\r\n\r\n").into_bytes();
    request.extend(body);
    request
}

#[test]
fn a_turn_moves_up_to_a_mebibyte_of_a_body_and_less_in_small_pieces() {
    const MIB: usize = 1 << 20;
    for (piece, most) in [(0, MIB), (8192, MIB), (4096, MIB), (4095, 64 * 1024), (1024, 64 * 1024), (1, 64)] {
        let wire = Wire::new(upload(&vec![b'x'; 3 * MIB], &format!("Content-Length: {}", 3 * MIB)), piece);
        let time = Time::new();
        let drained = time.clone();
        let application = move |environ, start| drain(environ, start, drained.clone(), 0);
        let mut connection = Connection::new(&wire, &time, application);
        // The first turn also reads the head.
        assert!(connection.turn(), "pieces of {piece}");
        let before = wire.read.load(Ordering::Relaxed);
        assert!(connection.turn(), "pieces of {piece}");
        let moved = wire.read.load(Ordering::Relaxed) - before;
        let largest = wire.read.load(Ordering::Relaxed) / wire.reads.load(Ordering::Relaxed);
        assert!((most..=most + largest.max(1)).contains(&moved), "pieces of {piece}: {moved} bytes");
    }
}

#[test]
fn a_body_of_a_mebibyte_with_nothing_behind_it_does_not_yield() {
    let body = vec![b'x'; (1 << 20) - 64];
    let wire = Wire::new(upload(&body, &format!("Content-Length: {}", body.len())), 0);
    let time = Time::new();
    let drained = time.clone();
    let mut connection =
        Connection::new(&wire, &time, move |environ, start| drain(environ, start, drained.clone(), 0));
    assert!(!connection.turn());
    assert_eq!(wire.answers(), 1);
}

#[test]
fn tiny_chunks_that_an_application_reads_without_a_pause_end_the_turn_by_time() {
    let mut body = b"1\r\nx\r\n".repeat(100_000);
    body.extend(b"0\r\n\r\n");
    let (wire, time) = (Wire::new(upload(&body, "Transfer-Encoding: chunked"), 0), Time::new());
    let drained = time.clone();
    let mut connection =
        Connection::new(&wire, &time, move |environ, start| drain(environ, start, drained.clone(), 1));
    let mut turns = 0;
    loop {
        let before = time.micros.load(Ordering::Relaxed);
        let yielded = connection.turn();
        let took = time.micros.load(Ordering::Relaxed) - before;
        // The time is looked at when the application has used up the receive buffer, which holds 10,922 chunks.
        assert!(took < 300 + 11_000, "a turn of {took} us");
        turns += 1;
        if !yielded {
            break;
        }
    }
    assert!(turns >= 10, "{turns} turns");
    assert_eq!(wire.answers(), 1);
}

#[test]
fn an_application_that_never_waits_for_the_client_ends_its_turn_by_bytes_or_time() {
    for (micros, most) in [(0, 1 << 20), (10, 31 * 64 * 1024)] {
        let (wire, time) = (Wire::new(GET, 0), Time::new());
        let passing = time.clone();
        let application = move |_: Environ, start: StartResponse| {
            let time = passing.clone();
            async move {
                let stream = start.start("200 OK", PLAIN)?;
                for _ in 0..100 {
                    time.pass(micros);
                    stream.write(vec![b'x'; 64 * 1024]).await?;
                }
                Ok(Body::empty())
            }
        };
        let mut connection = Connection::new(&wire, &time, application);
        let (mut turns, mut before) = (0, 0);
        while connection.turn() {
            let written = wire.written.lock().expect("no panic").len();
            assert!(written - before <= most + 2 * 65 * 1024, "{} bytes", written - before);
            (turns, before) = (turns + 1, written);
        }
        assert!((3..10).contains(&turns), "{turns} turns");
    }
}

#[test]
fn many_small_writes_that_wait_for_the_system_end_the_turn() {
    let (wire, time) = (Wire::new(GET, 0), Time::new());
    let passing = time.clone();
    let application = move |_: Environ, start: StartResponse| {
        let time = passing.clone();
        async move {
            start.start("200 OK", PLAIN)?;
            let blocks = (0..1000).map(move |_| {
                time.pass(10);
                Ok("0123456789".into())
            });
            Ok(Body::iterator(blocks))
        }
    };
    let mut connection = Connection::new(&wire, &time, application);
    let mut turns = 1;
    while connection.turn() {
        turns += 1;
    }
    assert!((1000 / 31..1000 / 20).contains(&turns), "{turns} turns");
}

/// A transport of blocking calls that remembers the last deadline of its connection.
struct Reminded(Arc<Wire>, Arc<Mutex<Option<Instant>>>);

impl BlockingTransport for Reminded {
    fn read(&self, space: &mut [u8]) -> io::Result<usize> {
        self.0.take(space).ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(self.0.put(slices))
    }

    fn shutdown(&self) -> io::Result<()> {
        Ok(())
    }

    fn cut(&self) {}

    fn leave(&self) {}

    fn remind(&self, deadline: Instant) {
        *self.1.lock().expect("no panic") = Some(deadline);
    }

    fn wait(&self, _: bool, _: bool, _: Option<Instant>) -> io::Result<()> {
        Ok(())
    }

    fn waker(&self) -> Waker {
        Waker::noop().clone()
    }
}

#[test]
fn a_blocking_connection_yields_by_a_deadline_that_has_passed() {
    let (wire, time, deadline) = (Wire::new(GET.repeat(65), 0), Time::new(), Arc::default());
    let application = |_: blocking::Environ, start: blocking::StartResponse| -> Result<Body> {
        start.start("200 OK", PLAIN)?;
        Ok(Body::from("ok"))
    };
    let options = Options::default().log_output(false).keepalive(Duration::from_secs(3600));
    let runtime = Runtime::default().clock(time);
    let server = Server::with_runtime(options, &ServerHandle::new(), Blocking(application), runtime);
    let server = server.expect("the options are allowed");
    let guard = server.admit(Endpoints::new(Address::Local, Address::Local));
    let transport = Reminded(Arc::clone(&wire), Arc::clone(&deadline));
    let mut connection = Box::pin(serve_blocking(server, guard, transport));
    let wakes = Arc::<Wakes>::default();
    let waker = Waker::from(Arc::clone(&wakes));
    let mut poll = || assert!(connection.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    poll();
    assert_eq!(wire.answers(), 64);
    let yielded = deadline.lock().expect("no panic").take().expect("a deadline");
    assert!(yielded <= Instant::now());
    poll();
    assert_eq!(wire.answers(), 65);
    let waits = deadline.lock().expect("no panic").take().expect("the keep-alive deadline");
    assert!(waits > Instant::now());
    // A task that woke itself would run again before anything that only the poller knows.
    assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
}

#[test]
fn a_task_beside_the_application_keeps_its_turn_too() {
    // The application waits for the body, and is polled again in the next turn.
    let wire = Wire::new(upload(&vec![b'x'; 7 << 19], &format!("Content-Length: {}", 7 << 19)), 0);
    let (time, polls) = (Time::new(), Arc::new(AtomicUsize::new(0)));
    let (drained, polled) = (time.clone(), Arc::clone(&polls));
    let application = move |environ, start| {
        let polled = Arc::clone(&polled);
        let mut drain = Box::pin(drain(environ, start, drained.clone(), 0));
        poll_fn(move |context| {
            polled.fetch_add(1, Ordering::Relaxed);
            drain.as_mut().poll(context)
        })
    };
    let mut connection = Connection::new(&wire, &time, application);
    let mut before = 0;
    while connection.turn() {
        let now = polls.load(Ordering::Relaxed);
        assert!(now > before, "the application was not polled");
        before = now;
    }
    assert_eq!((wire.answers(), wire.yields()), (1, 3));
}
