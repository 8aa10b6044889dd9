//! A folder of files: content types, an index, ranges and 304, and no way out of the folder.
//!
//! `cargo run -p wsgi-cookbook --bin static_files [ADDRESS] [FOLDER]`

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::fs::File;
use tokio::net::TcpListener;
use wsgi_tokio::{Environ, IntoResponse, Options, Redirect, Response, Server, site};

async fn serve(root: Arc<PathBuf>, environ: Environ) -> Result<Response, Response> {
    if !["GET", "HEAD"].contains(&&*environ.method()) {
        return Ok(Response::not_allowed("GET, HEAD"));
    }
    let not_found = || (404, "no such file\n").into_response();
    // The path is decoded once. `%2e%2e` is `..` here, and `%252e` is `%2e`, the name of a file.
    let path = environ.path_utf8().ok_or_else(not_found)?;
    let mut wanted = relative(&path).ok_or_else(not_found)?;
    if path.ends_with('/') {
        wanted.push("index.html");
    }
    let file = open(&root, &wanted).await.map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::PermissionDenied => not_found(),
        _ => error.into(),
    })?;
    if file.metadata().await?.is_dir() {
        // Links in the index are relative to the folder, which therefore ends with a slash.
        let location = String::from_utf8_lossy(environ.head().path()).into_owned() + "/";
        return Ok(Redirect::permanent(location).into_response());
    }
    let response = Response::new(200)
        .with_header("Content-Type", content_type(&wanted))
        // A browser must not guess another type from the content.
        .with_header("X-Content-Type-Options", "nosniff")
        // A browser keeps the file, and checks each time whether it has changed: that is a 304 without the file.
        .with_header("Cache-Control", "no-cache");
    Ok(response.with_file(file.into_std().await, &environ)?)
}

/// The path below the root; `None` if a name in it is special on some system. Names that begin with
/// a dot are refused: `..`, and hidden files such as `.git` and `.env`.
fn relative(path: &str) -> Option<PathBuf> {
    let names = path.strip_prefix('/')?;
    let names = names.strip_suffix('/').unwrap_or(names);
    if names.is_empty() {
        return Some(PathBuf::new());
    }
    let is_name =
        |name: &str| !name.is_empty() && !name.starts_with('.') && !name.contains(['\\', ':', '\0']);
    names.split('/').all(is_name).then(|| PathBuf::from(names))
}

/// Opens a file below the root. Symbolic links are followed, unless they lead out of the root. This is a
/// protection against mistakes, not against users who may write to the folder: they could replace a file
/// by a link between both calls.
async fn open(root: &Path, wanted: &Path) -> std::io::Result<File> {
    let path = tokio::fs::canonicalize(root.join(wanted)).await?;
    if !path.starts_with(root) {
        return Err(ErrorKind::NotFound.into());
    }
    // Opening a named pipe would wait for a process that writes to it.
    let metadata = tokio::fs::metadata(&path).await?;
    if !metadata.is_file() && !metadata.is_dir() {
        return Err(ErrorKind::NotFound.into());
    }
    File::open(path).await
}

/// The crate `mime_guess` knows more types.
fn content_type(path: &Path) -> &'static str {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "css" => "text/css; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "gif" => "image/gif",
        "html" | "htm" => "text/html; charset=utf-8",
        "ico" => "image/vnd.microsoft.icon",
        "jpg" | "jpeg" => "image/jpeg",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "mp4" => "video/mp4",
        "pdf" => "application/pdf",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "txt" | "md" => "text/plain; charset=utf-8",
        "wasm" => "application/wasm",
        "webp" => "image/webp",
        "woff2" => "font/woff2",
        "xml" => "application/xml",
        _ => "application/octet-stream",
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".into());
    let folder = std::env::args().nth(2).unwrap_or_else(|| "docs".into());
    // Without links, since it is compared with the real paths of files.
    let root = Arc::new(std::fs::canonicalize(folder)?);
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let application = site(move |environ| serve(root.clone(), environ));
    let serving =
        Server::new(listener, application).options(Options::public()).serve_until(tokio::signal::ctrl_c());
    println!("serving http://{address}/");
    serving.await?;
    Ok(())
}
