//! `ETag` and 304: clients do not load again what they have.
//!
//! `cargo run -p wsgi-cookbook --bin etag [ADDRESS]`

use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use wsgi_tokio::{Environ, IntoResponse, Options, Response, Server, site};

/// Middleware: gives a page in memory an `ETag`, and answers with 304 if the client has that version (RFC 9110, 13.1.2).
fn conditional(environ: &Environ, mut response: Response) -> Response {
    // Other methods change something: for them the application compares, before it does that.
    let is_read = matches!(&*environ.method(), "GET" | "HEAD");
    if !is_read || response.status() != 200 || response.error().is_some() {
        return response;
    }
    let etag = match (response.headers().get("ETag"), response.body().as_bytes()) {
        (Some(etag), _) => etag.into_owned(),
        (None, Some(bytes)) => etag_of(bytes),
        // The application has to know the version of a body that is not in memory.
        (None, None) => return response,
    };
    response.headers_mut().insert("ETag", &etag);
    if !environ.headers("If-None-Match").any(|wanted| matches_any(&wanted, &etag)) {
        return response;
    }
    // RFC 9110, 15.4.5: what describes the page itself is left out. `Cache-Control`, `Vary` and others stay.
    for name in ["Content-Type", "Content-Length", "Content-Encoding", "Content-Language", "Last-Modified"] {
        response.headers_mut().remove(name);
    }
    response.with_status(304).with_body(())
}

/// The first 16 bytes of a hash are enough.
fn etag_of(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let hex: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

/// Whether `etag` is one of the values of `If-None-Match`. The comparison is weak: `W/"a"` is `"a"`.
fn matches_any(wanted: &str, etag: &str) -> bool {
    if wanted.trim() == "*" {
        return true;
    }
    let opaque = |etag: &str| etag.strip_prefix("W/").unwrap_or(etag).to_owned();
    let etag = opaque(etag);
    // An opaque part may contain commas, so the list is not split at them.
    let mut rest = wanted;
    while let Some(begin) = rest.find('"') {
        let Some(length) = rest[begin + 1..].find('"') else { return false };
        if rest[begin..=begin + 1 + length] == etag {
            return true;
        }
        rest = &rest[begin + length + 2..];
    }
    false
}

async fn page(environ: Environ) -> Response {
    match &*environ.path() {
        "/" => ([("Cache-Control", "no-cache"), ("Vary", "Cookie")], "Hello\n").into_response(),
        // The version of a row in a database, for instance.
        "/versioned" => ([("ETag", "\"v1,a\"")], "one\n").into_response(),
        _ => (404, "no such page\n").into_response(),
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".into());
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let application = site(async |environ: Environ| conditional(&environ, page(environ.clone()).await));
    let server = Server::new(listener, application).options(Options::public());
    let serving = server.serve_until(tokio::signal::ctrl_c());
    println!("serving http://{address}/");
    serving.await?;
    Ok(())
}
