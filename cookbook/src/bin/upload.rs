//! Uploads to files: a limit, the progress of each, and no partial file, even if the client disconnects.
//!
//! `cargo run -p wsgi-cookbook --bin upload [ADDRESS] [FOLDER]`, then for instance
//! `curl -T big.iso http://127.0.0.1:8090/files/big.iso`, and at the same time
//! `curl http://127.0.0.1:8090/progress/big.iso`

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tempfile::NamedTempFile;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;
use wsgi_tokio::{Environ, IntoResponse, Options, Response, Server, site};

/// The largest file, in bytes.
const LIMIT: u64 = 256 * 1024 * 1024;

struct Store {
    folder: PathBuf,
    running: Mutex<HashMap<String, Progress>>,
}

/// The bytes that have arrived, and all of them if the client has announced their number.
#[derive(Clone, Copy)]
struct Progress {
    received: u64,
    total: Option<u64>,
}

/// One upload of a name at a time. Dropping it ends the upload, whatever its outcome.
struct Upload<'a> {
    store: &'a Store,
    name: &'a str,
}

impl Store {
    fn running(&self) -> MutexGuard<'_, HashMap<String, Progress>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` if another client uploads this name.
    fn begin<'a>(&'a self, name: &'a str, total: Option<u64>) -> Option<Upload<'a>> {
        let mut running = self.running();
        if running.contains_key(name) {
            return None;
        }
        running.insert(name.to_owned(), Progress { received: 0, total });
        Some(Upload { store: self, name })
    }
}

impl Upload<'_> {
    fn add(&self, received: usize) {
        if let Some(progress) = self.store.running().get_mut(self.name) {
            progress.received += received as u64;
        }
    }
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        self.store.running().remove(self.name);
    }
}

async fn page(store: Arc<Store>, environ: Environ) -> Result<Response, Response> {
    let (method, path) = (environ.method(), environ.path());
    let (page, name) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
    if !is_name(name) {
        return Err((404, "no such page\n").into_response());
    }
    match (&*method, page) {
        ("PUT", "files") => receive(&store, name, &environ).await,
        (_, "files") => Ok(Response::not_allowed("PUT")),
        ("GET" | "HEAD", "progress") => {
            let progress = store.running().get(name).copied();
            let progress = progress.ok_or_else(|| (404, "no such upload\n").into_response())?;
            let total = progress.total.map_or("unknown".to_owned(), |total| total.to_string());
            Ok(format!("{} of {total}\n", progress.received).into_response())
        }
        (_, "progress") => Ok(Response::not_allowed("GET, HEAD")),
        _ => Err((404, "no such page\n").into_response()),
    }
}

/// A name that is a file in the folder and nowhere else: no separators, no `..`, no hidden files.
fn is_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=100).contains(&name.len()) && name.bytes().all(is_allowed) && !name.starts_with('.')
}

async fn receive(store: &Store, name: &str, environ: &Environ) -> Result<Response, Response> {
    // RFC 9110, 14.5: a part of a file must not become the whole file.
    if environ.header("Content-Range").is_some() {
        return Err((400, "send the whole file\n").into_response());
    }
    let upload = store.begin(name, environ.content_length());
    let upload = upload.ok_or_else(|| (409, "another client uploads this file\n").into_response())?;

    // In the same folder, because a file cannot be renamed to another disk. Dropping it removes the file:
    // if the client disconnects, the disk is full, or the server stops.
    let folder = store.folder.clone();
    let (temporary, file) = spawn_blocking(move || {
        let temporary = NamedTempFile::with_prefix_in(".upload-", folder)?;
        temporary.reopen().map(|file| (temporary, file))
    })
    .await??;
    let mut file = File::from_std(file);
    let input = environ.input();
    loop {
        // A client that disconnects, is too slow, or sends too much, is an error here.
        let chunk = input.chunk().await?;
        if chunk.is_empty() {
            break;
        }
        upload.add(chunk.len());
        file.write_all(&chunk).await.map_err(not_written)?;
    }
    // The bytes are on the disk before the file gets its name, which therefore never has a part of the
    // content. Only `flush` returns an error of the last write.
    file.flush().await.map_err(not_written)?;
    file.sync_all().await?;
    let path = store.folder.join(name);
    let is_new = spawn_blocking(move || {
        let is_new = !path.exists();
        temporary.persist(path).map(|_| is_new)
    })
    .await??;
    Ok(if is_new { (201, "stored\n").into_response() } else { Response::new(204) })
}

fn not_written(error: std::io::Error) -> Response {
    match error.kind() {
        ErrorKind::StorageFull => (507, "no room\n").into_response(),
        _ => error.into(),
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".into());
    let folder = std::env::args().nth(2).map_or_else(|| "uploads".into(), PathBuf::from);
    std::fs::create_dir_all(&folder)?;
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let store = Arc::new(Store { folder, running: Mutex::default() });
    let application = site(move |environ| page(store.clone(), environ));
    // A larger body is refused with 413, before it is sent if its length is announced. Pages that read a body into memory
    // use a smaller limit: `read_all(limit)`.
    let options = Options::public().max_body_size(LIMIT);
    let serving = Server::new(listener, application).options(options).serve_until(tokio::signal::ctrl_c());
    println!("serving http://{address}/");
    serving.await?;
    Ok(())
}
