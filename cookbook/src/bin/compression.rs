//! Compression of responses with gzip: what to compress, and bodies that are not there as a whole.
//!
//! `cargo run -p wsgi-cookbook --bin compression [ADDRESS]`

use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use futures_core::Stream;
use tokio::net::TcpListener;
use wsgi_tokio::{Body, Bytes, Environ, Headers, IntoResponse, Options, Response, Result, Server, site};

/// Smaller bodies fit into one packet anyway.
const SMALLEST: u64 = 1000;

/// The largest body in memory that is compressed at once, and the largest block of others.
const BLOCK: usize = 64 * 1024;

/// How many bytes are compressed before other tasks of the thread have their turn.
const TURN: usize = 256 * 1024;

/// Middleware: compresses a response, if that is worth it and the client accepts it.
fn compressed(environ: &Environ, mut response: Response) -> Response {
    // RFC 9110, 15.3.7 and 15.4.5: both have the `Vary` of the 200.
    if matches!(response.status().code(), 206 | 304) {
        vary(response.headers_mut(), "Accept-Encoding");
    }
    if response.error().is_some() || !is_worth_it(&response) {
        return response;
    }
    // Caches have to know that the response depends on it, even if this client gets the original.
    vary(response.headers_mut(), "Accept-Encoding");
    if !accepts_gzip(environ.headers("Accept-Encoding")) {
        return response;
    }
    let headers = response.headers_mut();
    headers.insert("Content-Encoding", "gzip");
    // They describe the uncompressed bytes.
    headers.remove("Content-Length");
    headers.remove("Accept-Ranges");
    // The same ETag would promise the same bytes.
    if let Some(etag) = headers.get("ETag").filter(|etag| !etag.starts_with("W/")) {
        let weak = format!("W/{etag}");
        headers.insert("ETag", weak);
    }
    // The server sends the response to a HEAD without its body, and with the same fields as for GET.
    let body = response.set_body(Body::empty());
    let gzip = Gzip::new(body);
    response.with_body(gzip.into_body())
}

fn is_worth_it(response: &Response) -> bool {
    let (status, headers) = (response.status().code(), response.headers());
    // A range is one of the original bytes.
    let has_body = matches!(status, 200..=599) && !matches!(status, 204 | 205 | 206 | 304);
    let is_fixed = headers.contains("Content-Encoding")
        || headers.contains("Content-Range")
        || headers.get_all("Cache-Control").any(|value| value.to_ascii_lowercase().contains("no-transform"));
    let length = response.body().length();
    has_body && !is_fixed && length.is_none_or(|length| length >= SMALLEST) && is_text(headers)
}

/// Whether it is text of some kind: images, videos and archives are compressed already.
fn is_text(headers: &Headers) -> bool {
    let value = headers.get("Content-Type").unwrap_or_default().to_ascii_lowercase();
    let kind = value.split(';').next().unwrap_or_default().trim();
    kind.starts_with("text/")
        || ["+json", "+xml", "/json", "/xml", "/javascript", "/wasm"].iter().any(|end| kind.ends_with(end))
}

/// Whether the client prefers gzip to the original (RFC 9110, 12.5.3).
fn accepts_gzip<'a>(values: impl Iterator<Item = impl AsRef<str> + 'a>) -> bool {
    let (mut gzip, mut identity, mut any) = (None, None, None);
    for value in values {
        for coding in value.as_ref().split(',') {
            let (name, parameter) = coding.split_once(';').unwrap_or((coding, "q=1"));
            let Some(q) = parameter.trim().strip_prefix(['q', 'Q']).and_then(|rest| rest.strip_prefix('='))
            else {
                continue;
            };
            // What is not a number accepts nothing.
            let q = q.trim().parse().ok().filter(|q| (0.0..=1.0).contains(q)).unwrap_or(0.0_f32);
            match name.trim().to_ascii_lowercase().as_str() {
                "gzip" | "x-gzip" => gzip = Some(q),
                "identity" => identity = Some(q),
                "*" => any = Some(q),
                _ => {}
            }
        }
    }
    let gzip = gzip.or(any).unwrap_or(0.0);
    gzip > 0.0 && gzip >= identity.unwrap_or(0.0)
}

/// Adds a name to `Vary`, unless it is there.
fn vary(headers: &mut Headers, name: &str) {
    let listed = headers.get_all("Vary").any(|names| {
        names.split(',').any(|other| ["*", name].iter().any(|it| it.eq_ignore_ascii_case(other.trim())))
    });
    if !listed {
        headers.append("Vary", name);
    }
}

/// The compressed blocks of a body.
pub(crate) struct Gzip {
    body: Body,
    /// `None` at the end.
    encoder: Option<GzEncoder<Vec<u8>>>,
    /// The encoder keeps bytes that the client has not got.
    unsent: bool,
}

impl Gzip {
    pub(crate) fn new(body: Body) -> Self {
        let encoder = Some(GzEncoder::new(Vec::new(), Compression::fast()));
        Self { body, encoder, unsent: false }
    }

    /// A small body in memory is compressed now, so that the response has a length.
    fn into_body(mut self) -> Body {
        match (self.body.as_bytes(), self.encoder.take()) {
            (Some(bytes), Some(mut encoder)) if bytes.len() <= BLOCK => {
                match encoder.write_all(bytes).and_then(|()| encoder.finish()) {
                    Ok(compressed) => compressed.into(),
                    Err(error) => Body::iterator([Err(error.into())]),
                }
            }
            (_, encoder) => Body::stream(Self { encoder, ..self }),
        }
    }
}

impl Stream for Gzip {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let this = &mut *self;
        let mut turn = 0;
        while let Some(encoder) = &mut this.encoder {
            match Pin::new(&mut this.body).poll_next(context) {
                Poll::Ready(Some(Ok(block))) => {
                    encoder.write_all(&block)?;
                    this.unsent = true;
                    turn += block.len();
                }
                // The response is cut: the client must not take it for whole.
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => {
                    let last = this.encoder.take().map(GzEncoder::finish).transpose()?;
                    return Poll::Ready(last.map(|bytes| Ok(bytes.into())));
                }
                // The next block may take long, so the client gets everything before it.
                Poll::Pending if this.unsent => {
                    encoder.flush()?;
                    this.unsent = false;
                }
                Poll::Pending if encoder.get_ref().is_empty() => return Poll::Pending,
                Poll::Pending => return Poll::Ready(Some(Ok(std::mem::take(encoder.get_mut()).into()))),
            }
            if encoder.get_ref().len() >= BLOCK {
                return Poll::Ready(Some(Ok(std::mem::take(encoder.get_mut()).into())));
            }
            if turn >= TURN {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        Poll::Ready(None)
    }
}

/// The lines of a log, one after the other.
struct Log {
    line: u32,
    pause: Pin<Box<tokio::time::Sleep>>,
}

impl Stream for Log {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        if self.line == 3 {
            return Poll::Ready(None);
        }
        std::task::ready!(self.pause.as_mut().poll(context));
        self.pause = Box::pin(tokio::time::sleep(Duration::from_millis(100)));
        self.line += 1;
        Poll::Ready(Some(Ok(format!("line {}\n", self.line).into())))
    }
}

async fn page(environ: Environ) -> Result<Response> {
    Ok(match &*environ.path() {
        "/" => "Hello\n".repeat(1000).into_response().with_header("ETag", "\"1\""),
        "/small" => "Hello\n".into_response(),
        "/image" => ([("Content-Type", "image/png")], vec![0; 5000]).into_response(),
        "/range" => (206, [("Content-Range", "bytes 0-1999/6000")], "Hello\n".repeat(333)).into_response(),
        "/large" => "0123456789abcdef".repeat(1 << 16).into_response(),
        "/log" => {
            let pause = Box::pin(tokio::time::sleep(Duration::ZERO));
            Response::text(Body::stream(Log { line: 0, pause }))
        }
        "/cut" => {
            let blocks = (0..3).map(|n| if n < 2 { Ok("block\n".into()) } else { Err("no disk".into()) });
            Response::text(Body::iterator(blocks))
        }
        _ => (404, "no such page\n").into_response(),
    })
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".into());
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let application =
        site(async |environ: Environ| compressed(&environ, page(environ.clone()).await.into_response()));
    let server = Server::new(listener, application).options(Options::public());
    let serving = server.serve_until(tokio::signal::ctrl_c());
    println!("serving http://{address}/");
    serving.await?;
    Ok(())
}
