//! A file to download: ranges, so that a client can continue, and 304 if it has the file already.
//!
//! `cargo run -p wsgi-cookbook --bin download [ADDRESS] [FILE]`, then for instance
//! `curl -C - -O http://127.0.0.1:8090/Cargo.lock`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::fs::File;
use tokio::net::TcpListener;
use wsgi_tokio::{Environ, IntoResponse, Options, Response, Server, site};

async fn download(path: Arc<PathBuf>, environ: Environ) -> Result<Response, Response> {
    if !["GET", "HEAD"].contains(&&*environ.method()) {
        return Ok(Response::not_allowed("GET, HEAD"));
    }
    let name = environ.path_utf8();
    let name = name.as_deref().and_then(|path| path.strip_prefix('/'));
    if name.is_none() || name != path.file_name().and_then(|name| name.to_str()) {
        return Err((404, "no such file\n").into_response());
    }
    send(&path, &environ).await
}

async fn send(path: &Path, environ: &Environ) -> Result<Response, Response> {
    let file = File::open(path).await?.into_std().await;
    // The file is never in memory as a whole. Its `ETag` is made of the time of its last change, so that a client
    // that continues with another version gets all of it.
    let response = Response::new(200).with_header("Content-Type", "application/octet-stream");
    Ok(response.with_file(file, environ)?)
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
