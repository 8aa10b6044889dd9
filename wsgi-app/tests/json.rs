//! JSON in the bodies of requests and responses.
#![cfg(feature = "json")]

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use wsgi_app::test::{Request, call, call_blocking};
use wsgi_app::{Environ, Json, JsonError, Response, blocking, site};

#[derive(serde::Deserialize, serde::Serialize)]
struct User {
    name: String,
}

async fn same(environ: Environ) -> Result<Json<User>, JsonError> {
    environ.json(20).await.map(Json)
}

fn same_blocking(environ: blocking::Environ) -> Result<Json<User>, JsonError> {
    environ.json(20).map(Json)
}

/// What both kinds of application answer.
fn post(content_type: &str, body: &'static str) -> String {
    let request = || Request::post("/", body).header("Content-Type", content_type);
    let response = {
        let mut called = pin!(call(site(same), request()));
        match called.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(response) => response,
            Poll::Pending => panic!("it waits for nothing"),
        }
    };
    let text = shown(&response);
    assert_eq!(text, shown(&call_blocking(blocking::site(same_blocking), request())));
    text
}

fn shown(response: &Response) -> String {
    let content_type = response.headers().get("Content-Type").unwrap_or_default();
    let body = String::from_utf8_lossy(response.body().as_bytes().expect("in memory"));
    format!("{} {content_type} {body}", response.status().code())
}

#[test]
fn a_value_comes_and_goes() {
    for content_type in ["application/json", "Application/JSON; charset=utf-8", "application/vnd.api+json"] {
        assert_eq!(post(content_type, r#"{"name": "Ada"}"#), r#"200 application/json {"name":"Ada"}"#);
    }
}

#[test]
fn a_body_that_is_no_value_is_the_clients_error() {
    let json = |body| post("application/json", body);
    assert_eq!(
        json("{}"),
        "400 text/plain; charset=utf-8 the body is not the expected JSON: missing field `name` at line 1 column 2\n"
    );
    assert!(json("").starts_with("400 "));
    assert!(json(r#"{"name": "Ada"} x"#).starts_with("400 "));
    assert!(json(r#"{"name": "Ada Lovelace"}"#).starts_with("413 "));
    assert_eq!(
        post("text/plain", r#"{"name": "Ada"}"#),
        "415 text/plain; charset=utf-8 the body is not JSON (expected `Content-Type: application/json`)\n"
    );
}

#[test]
fn any_error_type_keeps_the_status() {
    async fn page(environ: Environ) -> wsgi_app::Result<Json<User>> {
        Ok(Json(environ.json(20).await?))
    }
    for (content_type, body, status) in [
        ("application/json", "{}", 400),
        ("application/json", r#"{"name": "Ada Lovelace"}"#, 413),
        ("text/plain", "{}", 415),
    ] {
        let mut called =
            pin!(call(site(page), Request::post("/", body).header("Content-Type", content_type)));
        let Poll::Ready(response) = called.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("it waits for nothing")
        };
        assert_eq!(response.status().code(), status);
    }
}

#[test]
fn a_value_that_cannot_be_sent_is_the_applications_error() {
    let unsound =
        blocking::site(|_: blocking::Environ| Json(std::collections::BTreeMap::from([((1, 2), 3)])));
    let response = call_blocking(unsound, Request::get("/"));
    assert_eq!(shown(&response), "500 text/plain the application failed: key must be a string\n");
}
