//! How a check runs on every runtime, and the servers for it.

use std::io::{ErrorKind, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use socket2::{Domain, Socket, Type};
use wsgi_tests::adapters::Running;
use wsgi_tests::caller::{Answer, Caller};
use wsgi_tests::live::{PATIENCE, eventually};
use wsgi_tests::runtimes::{self, Runtime};
use wsgi_tests::script::Script;
use wsgi_tests::{application, blocking};
use wsgi_tokio::{Body, Environ, Error, Options, Report, Result, ServerHandle, StartResponse};

const PLAIN: [(&str, &str); 1] = [("Content-Type", "text/plain")];

/// Runs one check of `option` on all runtimes; the option is part of the thread names.
pub(crate) fn on_each(option: &str, check: impl Fn(Runtime) + Sync) {
    runtimes::on_each(&format!("option {option}"), check);
}

/// The application's behaviour for each request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Program {
    /// Plays a [`Script`], given line by line.
    Script(&'static [&'static str]),
    /// Answers with a variable of the environ.
    Variable(&'static str),
    /// Reads the body piece by piece, and answers with the size of the largest piece.
    LargestPart,
}

/// Echoes the body.
pub(crate) const ECHO: Program = Program::Script(&["read all", "respond 200 OK", "body $body"]);

/// Answers without reading the body.
pub(crate) const HELLO: Program = Program::Script(&["respond 200 OK", "body hello"]);

/// Sends the body sixteen times: for 1 MiB this is more than the sockets between server and client hold.
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

/// How each runtime serves a program.
pub(crate) trait Serve: Copy {
    /// Starts to serve. The server's result reports whether the options are allowed.
    fn start(self, options: Options, program: Program) -> Running;

    /// A server with these options.
    fn serve(self, options: Options, program: Program) -> Site {
        Site { running: self.start(options, program) }
    }

    /// Two servers that differ by `change`: first the one with it, then the one without.
    fn pair(self, change: impl FnOnce(Options) -> Options, program: Program) -> [Site; 2] {
        [self.serve(change(quiet()), program), self.serve(quiet(), program)]
    }
}

impl Serve for Runtime {
    fn start(self, options: Options, program: Program) -> Running {
        let serving = move |environ, start_response| program.run(environ, start_response);
        let blocking = move |environ, start_response| program.run_blocking(&environ, &start_response);
        self.begin(None, options, serving, blocking)
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
                start_response.start("200 OK", PLAIN)?;
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
                start_response.start("200 OK", PLAIN)?;
                Ok(largest.to_string().into())
            }
        }
    }

    /// Like [`run`](Self::run), for a blocking application.
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
                start_response.start("200 OK", PLAIN)?;
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
                start_response.start("200 OK", PLAIN)?;
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

    /// A connection whose client can buffer only a little unread data.
    pub(crate) fn connect_narrowly(&self) -> Caller {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(32 * 1024).expect("a socket");
        socket.connect(&self.running.address.into()).expect("the server accepts");
        Caller::over(socket.into())
    }

    /// A connection on which `request` arrived in time, and its answer.
    ///
    /// For servers with short timeouts, which may treat a client on a busy machine as idle: then the client tries
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

    /// The answer to one request on a separate connection.
    pub(crate) fn ask(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut client = self.connect();
        client.send(request);
        client.answer()
    }

    /// All bytes received after one request until the connection ends, including the framing.
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

    /// Waits until this number of connections is left.
    pub(crate) fn comes_down_to(&self, connections: usize) {
        eventually(&format!("{connections} connections are left"), || {
            self.handle().connections() == connections
        });
    }

    /// Waits for the end of a server after `shutdown`.
    pub(crate) fn report(&self) -> Report {
        let ended = self.running.ended.recv_timeout(PATIENCE).expect("the server ends");
        ended.expect("the options are allowed, and the listener is sound")
    }

    /// Stops the server, and waits for its end, after which everything is logged.
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

/// A connection whose request the application has, waiting for a body of `length` bytes.
pub(crate) fn busy(site: &Site, length: usize) -> Caller {
    let head = "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue";
    let (client, answer) = site.open(format!("{head}\r\nContent-Length: {length}\r\n\r\n"));
    assert_eq!(answer.status, 100, "the application reads");
    client
}

/// A log that is written line by line, for `log_to`.
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
