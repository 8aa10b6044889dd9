//! A `Router` of axum on every asynchronous runtime.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request};
use axum::routing::{get, post};
use futures_core::Stream;
use http_body::Body as _;
use tokio::runtime::Runtime;
use wsgi_tests::adapters::{Adapter, AsyncStd, Running, Smol, Tokio};
use wsgi_tests::caller::Caller;
use wsgi_tests::live::PATIENCE;
use wsgi_tokio::{Application, LogEntry, Options, tower};

fn router() -> Router {
    let router = Router::new()
        .route("/", get(async || "index").post(async |body: String| body))
        .route("/users/{id}", get(async |Path(id): Path<u64>| format!("user {id}")))
        .route("/trailers", post(trailers));
    let pages = (0..8).map(|number| (format!("/page/{number}"), get(async move || number.to_string())));
    pages.fold(router, |router, (path, page)| router.route(&path, page))
}

fn serves_a_router(adapter: &impl Adapter) {
    let running = adapter.start(Options::public().log_output(false), tower(router())).expect("it starts");
    let mut client = Caller::connect(running.address);
    for (path, status, text) in [
        ("/", 200, "index"),
        ("/users/7", 200, "user 7"),
        ("/users/seven", 400, "Invalid URL: Cannot parse `seven` to a `u64`"),
        ("/page/0", 200, "0"),
        ("/page/7", 200, "7"),
        ("/page/8", 404, ""),
    ] {
        let answer = client.get(path);
        assert_eq!((answer.status, answer.text().as_str()), (status, text), "{path}");
    }
    client.send(
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n",
    );
    assert_eq!(client.answer().text(), "abcd");
    // The trailers of a request are the last frame of its body.
    client.send(
        "POST /trailers HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 7\r\n\r\n",
    );
    assert_eq!(client.answer().text(), "a 7");
    running.handle.shutdown();
    running.ended.recv_timeout(PATIENCE).expect("it stops").expect("the listener is sound");
}

/// The body of a request and its trailer `X-Sum`.
async fn trailers(request: Request) -> String {
    let (mut body, mut text) = (request.into_body(), String::new());
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.expect("a sound body");
        match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) => text += &data.escape_ascii().to_string(),
            (None, Some(trailers)) => text += &format!(" {}", trailers["x-sum"].to_str().expect("text")),
            (None, None) => {}
        }
    }
    text
}

#[test]
fn a_router_of_axum_runs_on_every_runtime() {
    serves_a_router(&Tokio(Runtime::new().expect("threads are available")));
    serves_a_router(&Smol);
    serves_a_router(&AsyncStd);
}

#[test]
fn code_that_needs_tokio_fails_with_its_reason_on_another_runtime() {
    let log = Arc::new(Mutex::new(String::new()));
    let entries = Arc::clone(&log);
    let options = Options::public().log(move |entry| {
        if let LogEntry::Error(text) = entry {
            entries.lock().expect("no panic").push_str(text);
        }
    });
    let slow = async || tokio::time::sleep(Duration::from_millis(1)).await;
    let router = Router::new().route("/", get(async || "index")).route("/slow", get(slow));
    let running = Smol.start(options, tower(router)).expect("it starts");
    let mut client = Caller::connect(running.address);
    assert_eq!(client.get("/slow").status, 500);
    assert_eq!(Caller::connect(running.address).get("/").text(), "index");
    running.handle.shutdown();
    running.ended.recv_timeout(PATIENCE).expect("it stops").expect("the listener is sound");
    let log = log.lock().expect("no panic");
    assert!(
        log.contains("the application panicked at ") && log.contains("there is no reactor running"),
        "{log}"
    );
}

#[test]
fn what_a_service_keeps_of_a_request_stays_as_it_is() {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keeping = Arc::clone(&kept);
    let keep = async move |request: Request| {
        let (parts, _) = request.into_parts();
        keeping.lock().expect("no panic").push((parts.uri, parts.headers));
    };
    let (_adapter, running) = on_tokio(tower(Router::new().fallback(keep)));
    let mut client = Caller::connect(running.address);
    for number in 0..20 {
        client.send(format!("GET /{number} HTTP/1.1\r\nHost: h{number}\r\nX-{number}: {number}\r\n\r\n"));
        assert_eq!(client.answer().status, 200);
    }
    for (number, (uri, headers)) in kept.lock().expect("no panic").iter().enumerate() {
        let of_its_own = headers.get(format!("x-{number}")).map(|value| value.as_bytes());
        assert_eq!(of_its_own, Some(number.to_string().as_bytes()));
        assert_eq!(
            (uri.path(), headers["host"].as_bytes()),
            (&*format!("/{number}"), format!("h{number}").as_bytes())
        );
    }
}

fn on_tokio(application: impl Application) -> (Tokio, Running) {
    let adapter = Tokio(Runtime::new().expect("threads are available"));
    let running = adapter.start(Options::public().log_output(false), application).expect("it starts");
    (adapter, running)
}

/// Has one block, and never ends. It reports when it is dropped.
struct Endless {
    first: Option<&'static str>,
    dropped: Sender<()>,
}

impl Stream for Endless {
    type Item = Result<&'static str, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.first.take().map_or(Poll::Pending, |first| Poll::Ready(Some(Ok(first))))
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        // The receiver is gone if the test has failed.
        let _ = self.dropped.send(());
    }
}

#[test]
fn a_client_that_leaves_ends_a_body_that_waits() {
    let (dropped, is_dropped) = channel();
    let events = move || {
        let body = Body::from_stream(Endless { first: Some("first"), dropped: dropped.clone() });
        async move { body }
    };
    let (_adapter, running) = on_tokio(tower(Router::new().route("/", get(events))));
    let mut client = Caller::connect(running.address);
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut received = Vec::new();
    while !received.ends_with(b"first\r\n") {
        received.extend(client.bytes(1));
    }
    assert!(is_dropped.try_recv().is_err());
    drop(client);
    is_dropped.recv_timeout(PATIENCE).expect("the body was dropped");
}

#[test]
fn a_client_that_half_closes_gets_its_answer_if_the_service_is_not_cancelled() {
    let late = async || {
        tokio::time::sleep(Duration::from_millis(200)).await;
        "done"
    };
    let never = Router::new().route("/", get(std::future::pending::<&str>));
    let late = Router::new().route("/", get(late));
    for (application, answered) in [(tower(never), false), (tower(late).cancel_on_disconnect(false), true)] {
        let (_adapter, running) = on_tokio(application);
        let mut client = Caller::connect(running.address);
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        client.half_close();
        let answer = client.try_answer();
        assert_eq!(answer.is_ok_and(|answer| answer.text() == "done"), answered);
    }
}

#[test]
fn the_head_does_not_wait_for_the_first_block() {
    let (dropped, _is_dropped) = channel();
    let events = move || {
        let body = Body::from_stream(Endless { first: None, dropped: dropped.clone() });
        async move { ([("X-Begun", "yes")], body) }
    };
    let (_adapter, running) = on_tokio(tower(Router::new().route("/", get(events))));
    let mut client = Caller::connect(running.address);
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut received = Vec::new();
    while !received.ends_with(b"\r\n\r\n") {
        received.extend(client.bytes(1));
    }
    let head = String::from_utf8(received).expect("text");
    assert!(
        head.starts_with("HTTP/1.1 200 OK\r\n") && head.to_ascii_lowercase().contains("x-begun: yes"),
        "{head}"
    );
}
