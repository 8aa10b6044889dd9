//! One error type for all functions: statuses by `?`, JSON for clients (RFC 9457), details only in the log.
//!
//! `cargo run -p wsgi-cookbook --bin errors [ADDRESS]`, then for instance
//! `curl -i http://127.0.0.1:8090/users/0`

use std::fmt::Display;
use std::io::Write as _;

use serde_json::json;
use tokio::net::TcpListener;
use wsgi_tokio::{Environ, Error, InputError, IntoResponse, Options, Response, Server, site};

/// The reasons for an error response.
enum Failure {
    NotFound,
    MethodNotAllowed(&'static str),
    /// A mistake of the client: the status, and a text for the client.
    Refused(u16, String),
    /// A failure of the application. Its text is not for clients.
    Internal(Error),
}

impl Failure {
    fn invalid(why: impl Display) -> Self {
        Self::Refused(422, why.to_string())
    }
}

/// Any other error is internal, unless the client caused it.
impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        let detail = error.to_string();
        // The server has a status for its own errors: a body that is malformed, too large, too late, or not JSON.
        let mut response = Response::from(error);
        match (response.status().code(), response.take_error()) {
            (500, Some(error)) => Self::Internal(error),
            (status, _) => Self::Refused(status, detail),
        }
    }
}

impl Failure {
    fn respond(self, environ: &Environ) -> Response {
        let (status, detail) = match self {
            Self::NotFound => (404, None),
            Self::MethodNotAllowed(allow) => return problem(405, None).with_header("Allow", allow),
            Self::Refused(status, detail) => (status, Some(detail)),
            // The connection is lost, so there is no client to respond to. This is not a failure of the application.
            Self::Internal(error) if error.is::<InputError>() => return error.into_response(),
            Self::Internal(error) => {
                // Writing to the log never fails.
                let _ =
                    writeln!(environ.errors(), "{} {}: {}", environ.method(), environ.path(), chain(&*error));
                (500, None)
            }
        };
        problem(status, detail)
    }
}

/// An error for programs: RFC 9457.
fn problem(status: u16, detail: Option<String>) -> Response {
    let response = Response::new(status);
    let title = response.status().as_str().split_once(' ').map_or("", |(_, reason)| reason);
    let mut body = json!({ "status": status, "title": title });
    if let Some(detail) = detail {
        body["detail"] = detail.into();
    }
    let text = body.to_string();
    response.with_header("Content-Type", "application/problem+json").with_body(text)
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Turns the error of `api` into a response.
async fn application(environ: Environ) -> Response {
    match api(&environ).await {
        Ok(response) => response,
        Err(failure) => failure.respond(&environ),
    }
}

async fn api(environ: &Environ) -> Result<Response, Failure> {
    let (method, path) = (environ.method(), environ.path());
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match (&*method, &*segments) {
        ("GET" | "HEAD", ["users", id]) => user(id).await.map(IntoResponse::into_response),
        ("POST", ["sum"]) => sum(environ).await.map(IntoResponse::into_response),
        ("GET" | "HEAD", ["panic"]) => panic!("a bug"),
        (_, ["users", _] | ["panic"]) => Err(Failure::MethodNotAllowed("GET, HEAD")),
        (_, ["sum"]) => Err(Failure::MethodNotAllowed("POST")),
        _ => Err(Failure::NotFound),
    }
}

async fn user(id: &str) -> Result<String, Failure> {
    let id: usize = id.parse().map_err(|_| Failure::NotFound)?;
    if id == 0 {
        // Without `map_err`: a missing file is an internal error here.
        return Ok(tokio::fs::read_to_string("/no/such/database").await?);
    }
    ["Ada", "Grace"].get(id - 1).map(|name| format!("{name}\n")).ok_or(Failure::NotFound)
}

async fn sum(environ: &Environ) -> Result<String, Failure> {
    let numbers: Vec<i64> = environ.json(1024).await?;
    if numbers.is_empty() {
        return Err(Failure::invalid("there are no numbers"));
    }
    let sum = numbers.iter().try_fold(0_i64, |sum, number| sum.checked_add(*number));
    let sum = sum.ok_or_else(|| Failure::invalid("the sum is too large"))?;
    Ok(format!("{sum}\n"))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".into());
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    // `public` switches `debug` off, so the message of a panic is only in the log.
    let serving = Server::new(listener, site(application))
        .options(Options::public())
        .serve_until(tokio::signal::ctrl_c());
    println!("serving http://{address}/");
    serving.await?;
    Ok(())
}
