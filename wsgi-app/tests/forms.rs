//! Forms in the bodies of requests, bodies as streams, and requests that arrive part by part.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use wsgi_app::test::{Request, call, call_blocking};
use wsgi_app::{Environ, FormError, InputError, Response, blocking, site};

fn shown(pairs: Vec<(String, String)>) -> String {
    pairs.into_iter().map(|(name, value)| format!("{name}={value};")).collect()
}

async fn fields(environ: Environ) -> Result<String, FormError> {
    environ.form(20).await.map(shown)
}

fn fields_blocking(environ: blocking::Environ) -> Result<String, FormError> {
    environ.form(20).map(shown)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits for nothing"),
    }
}

/// The status and the body that both kinds of application answer.
fn post(content_type: &str, body: &'static [u8]) -> (u16, String) {
    let request = || Request::post("/", body).header("Content-Type", content_type);
    let response = run(call(site(fields), request()));
    let blocking = call_blocking(blocking::site(fields_blocking), request());
    let read =
        |response: &Response| (response.status().code(), response.body().as_str().expect("text").to_owned());
    assert_eq!(read(&response), read(&blocking));
    read(&response)
}

const FORM: &str = "application/x-www-form-urlencoded";

#[test]
fn a_form_is_decoded() {
    for (body, expected) in [
        (&b"a=1&b=x+y%2Bz"[..], "a=1;b=x y+z;"),
        (b"n=%C3%A9&m=\xc3\xa9", "n=é;m=é;"),
        (b"a=%ff&a=2", "a=\u{fffd};a=2;"),
        (b"", ""),
    ] {
        assert_eq!(post(FORM, body), (200, expected.to_owned()));
    }
    assert_eq!(post("Application/X-WWW-Form-Urlencoded; charset=utf-8", b"a=1").1, "a=1;");
}

#[test]
fn a_body_that_is_no_form_is_the_clients_error() {
    let (status, text) = post("text/plain", b"a=1");
    assert_eq!(
        (status, text.as_str()),
        (415, "the body is not a form (expected `Content-Type: application/x-www-form-urlencoded`)\n")
    );
    assert_eq!(post(FORM, b"a=12345678901234567890").0, 413);
}

#[test]
fn any_error_type_keeps_the_status() {
    async fn page(environ: Environ) -> wsgi_app::Result<String> {
        Ok(shown(environ.form(20).await?))
    }
    for (content_type, body, status) in
        [(FORM, "a=1", 200), (FORM, "a=12345678901234567890", 413), ("text/plain", "a=1", 415)]
    {
        let request = Request::post("/", body).header("Content-Type", content_type);
        assert_eq!(run(call(site(page), request)).status().code(), status, "{content_type} {body}");
    }
}

#[test]
fn a_body_is_a_stream_that_ends_after_its_end_and_after_an_error() {
    async fn read(environ: Environ) -> String {
        let mut input = environ.input();
        let (mut bytes, mut errors) = (Vec::new(), 0);
        while let Some(chunk) = poll_fn(|context| Pin::new(&mut input).poll_next(context)).await {
            match chunk {
                Ok(chunk) => bytes.extend_from_slice(&chunk),
                Err(InputError::Body(_)) => errors += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(run(poll_fn(|context| Pin::new(&mut input).poll_next(context))).is_none());
        format!("{} {errors}", String::from_utf8_lossy(&bytes))
    }
    for (request, expected) in [
        (Request::post("/", "Hello"), "Hello 0"),
        (Request::get("/"), " 0"),
        (Request::post("/", "Hello").header("Content-Length", "6"), "Hello 1"),
    ] {
        let response = run(call(site(read), request));
        assert_eq!(response.body().as_str(), Some(expected));
    }
}

/// Parts of a body, each of which is ready at the second poll.
struct Slowly(Vec<&'static str>, bool);

impl Stream for Slowly {
    type Item = wsgi_app::Bytes;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.1 = !self.1;
        if self.1 {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let is_over = self.0.is_empty();
        Poll::Ready((!is_over).then(|| self.0.remove(0).into()))
    }
}

/// Runs a future that is woken by itself alone.
fn run_woken<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    for _ in 0..1000 {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
    }
    panic!("it does not end")
}

#[test]
fn a_request_arrives_part_by_part() {
    async fn parts(environ: Environ) -> wsgi_app::Result<String> {
        let (input, mut text) = (environ.input(), String::new());
        loop {
            match input.chunk().await {
                Ok(chunk) if chunk.is_empty() => return Ok(text + "."),
                Ok(chunk) => text += &format!("{};", chunk.escape_ascii()),
                Err(_) => return Ok(text + "!"),
            }
        }
    }
    fn parts_blocking(environ: blocking::Environ) -> wsgi_app::Result<String> {
        Ok(String::from_utf8(environ.input().read_to_end()?.into())? + ";.")
    }
    let request = || Request::new("POST", "/").stream(Slowly(vec!["one", "", "two", "three"], false));
    for (request, expected) in [
        (request(), "one;two;three;."),
        (request().header("Content-Length", "11"), "one;two;three;."),
        (request().header("Content-Length", "12"), "one;two;three;!"),
        (request().body("last"), "last;."),
        (Request::post("/", "first").stream(Slowly(Vec::new(), false)), "."),
    ] {
        assert_eq!(run_woken(call(site(parts), request)).body().as_str(), Some(expected));
    }
    let response = call_blocking(blocking::site(parts_blocking), request());
    assert_eq!(response.body().as_str(), Some("onetwothree;."));
}

#[test]
fn a_client_whose_body_has_arrived_waits_for_the_response() {
    async fn gone(environ: Environ) -> String {
        let input = environ.input();
        let read = input.read_to_end().await.is_ok();
        let gone = poll_fn(|context| Poll::Ready(input.poll_client_gone(context).is_ready())).await;
        format!("{read} {gone}")
    }
    for length in [None, Some("3"), Some("4")] {
        let request = Request::new("POST", "/").stream(Slowly(vec!["one"], false));
        let request =
            length.into_iter().fold(request, |request, length| request.header("Content-Length", length));
        let expected = if length == Some("4") { "false true" } else { "true false" };
        assert_eq!(run_woken(call(site(gone), request)).body().as_str(), Some(expected), "{length:?}");
    }
}
