//! Files as bodies, on every runtime: over TCP, unix sockets and TLS. `machine/external.rs` has the rules of the machine.
#![cfg(unix)]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::ops::Range;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use wsgi_tests::adapters::{Running, bind};
use wsgi_tests::caller::Caller;
use wsgi_tests::echo::listen::Bound;
use wsgi_tests::live::{Journal, Kind, PATIENCE, SOON};
use wsgi_tests::runtimes::{Runtime, on_each};
use wsgi_tests::secure::{Stream, trust};
use wsgi_tokio::{Body, Lost, NO_HEADERS, Options, Result, application_fn};

/// Somewhat more than any buffer of the system.
const LENGTH: usize = 12_345_678;

/// The length of a file that becomes shorter after the application has made a body of it.
const SHORTER: usize = LENGTH / 2 + 123;

/// A file that is removed at the end.
#[derive(Clone)]
struct Temporary(Arc<PathBuf>);

impl Temporary {
    fn new(content: &[u8]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("wsgi-file-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::write(&path, content).expect("there is a folder for temporary files");
        Self(Arc::new(path))
    }

    fn open(&self) -> File {
        File::open(&*self.0).expect("it exists")
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = Arc::get_mut(&mut self.0) {
            drop(fs::remove_file(path));
        }
    }
}

fn content() -> Vec<u8> {
    (0..LENGTH as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// How a client reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Tcp,
    Unix,
    Tls,
}

const WAYS: [Way; 3] = [Way::Tcp, Way::Unix, Way::Tls];

trait ReadWrite: Read + Write {}
impl<S: Read + Write> ReadWrite for S {}

struct Site {
    running: Running,
    journal: Arc<Journal>,
    socket: Option<PathBuf>,
    way: Way,
}

impl Site {
    /// Serves the file in the range of the query, `START-END`. `/chunked` sends a block before it, `/shrinks` makes the
    /// file shorter first.
    fn new(runtime: Runtime, way: Way, options: Options, file: &Temporary) -> Self {
        let (options, journal) = Journal::keep(options.debug(false));
        let mut socket = None;
        let bound = match way {
            Way::Unix => {
                let path = std::env::temp_dir().join(format!(
                    "wsgi-files-{}-{}",
                    std::process::id(),
                    runtime as u32
                ));
                let _ = fs::remove_file(&path);
                let listener = UnixListener::bind(&path).expect("the path is free");
                listener.set_nonblocking(true).expect("a socket");
                socket = Some(path);
                Bound::Unix(listener)
            }
            _ => bind().expect("there is a free port"),
        };
        let tls = (way == Way::Tls).then(|| &trust().server);
        let (file, blocking_file) = (file.clone(), file.clone());
        let application =
            application_fn(move |environ: wsgi_tokio::Environ, start: wsgi_tokio::StartResponse| {
                let file = file.clone();
                async move {
                    let body = Body::file(file.open(), range(&environ.query()))?;
                    if environ.path() == "/shrinks" {
                        truncate(&file.0);
                    }
                    let write = start.start("200 OK", NO_HEADERS)?;
                    if environ.path() == "/chunked" {
                        write.write("first").await?;
                    }
                    Result::<Body>::Ok(body)
                }
            });
        let blocking = wsgi_std::application_fn(
            move |environ: wsgi_std::Environ, start: wsgi_std::StartResponse| -> Result<Body> {
                let body = Body::file(blocking_file.open(), range(&environ.query()))?;
                if environ.path() == "/shrinks" {
                    truncate(&blocking_file.0);
                }
                let write = start.start("200 OK", NO_HEADERS)?;
                if environ.path() == "/chunked" {
                    write.write("first")?;
                }
                Ok(body)
            },
        );
        let running = runtime.begin_on(bound, tls, options, application, blocking);
        Self { running, journal, socket, way }
    }

    fn connect(&self) -> Caller<Box<dyn ReadWrite>> {
        Caller::new(match (&self.socket, self.way) {
            (Some(path), _) => {
                let stream = UnixStream::connect(path).expect("the server accepts");
                stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
                Box::new(stream)
            }
            (None, Way::Tls) => Box::new(Stream::connect(self.running.address)),
            (None, _) => Box::new(Caller::connect(self.running.address).clone_stream()),
        })
    }

    fn stop(self) {
        self.running.handle.shutdown();
        self.running.ended.recv_timeout(PATIENCE).expect("it stops").expect("the listener is sound");
        self.socket.iter().for_each(|path| drop(fs::remove_file(path)));
    }
}

fn range(query: &str) -> Range<u64> {
    let (start, end) = query.split_once('-').expect("START-END");
    start.parse().expect("a number")..end.parse().expect("a number")
}

fn get(range: &Range<usize>) -> String {
    format!("GET /?{}-{} HTTP/1.1\r\nHost: h\r\n\r\n", range.start, range.end)
}

#[test]
fn any_range_of_a_file_arrives_whole_and_the_connection_persists() {
    let (content, whole) = (content(), 0..LENGTH);
    let file = Temporary::new(&content);
    on_each("ranges of files", |runtime| {
        for way in WAYS {
            let site = Site::new(runtime, way, Options::default(), &file);
            let mut caller = site.connect();
            let ranges =
                [whole.clone(), 5..5, 0..1, LENGTH - 1..LENGTH, LENGTH..LENGTH, 70_000..270_001, 4096..9000];
            // One after the other, then pipelined.
            for range in &ranges {
                caller.send(get(range));
                let answer = caller.answer();
                assert_eq!(answer.field("Content-Length"), Some(&*range.len().to_string()));
                assert!(answer.body == content[range.clone()], "{way:?} {range:?}");
            }
            caller.send(ranges.each_ref().map(get).concat());
            for range in &ranges {
                assert!(caller.answer().body == content[range.clone()], "{way:?}, pipelined, {range:?}");
            }
            for record in site.journal.accesses(2 * ranges.len()) {
                let Range { start, end } = range_of(&record);
                assert_eq!((record.body_length, record.cut), (end - start, false), "{way:?}");
            }
            drop(caller);
            assert_eq!(site.journal.texts(Kind::Error), [""; 0], "{way:?}");
            site.stop();
        }
    });
}

fn range_of(record: &wsgi_tokio::Record) -> Range<u64> {
    let head = record.head.as_ref().expect("it has a head");
    range(std::str::from_utf8(head.query().expect("it has one")).expect("a range"))
}

#[test]
fn head_gets_the_length_of_a_file_larger_than_4_gib_and_its_end_can_be_read() {
    const HUGE: u64 = (5 << 30) + 7;
    let file = Temporary::new(b"");
    let sparse = File::options().write(true).open(&*file.0).expect("it exists");
    sparse.set_len(HUGE).expect("the file system has sparse files");
    on_each("a file of 5 GiB", |runtime| {
        for way in WAYS {
            let site = Site::new(runtime, way, Options::default(), &file);
            let mut caller = site.connect();
            caller.send(format!("HEAD /?0-{HUGE} HTTP/1.1\r\nHost: h\r\n\r\n"));
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.extend(caller.bytes(1));
            }
            let head = String::from_utf8(head).expect("a head is text");
            assert!(head.contains(&format!("Content-Length: {HUGE}\r\n")), "{way:?}: {head}");
            // Nothing but the next response follows.
            caller.send(format!("GET /?{}-{HUGE} HTTP/1.1\r\nHost: h\r\n\r\n", HUGE - 300_000));
            let answer = caller.answer();
            assert!(answer.whole && answer.body == vec![0; 300_000], "{way:?}");
            drop(caller);
            site.stop();
        }
    });
}

#[test]
fn a_file_after_a_block_of_unknown_length_is_chunked() {
    let content = content();
    let file = Temporary::new(&content);
    on_each("a chunked file", |runtime| {
        for way in WAYS {
            let site = Site::new(runtime, way, Options::default(), &file);
            let mut caller = site.connect();
            caller.send("GET /chunked?7-5000007 HTTP/1.1\r\nHost: h\r\n\r\n");
            let answer = caller.answer();
            assert_eq!(answer.field("Transfer-Encoding"), Some("chunked"));
            assert!(answer.whole && answer.body == [b"first", &content[7..5_000_007]].concat(), "{way:?}");
            drop(caller);
            site.stop();
        }
    });
}

#[test]
fn a_file_that_has_become_shorter_cuts_the_response_and_is_logged() {
    let content = content();
    on_each("a file that shrinks", |runtime| {
        for way in WAYS {
            let file = Temporary::new(&content);
            let site = Site::new(runtime, way, Options::default(), &file);
            let mut caller = site.connect();
            caller.send(format!("GET /shrinks?0-{LENGTH} HTTP/1.1\r\nHost: h\r\n\r\n"));
            let answer = caller.answer();
            assert_eq!(answer.field("Content-Length"), Some(&*LENGTH.to_string()));
            assert!(!answer.whole && answer.body == content[..SHORTER], "{way:?}: {}", answer.body.len());
            let message = site.journal.error("the file has become shorter");
            assert!(message.contains(&format!("it ends at byte {SHORTER}")), "{message}");
            let record = &site.journal.accesses(1)[0];
            assert!(record.cut && record.body_length == SHORTER as u64, "{way:?}: {record:?}");
            drop(caller);
            site.stop();
        }
    });
}

fn truncate(path: &Path) {
    let file = File::options().write(true).open(path).expect("it exists");
    file.set_len(SHORTER as u64).expect("files can be truncated");
}

#[test]
fn a_client_that_disconnects_in_the_middle_loses_only_its_response() {
    let file = Temporary::new(&content());
    on_each("a client that disconnects during a file", |runtime| {
        for way in WAYS {
            let site = Site::new(runtime, way, Options::default(), &file);
            let mut caller = site.connect();
            caller.send(get(&(0..LENGTH)));
            caller.bytes(1000);
            drop(caller);
            let record = &site.journal.accesses(1)[0];
            assert!(record.body_length < LENGTH as u64, "{way:?}: {record:?}");
            assert!(matches!(record.lost, Some(Lost::Reset | Lost::BrokenPipe)), "{way:?}: {record:?}");
            let mut caller = site.connect();
            caller.send(get(&(0..10)));
            assert_eq!(caller.answer().body.len(), 10);
            drop(caller);
            assert_eq!(site.journal.texts(Kind::Error), [""; 0], "{way:?}");
            site.stop();
        }
    });
}

#[test]
fn a_client_that_stops_reading_a_file_is_cut_by_the_socket_timeout() {
    let file = Temporary::new(&content());
    on_each("a client that does not read a file", |runtime| {
        for way in WAYS {
            let options = Options::default().socket_timeout(SOON);
            let site = Site::new(runtime, way, options, &file);
            let mut caller = site.connect();
            caller.send(get(&(0..LENGTH)));
            let record = &site.journal.accesses(1)[0];
            assert_eq!(record.lost, Some(Lost::TimedOut), "{way:?}");
            assert!(record.body_length < LENGTH as u64, "{way:?}");
            site.stop();
        }
    });
}

#[test]
fn a_half_closed_client_gets_the_whole_file() {
    let content = content();
    let file = Temporary::new(&content);
    on_each("a half-closed client", |runtime| {
        let site = Site::new(runtime, Way::Tcp, Options::default(), &file);
        let mut caller = Caller::connect(site.running.address);
        caller.send(get(&(0..LENGTH)));
        caller.stream().shutdown(Shutdown::Write).expect("it is open");
        assert!(caller.answer().body == content);
        assert!(caller.ends());
        site.stop();
    });
}
