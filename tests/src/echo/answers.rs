//! The answers of the echo application that are the same on every runtime, since they never wait.

use std::borrow::Cow;
use std::fs::File;
use std::hint;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use wsgi_tokio::{Body, Environ, Result};

use super::text;

pub(super) const PLAIN: [(&str, &str); 1] = [("Content-Type", "text/plain")];
pub(super) const SWITCHING: &str = "101 Switching Protocols";
pub(super) const CONTINUE: [(&str, &str); 2] =
    [("Hundred-Continue-Header-1", "H1"), ("Hundred-Continue-Header-k", "Hk")];

/// The number of bytes read or sent at a time.
pub(super) const BLOCK: usize = 64 * 1024;

static BLANK: [u8; BLOCK] = [b'x'; BLOCK];
const SECRET: &str = "secret-detail-of-the-app";

/// Starts a response: the common interface of every kind of `start_response`.
pub(super) trait Start {
    fn begin(&self, status: &str, headers: &[(&str, &str)]) -> Result<()>;
}

impl Start for wsgi_tokio::StartResponse {
    fn begin(&self, status: &str, headers: &[(&str, &str)]) -> Result<()> {
        self.start(status, headers)?;
        Ok(())
    }
}

impl Start for wsgi_tokio::blocking::StartResponse {
    fn begin(&self, status: &str, headers: &[(&str, &str)]) -> Result<()> {
        self.start(status, headers)?;
        Ok(())
    }
}

/// State that outlives the requests.
pub(super) struct Echo {
    /// The file at `/file`.
    file: Option<PathBuf>,
    /// Makes a body of blocks that are ready.
    ready: fn(Blank) -> Body,
    /// Lines written by the post hooks of `/hooks`.
    hooked: Mutex<String>,
}

impl Echo {
    pub(super) fn new(file: Option<PathBuf>, ready: fn(Blank) -> Body) -> Self {
        Self { file, ready, hooked: Mutex::default() }
    }

    /// Answers the request, or returns `None` for any other path.
    pub(super) fn at_once(self: &Arc<Self>, environ: &Environ, start: &impl Start) -> Option<Result<Body>> {
        let path = environ.path();
        if let Some(code) = path.strip_prefix("/status/") {
            return Some(status(start, code));
        }
        let started = |status: &str, headers: &[(&str, &str)], body: Body| {
            start.begin(status, headers)?;
            Ok(body)
        };
        Some(match &*path {
            "/chunked" => {
                let blocks = ["one\n", "two\n", "three\n"];
                started("200 OK", &PLAIN, Body::iterator(blocks.map(|block| Ok(block.into()))))
            }
            "/no-length" => started("200 OK", &PLAIN, "no length\n".into()),
            "/early" => plain(start, "early\n"),
            "/error" => Err(SECRET.into()),
            "/late-error" => {
                started("200 OK", &PLAIN, Body::iterator([Ok("first\n".into()), Err(SECRET.into())]))
            }
            "/short" => sized(start, 10, "12345".into()),
            "/long" => sized(start, 5, Body::blocks(["12345", "HTTP/1.1 200 OK\r\n\r\n"])),
            "/204-body" => started("204 No Content", &PLAIN, "must not be sent".into()),
            "/304-body" => started("304 Not Modified", &[("ETag", "\"x\"")], "must not be sent".into()),
            "/evil-header" => {
                let headers = [("Content-Length", "2"), ("X-A", "a\r\nX-Injected: 1")];
                started("200 OK", &headers, "ok".into())
            }
            "/evil-name" => {
                let headers = [("Content-Length", "2"), ("X-A: 1\r\nX-Injected", "1")];
                started("200 OK", &headers, "ok".into())
            }
            "/evil-status" => started("200 OK\r\nX-Injected: 1", &[("Content-Length", "2")], "ok".into()),
            "/big" => {
                let length = number(environ, "n", 1_000_000);
                sized(start, length, (self.ready)(Blank(length)))
            }
            path => return self.beyond_the_contract(path, environ, start),
        })
    }

    /// Paths for checks other than the conformance run.
    fn beyond_the_contract(
        self: &Arc<Self>,
        path: &str,
        environ: &Environ,
        start: &impl Start,
    ) -> Option<Result<Body>> {
        let started = |headers: &[(&str, &str)], body: Body| {
            start.begin("200 OK", headers)?;
            Ok(body)
        };
        Some(match path {
            "/big-chunked" => started(&PLAIN, (self.ready)(Blank(number(environ, "n", 1_000_000)))),
            "/environ" => {
                let variables = environ.to_map();
                json(start, text::object(variables.iter().map(|(name, value)| (&**name, &**value))))
            }
            "/hooks" => {
                for mark in ["1", "2"] {
                    let echo = Arc::clone(self);
                    environ.add_post_hook(move |_, _| echo.hooked().push_str(mark));
                }
                plain(start, "hooked\n")
            }
            "/hooks/seen" => plain(start, self.hooked().clone()),
            "/case" => started(&[("Content-Type", "text/plain"), ("x-MIXED-case", "Yes")], "case\n".into()),
            "/pieces" => {
                environ.set_minimum_write_chunk_size(number(environ, "min", 0) as usize);
                let pieces = 0..number(environ, "n", 10);
                started(&PLAIN, Body::iterator(pieces.map(|_| Ok("0123456789".into()))))
            }
            "/file" => {
                let Some(path) = &self.file else { return None };
                file(environ, start, path)
            }
            // Keeps its thread busy without waiting, like an application that computes.
            "/burn" => {
                let end = Instant::now() + Duration::from_micros(number(environ, "us", 200));
                while Instant::now() < end {
                    hint::spin_loop();
                }
                plain(start, "burnt\n")
            }
            "/panic" => panic!("{SECRET}"),
            _ => return None,
        })
    }

    fn hooked(&self) -> MutexGuard<'_, String> {
        self.hooked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Echoes the request, for every path without a special answer.
pub(super) fn echo(environ: &Environ, start: &impl Start, body: &[u8]) -> Result<Body> {
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
    text::push_base64(&mut answer, body);
    answer.push_str(&format!("\", \"body_length\": {}}}", body.len()));
    json(start, answer)
}

fn status(start: &impl Start, code: &str) -> Result<Body> {
    let line = format!("{code} Status");
    if matches!(code, "204" | "304") {
        start.begin(&line, &[])?;
        return Ok(Body::empty());
    }
    let body = format!("status {code}");
    start.begin(&line, &[("Content-Type", "text/plain"), ("Content-Length", &body.len().to_string())])?;
    Ok(body.into())
}

/// A text with its length.
pub(super) fn plain(start: &impl Start, body: impl Into<Cow<'static, str>>) -> Result<Body> {
    let body = body.into();
    let length = body.len() as u64;
    let body = match body {
        Cow::Borrowed(body) => body.into(),
        Cow::Owned(body) => body.into(),
    };
    sized(start, length, body)
}

fn sized(start: &impl Start, length: u64, body: Body) -> Result<Body> {
    start.begin("200 OK", &[("Content-Type", "text/plain"), ("Content-Length", &length.to_string())])?;
    Ok(body)
}

/// The file, or the part of it from `from` in the query.
fn file(environ: &Environ, start: &impl Start, path: &Path) -> Result<Body> {
    let body = Body::file(File::open(path)?, number(environ, "from", 0)..)?;
    start.begin("200 OK", &[("Content-Type", "application/octet-stream")])?;
    Ok(body)
}

fn json(start: &impl Start, body: String) -> Result<Body> {
    let length = body.len().to_string();
    start.begin("200 OK", &[("Content-Type", "application/json"), ("Content-Length", &length)])?;
    Ok(body.into())
}

/// This number of bytes, in blocks.
pub(super) struct Blank(u64);

impl Iterator for Blank {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let block = self.0.min(BLOCK as u64);
        self.0 -= block;
        (block > 0).then(|| Bytes::from_static(&BLANK[..block as usize]))
    }
}

pub(super) fn milliseconds(environ: &Environ, otherwise: u64) -> Duration {
    Duration::from_millis(number(environ, "ms", otherwise))
}

/// A number in the query; `otherwise` if it is missing or malformed.
fn number(environ: &Environ, name: &str, otherwise: u64) -> u64 {
    let query = environ.query();
    let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    value.and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}
