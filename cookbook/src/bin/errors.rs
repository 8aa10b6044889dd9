//! Errors as JSON (RFC 9457), whatever made them: statuses by `?`, details of failures only in the log.
//!
//! `cargo run -p wsgi-cookbook --bin errors [ADDRESS]`, then for instance
//! `curl -i http://127.0.0.1:8090/users/0`

use std::io::Write as _;

use serde_json::json;
use tokio::net::TcpListener;
use wsgi_tokio::{Environ, InputError, IntoResponse, Options, Response, Server, site};

/// Middleware around all pages: sends each error as JSON.
async fn application(environ: Environ) -> Response {
    let response = api(&environ).await.into_response();
    if response.status().is_error() { as_json(response, &environ) } else { response }
}

fn as_json(mut response: Response, environ: &Environ) -> Response {
    let status = response.status().code();
    let detail = match response.take_error() {
        // A mistake of the client while its body was read: the error is for the client.
        Some(error) if status < 500 => error.to_string(),
        // The connection is lost, so there is no client to respond to. This is not a failure of the application.
        Some(error) if error.is::<InputError>() => return Response::from_error(error),
        // A failure of the application: the error is not for clients. Writing to the log never fails.
        Some(error) => {
            let _ = writeln!(environ.errors(), "{} {}: {}", environ.method(), environ.path(), chain(&*error));
            String::new()
        }
        // A response of a page, or of a reading such as `json`: its text is for the client.
        None => response.body().as_str().unwrap_or_default().trim_end().to_owned(),
    };
    let title = response.status().as_str().split_once(' ').map_or("", |(_, reason)| reason);
    let mut problem = json!({ "status": status, "title": title });
    if !detail.is_empty() {
        problem["detail"] = detail.into();
    }
    // Other fields stay, such as `Allow`.
    response.with_header("Content-Type", "application/problem+json").with_body(problem.to_string())
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

async fn api(environ: &Environ) -> Result<Response, Response> {
    let (method, path) = (environ.method(), environ.path());
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match (&*method, &*segments) {
        ("GET" | "HEAD", ["users", id]) => user(id).await.map(IntoResponse::into_response),
        ("POST", ["sum"]) => sum(environ).await.map(IntoResponse::into_response),
        ("GET" | "HEAD", ["panic"]) => panic!("a bug"),
        (_, ["users", _] | ["panic"]) => Err(Response::not_allowed("GET, HEAD")),
        (_, ["sum"]) => Err(Response::not_allowed("POST")),
        _ => Err(404.into_response()),
    }
}

async fn user(id: &str) -> Result<String, Response> {
    let no_such_user = || (404, "no such user").into_response();
    let id: usize = id.parse().map_err(|_| no_such_user())?;
    if id == 0 {
        // Without `map_err`: a missing file is a failure of the application here.
        return Ok(tokio::fs::read_to_string("/no/such/database").await?);
    }
    ["Ada", "Grace"].get(id - 1).map(|name| format!("{name}\n")).ok_or_else(no_such_user)
}

async fn sum(environ: &Environ) -> Result<String, Response> {
    let invalid = |why| (422, why).into_response();
    let numbers: Vec<i64> = environ.json(1024).await?; // 400, 408, 413 or 415
    if numbers.is_empty() {
        return Err(invalid("there are no numbers"));
    }
    let sum = numbers.iter().try_fold(0_i64, |sum, number| sum.checked_add(*number));
    let sum = sum.ok_or_else(|| invalid("the sum is too large"))?;
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
