//! TLS of blocking applications over an in-memory transport, whose room and bytes are controlled by the test. This
//! reproduces states that are rare on sockets.

use std::future::Future;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use wsgi_app::adapter::Server;
use wsgi_app::adapter::{Blocking, BlockingTransport};
use wsgi_app::{Address, Endpoints, Scheme, ServerHandle};
use wsgi_std::adapter::{TaskState, TlsTransport};
use wsgi_std::{Environ, Options, Result, StartResponse};
use wsgi_tests::live::PATIENCE;
use wsgi_tests::secure::trust;
use wsgi_tokio::rustls::pki_types::ServerName;
use wsgi_tokio::rustls::version::{TLS12, TLS13};
use wsgi_tokio::rustls::{ClientConnection, SupportedProtocolVersion};

use super::application::pattern;
use super::site::options;

/// The server's end of a transport, and the controls of the test.
struct Memory {
    /// The engine's state: whether new room is worth polling the task.
    state: TaskState,
    ends: Mutex<Ends>,
}

#[derive(Default)]
struct Ends {
    /// Bytes that the server has not read yet.
    arrived: Vec<u8>,
    /// Bytes that the server has written.
    sent: Vec<u8>,
    /// How many bytes it may write.
    room: usize,
    /// Room and bytes that arrive after a write has found no room: not the next such write, but this many writes later.
    surprise: Option<(usize, Vec<u8>)>,
    /// There is new room that has not been reported to the task.
    room_came: bool,
    shut: bool,
    reminder: Option<Instant>,
}

impl Memory {
    fn ends(&self) -> MutexGuard<'_, Ends> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ends {
    fn make_room(&mut self, bytes: usize) {
        self.room += bytes;
        self.room_came = true;
    }
}

/// Held by the test, and by the server through its session.
struct Far(Arc<Memory>);

impl BlockingTransport for Far {
    fn read(&self, space: &mut [u8]) -> io::Result<usize> {
        let arrived = &mut self.0.ends().arrived;
        if arrived.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let count = space.len().min(arrived.len());
        space[..count].copy_from_slice(&arrived[..count]);
        arrived.drain(..count);
        Ok(count)
    }

    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.state.write_begins();
        let mut ends = self.0.ends();
        if ends.room == 0 {
            ends.surprise = match ends.surprise.take() {
                Some((0, bytes)) => {
                    ends.arrived.extend(bytes);
                    ends.make_room(usize::MAX / 4);
                    None
                }
                later => later.map(|(writes, bytes)| (writes - 1, bytes)),
            };
            return Err(ErrorKind::WouldBlock.into());
        }
        let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let count = all.len().min(ends.room);
        ends.sent.extend_from_slice(&all[..count]);
        ends.room -= count;
        if count == all.len() {
            self.0.state.all_written();
        }
        Ok(count)
    }

    fn shutdown(&self) -> io::Result<()> {
        self.0.ends().shut = true;
        Ok(())
    }

    fn cut(&self) {}

    fn leave(&self) {}

    fn remind(&self, deadline: Instant) {
        self.0.ends().reminder = Some(deadline);
    }

    fn wait(&self, _: bool, _: bool, _: Option<Instant>) -> io::Result<()> {
        unreachable!("the application here never waits")
    }

    fn waker(&self) -> Waker {
        Waker::noop().clone()
    }
}

/// Counts how often a task is woken.
#[derive(Default)]
struct Calls(AtomicUsize);

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// One connection: its task, as an engine runs it, and its client.
struct Played {
    task: Pin<Box<dyn Future<Output = ()> + Send>>,
    calls: Arc<Calls>,
    over: bool,
    memory: Arc<Memory>,
    client: ClientConnection,
    /// The plaintext that the client has received.
    plain: Vec<u8>,
    handle: ServerHandle,
}

impl Played {
    fn new(options: Options, version: &'static SupportedProtocolVersion) -> Self {
        let handle = ServerHandle::new();
        let application = Blocking(|environ: Environ, start: StartResponse| -> Result<wsgi_std::Body> {
            start.start("200 OK", [("Content-Type", "text/plain")])?;
            Ok(pattern(0, environ.path()[1..].parse().unwrap_or(1)).into())
        });
        let server = Server::new(options.log_output(false), &handle, application).expect("options are fine");
        let peer = Endpoints { scheme: Scheme::Https, ..Endpoints::new(Address::Local, Address::Local) };
        let guard = server.admit(peer);
        let ends = Ends { room: usize::MAX / 2, ..Ends::default() };
        let memory = Arc::new(Memory { state: TaskState::new(), ends: Mutex::new(ends) });
        let tls = TlsTransport::new(Arc::clone(&trust().server));
        let task = tls.serve(server, guard, Far(Arc::clone(&memory)));
        let name = ServerName::try_from("localhost").expect("a name");
        let client = ClientConnection::new(trust().client_of(&[version]), name).expect("a session");
        let calls = Arc::new(Calls::default());
        Self { task, calls, over: false, memory, client, plain: Vec::new(), handle }
    }

    /// A connection after the handshake.
    fn shaken(options: Options) -> Self {
        let mut played = Self::new(options, &TLS13);
        for _ in 0..3 {
            played.send_all();
            played.run();
            played.receive();
        }
        assert!(!played.client.is_handshaking());
        played.memory.ends().room = 0;
        played
    }

    /// Runs the task until it is pending, and returns how often it was polled. Like the engine, it reports new room to
    /// the task only if the task waits for some.
    fn run(&mut self) -> usize {
        let waker = Waker::from(Arc::clone(&self.calls));
        for polls in 1.. {
            let woken = self.calls.0.load(Ordering::Relaxed);
            self.over =
                self.over || self.task.as_mut().poll(&mut Context::from_waker(&waker)) == Poll::Ready(());
            let came = std::mem::take(&mut self.memory.ends().room_came);
            let called = came && self.memory.state.has_room();
            if self.over || !called && self.calls.0.load(Ordering::Relaxed) == woken {
                return polls;
            }
        }
        unreachable!("an unbounded range ends")
    }

    /// Adds room for the server, and runs the task if the engine would.
    fn make_room(&mut self, bytes: usize) {
        self.memory.ends().make_room(bytes);
        if std::mem::take(&mut self.memory.ends().room_came) && self.memory.state.has_room() {
            self.run();
        }
    }

    /// The client's plaintext, encrypted.
    fn sealed(&mut self, plain: &str) -> Vec<u8> {
        self.client.writer().write_all(plain.as_bytes()).expect("it is open");
        let mut records = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut records).expect("memory never fails");
        }
        records
    }

    fn send_all(&mut self) {
        let records = self.sealed("");
        self.memory.ends().arrived.extend(records);
    }

    fn ask(&mut self, path: &str, fields: &str) {
        let records = self.sealed(&format!("GET {path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n"));
        self.memory.ends().arrived.extend(records);
        self.run();
    }

    /// Receives the bytes that the server has sent.
    fn receive(&mut self) {
        let sent = std::mem::take(&mut self.memory.ends().sent);
        let mut left = sent.as_slice();
        while !left.is_empty() && self.client.read_tls(&mut left).expect("memory is sound") > 0 {
            self.client.process_new_packets().expect("it is TLS");
            match self.client.reader().read_to_end(&mut self.plain) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                end => assert_eq!(end.expect("it is sound"), 0),
            }
        }
    }

    /// Checks answers with bodies of these lengths, and removes them.
    fn take(&mut self, lengths: &[usize]) {
        self.receive();
        for length in lengths {
            let head = self.plain.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
            self.plain.drain(..head + 4);
            let body: Vec<_> = self.plain.drain(..(*length).min(self.plain.len())).collect();
            assert!(body == pattern(0, *length), "{} bytes of {length}", body.len());
        }
        assert_eq!(self.plain, b"");
    }

    fn has_farewell(&mut self) -> bool {
        self.receive();
        let state = self.client.process_new_packets().expect("it is TLS");
        state.peer_has_closed()
    }
}

#[test]
fn the_answer_does_not_depend_on_how_the_outbox_drains() {
    const LENGTH: usize = 300_000;
    for step in [1000, 4096, 16_384 + 22, 65_536, 70_001, 1_000_000] {
        let mut played = Played::shaken(options());
        for _ in 0..2 {
            played.ask(&format!("/{LENGTH}"), "");
            // More than the answer and its records need.
            for _ in 0..LENGTH * 2 / step + 2 {
                played.make_room(step);
            }
            played.take(&[LENGTH]);
            played.memory.ends().room = 0;
        }
    }
}

#[test]
fn a_single_byte_of_room_at_a_time_is_enough() {
    let mut played = Played::shaken(options());
    played.ask("/", "");
    for _ in 0..1000 {
        played.make_room(1);
    }
    played.receive();
    assert!(played.plain.starts_with(b"HTTP/1.1 200 OK\r\n"));
}

#[test]
fn room_between_a_write_and_a_read_is_not_forgotten() {
    for later in 0..4 {
        let mut played = Played::shaken(options());
        // So little that the next request is read in between; rustls has the first answer only.
        played.ask("/20000", "");
        played.ask("/20001", "");
        // A part of a record arrives, and with it the room that a write has just requested in vain.
        let record = played.sealed("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        played.memory.ends().surprise = Some((later, record[..10].to_vec()));
        // After that only new room makes it run again.
        while played.memory.ends().surprise.is_some() {
            played.run();
        }
        played.take(&[20_000, 20_001]);
        played.memory.ends().arrived.extend(&record[10..]);
        played.run();
        played.receive();
        assert!(played.plain.starts_with(b"HTTP/1.1 200 OK\r\n"));
    }
}

#[test]
fn the_last_words_of_a_handshake_wait_for_room() {
    for version in [&TLS12, &TLS13] {
        for room in 0..400 {
            let mut played = Played::new(options(), version);
            played.send_all();
            played.run();
            played.receive();
            // The client's last messages arrive when there is hardly any room for the server's.
            played.memory.ends().room = room;
            played.send_all();
            played.run();
            played.make_room(usize::MAX / 4);
            played.receive();
            assert!(!played.client.is_handshaking(), "{version:?}, room for {room}");
            played.ask("/", "");
            played.receive();
            assert!(played.plain.starts_with(b"HTTP/1.1 200 OK\r\n"), "{version:?}, room for {room}");
        }
    }
}

#[test]
fn a_farewell_that_finds_no_room_is_sent_when_there_is_some() {
    let mut played = Played::shaken(options());
    played.memory.ends().room = answer_size();
    played.ask("/", "Connection: close\r\n");
    played.receive();
    assert!(played.plain.ends_with(b"\r\n\r\n\0"), "the answer found room");
    assert!(!played.has_farewell() && !played.memory.ends().shut);
    for _ in 0..24 {
        played.make_room(1);
    }
    assert!(played.has_farewell() && played.memory.ends().shut);
    played.client.send_close_notify();
    played.send_all();
    played.run();
    assert!(played.over);
    assert_eq!(played.handle.connections(), 0);
}

#[test]
fn a_farewell_that_never_finds_room_is_waited_for_as_long_as_the_linger_allows() {
    const LINGER: Duration = Duration::from_millis(50);
    let mut played = Played::shaken(options().linger_timeout(LINGER));
    played.memory.ends().room = answer_size();
    let begun = Instant::now();
    played.ask("/", "Connection: close\r\n");
    let mut polls = 0;
    while !played.over {
        let at = played.memory.ends().reminder.take().expect("a reminder is set");
        assert!(begun.elapsed() < PATIENCE && polls < 1000, "{polls} polls in {:?}", begun.elapsed());
        while let Some(left) = at.checked_duration_since(Instant::now()) {
            thread::park_timeout(left);
        }
        polls += played.run();
    }
    // Once for close_notify, once for later bytes from the client.
    assert!(begun.elapsed() >= LINGER && polls < 10, "{polls} polls in {:?}", begun.elapsed());
}

/// The number of ciphertext bytes in the answer to `/` with `Connection: close`.
fn answer_size() -> usize {
    let mut played = Played::shaken(options());
    played.memory.ends().room = usize::MAX / 2;
    played.ask("/", "Connection: close\r\n");
    let sent = played.memory.ends().sent.len();
    // Without close_notify: a TLS 1.3 record with two bytes.
    sent - (5 + 2 + 1 + 16)
}
