//! A server on real sockets for one test, and its complete log.
//!
//! Nothing here waits for a fixed time: a test waits for an event, for [`PATIENCE`] at most. No test may fail because the
//! machine is busy: a test that measures compares with [`NOT_HELD_UP`], and a client has [`SOON`] to act.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::runtime;
use wsgi_tokio::{Application, LogEntry, Options, Record, Report, Server, ServerHandle};

use crate::caller::Caller;

/// The longest time that any event may take. The machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A deadline of a server that a test waits for. A client that has to act before it has the time to do so on a busy machine.
pub const SOON: Duration = Duration::from_secs(1);

/// The longest time of something that would otherwise take [`PATIENCE`], or longer.
pub const NOT_HELD_UP: Duration = Duration::from_secs(10);

/// Repeats the check until `condition` holds.
///
/// # Panics
///
/// The condition does not hold within [`PATIENCE`].
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "timed out waiting for: {what}");
        thread::park_timeout(Duration::from_millis(2));
    }
}

/// The threads of a server's tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// One thread for everything: while a task runs, no other task does.
    One,
    /// Two threads for the connections, and one for the accept loop.
    Several,
}

/// A running server. It is stopped when this is dropped.
#[derive(Debug)]
pub struct Site {
    handle: ServerHandle,
    journal: Arc<Journal>,
    ended: Receiver<io::Result<Report>>,
}

impl Site {
    /// Serves on a free port, with the default options but without `debug`.
    pub fn new(application: impl Application) -> Self {
        Self::with(Options::default().debug(false), application)
    }

    /// Serves on a free port.
    pub fn with(options: Options, application: impl Application) -> Self {
        Self::run(Threads::Several, options, || async {
            Ok(Server::new(TcpListener::bind("127.0.0.1:0").await?, application))
        })
    }

    /// Serves the server that `build` returns. Its log is kept here.
    pub fn run<A: Application, F: Future<Output = io::Result<Server<A>>>>(
        threads: Threads,
        options: Options,
        build: impl FnOnce() -> F + Send + 'static,
    ) -> Self {
        let (options, journal) = Journal::keep(options);
        let ((tell_handle, handle), (tell_end, ended)) = (channel(), channel());
        thread::spawn(move || {
            let mut builder = match threads {
                Threads::One => runtime::Builder::new_current_thread(),
                Threads::Several => runtime::Builder::new_multi_thread(),
            };
            let runtime = builder.worker_threads(2).enable_all().build().expect("threads are available");
            let serving = async {
                let server = build().await?.options(options);
                // The receiver is dropped when the test has failed.
                let _ = tell_handle.send(server.handle());
                server.serve().await
            };
            let _ = tell_end.send(runtime.block_on(serving));
            runtime.shutdown_background();
        });
        let handle = handle.recv_timeout(PATIENCE).expect("the server is built");
        Self { handle, journal, ended }
    }

    /// The first internet address that the server accepts on.
    ///
    /// # Panics
    ///
    /// It accepts on no internet address.
    pub fn address(&self) -> SocketAddr {
        eventually("the server accepts", || !self.handle.addresses().is_empty());
        self.handle.addresses()[0]
    }

    /// A new connection.
    pub fn connect(&self) -> Caller {
        Caller::connect(self.address())
    }

    /// The handle of the server.
    pub fn handle(&self) -> &ServerHandle {
        &self.handle
    }

    /// The log of the server.
    pub fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// Waits until the server has ended.
    ///
    /// # Errors
    ///
    /// The error of `serve`.
    ///
    /// # Panics
    ///
    /// The server does not end.
    pub fn ended(&self) -> io::Result<Report> {
        self.ended.recv_timeout(PATIENCE).expect("the server ends")
    }

    /// Stops the server gracefully.
    ///
    /// # Panics
    ///
    /// The server does not end, or ends with an error.
    pub fn stop(self) -> Report {
        self.handle.shutdown();
        self.ended().expect("the listener is sound")
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.handle.shutdown();
    }
}

/// The kind of a log entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request is over.
    Access,
    /// The server started or stopped.
    Info,
    /// Something failed.
    Error,
    /// Other things.
    Debug,
}

/// One entry of the log.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its kind.
    pub kind: Kind,
    /// Its text.
    pub text: String,
    /// The record of an access.
    pub record: Option<Record>,
}

/// All entries of a log.
#[derive(Debug, Default)]
pub struct Journal {
    entries: Mutex<Vec<Entry>>,
    added: Condvar,
}

impl Journal {
    /// Adds a log to the options and returns it with them.
    pub fn keep(options: Options) -> (Options, Arc<Self>) {
        let journal: Arc<Self> = Arc::default();
        let entries = Arc::clone(&journal);
        (options.log(move |entry| entries.add(entry)), journal)
    }

    fn add(&self, entry: &LogEntry<'_>) {
        let (kind, record) = match entry {
            LogEntry::Access { record, .. } => (Kind::Access, Some((*record).clone())),
            LogEntry::Info(_) => (Kind::Info, None),
            LogEntry::Error(_) => (Kind::Error, None),
            _ => (Kind::Debug, None),
        };
        self.lock().push(Entry { kind, text: entry.text().into(), record });
        self.added.notify_all();
    }

    /// All entries of a kind.
    pub fn of(&self, kind: Kind) -> Vec<Entry> {
        self.lock().iter().filter(|entry| entry.kind == kind).cloned().collect()
    }

    /// The texts of all entries of a kind.
    pub fn texts(&self, kind: Kind) -> Vec<String> {
        self.lock().iter().filter(|entry| entry.kind == kind).map(|entry| entry.text.clone()).collect()
    }

    /// The records of the first `count` accesses; waits for them.
    pub fn accesses(&self, count: usize) -> Vec<Record> {
        let wanted = |entries: &[Entry]| {
            let records: Vec<_> = entries.iter().filter_map(|entry| entry.record.clone()).collect();
            (records.len() >= count).then_some(records)
        };
        self.wait(&format!("{count} accesses"), wanted)
    }

    /// The first error whose text contains `part`; waits for it.
    pub fn error(&self, part: &str) -> String {
        self.first(Kind::Error, part)
    }

    /// The first entry of a kind whose text contains `part`; waits for it.
    pub fn first(&self, kind: Kind, part: &str) -> String {
        self.wait(part, |entries| {
            let found = entries.iter().find(|entry| entry.kind == kind && entry.text.contains(part));
            found.map(|entry| entry.text.clone())
        })
    }

    fn wait<T>(&self, what: &str, look: impl Fn(&[Entry]) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        let mut entries = self.lock();
        loop {
            if let Some(found) = look(&entries) {
                return found;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "not logged: {what}; but {entries:#?}");
            entries = self.added.wait_timeout(entries, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
