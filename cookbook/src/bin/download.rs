//! A file to download: ranges, so that a client can continue, and 304 if it has the file already.
//!
//! `cargo run -p wsgi-cookbook --bin download [ADDRESS] [FILE]`, then for instance
//! `curl -C - -O http://127.0.0.1:8090/Cargo.lock`

use std::fs::Metadata;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use tokio::net::TcpListener;
use wsgi_tokio::{Body, Environ, Error, IntoResponse, Options, Response, Server, format_date_time, site};

async fn download(path: Arc<PathBuf>, environ: Environ) -> Result<Response, Response> {
    if !["GET", "HEAD"].contains(&&*environ.method()) {
        return Ok(Response::new(405).with_header("Allow", "GET, HEAD"));
    }
    let name = environ.path_utf8();
    let name = name.as_deref().and_then(|path| path.strip_prefix('/'));
    if name.is_none() || name != path.file_name().and_then(|name| name.to_str()) {
        return Err((404, "no such file\n").into_response());
    }
    send(&path, &environ).await
}

async fn send(path: &Path, environ: &Environ) -> Result<Response, Response> {
    // The metadata are those of the open file, even if another one gets its name in the meantime.
    let file = tokio::fs::File::open(path).await?;
    let metadata = file.metadata().await?;
    let (length, version) = (metadata.len(), Version::of(&metadata)?);
    let mut response = Response::new(200)
        .with_header("Content-Type", "application/octet-stream")
        .with_header("Accept-Ranges", "bytes")
        .with_header("ETag", &version.tag)
        .with_header("Last-Modified", &version.modified);
    if version.is_known(environ) {
        response.set_status(304);
        return Ok(response);
    }
    // RFC 9110, 14.2: a range counts only for GET.
    let range =
        environ.header("Range").filter(|_| environ.method() == "GET" && version.may_continue(environ));
    let range = match range.map_or(Wanted::All, |range| Wanted::parse(&range, length)) {
        Wanted::All => 0..length,
        Wanted::Part(range) => {
            response.set_status(206);
            let part = format!("bytes {}-{}/{length}", range.start, range.end - 1);
            response.headers_mut().insert("Content-Range", part);
            range
        }
        Wanted::Nothing => {
            let all = format!("bytes */{length}");
            return Ok((416, [("Content-Range", all)], "no such range\n").into_response());
        }
    };
    // The file is never in memory as a whole. For a HEAD the server sends the length alone.
    response.set_body(Body::file(file.into_std().await, range)?);
    Ok(response)
}

/// What identifies the content of a file.
struct Version {
    tag: String,
    modified: String,
}

impl Version {
    fn of(metadata: &Metadata) -> Result<Self, Error> {
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH)?;
        let tag = format!("\"{:x}-{:x}\"", modified.as_nanos(), metadata.len());
        Ok(Self { tag, modified: format_date_time(modified.as_secs().try_into()?)? })
    }

    /// Whether the client has this version. `If-None-Match` takes precedence (RFC 9110, 13.2.2).
    fn is_known(&self, environ: &Environ) -> bool {
        if environ.headers("If-None-Match").next().is_some() {
            let mut tags = environ.headers("If-None-Match").flat_map(|value| {
                let tags = value.split(',').map(|tag| tag.trim().trim_start_matches("W/").to_owned());
                tags.collect::<Vec<_>>()
            });
            return tags.any(|tag| tag == "*" || tag == self.tag);
        }
        // Clients send back the date that they got. Comparing it as text also finds files that were replaced by older ones.
        environ.header("If-Modified-Since").is_some_and(|date| date == self.modified)
    }

    /// Whether a client that has the first part of a file may get the rest: not if the file has changed since. A date does
    /// not show that, because a file can change twice in a second.
    fn may_continue(&self, environ: &Environ) -> bool {
        environ.header("If-Range").is_none_or(|tag| tag == self.tag)
    }
}

/// The requested part of a file.
enum Wanted {
    All,
    /// Not empty, and within the file.
    Part(Range<u64>),
    /// A range behind the end.
    Nothing,
}

impl Wanted {
    /// One range of bytes: `bytes=0-99`, `bytes=100-` or `bytes=-50`, the last 50. A server may ignore others, such as
    /// several ranges (RFC 9110, 14.2).
    fn parse(range: &str, length: u64) -> Self {
        let Some((first, last)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
            return Self::All;
        };
        // `parse` allows a sign.
        if ![first, last].iter().all(|text| text.bytes().all(|byte| byte.is_ascii_digit())) {
            return Self::All;
        }
        let range = match (first.parse::<u64>(), last.parse::<u64>()) {
            (Ok(first), Ok(last)) if first > last => return Self::All,
            (Ok(first), Ok(last)) => first..length.min(last.saturating_add(1)),
            (Ok(first), Err(_)) if last.is_empty() => first..length,
            (Err(_), Ok(count)) if first.is_empty() => length.saturating_sub(count)..length,
            _ => return Self::All,
        };
        if range.is_empty() { Self::Nothing } else { Self::Part(range) }
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".into());
    let path = Arc::new(PathBuf::from(std::env::args().nth(2).unwrap_or_else(|| "Cargo.lock".into())));
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let application = site(move |environ| download(path.clone(), environ));
    let serving =
        Server::new(listener, application).options(Options::public()).serve_until(tokio::signal::ctrl_c());
    println!("serving http://{address}/");
    serving.await?;
    Ok(())
}
