//! One application, in an asynchronous and a blocking form.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use wsgi_tokio::{Body, Bytes, Record, Result, Tls};

pub(crate) const PLAIN: [(&str, &str); 1] = [("Content-Type", "text/plain")];

/// The number of bytes that are generated or read at a time.
const BLOCK: usize = 100_000;

/// State shared by the requests of a site.
#[derive(Debug)]
pub(crate) struct Common {
    /// Releases requests for `/wait` or `/half`, one per permit.
    pub(crate) gate: Semaphore,
    /// The records passed to the post hooks.
    records: Mutex<Vec<Record>>,
    /// How streams that were taken over ended.
    ended: Mutex<Vec<std::io::Result<()>>>,
}

impl Common {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { gate: Semaphore::new(0), records: Mutex::default(), ended: Mutex::default() })
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns how the streams that were taken over have ended, and clears the list.
    pub(crate) fn ended(&self) -> Vec<std::io::Result<()>> {
        std::mem::take(&mut *self.ended.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, record: &Record) {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).push(record.clone());
    }

    fn note_end(&self, end: std::io::Result<()>) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).push(end);
    }

    async fn pass(&self) -> Result<()> {
        self.gate.acquire().await?.forget();
        Ok(())
    }
}

/// The byte at a position of a large body. The pattern reveals exchanged or missing blocks.
fn byte(at: usize) -> u8 {
    (at ^ (at >> 8) ^ (at >> 16)).wrapping_mul(197) as u8
}

/// The given number of bytes of a large body, from a position on.
pub(crate) fn pattern(from: usize, count: usize) -> Vec<u8> {
    (from..from + count).map(byte).collect()
}

/// A large body in blocks that are generated when they are sent.
fn large(count: usize) -> Body {
    let blocks = (0..count).step_by(BLOCK);
    Body::iterator(blocks.map(move |from| Ok(pattern(from, BLOCK.min(count - from)).into())))
}

/// What was negotiated, in one line, and the client's certificates behind it.
fn described(tls: Option<&Tls>) -> Vec<u8> {
    let tls = tls.expect("all connections are encrypted");
    let alpn = tls.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
    let line = format!("{} {:?} {:?} {alpn:?}\n", tls.version(), tls.server_name(), tls.cipher_suite());
    [&[line.as_bytes()], &*tls.peer_certificates().iter().map(|one| &one[..]).collect::<Vec<_>>()]
        .concat()
        .concat()
}

/// The path and the number after it: `/large/1000`.
fn asked(path: &str) -> (&str, usize) {
    match path[1..].split_once('/') {
        Some((name, number)) => (name, number.parse().unwrap_or_default()),
        None => (&path[1..], 0),
    }
}

/// The application, with its calls followed by `.await` or by nothing.
macro_rules! answer {
    ($common:expr, $environ:expr, $start:expr, $pass:expr, $($wait:tt)*) => {{
        let (common, environ, start) = ($common, $environ, $start);
        let hooked: Arc<Common> = Arc::clone(&common);
        environ.add_post_hook(move |_, record| hooked.note(record));
        let path = environ.path().into_owned();
        let input = environ.input();
        match asked(&path) {
            // The environ's values about the connection.
            ("scheme", _) => {
                start.start("200 OK", PLAIN)?;
                let named = ["wsgi.url_scheme", "HTTPS", "SERVER_PROTOCOL"].map(|name| environ.get(name));
                Ok(format!("{named:?}").into())
            }
            ("tls", _) => {
                start.start("200 OK", PLAIN)?;
                Ok(described(environ.tls()).into())
            }
            ("error", _) => Err("it failed".into()),
            ("large", count) => {
                start.start("200 OK", PLAIN)?;
                Ok(large(count))
            }
            // Each part is sent back as soon as it is read.
            ("back", count) => {
                let write = start.start("200 OK", [("Content-Length", count.to_string())])?;
                loop {
                    let part = input.read_some(BLOCK)$($wait)*?;
                    if part.is_empty() {
                        break;
                    }
                    write.write(part)$($wait)*?;
                }
                Ok(Body::empty())
            }
            ("wait", _) => {
                $pass$($wait)*?;
                start.start("200 OK", PLAIN)?;
                Ok("waited".into())
            }
            ("half", _) => {
                let write = start.start("200 OK", PLAIN)?;
                write.write("half ")$($wait)*?;
                $pass$($wait)*?;
                write.write("whole")$($wait)*?;
                Ok(Body::empty())
            }
            ("upgrade", _) => {
                start.start("101 Switching Protocols", [("Upgrade", "echo"), ("Connection", "upgrade")])?;
                let mut stream = input.take_over()$($wait)*?;
                let mut space = [0; 5000];
                let end = loop {
                    let count = match stream.read(&mut space)$($wait)* {
                        Ok(0) => break stream.shutdown()$($wait)*,
                        Ok(count) => count,
                        Err(error) => break Err(error),
                    };
                    if let Err(error) = stream.write_all(&space[..count])$($wait)* {
                        break Err(error);
                    }
                };
                drop(stream);
                common.note_end(end);
                Ok(Body::empty())
            }
            // The whole body.
            _ => {
                let body = input.read_to_end()$($wait)*?;
                start.start("200 OK", PLAIN)?;
                Ok(Bytes::from(body).into())
            }
        }
    }};
}

pub(crate) fn futures(common: Arc<Common>) -> impl wsgi_tokio::Application {
    move |environ: wsgi_tokio::Environ, start: wsgi_tokio::StartResponse| {
        let common = Arc::clone(&common);
        async move { answer!(Arc::clone(&common), environ, start, common.pass(), .await) as Result<Body> }
    }
}

pub(crate) fn blocking(common: Arc<Common>) -> impl wsgi_std::Application {
    use std::io::{Read, Write};

    move |environ: wsgi_std::Environ, start: wsgi_std::StartResponse| -> Result<Body> {
        answer!(Arc::clone(&common), environ, start, smol::block_on(common.pass()),)
    }
}
