//! The echo application of `conform/CONTRACT.md`, and some paths beside it for other checks.
//!
//! It knows no runtime: how to sleep is handed in.

use std::borrow::Cow;
use std::iter;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use wsgi_tokio::{Application, Body, Environ, InputError, Result, StartResponse};

use super::stream::{self, Sleep};
use super::text;

const BLOCK: usize = 64 * 1024;
static BLANK: [u8; BLOCK] = [b'x'; BLOCK];

/// The application, for a runtime that sleeps like this.
pub fn application(sleep: Sleep) -> impl Application {
    let echo = Arc::new(Echo { sleep, hooked: Mutex::default() });
    move |environ, start_response| {
        let echo = Arc::clone(&echo);
        async move { echo.answer(environ, start_response).await }
    }
}

struct Echo {
    sleep: Sleep,
    /// What the post hooks of `/hooks` have written.
    hooked: Mutex<String>,
}

impl Echo {
    async fn answer(self: Arc<Self>, environ: Environ, start: StartResponse) -> Result<Body> {
        let path = environ.path().into_owned();
        if let Some(code) = path.strip_prefix("/status/") {
            return status(&start, code);
        }
        match path.as_str() {
            "/chunked" => {
                start.send("200 OK", PLAIN)?;
                let blocks = ["one\n", "two\n", "three\n"];
                Ok(Body::iterator(blocks.map(|block| Ok(block.into()))))
            }
            "/no-length" => {
                start.send("200 OK", PLAIN)?;
                Ok("no length\n".into())
            }
            "/early" => plain(&start, "early\n"),
            "/partial" => {
                environ.input().read(3).await?;
                plain(&start, "partial\n")
            }
            "/error" => Err(SECRET.into()),
            "/late-error" => {
                start.send("200 OK", PLAIN)?;
                Ok(Body::iterator([Ok("first\n".into()), Err(SECRET.into())]))
            }
            "/short" => {
                sized(&start, 10)?;
                Ok("12345".into())
            }
            "/long" => {
                sized(&start, 5)?;
                Ok(Body::blocks(["12345", "HTTP/1.1 200 OK\r\n\r\n"]))
            }
            "/204-body" => {
                start.send("204 No Content", PLAIN)?;
                Ok("must not be sent".into())
            }
            "/304-body" => {
                start.send("304 Not Modified", [("ETag", "\"x\"")])?;
                Ok("must not be sent".into())
            }
            "/evil-header" => {
                start.send("200 OK", [("Content-Length", "2"), ("X-A", "a\r\nX-Injected: 1")])?;
                Ok("ok".into())
            }
            "/evil-name" => {
                start.send("200 OK", [("Content-Length", "2"), ("X-A: 1\r\nX-Injected", "1")])?;
                Ok("ok".into())
            }
            "/evil-status" => {
                start.send("200 OK\r\nX-Injected: 1", [("Content-Length", "2")])?;
                Ok("ok".into())
            }
            "/big" => {
                let length = number(&environ, "n", 1_000_000);
                sized(&start, length)?;
                Ok(stream::ready_blocks(blank(length)))
            }
            "/sleep" => {
                (self.sleep)(milliseconds(&environ, 1000)).await;
                plain(&start, "slept\n")
            }
            "/stream" => {
                start.send("200 OK", PLAIN)?;
                Ok(stream::with_pause("first\n", self.sleep, milliseconds(&environ, 500), "second\n"))
            }
            _ => self.beyond_the_contract(&path, environ, start).await,
        }
    }

    /// What checks other than the conformance run ask for.
    async fn beyond_the_contract(
        self: Arc<Self>,
        path: &str,
        environ: Environ,
        start: StartResponse,
    ) -> Result<Body> {
        match path {
            // A body that is read and dropped, however large, and its length.
            "/sink" => {
                let length = drain(&environ).await?;
                plain(&start, format!("{length}\n"))
            }
            "/big-chunked" => {
                start.send("200 OK", PLAIN)?;
                Ok(stream::ready_blocks(blank(number(&environ, "n", 1_000_000))))
            }
            "/environ" => {
                let variables = environ.to_map();
                json(&start, text::object(variables.iter().map(|(name, value)| (&**name, &**value))))
            }
            "/hooks" => {
                for mark in ["1", "2"] {
                    let echo = Arc::clone(&self);
                    environ.add_post_hook(move |_, _| echo.hooked().push_str(mark));
                }
                plain(&start, "hooked\n")
            }
            "/hooks/seen" => {
                let seen = self.hooked().clone();
                plain(&start, seen)
            }
            "/continue" => {
                let headers = [("Hundred-Continue-Header-1", "H1"), ("Hundred-Continue-Header-k", "Hk")];
                environ.input().set_hundred_continue_response_headers(headers)?;
                let length = drain(&environ).await?;
                plain(&start, format!("{length}\n"))
            }
            "/case" => {
                start.send("200 OK", [("Content-Type", "text/plain"), ("x-MIXED-case", "Yes")])?;
                Ok("case\n".into())
            }
            "/pieces" => {
                environ.set_minimum_write_chunk_size(number(&environ, "min", 0) as usize);
                start.send("200 OK", PLAIN)?;
                let pieces = 0..number(&environ, "n", 10);
                Ok(Body::iterator(pieces.map(|_| Ok("0123456789".into()))))
            }
            "/panic" => panic!("{SECRET}"),
            _ => echo(environ, start).await,
        }
    }

    fn hooked(&self) -> std::sync::MutexGuard<'_, String> {
        self.hooked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const PLAIN: [(&str, &str); 1] = [("Content-Type", "text/plain")];
const SECRET: &str = "secret-detail-of-the-app";

/// Every path that has no answer of its own.
async fn echo(environ: Environ, start: StartResponse) -> Result<Body> {
    let body = environ.input().read_to_end().await?;
    let variables = environ.to_map();
    let headers = variables.iter().filter_map(|(name, value)| match name.strip_prefix("HTTP_") {
        Some(name) => Some((name, value.as_str())),
        None => matches!(name.as_str(), "CONTENT_TYPE" | "CONTENT_LENGTH").then_some((&**name, &**value)),
    });
    let variable = |name: &str| variables.get(name).map(String::as_str).unwrap_or_default();
    let mut answer = String::with_capacity(512 + body.len().div_ceil(3) * 4);
    for (key, value) in [
        ("{\"method\": ", variable("REQUEST_METHOD")),
        (", \"path\": ", variable("PATH_INFO")),
        (", \"query\": ", variable("QUERY_STRING")),
        (", \"version\": ", variable("SERVER_PROTOCOL")),
    ] {
        answer.push_str(key);
        text::push_string(&mut answer, value);
    }
    answer.push_str(", \"headers\": ");
    answer.push_str(&text::object(headers));
    answer.push_str(", \"body_base64\": \"");
    text::push_base64(&mut answer, &body);
    answer.push_str(&format!("\", \"body_length\": {}}}", body.len()));
    json(&start, answer)
}

fn status(start: &StartResponse, code: &str) -> Result<Body> {
    let line = format!("{code} Status");
    if matches!(code, "204" | "304") {
        start.send(line, NOTHING)?;
        return Ok(Body::empty());
    }
    let body = format!("status {code}");
    start.send(line, [("Content-Type", "text/plain"), ("Content-Length", &body.len().to_string())])?;
    Ok(body.into())
}

const NOTHING: [(&str, &str); 0] = [];

fn plain(start: &StartResponse, body: impl Into<Cow<'static, str>>) -> Result<Body> {
    let body = body.into();
    sized(start, body.len() as u64)?;
    Ok(match body {
        Cow::Borrowed(body) => body.into(),
        Cow::Owned(body) => body.into(),
    })
}

fn sized(start: &StartResponse, length: u64) -> Result<()> {
    start.send("200 OK", [("Content-Type", "text/plain"), ("Content-Length", &length.to_string())])?;
    Ok(())
}

fn json(start: &StartResponse, body: String) -> Result<Body> {
    let length = body.len().to_string();
    start.send("200 OK", [("Content-Type", "application/json"), ("Content-Length", &length)])?;
    Ok(body.into())
}

/// Reads and drops the request body, and tells its length.
async fn drain(environ: &Environ) -> Result<u64, InputError> {
    let (input, mut length) = (environ.input(), 0);
    loop {
        match input.read_some(BLOCK).await?.len() as u64 {
            0 => return Ok(length),
            more => length += more,
        }
    }
}

/// `length` bytes in blocks.
fn blank(mut length: u64) -> impl Iterator<Item = Bytes> + Send + Unpin {
    iter::from_fn(move || {
        let block = length.min(BLOCK as u64);
        length -= block;
        (block > 0).then(|| Bytes::from_static(&BLANK[..block as usize]))
    })
}

fn milliseconds(environ: &Environ, otherwise: u64) -> Duration {
    Duration::from_millis(number(environ, "ms", otherwise))
}

/// A number in the query; what is not there, or is none, becomes `otherwise`.
fn number(environ: &Environ, name: &str, otherwise: u64) -> u64 {
    let query = environ.query();
    let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    value.and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}
