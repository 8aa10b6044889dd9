//! What is measured: each scenario has a request, a way to send it, and the servers that take part.

use bench_common::requests::{self, UPLOAD};

/// One scenario of processor time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    /// Its name on the command line and in the results.
    pub(crate) name: &'static str,
    /// Its name in the report.
    pub(crate) title: &'static str,
    /// The bytes of the request.
    pub(crate) request: fn() -> Vec<u8>,
    /// How the request is sent.
    pub(crate) load: Load,
    /// Whether connections use TLS.
    pub(crate) tls: bool,
    /// The names of the servers.
    pub(crate) servers: &'static [&'static str],
}

/// How a request is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Load {
    /// Each connection sends the next batch of requests after the last answer.
    Closed { connections: usize, pipeline: usize },
    /// Like `Closed` on one connection, but a number of answers instead of a time: they are long.
    Few { answers: usize },
    /// Each request has its own connection, with this many at a time.
    Short { connections: usize },
}

const ALL: &[&str] = &[
    "tokio",
    "std",
    "smol",
    "async-std",
    "hyper",
    "actix",
    "may",
    "bare-tokio",
    "bare-smol",
    "bare-epoll",
    "bare-threads",
];
const OURS: &[&str] = &["tokio", "std", "smol", "async-std"];
const MAIN: &[&str] = &["tokio", "std", "smol", "hyper", "actix"];
const WITH_MAY: &[&str] = &["tokio", "std", "smol", "hyper", "actix", "may"];

const fn closed(connections: usize) -> Load {
    Load::Closed { connections, pipeline: 1 }
}

const fn plain(
    name: &'static str,
    title: &'static str,
    request: fn() -> Vec<u8>,
    load: Load,
    servers: &'static [&'static str],
) -> Scenario {
    Scenario { name, title, request, load, tls: false, servers }
}

/// The scenarios of processor time.
pub(crate) const SCENARIOS: &[Scenario] = &[
    plain("hello-1", "hello, 1 connection", hello, closed(1), ALL),
    plain("hello-32", "hello, 32 connections", hello, closed(32), ALL),
    plain("browser-32", "browser's request, 32 connections", browser, closed(32), WITH_MAY),
    plain(
        "pipelined-16",
        "hello, 16 pipelined, 32 connections",
        hello,
        Load::Closed { connections: 32, pipeline: 16 },
        &["tokio", "std", "smol", "hyper", "hyper-flush", "actix", "may"],
    ),
    plain("chunked", "1,000 pieces of 16 bytes", || requests::get("/chunked"), closed(32), MAIN),
    plain("10k", "10 KiB response", || requests::get("/10k"), closed(32), MAIN),
    plain("1m", "1 MiB response", || requests::get("/1m"), closed(8), MAIN),
    plain("echo", "POST of 1 KiB, sent back", || requests::post("/echo", 1024), closed(32), MAIN),
    plain("upload-length", "1 MiB upload, by length", || requests::post("/upload", UPLOAD), closed(8), MAIN),
    plain("upload-chunked", "1 MiB upload, chunked", chunked_upload, closed(8), MAIN),
    plain(
        "short",
        "short-lived connections",
        || requests::get_and_close("/"),
        Load::Short { connections: 32 },
        MAIN,
    ),
    Scenario {
        name: "tls-hello",
        title: "hello over TLS, 32 connections",
        request: hello,
        load: closed(32),
        tls: true,
        servers: &["tokio", "std", "smol", "hyper"],
    },
    Scenario {
        name: "tls-handshake",
        title: "TLS handshake and one request",
        request: || requests::get_and_close("/"),
        load: Load::Short { connections: 32 },
        tls: true,
        servers: &["tokio", "std", "smol", "hyper"],
    },
    plain("log", "hello, 32 connections, access log", hello, closed(32), &["tokio", "tokio-log"]),
    plain(
        "file",
        "1 GiB file",
        || requests::get("/file"),
        Load::Few { answers: 2 },
        &["tokio", "std", "smol", "nginx"],
    ),
];

/// A scenario of instructions: 8 connections, one request at a time on each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    /// Its name in the results.
    pub(crate) name: &'static str,
    /// Its name in the report.
    pub(crate) title: &'static str,
    /// The bytes of the request.
    pub(crate) request: fn() -> Vec<u8>,
    /// The names of the servers.
    pub(crate) servers: &'static [&'static str],
}

/// The scenarios of instructions.
pub(crate) const COUNTED: &[Counted] = &[
    Counted { name: "hello", title: "hello, 35 bytes", request: hello, servers: ALL },
    Counted { name: "kept", title: "hello, kept head", request: kept, servers: OURS },
    Counted { name: "browser", title: "browser's request, 660 bytes", request: browser, servers: ALL },
    Counted {
        name: "vars",
        title: "browser's request, every variable read",
        request: || requests::browser("/vars"),
        servers: WITH_MAY,
    },
];

/// The servers whose system calls for a hello are counted.
pub(crate) const HELLO_CALLS: &[&str] = &[
    "tokio",
    "std",
    "smol",
    "async-std",
    "tokio-log",
    "hyper",
    "actix",
    "may",
    "bare-tokio",
    "bare-smol",
    "bare-threads",
];
/// The servers whose system calls for a short-lived connection are counted.
pub(crate) const SHORT_CALLS: &[&str] = MAIN;
/// The servers whose latency at a constant rate is measured.
pub(crate) const LATENCY: &[&str] = MAIN;
/// The servers whose memory is measured.
pub(crate) const MEMORY: &[&str] = &["tokio", "std", "smol", "async-std", "hyper", "actix", "nginx"];

/// The servers that send a cold file beside a neighbour.
pub(crate) const COLD: &[&str] = &["tokio", "std", "smol", "async-std", "nginx"];

/// The smallest request.
pub(crate) fn hello() -> Vec<u8> {
    requests::HELLO.to_vec()
}

/// The request of a browser.
pub(crate) fn browser() -> Vec<u8> {
    requests::browser("/")
}

/// The smallest request for the answer with a head that was checked once.
pub(crate) fn kept() -> Vec<u8> {
    requests::get("/kept")
}

fn chunked_upload() -> Vec<u8> {
    [requests::chunked_head("/upload"), requests::chunked_body()].concat()
}
