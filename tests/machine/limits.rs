//! Each limit is the largest size that is served; one more is refused, however the bytes are split.

use wsgi_proto::{BodyError, BodyEvent, CloseReason, Config, Event, Io, Limits, RequestError};
use wsgi_tests::machine::Machine;
use wsgi_tests::machine::play::play;
use wsgi_tests::machine::scenario::{Call, Outcome, Pieces, Scenario, Text, Whole};

const LIMITS: Limits = Limits::new()
    .target(20)
    .method(8)
    .field_line(40)
    .fields_size(100)
    .fields(4)
    .chunk_line(10)
    .chunk_extensions(12)
    .body(Some(16))
    .drain(30)
    .outbox(300)
    .inbox(64);

fn config(limits: Limits) -> Config {
    Config::default().limits(limits)
}

/// The outcome of `input` when the application reads the body and answers, whole and in pieces.
fn outcome(limits: Limits, input: &str) -> Outcome {
    let answer = Call::Respond("200 OK", vec![]);
    let scenario = Scenario {
        config: config(limits).into(),
        input: Text(input.into()),
        eof: true,
        scripts: vec![vec![Call::Read(usize::MAX), Call::Refuse, answer, Call::Echo]],
    };
    let whole = play(&scenario, &mut Whole);
    for piece in [1, 2, 7] {
        assert_eq!(
            whole.difference(&play(&scenario, &mut Pieces(piece))),
            None,
            "{input:?} in pieces of {piece}"
        );
    }
    whole
}

fn is_served(limits: Limits, input: &str) {
    let outcome = outcome(limits, input);
    assert!(outcome.output.0.starts_with(b"HTTP/1.1 200 OK\r\n"), "{input:?}: {outcome:?}");
    assert_eq!(outcome.reason, Some(CloseReason::PeerClosed), "{input:?}");
}

fn is_refused(limits: Limits, input: &str, error: RequestError, status: u16) {
    let outcome = outcome(limits, input);
    let line = format!("HTTP/1.1 {status} ");
    assert!(outcome.output.0.starts_with(line.as_bytes()), "{input:?}: {outcome:?}");
    assert_eq!(outcome.records.last().and_then(|record| record.refused), Some(error), "{input:?}");
    assert_eq!(outcome.reason, Some(CloseReason::Refused(error)), "{input:?}");
    assert!(String::from_utf8_lossy(&outcome.output.0).contains("\r\nConnection: close\r\n"));
}

fn get(method: &str, target: &str, fields: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n")
}

#[test]
fn the_target() {
    let target = |size: usize| format!("/{}", "a".repeat(size - 1));
    is_served(LIMITS, &get("GET", &target(20), ""));
    is_refused(LIMITS, &get("GET", &target(21), ""), RequestError::TargetTooLong(20), 414);
    is_refused(LIMITS, &get("GET", &target(500), ""), RequestError::TargetTooLong(20), 414);
    is_refused(LIMITS, &format!("GET {}", target(500)), RequestError::TargetTooLong(20), 414);
    let default = Limits::default();
    is_served(default, &get("GET", &target(8192), ""));
    is_refused(default, &get("GET", &target(8193), ""), RequestError::TargetTooLong(8192), 414);
}

#[test]
fn the_method() {
    is_served(LIMITS, &get("ABCDEFGH", "/", ""));
    is_refused(LIMITS, &get("ABCDEFGHI", "/", ""), RequestError::MethodTooLong(8), 501);
    // Both at their limits.
    is_served(LIMITS, &get("ABCDEFGH", &format!("/{}", "a".repeat(19)), ""));
    let default = Limits::default();
    is_served(default, &get(&"A".repeat(32), "/", ""));
    is_refused(default, &get(&"A".repeat(33), "/", ""), RequestError::MethodTooLong(32), 501);
}

#[test]
fn one_field_line() {
    let field = |size: usize| format!("A: {}\r\n", "b".repeat(size - 5));
    is_served(LIMITS, &get("GET", "/", &field(40)));
    is_refused(LIMITS, &get("GET", "/", &field(41)), RequestError::FieldTooLong(40), 431);
    // It is refused before its end arrives.
    let endless = format!("GET / HTTP/1.1\r\nA: {}", "b".repeat(50));
    is_refused(LIMITS, &endless, RequestError::FieldTooLong(40), 431);
    let default = Limits::default();
    is_served(default, &get("GET", "/", &field(8192)));
    is_refused(default, &get("GET", "/", &field(8193)), RequestError::FieldTooLong(8192), 431);
}

#[test]
fn all_field_lines() {
    // The Host line has 9 bytes, the empty line 2.
    let fields = |size: usize| {
        format!("A: {}\r\nB: {}\r\nC: {}\r\n", "b".repeat(30), "b".repeat(30), "c".repeat(size - 11 - 70 - 5))
    };
    is_served(LIMITS, &get("GET", "/", &fields(100)));
    is_refused(LIMITS, &get("GET", "/", &fields(101)), RequestError::FieldsTooLong(100), 431);
    let default = Limits::default();
    let fields = |size: usize| {
        let full = format!("A: {}\r\n", "b".repeat(8000 - 5)).repeat(8);
        format!("{full}B: {}\r\n", "b".repeat(size - 11 - 64_000 - 5))
    };
    is_served(default, &get("GET", "/", &fields(65_536)));
    is_refused(default, &get("GET", "/", &fields(65_537)), RequestError::FieldsTooLong(65_536), 431);
}

#[test]
fn the_number_of_fields() {
    is_served(LIMITS, &get("GET", "/", &"A: b\r\n".repeat(3)));
    is_refused(LIMITS, &get("GET", "/", &"A: b\r\n".repeat(4)), RequestError::TooManyFields(4), 431);
    is_served(Limits::default(), &get("GET", "/", &"A: b\r\n".repeat(99)));
    is_refused(
        Limits::default(),
        &get("GET", "/", &"A: b\r\n".repeat(100)),
        RequestError::TooManyFields(100),
        431,
    );
}

#[test]
fn empty_lines_before_a_request() {
    is_served(LIMITS, &("\r\n".repeat(8) + &get("GET", "/", "")));
    is_refused(LIMITS, &("\r\n".repeat(9) + &get("GET", "/", "")), RequestError::EmptyLines, 400);
}

fn chunked(body: &str) -> String {
    get("POST", "/", "Transfer-Encoding: chunked\r\n") + body
}

#[test]
fn one_chunk_line() {
    is_served(LIMITS, &chunked("5;345678\r\nhello\r\n0\r\n\r\n"));
    is_refused(LIMITS, &chunked("5;3456789\r\nhello\r\n0\r\n\r\n"), RequestError::ChunkLine, 400);
    is_refused(LIMITS, &chunked("00000000005\r\nhello\r\n0\r\n\r\n"), RequestError::ChunkLine, 400);
    let line = |size: usize| chunked(&format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(size - 4)));
    is_served(Limits::default(), &line(4096));
    is_refused(Limits::default(), &line(4097), RequestError::ChunkLine, 400);
}

#[test]
fn all_chunk_extensions() {
    is_served(LIMITS, &chunked("1;2345\r\na\r\n1;23456\r\nb\r\n0\r\n\r\n"));
    is_refused(
        LIMITS,
        &chunked("1;2345\r\na\r\n1;234567\r\nb\r\n0;\r\n\r\n"),
        RequestError::ChunkExtension,
        400,
    );
    let chunks = |size: usize| {
        let full = format!("1;{}\r\na\r\n", "e".repeat(4000 - 1)).repeat(16);
        chunked(&format!("{full}1;{}\r\nb\r\n0\r\n\r\n", "e".repeat(size - 64_000 - 1)))
    };
    is_served(Limits::default(), &chunks(65_536));
    is_refused(Limits::default(), &chunks(65_537), RequestError::ChunkExtension, 400);
}

#[test]
fn the_body() {
    let sized = |size: usize| get("POST", "/", &format!("Content-Length: {size}\r\n")) + &"a".repeat(size);
    is_served(LIMITS, &sized(16));
    is_refused(LIMITS, &sized(17), RequestError::BodyTooLarge(16), 413);
    is_served(LIMITS, &chunked("8\r\nabcdefgh\r\n8\r\nabcdefgh\r\n0\r\n\r\n"));
    is_refused(
        LIMITS,
        &chunked("8\r\nabcdefgh\r\n9\r\nabcdefghi\r\n0\r\n\r\n"),
        RequestError::BodyTooLarge(16),
        413,
    );
    // No limit unless it is set.
    is_served(Limits::default().inbox(1 << 20), &sized(300_000));
}

#[test]
fn trailers_have_the_limits_of_headers() {
    let trailers = |lines: &str| chunked(&format!("0\r\n{lines}\r\n"));
    let field = |size: usize| format!("A: {}\r\n", "b".repeat(size - 5));
    is_served(LIMITS, &trailers(&field(40)));
    is_refused(LIMITS, &trailers(&field(41)), RequestError::Trailer, 400);
    is_served(LIMITS, &trailers(&(field(40) + &field(40) + &field(18))));
    is_refused(LIMITS, &trailers(&(field(40) + &field(40) + &field(19))), RequestError::Trailer, 400);
    is_served(LIMITS, &trailers(&"A: b\r\n".repeat(4)));
    is_refused(LIMITS, &trailers(&"A: b\r\n".repeat(5)), RequestError::Trailer, 400);
}

/// A limit that is switched off with the largest possible number.
#[test]
fn a_limit_can_be_the_largest_number() {
    let most = usize::MAX;
    let limits = Limits::new()
        .target(most)
        .method(most)
        .field_line(most)
        .fields_size(most)
        .fields(most)
        .chunk_line(most)
        .chunk_extensions(most)
        .body(Some(u64::MAX))
        .drain(u64::MAX)
        .outbox(most)
        .inbox(most);
    is_served(limits, &get("GET", &format!("/{}", "a".repeat(9000)), "A: b\r\n"));
    is_served(limits, &chunked("5;a\r\nhello\r\n0\r\nA: b\r\n\r\n"));
}

/// Answers without reading the body; returns whether the connection waits for the next request.
fn is_kept(request: &str, rest: &[u8]) -> bool {
    let mut machine = Machine::new(config(LIMITS.body(None)));
    machine.open(request);
    machine.answer("");
    machine.receive_all(rest);
    let says_close = machine.take_sent().contains("Connection: close\r\n");
    machine.record();
    let kept = matches!(machine.poll(), Event::Io(Io { read: true, .. }));
    assert!(!(says_close && kept));
    kept
}

#[test]
fn an_unread_body_is_drained_up_to_the_limit() {
    let sized = |size: usize| get("POST", "/", &format!("Content-Length: {size}\r\n"));
    assert!(is_kept(&sized(30), &[b'a'; 30]));
    assert!(!is_kept(&sized(31), &[]));
    assert!(is_kept(&chunked(""), b"f\r\n123456789012345\r\nf\r\n123456789012345\r\n0\r\n\r\n"));
    assert!(!is_kept(&chunked(""), b"f\r\n123456789012345\r\n10\r\n"));
    assert!(!is_kept(&chunked(""), b"1f\r\n"));
    assert!(!is_kept(&chunked(""), b"nonsense"));
}

#[test]
fn a_body_that_was_read_in_part_is_drained_up_to_the_limit_of_the_rest() {
    for (left, kept) in [(30, true), (31, false)] {
        let mut machine = Machine::new(config(LIMITS.body(None)));
        machine.open(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n12345", 5 + left));
        let now = machine.now();
        assert!(matches!(machine.exchange().body(now), Ok(BodyEvent::Data(b"12345"))));
        machine.exchange().consume(5);
        machine.answer("");
        assert_eq!(!machine.take_sent().contains("Connection: close\r\n"), kept, "{left}");
    }
}

#[test]
fn the_error_of_a_body_over_its_limit_is_the_applications_to_see() {
    let mut machine = Machine::new(config(LIMITS));
    machine.open(chunked("11\r\n"));
    let now = machine.now();
    assert_eq!(machine.exchange().body(now).unwrap_err(), BodyError::Request(RequestError::BodyTooLarge(16)));
    machine.answer("sorry");
    assert!(machine.take_sent().contains("Connection: close\r\n"));
}
