//! An application that panics or fails affects only its own response.

use std::fmt;
use std::io::Write;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures_core::Stream;
use wsgi_tests::caller::{Answer, Caller};
use wsgi_tests::live::{Kind, Site, eventually};
use wsgi_tokio::{Body, Bytes, Environ, Error, Options, Record, Result, StartResponse, application_fn};

/// The response that the client receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// 500 instead of the response.
    Error,
    /// The response, visibly cut off.
    Cut(&'static str),
    /// The whole response; the connection stays open.
    Whole,
}
use Outcome::{Cut, Error as Refused, Whole};

/// Every path of the application, the client's response, and whether the failure is a panic.
const FAILURES: [(&str, Outcome, bool); 19] = [
    ("/panic/call", Refused, true),
    ("/panic/before", Refused, true),
    ("/panic/after-a-wait", Refused, true),
    ("/panic/started", Refused, true),
    ("/panic/sent", Cut("sent"), true),
    ("/panic/iterator", Refused, true),
    ("/panic/iterator-later", Cut("block"), true),
    ("/panic/stream", Refused, true),
    ("/panic/stream-later", Cut("block"), true),
    ("/panic/drop", Whole, true),
    ("/panic/drop-of-stream", Whole, true),
    ("/panic/drop-of-future", Refused, true),
    ("/error/before", Refused, false),
    ("/error/started", Refused, false),
    ("/error/sent", Cut("sent"), false),
    ("/error/iterator", Refused, false),
    ("/error/iterator-later", Cut("block"), false),
    ("/error/stream", Refused, false),
    ("/error/stream-later", Cut("block"), false),
];

const WORDS: &str = "it went \"wrong\"\nquite";

fn fail(panics: bool) -> Result<Bytes> {
    if panics { panic!("{WORDS}") } else { Err(Wrong.into()) }
}

/// An error with a cause.
#[derive(Debug)]
struct Wrong;

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot")
    }
}

impl std::error::Error for Wrong {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        #[derive(Debug)]
        struct Cause;
        impl fmt::Display for Cause {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(WORDS)
            }
        }
        impl std::error::Error for Cause {}
        Some(&Cause)
    }
}

/// Panics when it is dropped; as a body it has one block.
struct DropBomb(Option<Bytes>);

impl Drop for DropBomb {
    fn drop(&mut self) {
        panic!("{WORDS}");
    }
}

impl Iterator for DropBomb {
    type Item = Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(Ok)
    }
}

/// Blocks that are ready, followed by the iterator's own result.
struct Blocks<I>(I);

impl<I: Iterator<Item = Result<Bytes>> + Unpin> Stream for Blocks<I> {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.next())
    }
}

type Records = Arc<Mutex<Vec<(String, Record)>>>;

/// A site whose application notes the records passed to its post hooks.
fn site(debug: bool) -> (Site, Records) {
    let seen: Records = Arc::default();
    let records = Arc::clone(&seen);
    let application = move |environ: Environ, start: StartResponse| {
        let (path, records) = (environ.path().into_owned(), Arc::clone(&records));
        let noted = path.clone();
        environ.add_post_hook(move |_, record| {
            records.lock().expect("no panic").push((noted, record.clone()));
        });
        assert!(path != "/panic/call", "{WORDS}");
        answer(path, environ, start)
    };
    (Site::with(Options::default().debug(debug), application), seen)
}

async fn answer(path: String, environ: Environ, start: StartResponse) -> Result<Body> {
    let (panics, place) = match path.strip_prefix("/panic/") {
        Some(place) => (true, place),
        None => (false, path.strip_prefix("/error/").unwrap_or(&path)),
    };
    if place == "before" {
        fail(panics)?;
    }
    if place == "after-a-wait" {
        tokio::task::yield_now().await;
        fail(panics)?;
    }
    let _bomb = (place == "drop-of-future").then(|| DropBomb(None));
    let write = start.start("200 OK", [("Content-Type", "text/plain")])?;
    if place == "started" || place == "drop-of-future" {
        // Dropping the locals triggers the bomb; a second panic during that would abort any program.
        fail(panics && place == "started")
            .or_else(|error| if panics { Ok(Bytes::new()) } else { Err(error) })?;
    }
    if place == "sent" {
        write.write("sent").await?;
        fail(panics)?;
    }
    let later = place.ends_with("later").then(|| Bytes::from("block"));
    let blocks = later.into_iter().map(Ok).chain(std::iter::once_with(move || fail(panics)));
    Ok(match place {
        "iterator" | "iterator-later" => Body::iterator(blocks),
        "stream" | "stream-later" => Body::stream(Blocks(blocks)),
        "drop" => Body::iterator(DropBomb(Some("block".into()))),
        "drop-of-stream" => Body::stream(Blocks(DropBomb(Some("block".into())))),
        "hooks" => {
            environ.add_post_hook(|_, _| panic!("first"));
            environ.add_post_hook(|environ, _| environ.set("second", "ran"));
            environ.add_post_hook(|environ, _| panic!("third, {:?}", environ.get("second")));
            environ.insert(Arc::new(DropBomb(None)));
            "hooked".into()
        }
        _ => "fine".into(),
    })
}

/// The response, and whether the connection can be reused.
fn ask(client: &mut Caller, path: &str) -> Answer {
    let answer = client.get(path);
    if answer.closes() || !answer.whole {
        assert!(client.ends(), "{path}");
    }
    answer
}

#[test]
fn a_failure_is_answered_or_visible_and_the_next_request_is_served() {
    for (path, outcome, _) in FAILURES {
        let (site, seen) = site(false);
        let mut other = site.connect();
        let mut client = site.connect();
        let answer = ask(&mut client, path);
        let got = (answer.status, answer.text(), answer.whole);
        match outcome {
            Refused => {
                assert_eq!(got, (500, String::new(), true), "{path}");
                assert_eq!(answer.field("Content-Length"), Some("0"));
                assert!(!answer.closes(), "{path}: the request has no body");
                assert_eq!(client.get("/").text(), "fine", "{path}: on the same connection");
            }
            Cut(text) => assert_eq!(got, (200, text.into(), false), "{path}"),
            Whole => {
                assert_eq!(got, (200, "block".into(), true), "{path}");
                assert_eq!(client.get("/").text(), "fine", "{path}: on the same connection");
            }
        }
        assert_eq!(other.get("/").text(), "fine", "{path}: on a connection that was open");
        assert_eq!(site.connect().get("/").text(), "fine", "{path}: on a new connection");
        let record = site.journal().accesses(if answer.whole { 4 } else { 3 }).remove(0);
        assert_eq!((record.status, record.cut), (answer.status, !answer.whole), "{path}");
        let (noted, hooked) = seen.lock().expect("no panic")[0].clone();
        assert_eq!((noted.as_str(), hooked.status, hooked.cut), (path, record.status, record.cut));
        assert_eq!(hooked.body_length, answer.body.len() as u64, "{path}");
    }
}

#[test]
fn a_failure_is_logged_once_in_one_line_with_message_place_and_request() {
    for (path, _, panics) in FAILURES {
        let (site, _) = site(false);
        ask(&mut site.connect(), path);
        site.journal().accesses(1);
        let errors = site.journal().texts(Kind::Error);
        assert_eq!(errors.len(), 1, "{path}: {errors:?}");
        let message =
            if panics { "the application panicked at" } else { "the application failed: cannot: it went" };
        assert!(errors[0].starts_with(message), "{}", errors[0]);
        assert_eq!(errors[0].contains("panics.rs:"), panics, "{}", errors[0]);
        assert!(errors[0].contains(r#"it went "wrong"\nquite"#), "{}", errors[0]);
        assert!(errors[0].ends_with(&format!("\"GET {path} HTTP/1.1\"")), "{}", errors[0]);
        assert!(!errors[0].contains('\n'), "{}", errors[0]);
    }
}

#[test]
fn with_debug_the_response_has_message_and_place() {
    let (site, _) = site(true);
    for (path, outcome, panics) in FAILURES {
        let answer = ask(&mut site.connect(), path);
        if outcome != Refused {
            assert!(!answer.text().contains("wrong"), "{path}: {answer:?}");
            continue;
        }
        let text = answer.text();
        assert_eq!((answer.status, answer.whole), (500, true), "{path}");
        assert!(text.ends_with(&format!("{WORDS}\n")), "{path}: {text}");
        assert_eq!(text.starts_with("the application panicked at "), panics, "{path}: {text}");
        assert_eq!(text.contains("panics.rs:"), panics, "{path}: {text}");
        assert!(panics || text.starts_with("the application failed: cannot: "), "{path}: {text}");
    }
}

#[test]
fn head_requests_and_http_1_0_get_the_same_failures() {
    let (site, _) = site(true);
    let mut client = site.connect();
    client.send("HEAD /error/before HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut client.stream(), &mut bytes).expect("it ends");
    let text = String::from_utf8(bytes).expect("text");
    assert!(text.starts_with("HTTP/1.1 500 ") && text.ends_with("\r\n\r\n"), "{text}");
    let mut client = site.connect();
    client.send("GET /panic/before HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer().status, 500);
    assert!(client.ends());
}

#[test]
fn hooks_that_panic_are_logged_and_stop_nothing_else() {
    let (site, seen) = site(false);
    let mut client = site.connect();
    assert_eq!(client.get("/panic/hooks").text(), "hooked");
    assert_eq!(client.get("/").text(), "fine", "on the same connection");
    let record = site.journal().accesses(2).remove(0);
    assert_eq!((record.status, record.body_length, record.cut), (200, 6, false));
    assert_eq!(seen.lock().expect("no panic").len(), 2, "the hooks before those that panic");
    let errors = site.journal().texts(Kind::Error);
    assert_eq!(errors.len(), 3, "{errors:?}");
    for (error, words) in errors.iter().zip(["first", r#"third, Some("ran")"#, r#"it went "wrong"\nquite"#]) {
        assert!(error.contains("panicked at ") && error.contains(words), "{error}");
    }
    assert!(errors[2].starts_with("a value in the environ "), "{}", errors[2]);
}

#[test]
fn an_application_that_starts_no_response_is_at_fault() {
    let site = Site::new(application_fn(|_, _| async { Ok("a body without a head".into()) }));
    let answer = ask(&mut site.connect(), "/");
    assert_eq!((answer.status, answer.body.len()), (500, 0));
    site.journal().error("the response was not started: call start_response first");
}

#[test]
fn more_or_less_than_the_content_length_is_logged_and_never_sent() {
    let site = Site::new(application_fn(|environ, start| async move {
        start.start("200 OK", [("Content-Length", "5")])?;
        let blocks: &[&str] = if environ.path() == "/long" { &["123", "45", "67"] } else { &["123"] };
        Ok(Body::iterator(blocks.iter().map(|block| Ok(Bytes::from(*block)))))
    }));
    let long = ask(&mut site.connect(), "/long");
    assert_eq!((long.status, long.text().as_str(), long.whole), (200, "12345", true));
    site.journal().error("longer than its Content-Length of 5");
    let short = ask(&mut site.connect(), "/short");
    assert_eq!((short.status, short.text().as_str(), short.whole), (200, "123", false));
    site.journal().error("2 bytes shorter than its Content-Length");
}

#[test]
fn repeated_panics_end_no_worker() {
    let (site, _) = site(false);
    for _ in 0..100 {
        let mut client = site.connect();
        assert_eq!(ask(&mut client, "/panic/after-a-wait").status, 500);
    }
    assert_eq!(site.connect().get("/").text(), "fine");
    eventually("the connections are closed", || site.handle().connections() <= 1);
    assert_eq!(site.handle().requests(), 0);
    assert_eq!(site.stop().cut, 0);
}

#[test]
fn what_the_application_writes_to_wsgi_errors_is_logged_although_it_fails() {
    let site = Site::new(|environ: Environ, _: StartResponse| async move {
        let mut errors = environ.errors();
        write!(errors, "one line\nand half ")?;
        write!(errors, "of another")?;
        Err::<Body, _>(Error::from("then it failed"))
    });
    assert_eq!(ask(&mut site.connect(), "/").status, 500);
    site.journal().accesses(1);
    let errors = site.journal().texts(Kind::Error);
    assert_eq!(errors[..2], ["one line", "and half of another"]);
    assert!(errors[2].starts_with("the application failed: then it failed "), "{errors:?}");
}

#[test]
fn what_the_application_writes_to_wsgi_errors_stays_in_bounded_lines() {
    let site = Site::new(|environ: Environ, start_response: StartResponse| async move {
        let mut errors = environ.errors();
        errors.write_all(b"\x1b[31mred\r\n\xff \"caf\xc3\xa9\" C:\\\tend\0\n")?;
        // No line feed; an entry would end inside a character.
        let cafe = "é".repeat(4095);
        write!(errors, "1{cafe}é{cafe}é")?;
        for _ in 0..3 * 8192 {
            errors.write_all(b"a")?;
        }
        drop(errors);
        start_response.start("204 No Content", wsgi_tokio::NO_HEADERS)?;
        Ok::<_, Error>(Body::empty())
    });
    assert_eq!(ask(&mut site.connect(), "/").status, 204);
    site.journal().accesses(1);
    let errors = site.journal().texts(Kind::Error);
    assert_eq!(errors[0], "\\u{1b}[31mred");
    assert_eq!(errors[1], "\u{fffd} \"café\" C:\\\\tend\\0");
    assert_eq!(errors[2], format!("1{}", "é".repeat(4095)));
    assert_eq!(errors[3], "é".repeat(4096));
    assert_eq!(errors[4], format!("é{}", "a".repeat(8190)));
    assert_eq!(errors[5..].iter().map(String::len).collect::<Vec<_>>(), [8192, 8192, 2]);
}
