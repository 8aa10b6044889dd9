//! Every error that a peer can cause is answered, and the answer arrives although the peer is still sending.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Write;
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use wsgi_proto::{Limits, RequestError};
use wsgi_tests::caller::{Answer, Caller};
use wsgi_tests::live::{SOON, Site};
use wsgi_tokio::{Body, Environ, Error, InputError, Options, Result, StartResponse, application_fn};

/// The bytes that a client sends after its error, without reading: more than the buffers of both sides hold.
const MORE: usize = 1024 * 1024;

/// Small enough to be exceeded with a few bytes.
const LIMITS: Limits = Limits::new()
    .target(60)
    .method(8)
    .field_line(64)
    .fields_size(200)
    .fields(6)
    .chunk_line(20)
    .chunk_extensions(30)
    .body(Some(100_000_000))
    .drain(256 * 1024)
    .outbox(64 * 1024)
    .inbox(64 * 1024);

fn options() -> Options {
    let options = Options::default().debug(false).limits(|limits| *limits = LIMITS);
    // Delays on a busy machine are not tested here.
    options.linger_timeout(Duration::from_secs(20))
}

/// What the application does with the request body.
#[derive(Clone, Copy, Debug)]
enum Reading {
    /// The application is never called.
    Never,
    /// Reads all of it, and returns the error.
    All,
    /// Reads lines after the response was started, and wraps the error in its own error.
    Wrapped,
}

/// Each error, its cause, and whether the application encounters it.
fn faults() -> Vec<(RequestError, Reading, String)> {
    use Reading::{All, Never, Wrapped};
    use RequestError as Fault;
    let request_line = |line: &str| format!("{line}\r\nHost: h\r\n\r\n");
    let fields = |fields: &str| format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n");
    let chunked = |body: &str| fields("Transfer-Encoding: chunked") + body;
    let long = "a".repeat(70);
    vec![
        (Fault::StrayByte, Never, "\u{16}\u{3}\u{1}".into()),
        (Fault::BareCarriageReturn, Never, fields("A: b\rc")),
        (Fault::BareLineFeed, Never, "GET / HTTP/1.1\nHost: h\n\n".into()),
        (Fault::EmptyLines, Never, "\r\n".repeat(9) + &request_line("GET / HTTP/1.1")),
        (Fault::RequestLine, Never, request_line("GET  / HTTP/1.1")),
        (Fault::Version, Never, request_line("GET / HTTP/2.0")),
        (Fault::MethodTooLong(8), Never, request_line("ABCDEFGHI / HTTP/1.1")),
        (Fault::Connect, Never, request_line("CONNECT h:1 HTTP/1.1")),
        (Fault::TargetTooLong(60), Never, request_line(&format!("GET /{long} HTTP/1.1"))),
        (Fault::Target, Never, request_line("GET h:1 HTTP/1.1")),
        (Fault::Field, Never, fields("A : b")),
        (Fault::FieldTooLong(64), Never, fields(&format!("A: {long}"))),
        (
            Fault::FieldsTooLong(200),
            Never,
            fields(&[&format!("A: {}", &long[..55]); 4].map(|a| &**a).join("\r\n")),
        ),
        (Fault::TooManyFields(6), Never, fields(&["A: b"; 6].join("\r\n"))),
        (Fault::Host, Never, "GET / HTTP/1.1\r\n\r\n".into()),
        (Fault::ContentLength, Never, fields("Content-Length: +5")),
        (Fault::LengthAndCoding, Never, fields("Content-Length: 5\r\nTransfer-Encoding: chunked")),
        (Fault::TransferCoding, Never, fields("Transfer-Encoding: gzip, chunked")),
        (Fault::CodingOrder, Never, fields("Transfer-Encoding: chunked, chunked")),
        (Fault::CodingInHttp10, Never, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".into()),
        (Fault::BodyTooLarge(100_000_000), Never, fields("Content-Length: 100000001")),
        (Fault::BodyTooLarge(100_000_000), All, chunked("2\r\nok\r\n5F5E0FF\r\n")),
        (Fault::ChunkSize, All, chunked("2\r\nok\r\n0x5\r\n")),
        (Fault::ChunkSize, Wrapped, chunked("2\r\no\n\r\n-1\r\n")),
        (Fault::ChunkLine, All, chunked("2;aaaaaaaaaaaaaaaaaaa\r\nok\r\n")),
        (Fault::ChunkExtension, All, chunked(&("2;aaaaaaaaaaa\r\nok\r\n".repeat(3)))),
        (Fault::ChunkData, All, chunked("2\r\nokay\r\n")),
        (Fault::ChunkData, Wrapped, chunked("2\r\no\nkay\r\n")),
        (Fault::Trailer, All, chunked("2\r\nok\r\n0\r\nA b: c\r\n\r\n")),
        (Fault::Trailer, Wrapped, chunked(&format!("0\r\nA: {long}\r\n\r\n"))),
        // These two have separate tests: the client does not continue after the error.
        (Fault::Incomplete, All, fields("Content-Length: 2000000")),
        (Fault::Timeout, All, fields("Content-Length: 2000000")),
    ]
}

#[derive(Debug)]
struct NoForm(InputError);

impl fmt::Display for NoForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no form")
    }
}

impl std::error::Error for NoForm {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

async fn reads(environ: Environ, start: StartResponse, reading: Reading) -> Result<Body> {
    start.start("200 OK", [("Content-Type", "text/plain")])?;
    let input = environ.input();
    match reading {
        Reading::Never | Reading::All => drop(input.read_to_end().await?),
        Reading::Wrapped => {
            let mut lines = input.lines();
            while lines.next().await.map_err(|error| Error::from(NoForm(error)))?.is_some() {}
        }
    }
    Ok("read".into())
}

/// Checks the machine's whole answer, and then the end of the connection without a reset.
fn is_refused(site: &Site, answer: &Answer, client: &mut Caller, error: RequestError) {
    assert_eq!((answer.status, answer.text()), (error.status(), format!("{error}\n")), "{error:?}");
    assert!(answer.whole && answer.closes(), "{error:?}: {answer:?}");
    assert!(answer.head.starts_with("HTTP/1.1 ") && answer.field("Date").is_some(), "{}", answer.head);
    assert!(client.ends(), "{error:?}");
    assert!(client.stream().take_error().expect("a socket").is_none(), "{error:?}");
    let record = site.journal().accesses(1).remove(0);
    assert_eq!((record.refused, record.status), (Some(error), error.status()), "{error:?}");
    assert_eq!(record.body_length, answer.body.len() as u64, "{error:?}");
}

/// The names of the variants, from the source: the type is `non_exhaustive`.
fn variants() -> BTreeSet<&'static str> {
    let source = include_str!("../../wsgi-proto/src/error.rs");
    let (_, body) = source.split_once("pub enum RequestError {").expect("it is defined there");
    let (body, _) = body.split_once("\n}").expect("it ends");
    let names = body.lines().map(str::trim).filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()));
    names.filter_map(|line| line.split([',', '(', ' ', '{']).next()).collect()
}

#[test]
fn no_error_is_forgotten_here() {
    let tried: BTreeSet<_> = faults()
        .iter()
        .map(|(error, ..)| format!("{error:?}").split('(').next().unwrap_or_default().to_owned())
        .collect();
    let tried: BTreeSet<_> = tried.iter().map(String::as_str).collect();
    assert_eq!(variants(), tried);
    assert!(tried.len() >= 28);
    let texts: BTreeSet<_> = faults().iter().map(|(error, ..)| error.to_string()).collect();
    assert_eq!(texts.len(), tried.len(), "each text is different");
}

#[test]
fn every_error_is_answered_to_a_client_that_goes_on_sending_and_reads_later() {
    for (error, reading, bytes) in faults() {
        if matches!(error, RequestError::Incomplete | RequestError::Timeout) {
            continue;
        }
        let calls: Arc<AtomicUsize> = Arc::default();
        let called = Arc::clone(&calls);
        let site = Site::with(options(), move |environ, start| {
            called.fetch_add(1, Ordering::Relaxed);
            reads(environ, start, reading)
        });
        let mut client = site.connect();
        client.send(bytes);
        for _ in 0..MORE / 16384 {
            client.send([b'x'; 16384]);
        }
        let answer = client.answer();
        is_refused(&site, &answer, &mut client, error);
        let expected = usize::from(!matches!(reading, Reading::Never));
        assert_eq!(calls.load(Ordering::Relaxed), expected, "{error:?}");
    }
}

#[test]
fn every_error_is_answered_to_a_client_that_sends_and_reads_at_once() {
    for (error, reading, bytes) in faults() {
        if matches!(error, RequestError::Incomplete | RequestError::Timeout) {
            continue;
        }
        let site = Site::with(options(), move |environ, start| reads(environ, start, reading));
        let mut client = site.connect();
        let mut sending = client.clone_stream();
        let sender = thread::spawn(move || {
            sending.write_all(bytes.as_bytes())?;
            for _ in 0..MORE / 1024 {
                sending.write_all(&[b'\n'; 1024])?;
            }
            sending.shutdown(Shutdown::Write)
        });
        let answer = client.answer();
        is_refused(&site, &answer, &mut client, error);
        sender.join().expect("no panic").expect("the server reads the bytes after its answer");
    }
}

#[test]
fn a_body_that_is_cut_off_is_answered_although_nothing_was_read_before() {
    for reading in [Reading::All, Reading::Wrapped] {
        let site = Site::with(options(), move |environ, start| reads(environ, start, reading));
        let mut client = site.connect();
        client.send(BODY);
        client.send(vec![b'x'; MORE]);
        client.half_close();
        let answer = client.answer();
        is_refused(&site, &answer, &mut client, RequestError::Incomplete);
    }
    let site = Site::with(options(), |environ, start| reads(environ, start, Reading::Never));
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost:");
    client.half_close();
    let answer = client.answer();
    is_refused(&site, &answer, &mut client, RequestError::Incomplete);
}

#[test]
fn a_head_that_takes_too_long_is_answered_while_the_client_still_sends() {
    let options = options().header_timeout(SOON);
    let site = Site::with(options, |environ, start| reads(environ, start, Reading::Never));
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\nX-A");
    let answer = client.answer();
    client.send(vec![b'x'; MORE]);
    is_refused(&site, &answer, &mut client, RequestError::Timeout);
}

#[test]
fn a_head_that_drips_is_late_although_no_single_wait_is() {
    let options = options().header_timeout(SOON).limits(|limits| *limits = Limits::default());
    let site = Site::with(options, |environ, start| reads(environ, start, Reading::Never));
    let mut client = site.connect();
    let mut dripping = client.clone_stream();
    client.send("GET / HTTP/1.1\r\nHost: h\r\nX-A: ");
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let sender = thread::spawn(move || {
        while stopped.recv_timeout(Duration::from_millis(5)).is_err() {
            dripping.write_all(b"x").expect("the server reads the bytes after its answer");
        }
    });
    let answer = client.answer();
    stop.send(()).expect("it is still sending");
    sender.join().expect("no panic");
    is_refused(&site, &answer, &mut client, RequestError::Timeout);
}

#[test]
fn a_client_that_pauses_for_too_long_is_answered_and_may_go_on_sending() {
    for (reading, sent) in
        [(Reading::Never, "GET / HTTP/1.1\r\n"), (Reading::All, BODY), (Reading::Wrapped, BODY)]
    {
        let options = options().socket_timeout(SOON);
        let site = Site::with(options, move |environ, start| reads(environ, start, reading));
        let mut client = site.connect();
        client.send(sent);
        let answer = client.answer();
        client.send(vec![b'x'; MORE]);
        is_refused(&site, &answer, &mut client, RequestError::Timeout);
    }
}

const BODY: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2000000\r\n\r\nsome of it";

#[test]
fn an_application_may_answer_a_bad_body_itself() {
    let application = application_fn(|environ, start| async move {
        let error = environ.input().read_to_end().await.expect_err("the body is malformed");
        let again = environ.input().read_some(1).await.expect_err("it stays malformed");
        assert_eq!(error, again);
        start.start("422 Unprocessable Content", [("Content-Type", "text/plain")])?;
        Ok(format!("{:?}", error.request_error()).into())
    });
    let site = Site::with(options(), application);
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nfive\r\n");
    client.send(vec![b'x'; MORE]);
    let answer = client.answer();
    assert_eq!((answer.status, answer.text().as_str()), (422, "Some(ChunkSize)"));
    assert!(answer.whole && answer.closes() && client.ends());
}

#[test]
fn an_error_in_the_body_after_the_head_was_sent_cuts_the_response() {
    let application = application_fn(|environ, start| async move {
        let write = start.start("200 OK", [("Content-Type", "text/plain")])?;
        write.write("begun").await?;
        environ.input().read_to_end().await?;
        Ok(Body::empty())
    });
    let site = Site::with(options(), application);
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nfive\r\n");
    client.send(vec![b'x'; MORE]);
    let answer = client.answer();
    assert_eq!((answer.status, answer.text().as_str(), answer.whole), (200, "begun", false));
    assert!(client.ends());
    assert!(site.journal().accesses(1)[0].cut);
}

#[test]
fn an_answer_to_an_unread_body_arrives_while_the_body_is_sent() {
    let application = application_fn(|_, start| async move {
        start.start("200 OK", [("Content-Type", "text/plain")])?;
        Ok("no, thanks".into())
    });
    let site = Site::with(options(), application);
    let mut client = site.connect();
    client.send(BODY);
    client.send(vec![b'x'; MORE]);
    let answer = client.answer();
    assert_eq!((answer.status, answer.text().as_str()), (200, "no, thanks"));
    assert!(answer.whole && answer.closes() && client.ends());
}
