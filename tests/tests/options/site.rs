//! How a check runs on every runtime, and the servers that it talks to.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;

use socket2::{Domain, Socket, Type};
use tokio::runtime;
use wsgi_tests::adapters::{self, Adapter, AsyncStd, Running, Smol, Tokio};
use wsgi_tests::application;
#[cfg(unix)]
use wsgi_tests::blocking;
use wsgi_tests::caller::{Answer, Caller};
use wsgi_tests::live::{Entry, Kind, PATIENCE, eventually};
use wsgi_tests::script::Script;
use wsgi_tokio::{Body, Environ, Error, LogEntry, Options, Report, Result, ServerHandle, StartResponse};

const PLAIN: [(&str, &str); 1] = [("Content-Type", "text/plain")];

/// The tasks of all servers on tokio.
pub(crate) static TOKIO: LazyLock<Tokio> =
    LazyLock::new(|| Tokio(runtime::Runtime::new().expect("there are threads")));

/// What a server runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runtime {
    Tokio,
    Smol,
    AsyncStd,
    #[cfg(unix)]
    Std,
}

const RUNTIMES: &[Runtime] = &[
    Runtime::Tokio,
    Runtime::Smol,
    Runtime::AsyncStd,
    #[cfg(unix)]
    Runtime::Std,
];

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tokio => "wsgi-tokio",
            Self::Smol => "wsgi-smol",
            Self::AsyncStd => "wsgi-smol with async-std",
            #[cfg(unix)]
            Self::Std => "wsgi-std",
        })
    }
}

/// Runs one check of `option` on all runtimes, side by side.
///
/// Each has a thread whose name says which option and which runtime it is, so that a failed assertion says so too.
pub(crate) fn on_each(option: &str, check: impl Fn(Runtime) + Sync) {
    let check = &check;
    let failed: Vec<_> = thread::scope(|scope| {
        let begin = |runtime: &Runtime| {
            let runtime = *runtime;
            let thread = thread::Builder::new().name(format!("option {option} on {runtime}"));
            let thread = thread.spawn_scoped(scope, move || check(runtime)).expect("there are threads");
            (runtime, thread)
        };
        let begun: Vec<_> = RUNTIMES.iter().map(begin).collect();
        let failed = |(runtime, thread): (Runtime, thread::ScopedJoinHandle<'_, ()>)| {
            thread.join().err().map(|_| runtime.to_string())
        };
        begun.into_iter().filter_map(failed).collect()
    });
    assert!(failed.is_empty(), "the option {option} is not what it should be on {}", failed.join(", "));
}

/// What an application does with each request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Program {
    /// Plays a [`Script`], given line by line.
    Script(&'static [&'static str]),
    /// Answers with a variable of the environ.
    Variable(&'static str),
    /// Reads the body as it comes, and answers with the size of the largest part of it.
    LargestPart,
}

/// Reads the body, and gives it back.
pub(crate) const ECHO: Program = Program::Script(&["read all", "respond 200 OK", "body $body"]);

/// Answers without a look at the body.
pub(crate) const HELLO: Program = Program::Script(&["respond 200 OK", "body hello"]);

/// Sixteen times what was sent: of 1 MiB it is more than the sockets between server and client hold.
pub(crate) const MUCH: Program = Program::Script(&[
    "read all",
    "respond 200 OK",
    "body $body$body$body$body$body$body$body$body$body$body$body$body$body$body$body$body",
]);

pub(crate) const MEBIBYTE: usize = 1024 * 1024;

/// Options with which nothing is logged; the default would be standard error.
pub(crate) fn quiet() -> Options {
    Options::default().log_output(false)
}

impl Runtime {
    /// Begins to serve, if the options are allowed; whether they are, the end of the server says.
    pub(crate) fn start(self, options: Options, program: Program) -> Running {
        let serving = move |environ, start_response| program.run(environ, start_response);
        let running = match self {
            Self::Tokio => TOKIO.start(options, serving),
            Self::Smol => Smol.start(options, serving),
            Self::AsyncStd => AsyncStd.start(options, serving),
            #[cfg(unix)]
            Self::Std => adapters::start_std(options, move |environ, start_response| {
                program.run_blocking(&environ, &start_response)
            }),
        };
        running.expect("there is a free port")
    }

    /// A server with these options.
    pub(crate) fn serve(self, options: Options, program: Program) -> Site {
        Site { running: self.start(options, program) }
    }

    /// Two servers that differ in what `change` does: the one with it, and the usual one.
    pub(crate) fn pair(self, change: impl FnOnce(Options) -> Options, program: Program) -> [Site; 2] {
        [self.serve(change(quiet()), program), self.serve(quiet(), program)]
    }
}

impl Program {
    async fn run(self, environ: Environ, start_response: StartResponse) -> Result<Body> {
        match self {
            Self::Script(lines) => {
                application::play(&parsed(lines)?, environ, start_response, || {
                    unreachable!("no script stops")
                })
                .await
            }
            Self::Variable(name) => {
                start_response.send("200 OK", PLAIN)?;
                Ok(variable(&environ, name).into())
            }
            Self::LargestPart => {
                let mut largest = 0;
                loop {
                    match environ.input().read_some(usize::MAX).await?.len() {
                        0 => break,
                        size => largest = largest.max(size),
                    }
                }
                start_response.send("200 OK", PLAIN)?;
                Ok(largest.to_string().into())
            }
        }
    }

    /// As [`run`](Self::run), for a blocking application.
    #[cfg(unix)]
    fn run_blocking(
        self,
        environ: &wsgi_std::Environ,
        start_response: &wsgi_std::StartResponse,
    ) -> Result<Body> {
        match self {
            Self::Script(lines) => {
                blocking::play(&parsed(lines)?, environ, start_response, || unreachable!("no script stops"))
            }
            Self::Variable(name) => {
                start_response.send("200 OK", PLAIN)?;
                Ok(variable(environ, name).into())
            }
            Self::LargestPart => {
                let mut largest = 0;
                loop {
                    match environ.input().read_some(usize::MAX)?.len() {
                        0 => break,
                        size => largest = largest.max(size),
                    }
                }
                start_response.send("200 OK", PLAIN)?;
                Ok(largest.to_string().into())
            }
        }
    }
}

fn parsed(lines: &[&str]) -> Result<Script> {
    Script::parse(lines.iter().copied()).map_err(Error::from)
}

fn variable(environ: &Environ, name: &str) -> String {
    environ.get(name).unwrap_or_else(|| "(none)".into())
}

/// A running server. It is stopped when this is dropped.
#[derive(Debug)]
pub(crate) struct Site {
    running: Running,
}

impl Site {
    pub(crate) fn connect(&self) -> Caller {
        Caller::connect(self.running.address)
    }

    /// A connection whose client can keep little that it has not read.
    pub(crate) fn connect_narrowly(&self) -> Caller {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(32 * 1024).expect("a socket");
        socket.connect(&self.running.address.into()).expect("the server accepts");
        Caller::over(socket.into())
    }

    /// A connection on which `request` came in time, and the answer to it.
    ///
    /// For servers with little patience, which may take a client on a busy machine for an idle one: then it comes
    /// again.
    pub(crate) fn open(&self, request: impl AsRef<[u8]>) -> (Caller, Answer) {
        for _ in 0..20 {
            let mut client = self.connect();
            let sent = client.stream().write_all(request.as_ref());
            match sent.and_then(|()| client.try_answer()) {
                Ok(answer) => return (client, answer),
                Err(error) => {
                    let silent = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                    assert!(!silent, "it neither answers nor closes");
                }
            }
        }
        panic!("it never answers");
    }

    /// The answer to one request on a connection of its own.
    pub(crate) fn ask(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut client = self.connect();
        client.send(request);
        client.answer()
    }

    /// All that comes to one request until the connection ends, with its framing.
    pub(crate) fn raw(&self, request: impl AsRef<[u8]>) -> String {
        let mut client = self.connect();
        client.send(request);
        let mut text = String::new();
        client.stream().read_to_string(&mut text).expect("an end, in time and without a reset");
        text
    }

    pub(crate) fn handle(&self) -> &ServerHandle {
        &self.running.handle
    }

    /// Waits until so many connections are left.
    pub(crate) fn comes_down_to(&self, connections: usize) {
        eventually(&format!("{connections} connections are left"), || {
            self.handle().connections() == connections
        });
    }

    /// Waits for the end of a server that was told to stop.
    pub(crate) fn report(&self) -> Report {
        let ended = self.running.ended.recv_timeout(PATIENCE).expect("the server ends");
        ended.expect("the options are allowed, and the listener is sound")
    }

    /// Stops the server, and waits for its end: then everything is logged.
    pub(crate) fn stop(&self) -> Report {
        self.handle().shutdown();
        self.report()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.handle().shutdown();
    }
}

/// A connection whose request is with the application, which waits for a body of `length` bytes.
pub(crate) fn busy(site: &Site, length: usize) -> Caller {
    let head = "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue";
    let (client, answer) = site.open(format!("{head}\r\nContent-Length: {length}\r\n\r\n"));
    assert_eq!(answer.status, 100, "the application reads");
    client
}

/// A log that is written in lines, for `log_to`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    pub(crate) fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A log of entries, for `log`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entries(Arc<Mutex<Vec<Entry>>>);

impl Entries {
    /// The function that the option takes.
    pub(crate) fn log(&self) -> impl Fn(&LogEntry<'_>) + Send + Sync + 'static {
        let entries = Arc::clone(&self.0);
        move |entry| {
            let (kind, record) = match entry {
                LogEntry::Access { record, .. } => (Kind::Access, Some((*record).clone())),
                LogEntry::Info(_) => (Kind::Info, None),
                LogEntry::Error(_) => (Kind::Error, None),
                _ => (Kind::Debug, None),
            };
            let entry = Entry { kind, text: entry.text().into(), record };
            entries.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        }
    }

    /// Those of one kind that have come.
    pub(crate) fn of(&self, kind: Kind) -> Vec<Entry> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().filter(|entry| entry.kind == kind).cloned().collect()
    }
}
