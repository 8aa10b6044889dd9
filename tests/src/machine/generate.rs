//! Generates scenarios and schedules from a sequence of choices.

use std::sync::Arc;
use std::time::Duration;

use wsgi_proto::{Config, KeepAlive, Limits, Version};

use super::choose::Choose;
use super::scenario::{Action, Call, Scenario, Schedule, Text};

/// A randomly generated schedule.
#[derive(Debug)]
pub struct Drawn<C> {
    choices: C,
    reads: Sizes,
    writes: Sizes,
}

#[derive(Clone, Copy, Debug)]
enum Sizes {
    All,
    One,
    Few,
    Any,
}

impl<C: Choose> Drawn<C> {
    /// Creates a schedule from `choices`.
    pub fn new(mut choices: C) -> Self {
        let mut sizes = || [Sizes::All, Sizes::One, Sizes::Few, Sizes::Any][choices.below(4)];
        let (reads, writes) = (sizes(), sizes());
        Self { choices, reads, writes }
    }

    fn size(&mut self, sizes: Sizes, most: usize) -> usize {
        match sizes {
            Sizes::All => most,
            // Large writes are split into at most 256 parts or so.
            Sizes::One => 1.max(most / 256),
            Sizes::Few => 1 + self.choices.below(most.min(16)),
            Sizes::Any => 1 + self.choices.below(most),
        }
    }
}

impl<C: Choose> Schedule for Drawn<C> {
    fn action(&mut self) -> Action {
        match self.choices.below(8) {
            0..=2 => Action::Round,
            3 => Action::Driver,
            4 | 5 => Action::Application,
            6 => Action::ReadAhead,
            _ => Action::Tick,
        }
    }

    fn read(&mut self, _at: usize, most: usize) -> usize {
        self.size(self.reads, most)
    }

    fn write(&mut self, most: usize) -> usize {
        self.size(self.writes, most)
    }
}

/// Generates a scenario: settings, the client's bytes, the application's calls. Half of the clients and half of the
/// applications behave correctly, so that the other side gets far.
pub fn scenario(choices: &mut impl Choose) -> Scenario {
    let config = Arc::new(config(choices));
    let mut input = Vec::new();
    let wild = choices.once_in(2);
    for _ in 0..=choices.below(4) {
        request(choices, wild, &mut input);
    }
    if choices.once_in(4) {
        for _ in 0..=choices.below(3) {
            mutate(choices, &mut input);
        }
    }
    let eof = !choices.once_in(3);
    let wild = choices.once_in(2);
    let scripts = (0..=choices.below(3)).map(|_| script(choices, wild)).collect();
    Scenario { config, input: Text(input), eof, scripts }
}

/// One of `plain`, or sometimes one of `odd` if it may be `wild`.
fn pick<'i>(choices: &mut impl Choose, wild: bool, plain: &[&'i str], odd: &[&'i str]) -> &'i str {
    let odd_one = wild && choices.once_in(6);
    choices.of(if odd_one { odd } else { plain })
}

/// Small limits, so that a few bytes reach them.
pub const SMALL: Limits = Limits::new()
    .target(32)
    .method(8)
    .field_line(48)
    .fields_size(160)
    .fields(6)
    .chunk_line(16)
    .chunk_extensions(24)
    .body(Some(64))
    .drain(24)
    .outbox(300)
    .inbox(64);

fn config(choices: &mut impl Choose) -> Config {
    Config::default()
        .keepalive(
            [KeepAlive::On, KeepAlive::For(Duration::from_secs(5)), KeepAlive::Off][choices.below(5) % 3],
        )
        .max_http_version(if choices.once_in(8) { Version::Http10 } else { Version::Http11 })
        .minimum_chunk_size(if choices.once_in(6) { 1 + choices.below(20) } else { 0 })
        .socket_timeout(if choices.once_in(3) { None } else { Some(Duration::from_secs(10)) })
        .min_request_rate(if choices.once_in(6) { Some(1 + choices.below(20) as u64) } else { None })
        .min_response_rate(if choices.once_in(6) { Some(1 + choices.below(20) as u64) } else { None })
        .limits(if choices.once_in(3) { SMALL } else { Limits::default() })
}

fn request(choices: &mut impl Choose, wild: bool, out: &mut Vec<u8>) {
    let lines = pick(
        choices,
        wild,
        &["", "", "", "", "\r\n", "\r\n\r\n"],
        &["\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n", "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n", "\n"],
    );
    let method = pick(
        choices,
        wild,
        &["GET", "POST", "HEAD", "PUT", "OPTIONS"],
        &["CONNECT", "X-LONGISH", "get", "G(T"],
    );
    let target = pick(
        choices,
        wild,
        &["/", "/a?b=c", "http://h/x", "//a", "/%00", "/0123456789012345678901234567890"],
        &["*", "h:80", "/01234567890123456789012345678901", "/a b", "http://"],
    );
    let version = pick(
        choices,
        wild,
        &["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"],
        &["HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1.1 ", ""],
    );
    for part in [lines, method, " ", target, " ", version, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(
        pick(choices, wild, &["Host: h\r\n"], &["", "Host: h\r\nHost: h\r\n", "Host: a b\r\n"]).as_bytes(),
    );
    for _ in 0..choices.below(3) {
        let field = pick(
            choices,
            wild,
            &[
                "Connection: keep-alive\r\n",
                "X-A:  b \r\n",
                "X-Empty:\r\n",
                "x-a: 1,2\r\n",
                "Upgrade: x\r\n",
                "Expect: nothing\r\n",
                "X-Latin: \u{e9}\r\n",
                "X-Long: 12345678901234567890123456789012345678\r\n",
            ],
            &[
                "Connection: close\r\n",
                "connection: x, CLOSE\r\n",
                "X-Long: 123456789012345678901234567890123456789\r\n",
                " folded\r\n",
                "A b: c\r\n",
                "X-\u{e9}: c\r\n",
            ],
        );
        out.extend_from_slice(field.as_bytes());
    }
    if choices.once_in(5) {
        out.extend_from_slice(b"Expect: 100-continue\r\n");
    }
    match choices.below(8) {
        0..=3 => out.extend_from_slice(b"\r\n"),
        4 | 5 => sized(choices, wild, out),
        _ => chunked(choices, wild, out),
    }
}

/// A body with a length, or a malformed length.
fn sized(choices: &mut impl Choose, wild: bool, out: &mut Vec<u8>) {
    let length = [5, 1, 23, 24, 25, 64, 65, 300][choices.below(8)];
    let right = format!("Content-Length: {length}\r\n");
    let line = pick(
        choices,
        wild,
        &[&right],
        &[
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: 300000\r\n",
            "Content-Length: 18446744073709551616\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: 5x\r\n",
            "Content-Length: 0\r\n",
        ],
    );
    out.extend_from_slice(line.as_bytes());
    out.extend_from_slice(b"\r\n");
    out.extend((0..length).map(|at| b"0123456789abcdefghij\r\n"[at % 22]));
}

fn chunked(choices: &mut impl Choose, wild: bool, out: &mut Vec<u8>) {
    let coding =
        pick(choices, wild, &["chunked", "Chunked "], &["gzip, chunked", "chunked, chunked", "identity"]);
    out.extend_from_slice(format!("Transfer-Encoding: {coding}\r\n\r\n").as_bytes());
    for _ in 0..choices.below(4) {
        let size = [5, 1, 16, 24, 40, 200][choices.below(6)];
        let extension =
            pick(choices, wild, &["", "", "", ";a=b", " ;a", ";x=\"1 2\""], &[";0123456789a", " ", ";a\nb"]);
        let zeros = choices.of(&["", "0"]);
        out.extend_from_slice(format!("{zeros}{size:x}{extension}\r\n").as_bytes());
        out.extend((0..size).map(|at| b"0\r\n\r\nGET / HTTP/1.1"[at % 19]));
        out.extend_from_slice(b"\r\n");
    }
    let end = pick(
        choices,
        wild,
        &["0\r\n\r\n", "0\r\n\r\n", "00;x\r\nX-Sum: 1\r\nX-More:\r\n\r\n"],
        &[
            "",
            "0\r\nX-Sum: 1\n\r\n",
            "fffffffffffffffff\r\n",
            "100000\r\nabc",
            "5\nhello\r\n",
            "-1\r\n",
            "5\r\nhello!\r\n",
            "0\r\nX y: 1\r\n\r\n",
        ],
    );
    out.extend_from_slice(end.as_bytes());
}

/// Makes the input slightly invalid.
fn mutate(choices: &mut impl Choose, input: &mut Vec<u8>) {
    if input.is_empty() {
        return;
    }
    let at = choices.below(input.len());
    match choices.below(6) {
        0 => drop(input.remove(at)),
        1 => input[at] = b"\r\n :\0\x80,;0\t\x7fA"[choices.below(12)],
        2 => input.insert(at, b"\r\n :\0\x80,;0\t\x7fA"[choices.below(12)]),
        3 => input.insert(at, input[at]),
        4 => input.truncate(at + 1),
        _ => {
            let piece = choices.of(&[
                "\r\n",
                "\r\n\r\n",
                "\n\n",
                "\r",
                "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
                "0\r\n\r\n",
            ]);
            input.splice(at..at, piece.bytes());
        }
    }
}

fn script(choices: &mut impl Choose, wild: bool) -> Vec<Call> {
    let mut calls = Vec::new();
    if choices.once_in(5) {
        let first = [Call::Watch, Call::FlushFirst, Call::Join(10), Call::ContinueHeaders, Call::Shutdown];
        calls.push(first[choices.below(5)].clone());
    }
    for _ in 0..choices.below(3) {
        calls.push(read(choices));
    }
    if choices.once_in(6) {
        calls.push(Call::Inform(pick(
            choices,
            wild,
            &["103 Early Hints", "100 Continue"],
            &["101 No", "200 OK"],
        )));
    }
    if wild && choices.once_in(8) {
        let odd = [Call::Fail("oh"), Call::Abort, Call::Refuse, Call::Finish, Call::Send(1)];
        calls.push(odd[choices.below(5)].clone());
    }
    if choices.once_in(16) {
        calls.extend([Call::Respond("101 S", vec![("Upgrade", "x".into())]), Call::TakeOver]);
    }
    let status = pick(
        choices,
        wild,
        &["200 OK", "200 OK", "404 Not Found", "204 No Content", "304 Not Modified"],
        &["nonsense", "101 S", "100 Continue"],
    );
    calls.push(Call::Respond(status, fields(choices, wild)));
    if choices.once_in(8) {
        calls.push(Call::Replace("500 Oh", fields(choices, wild)));
    }
    if wild && choices.once_in(4) {
        calls.push(Call::Announce(choices.below(30) as u64));
    }
    for _ in 0..choices.below(4) {
        calls.push(match choices.below(10) {
            0 => Call::Echo,
            1 => Call::Send(choices.below(30)),
            2 => Call::Give(choices.below(30)),
            3 => Call::Give(4000 + choices.below(5000)),
            4 => Call::Flush,
            5 => Call::Send(choices.below(400)),
            6 => Call::Inform("100 Continue"),
            7 => Call::External([0, 1, 20, 300, 5000][choices.below(5)]),
            8 => Call::Supply(choices.below(30)),
            _ => read(choices),
        });
    }
    match choices.below(10) {
        0..=5 => {}
        6 => calls.push(Call::FinishWith(vec![("X-Sum", "1"), ("x-more", "")])),
        7 if wild => calls.push(Call::FinishWith(vec![("X-Sum", "1"), ("Content-Length", "1")])),
        8 if wild => {
            // How much is sent of a piece of the driver before an abort depends on the writes.
            calls.push(Call::Flush);
            calls.push([Call::Abort, Call::Fail("ah"), Call::Refuse][choices.below(3)].clone());
        }
        // No stop here: a stop while an answer is being sent also serves the bytes that have arrived after its request.
        _ => {}
    }
    calls
}

fn read(choices: &mut impl Choose) -> Call {
    match choices.below(5) {
        0..=1 => Call::Read(usize::MAX),
        2 => Call::Read(1 + choices.below(30)),
        3 => Call::Look,
        _ => Call::Read(5),
    }
}

fn fields(choices: &mut impl Choose, wild: bool) -> Vec<(&'static str, String)> {
    match choices.below(if wild { 10 } else { 6 }) {
        0..=5 => vec![("x-app", "1".into())],
        6 => vec![("Content-Length", choices.below(12).to_string())],
        7 => vec![("Connection", "close".into())],
        8 => vec![("X-Bad", "a\r\nb".into())],
        _ => vec![("Transfer-Encoding", "chunked".into())],
    }
}
