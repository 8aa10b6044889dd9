//! Files as bodies, over a transport in memory that can send files, cannot, or stops in the middle.

use std::fs::{self, File};
use std::future::Future;
use std::io::{self, ErrorKind, IoSlice, Read, Seek, SeekFrom, Write};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use wsgi_app::adapter::{Clock, Runtime, Server, Transport, serve_connection};
use wsgi_app::{
    Address, Application, Body, Endpoints, LogEntry, Options, Record, Result, ServerHandle, application_fn,
};

const LENGTH: usize = 5_000_003;
const MOST: usize = 2 * 1024 * 1024;

/// The client's requests, and what the server wrote.
struct Wire {
    written: Mutex<Vec<u8>>,
    /// The number of bytes for which there is room in all.
    room: AtomicUsize,
    calls: AtomicUsize,
    largest: AtomicUsize,
    yields: AtomicUsize,
    corked: AtomicBool,
    /// The number of times it was corked.
    corks: AtomicUsize,
    /// The calls for a part of the file, but not for its end, while it was not corked.
    uncorked_parts: AtomicUsize,
}

impl Default for Wire {
    fn default() -> Self {
        Self {
            written: Mutex::default(),
            room: AtomicUsize::new(usize::MAX),
            calls: AtomicUsize::default(),
            largest: AtomicUsize::default(),
            yields: AtomicUsize::default(),
            corked: AtomicBool::default(),
            corks: AtomicUsize::default(),
            uncorked_parts: AtomicUsize::default(),
        }
    }
}

struct Memory {
    requests: io::Cursor<Vec<u8>>,
    wire: Arc<Wire>,
    /// The number of bytes of files that it sends, in pieces of at most this size, before it fails with this error.
    sends: usize,
    piece: usize,
    fails: ErrorKind,
    clock: Moved,
}

impl Transport for Memory {
    fn poll_read(&mut self, _: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.requests.read(space))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        assert!(!self.wire.corked.load(Ordering::Relaxed), "the end of what is written is not kept back");
        let mut written = self.wire.written.lock().expect("no panic");
        let room = self.wire.room.load(Ordering::Relaxed).saturating_sub(written.len());
        if room == 0 {
            return Poll::Pending;
        }
        Poll::Ready(written.write(&slices[0][..slices[0].len().min(room)]))
    }

    fn poll_send_file(
        &mut self,
        _: &mut Context<'_>,
        mut file: &File,
        offset: u64,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        self.wire.calls.fetch_add(1, Ordering::Relaxed);
        self.wire.largest.fetch_max(length, Ordering::Relaxed);
        if self.sends == 0 {
            return Poll::Ready(Err(self.fails.into()));
        }
        file.seek(SeekFrom::Start(offset))?;
        let most = length.min(self.piece).min(self.sends);
        let count = file.take(most as u64).read_to_end(&mut self.wire.written.lock().expect("no panic"))?;
        self.sends -= count;
        let is_last = offset as usize + length == LENGTH;
        if !is_last && !self.wire.corked.load(Ordering::Relaxed) {
            self.wire.uncorked_parts.fetch_add(1, Ordering::Relaxed);
        }
        Poll::Ready(Ok(count))
    }

    fn cork(&mut self, corked: bool) {
        assert_ne!(self.wire.corked.swap(corked, Ordering::Relaxed), corked, "one call is enough");
        self.wire.corks.fetch_add(corked.into(), Ordering::Relaxed);
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_yield(&mut self, _: &mut Context<'_>) -> Poll<()> {
        self.wire.yields.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(())
    }

    fn poll_deadline(&mut self, _: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        if deadline <= self.clock.now() { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// A clock that a test moves on.
#[derive(Clone, Debug)]
struct Moved(Instant, Arc<AtomicUsize>);

impl Moved {
    fn new() -> Self {
        Self(Instant::now(), Arc::default())
    }

    fn pass(&self, seconds: usize) {
        self.1.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for Moved {
    fn now(&self) -> Instant {
        self.0 + Duration::from_secs(self.1.load(Ordering::Relaxed) as u64)
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// What a connection has done.
struct Served {
    wire: Arc<Wire>,
    records: Vec<Record>,
    errors: Vec<String>,
    /// The number of pieces of work for the pool.
    pooled: usize,
}

impl Served {
    fn written(&self) -> Vec<u8> {
        self.wire.written.lock().expect("no panic").clone()
    }

    fn calls(&self) -> usize {
        self.wire.calls.load(Ordering::Relaxed)
    }
}

/// Serves the requests to their end.
fn serve(requests: &str, sends: (usize, usize, ErrorKind), application: impl Application) -> Served {
    let log: Arc<Mutex<(Vec<Record>, Vec<String>)>> = Arc::default();
    let entries = Arc::clone(&log);
    let options = Options::default().log(move |entry: &LogEntry<'_>| match entry {
        LogEntry::Access { record, .. } => entries.lock().expect("no panic").0.push((*record).clone()),
        LogEntry::Error(text) => entries.lock().expect("no panic").1.push((*text).to_owned()),
        _ => {}
    });
    let pooled = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&pooled);
    let runtime = Runtime::default().blocking(move |work| {
        counted.fetch_add(1, Ordering::Relaxed);
        drop(thread::spawn(work));
    });
    let server = Server::with_runtime(options, &ServerHandle::new(), application, runtime)
        .expect("the defaults are allowed");
    let guard = server.admit(Endpoints::new(Address::Local, Address::Local));
    let wire = Arc::<Wire>::default();
    let (sends, piece, fails) = sends;
    let requests = io::Cursor::new(requests.as_bytes().to_vec());
    let memory = Memory { requests, wire: Arc::clone(&wire), sends, piece, fails, clock: Moved::new() };
    let mut connection = pin!(serve_connection(server, guard, memory));
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    while connection.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
        thread::park();
    }
    let (records, errors) = std::mem::take(&mut *log.lock().expect("no panic"));
    Served { wire, records, errors, pooled: pooled.load(Ordering::Relaxed) }
}

/// A file that was just written, so that it is in the cache, and its content.
fn file(name: &str) -> (Arc<File>, Vec<u8>) {
    let path = std::env::temp_dir().join(format!("wsgi-app-{name}-{}", std::process::id()));
    let content: Vec<u8> = (0..LENGTH).map(|at| (at / 251) as u8).collect();
    fs::write(&path, &content).expect("there is a folder for temporary files");
    let file = File::open(&path).expect("it exists");
    // On unix the file exists while it is open.
    let _ = fs::remove_file(&path);
    (Arc::new(file), content)
}

/// Serves the whole file.
fn whole(file: &Arc<File>) -> impl Application + use<> {
    let file = Arc::clone(file);
    application_fn(move |_: wsgi_app::Environ, start: wsgi_app::StartResponse| {
        let file = Arc::clone(&file);
        async move {
            start.start("200 OK", wsgi_app::NO_HEADERS)?;
            Result::<Body>::Ok(Body::file(file, ..)?)
        }
    })
}

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n";

const NEVER: (usize, usize, ErrorKind) = (usize::MAX, usize::MAX, ErrorKind::Other);

#[test]
fn a_transport_sends_files_in_bounded_calls_and_yields_between_them() {
    let (file, content) = file("sent");
    let served = serve(GET, NEVER, whole(&file));
    assert!(served.written().ends_with(&content));
    assert_eq!((served.records[0].body_length, served.records[0].cut), (LENGTH as u64, false));
    assert!(served.wire.largest.load(Ordering::Relaxed) <= MOST);
    assert!(served.calls() >= LENGTH / MOST);
    assert!(
        served.wire.yields.load(Ordering::Relaxed) >= LENGTH / MOST,
        "other connections have their turns"
    );
    assert_eq!(served.pooled, 0, "the file is in the cache");
    assert_eq!(served.errors, [""; 0]);
}

#[test]
fn a_transport_is_corked_until_the_end_of_a_file_or_of_its_ability_to_send_it() {
    let (file, content) = file("corked");
    for (sends, piece) in
        [(usize::MAX, usize::MAX), (usize::MAX, 100_000), (1_000_000, usize::MAX), (LENGTH - 1, 70_000)]
    {
        let served = serve(&GET.repeat(2), (sends, piece, ErrorKind::Unsupported), whole(&file));
        assert!(served.written().ends_with(&content));
        let wire = &served.wire;
        assert_eq!(wire.uncorked_parts.load(Ordering::Relaxed), 0, "{sends} in pieces of {piece}");
        assert!(!wire.corked.load(Ordering::Relaxed), "the end of the response is not kept back");
        let files = if sends == usize::MAX { 2 } else { 1 };
        assert_eq!(wire.corks.load(Ordering::Relaxed), files, "{sends} in pieces of {piece}");
    }
}

#[test]
fn a_transport_that_cannot_send_files_is_tried_once_and_the_pool_reads_them() {
    let (file, content) = file("read");
    for error in [ErrorKind::Unsupported, ErrorKind::InvalidInput, ErrorKind::Other] {
        let served = serve(&GET.repeat(3), (0, 0, error), whole(&file));
        assert_eq!(served.records.len(), 3);
        assert!(served.written().ends_with(&content), "{error}");
        assert_eq!(served.calls(), 1, "{error}");
        assert!(served.pooled >= 3 * LENGTH / (256 * 1024), "{}", served.pooled);
        assert_eq!(served.errors, [""; 0]);
    }
}

#[test]
fn a_transport_may_stop_anywhere() {
    let (file, content) = file("stops");
    for sends in [1, 100, 128 * 1024 - 1, 128 * 1024, 128 * 1024 + 1, 1_000_000, LENGTH - 1] {
        for piece in [70_000, usize::MAX] {
            let served = serve(GET, (sends, piece, ErrorKind::Unsupported), whole(&file));
            assert!(served.written().ends_with(&content), "{sends} in pieces of {piece}");
            assert_eq!(served.records[0].body_length, LENGTH as u64);
            assert_eq!(served.errors, [""; 0]);
        }
    }
}

#[test]
fn an_error_of_the_connection_is_its_loss() {
    let (file, content) = file("lost");
    for error in [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset, ErrorKind::NotConnected] {
        let served = serve(GET, (1000, 1000, error), whole(&file));
        assert!(served.written().ends_with(&content[..1000]));
        let record = &served.records[0];
        assert!(record.lost.is_some() && record.body_length == 1000, "{record:?}");
        assert_eq!((served.errors, served.pooled), (vec![], 0), "{error}");
    }
}

#[test]
fn head_neither_sends_nor_reads_the_file() {
    let (file, content) = file("head");
    for sends in [NEVER, (0, 0, ErrorKind::Unsupported)] {
        let served = serve(&[HEAD, GET].concat(), sends, whole(&file));
        let written = served.written();
        assert_eq!(written.windows(12).filter(|window| window == b"HTTP/1.1 200").count(), 2);
        assert!(written.ends_with(&content) && written.len() < LENGTH + 1000);
        assert_eq!(served.records[0].body_length, 0);
        let served = serve(HEAD, sends, whole(&file));
        assert_eq!((served.calls(), served.pooled), (0, 0));
    }
}

#[test]
fn a_file_that_does_not_match_the_content_length_is_an_error() {
    let (file, content) = file("mismatch");
    for sends in [NEVER, (0, 0, ErrorKind::Unsupported)] {
        for (length, wanted, message) in [
            ("1000", 1000, "the response is longer than its Content-Length of 1000"),
            ("5000010", LENGTH, "the response is 7 bytes shorter than its Content-Length"),
        ] {
            let file = Arc::clone(&file);
            let application = application_fn(move |_: wsgi_app::Environ, start: wsgi_app::StartResponse| {
                let file = Arc::clone(&file);
                async move {
                    start.start("200 OK", [("Content-Length", length)])?;
                    Result::<Body>::Ok(Body::file(file, ..)?)
                }
            });
            let served = serve(GET, sends, application);
            let written = served.written();
            let head = written.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
            assert!(written[head..] == content[..wanted], "{} bytes of {length}", written.len() - head);
            assert!(served.errors[0].contains(message), "{:?}", served.errors);
            assert!(served.records[0].cut);
        }
    }
}

#[test]
fn a_failed_range_is_the_applications_error() {
    let (file, _) = file("range");
    let application = application_fn(move |_: wsgi_app::Environ, start: wsgi_app::StartResponse| {
        let file = Arc::clone(&file);
        async move {
            start.start("200 OK", wsgi_app::NO_HEADERS)?;
            Result::<Body>::Ok(Body::file(file, 5..LENGTH as u64 + 1)?)
        }
    });
    let served = serve(GET, NEVER, application);
    assert!(served.written().starts_with(b"HTTP/1.1 500 "));
    assert!(served.errors[0].contains("range 5..5000004 is not within a file of 5000003 bytes"));
}

/// A connection whose file the transport cannot send, with the pool's work in the hands of the test.
struct Held {
    connection: Pin<Box<dyn Future<Output = ()>>>,
    work: Receiver<Box<dyn FnOnce() + Send>>,
    wire: Arc<Wire>,
    clock: Moved,
}

impl Held {
    /// The transport sends the first bytes of the file, then it fails.
    fn new(file: &Arc<File>, sends: usize, options: Options) -> Self {
        let (give, work) = channel();
        let give = Mutex::new(give);
        let clock = Moved::new();
        let runtime = Runtime::default()
            .clock(clock.clone())
            .blocking(move |work| give.lock().expect("no panic").send(work).expect("it is received"));
        let options = options.log_output(false);
        let server = Server::with_runtime(options, &ServerHandle::new(), whole(file), runtime)
            .expect("the options are allowed");
        let guard = server.admit(Endpoints::new(Address::Local, Address::Local));
        let wire = Arc::<Wire>::default();
        let memory = Memory {
            requests: io::Cursor::new(GET.as_bytes().to_vec()),
            wire: Arc::clone(&wire),
            sends,
            piece: usize::MAX,
            fails: ErrorKind::Unsupported,
            clock: clock.clone(),
        };
        Self { connection: Box::pin(serve_connection(server, guard, memory)), work, wire, clock }
    }

    fn is_over(&mut self) -> bool {
        self.connection.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    fn written(&self) -> usize {
        self.wire.written.lock().expect("no panic").len()
    }
}

#[test]
fn a_file_that_the_transport_cannot_send_after_all_is_read_while_there_is_room() {
    let (file, content) = file("room");
    let mut held = Held::new(&file, 1_000_000, Options::default());
    assert!(!held.is_over());
    let full = held.written();
    held.wire.room.store(full + 1, Ordering::Relaxed);
    let mut reads = 0;
    while let Ok(work) = held.work.try_recv() {
        reads += 1;
        work();
        assert!(!held.is_over());
    }
    assert_eq!((reads, held.written()), (1, full + 1), "what was read waits for the client");
    held.wire.room.store(usize::MAX, Ordering::Relaxed);
    while !held.is_over() {
        held.work.try_iter().for_each(|work| work());
    }
    assert!(held.wire.written.lock().expect("no panic").ends_with(&content));
}

#[test]
fn the_time_that_the_disk_takes_is_not_the_clients() {
    let (file, content) = file("disk");
    for sends in [0, 1_000_000] {
        let options = Options::default().socket_timeout(Duration::from_secs(10)).min_response_rate(100_000);
        let mut held = Held::new(&file, sends, options);
        while !held.is_over() {
            held.clock.pass(11);
            assert!(!held.is_over(), "{sends} bytes and {} of {LENGTH}", held.written());
            held.work.try_iter().for_each(|work| work());
        }
        assert!(held.wire.written.lock().expect("no panic").ends_with(&content), "{sends}");
    }
}
