//! Files as responses: ranges, conditions, and the fields that describe the file.

use std::fs::{self, File};
use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wsgi_app::test::{Request, call, call_blocking};
use wsgi_app::{Environ, Response, Result, blocking, site};

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
/// 784,111,777.5 seconds since 1970, and 10 bytes.
const TAG: &str = "\"ae1b981da166f00-a\"";
const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const AFTER: &str = "Sunday, 06-Nov-94 08:49:38 GMT";

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future that waits for another thread, which reads the file.
fn run<T>(future: impl Future<Output = T>) -> T {
    let (mut future, waker) = (pin!(future), Arc::new(Unpark(thread::current())).into());
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

/// A file of this test.
fn path(name: &str, content: &str, modified: SystemTime) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, content).expect("the file is written");
    File::options().write(true).open(&path).and_then(|file| file.set_modified(modified)).expect("a time");
    path
}

fn digits(name: &str) -> PathBuf {
    path(name, "0123456789", UNIX_EPOCH + Duration::from_millis(784_111_777_500))
}

fn sent(path: PathBuf, request: Request) -> Response {
    sent_in(Response::new(200).with_header("Content-Type", "x/y"), path, request)
}

/// The response to `request` if the application adds the file to `response`.
fn sent_in(response: Response, path: PathBuf, request: Request) -> Response {
    let headers = response.headers().clone();
    let status = response.status().clone();
    let page = move |environ: Environ| {
        let (status, headers, path) = (status.clone(), headers.clone(), path.clone());
        async move {
            let mut response = Response::new(status);
            *response.headers_mut() = headers;
            let response = response.with_file(File::open(path)?, &environ);
            Result::<Response>::Ok(response?)
        }
    };
    run(call(site(page), request))
}

fn get(fields: &[(&str, &str)]) -> Request {
    fields.iter().fold(Request::get("/"), |request, (name, value)| request.append(*name, *value))
}

fn field(response: &Response, name: &str) -> String {
    response.headers().get(name).unwrap_or_default().into_owned()
}

fn text(response: &Response) -> &str {
    response.body().as_str().expect("text")
}

#[test]
fn a_file_has_its_date_and_its_tag() {
    let path = digits("whole");
    let whole = sent(path.clone(), Request::get("/"));
    assert_eq!((whole.status().code(), text(&whole)), (200, "0123456789"));
    for (name, value) in [
        ("Content-Type", "x/y"),
        ("Content-Length", "10"),
        ("Accept-Ranges", "bytes"),
        ("Last-Modified", DATE),
        ("ETag", TAG),
    ] {
        assert_eq!(field(&whole, name), value, "{name}");
    }
    // RFC 9110, 14.2: HEAD has no ranges.
    let head = sent(path, Request::new("HEAD", "/").header("Range", "bytes=1-2"));
    assert_eq!((head.status().code(), text(&head)), (200, ""));
    assert_eq!((field(&head, "Content-Length"), field(&head, "ETag")), ("10".into(), TAG.into()));
    assert!(!head.headers().contains("Content-Range"));
}

#[test]
fn blocking_code_sends_files_too() {
    let path = digits("blocking");
    let page = move |environ: blocking::Environ| -> Result<Response> {
        Ok(Response::new(200).with_file(File::open(&path)?, &environ)?)
    };
    let part = call_blocking(blocking::site(page), get(&[("Range", "bytes=-3")]));
    assert_eq!((part.status().code(), text(&part)), (206, "789"));
}

#[test]
fn a_range_is_a_part_of_the_file() {
    for (range, part, content) in [
        ("bytes=0-0", "bytes 0-0/10", "0"),
        ("bytes=2-4", "bytes 2-4/10", "234"),
        ("bytes=7-", "bytes 7-9/10", "789"),
        ("bytes=-100", "bytes 0-9/10", "0123456789"),
    ] {
        let response = sent(digits("part"), get(&[("Range", range)]));
        assert_eq!((response.status().code(), text(&response)), (206, content), "{range}");
        assert_eq!(field(&response, "Content-Range"), part, "{range}");
        assert_eq!(field(&response, "Content-Length"), content.len().to_string(), "{range}");
        assert_eq!((field(&response, "ETag"), field(&response, "Last-Modified")), (TAG.into(), DATE.into()));
    }
    for ignored in ["bytes=0-1,3-4", "lines=1-2", "bytes=4-2"] {
        let response = sent(digits("ignored"), get(&[("Range", ignored)]));
        assert_eq!((response.status().code(), text(&response)), (200, "0123456789"), "{ignored}");
    }
    // A length that the application knows is that of the whole file.
    let announced = Response::new(200).with_header("Content-Length", "10");
    let response = sent_in(announced, digits("announced"), get(&[("Range", "bytes=1-2")]));
    assert_eq!((text(&response), field(&response, "Content-Length")), ("12", "2".into()));
    let twice = sent(digits("twice"), get(&[("Range", "bytes=1-2"), ("Range", "bytes=3-4")]));
    assert_eq!(twice.status().code(), 200);
    let empty = sent(path("empty", "", UNIX_EPOCH), get(&[("Range", "bytes=0-")]));
    assert_eq!((empty.status().code(), field(&empty, "Content-Length")), (200, "0".into()));
}

#[test]
fn a_range_behind_the_end_is_an_error_that_no_cache_keeps() {
    let response = Response::new(200)
        .with_header("Content-Type", "x/y")
        .with_header("Content-Encoding", "gzip")
        .with_header("Cache-Control", "max-age=3600")
        .with_header("X-Page", "a");
    let response = sent_in(response, digits("behind"), get(&[("Range", "bytes=10-")]));
    assert_eq!((response.status().code(), text(&response)), (416, "the file has no such range\n"));
    assert_eq!(field(&response, "Content-Range"), "bytes */10");
    assert_eq!(field(&response, "Content-Type"), "text/plain; charset=utf-8");
    assert_eq!(field(&response, "X-Page"), "a");
    for name in ["Content-Encoding", "Cache-Control", "ETag", "Last-Modified"] {
        assert!(!response.headers().contains(name), "{name}");
    }
}

#[test]
fn conditions_are_checked_in_their_order() {
    let other = "\"other\"";
    let weak = format!("W/{TAG}");
    let listed = format!("\"a,b\", {weak}");
    for (fields, status) in [
        // RFC 9110, 13.1.2: the comparison is weak.
        (&[("If-None-Match", TAG)][..], 304),
        (&[("If-None-Match", &weak)], 304),
        (&[("If-None-Match", &listed)], 304),
        (&[("If-None-Match", other), ("If-None-Match", TAG)], 304),
        (&[("If-None-Match", "*")], 304),
        (&[("If-None-Match", other)], 200),
        // 13.1.3
        (&[("If-Modified-Since", DATE)], 304),
        (&[("If-Modified-Since", AFTER)], 304),
        (&[("If-Modified-Since", BEFORE)], 200),
        (&[("If-Modified-Since", "yesterday")], 200),
        (&[("If-Modified-Since", DATE), ("If-Modified-Since", DATE)], 200),
        (&[("If-None-Match", other), ("If-Modified-Since", DATE)], 200),
        (&[("If-None-Match", "malformed"), ("If-Modified-Since", DATE)], 200),
        // 13.1.1: the comparison is strong.
        (&[("If-Match", TAG)], 200),
        (&[("If-Match", "*")], 200),
        (&[("If-Match", other)], 412),
        (&[("If-Match", &weak)], 412),
        (&[("If-Match", &listed)], 412),
        // 13.1.4
        (&[("If-Unmodified-Since", DATE)], 200),
        (&[("If-Unmodified-Since", AFTER)], 200),
        (&[("If-Unmodified-Since", BEFORE)], 412),
        (&[("If-Unmodified-Since", "yesterday")], 200),
        (&[("If-Match", TAG), ("If-Unmodified-Since", BEFORE)], 200),
        // 13.2.2: the order, and a range comes last.
        (&[("If-Match", other), ("If-None-Match", TAG)], 412),
        (&[("If-Match", TAG), ("If-None-Match", TAG)], 304),
        (&[("If-None-Match", TAG), ("Range", "bytes=1-2")], 304),
        (&[("If-None-Match", TAG), ("Range", "bytes=10-")], 304),
        (&[("If-Match", TAG), ("Range", "bytes=1-2")], 206),
        // 13.1.5: the comparison is strong.
        (&[("If-Range", TAG), ("Range", "bytes=1-2")], 206),
        (&[("If-Range", DATE), ("Range", "bytes=1-2")], 206),
        (&[("If-Range", other), ("Range", "bytes=1-2")], 200),
        (&[("If-Range", &weak), ("Range", "bytes=1-2")], 200),
        (&[("If-Range", AFTER), ("Range", "bytes=1-2")], 200),
        (&[("If-Range", BEFORE), ("Range", "bytes=1-2")], 200),
        (&[("If-Range", ""), ("Range", "bytes=1-2")], 200),
        (&[("If-Range", TAG), ("If-Range", TAG), ("Range", "bytes=1-2")], 200),
        (&[("If-Range", other), ("Range", "bytes=10-")], 200),
    ] {
        let response = sent(digits("conditions"), get(fields));
        assert_eq!(response.status().code(), status, "{fields:?}");
        let content = match status {
            200 => "0123456789",
            206 => "12",
            412 => "the file does not meet the conditions of the request\n",
            _ => "",
        };
        assert_eq!(text(&response), content, "{fields:?}");
    }
    let head = Request::new("HEAD", "/").header("If-None-Match", TAG);
    assert_eq!(sent(digits("head"), head).status().code(), 304);
}

#[test]
fn a_304_has_what_a_cache_needs() {
    let response = Response::new(200)
        .with_header("Content-Type", "x/y")
        .with_header("Cache-Control", "no-cache")
        .with_header("Vary", "Cookie");
    let response = sent_in(response, digits("304"), get(&[("If-None-Match", TAG)]));
    assert_eq!(response.status().code(), 304);
    for (name, value) in [("Cache-Control", "no-cache"), ("Vary", "Cookie"), ("ETag", TAG)] {
        assert_eq!(field(&response, name), value, "{name}");
    }
    assert!(!response.headers().contains("Content-Type"));
}

#[test]
fn a_tag_and_a_date_of_the_application_count() {
    let response = || {
        Response::new(200)
            .with_header("etag", "W/\"v1\"")
            .with_header("last-modified", "Sat, 05 Nov 1994 00:00:00 GMT")
    };
    for (fields, status) in [
        (&[("If-None-Match", "\"v1\"")][..], 304),
        (&[("If-None-Match", TAG)], 200),
        (&[("If-Modified-Since", "Sat, 05 Nov 1994 00:00:00 GMT")], 304),
        // A weak tag does not show that the bytes are the same.
        (&[("If-Range", "W/\"v1\""), ("Range", "bytes=1-2")], 200),
    ] {
        let response = sent_in(response(), digits("own"), get(fields));
        assert_eq!(response.status().code(), status, "{fields:?}");
        assert_eq!(response.headers().get_all("ETag").collect::<Vec<_>>(), ["W/\"v1\""]);
    }
}

#[test]
fn times_before_1970_and_in_the_future_are_no_trouble() {
    let old = sent(path("old", "a", UNIX_EPOCH - Duration::from_millis(500)), Request::get("/"));
    assert_eq!(field(&old, "Last-Modified"), "Wed, 31 Dec 1969 23:59:59 GMT");
    // RFC 9110, 8.8.2.1
    let future = UNIX_EPOCH + Duration::from_secs(4_102_444_800);
    let fields = [("If-Unmodified-Since", DATE), ("If-Modified-Since", DATE)];
    let new = sent(path("new", "a", future), get(&fields));
    assert_eq!((new.status().code(), text(&new)), (200, "a"));
    assert!(!new.headers().contains("Last-Modified") && new.headers().contains("ETag"));
}

#[test]
fn a_date_is_sent_when_it_cannot_have_two_versions() {
    let seconds = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    // A second may end in the middle.
    let new = (0..10).find_map(|_| {
        let second = seconds();
        let new = sent(path("second", "a", UNIX_EPOCH + Duration::from_secs(second)), Request::get("/"));
        (second == seconds()).then_some(new)
    });
    let new = new.expect("one of them within a second");
    assert!(!new.headers().contains("Last-Modified") && new.headers().contains("ETag"));
    let before = UNIX_EPOCH + Duration::from_secs(seconds() - 1);
    let old = sent(path("second", "a", before), Request::get("/"));
    assert!(old.headers().contains("Last-Modified"));
}

#[test]
fn other_methods_and_statuses_have_no_conditions() {
    let fields = [("Range", "bytes=1-2"), ("If-Match", "\"other\""), ("If-None-Match", TAG)];
    let post =
        fields.iter().fold(Request::post("/", ""), |request, (name, value)| request.header(*name, *value));
    for (response, request, status) in
        [(Response::new(200), post, 200), (Response::new(404), get(&fields), 404)]
    {
        let response = sent_in(response, digits("others"), request);
        assert_eq!((response.status().code(), text(&response)), (status, "0123456789"));
        assert!(!response.headers().contains("ETag") && !response.headers().contains("Accept-Ranges"));
    }
}

#[cfg(unix)]
#[test]
fn a_folder_is_no_file() {
    let response = sent(PathBuf::from("."), Request::get("/"));
    assert_eq!(response.status().code(), 500);
    assert!(text(&response).contains("not a regular file"), "{}", text(&response));
}
