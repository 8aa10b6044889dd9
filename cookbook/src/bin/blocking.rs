//! Code that blocks, such as the synchronous driver of a database, on an asynchronous server: notes in a file.
//!
//! `cargo run -p wsgi-cookbook --bin blocking [ADDRESS] [FILE]`

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::net::TcpListener;
use wsgi_tokio::{
    Application, Body, BoxApplication, Environ, IntoResponse, Options, Response, Result, Server,
    StartResponse, blocking, site,
};

/// The longest note, in bytes.
const LONGEST: usize = 1000;

/// A file with one note per line. Each call may wait for the disk, and for other calls.
struct Notes(Mutex<File>);

impl Notes {
    fn open(path: &str) -> io::Result<Self> {
        File::options().read(true).append(true).create(true).open(path).map(Mutex::new).map(Self)
    }

    fn add(&self, note: &str) -> io::Result<()> {
        let mut file = self.file();
        writeln!(file, "{note}")?;
        file.sync_data()
    }

    fn all(&self) -> io::Result<String> {
        let (mut file, mut notes) = (self.file(), String::new());
        file.rewind()?;
        file.read_to_string(&mut notes)?;
        Ok(notes)
    }

    fn file(&self) -> MutexGuard<'_, File> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// It is not async: it runs on a thread that may block.
fn answer(notes: &Notes, environ: &blocking::Environ) -> Result<Response> {
    Ok(match &*environ.method() {
        "GET" | "HEAD" => notes.all()?.into_response(),
        "POST" => {
            let note = environ.input().read_all(LONGEST)?;
            match std::str::from_utf8(&note) {
                Ok(note) if !note.is_empty() && !note.contains('\n') => {
                    notes.add(note)?;
                    (201, "added\n").into_response()
                }
                _ => (400, "a note is one line of text\n").into_response(),
            }
        }
        _ => Response::not_allowed("GET, HEAD, POST"),
    })
}

/// An asynchronous page beside it.
async fn index(_environ: Environ) -> &'static str {
    "The notes are at /notes.\n"
}

struct Pages {
    notes: BoxApplication,
    index: BoxApplication,
}

impl Application for Pages {
    async fn call(&self, environ: Environ, start_response: StartResponse) -> Result<Body> {
        let page = if environ.path() == "/notes" { &self.notes } else { &self.index };
        page.call(environ, start_response).await
    }
}

async fn serve() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".into());
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let notes = Notes::open(&std::env::args().nth(2).unwrap_or_else(|| "notes.txt".into()))?;
    let pages = Pages {
        notes: blocking(blocking::site(move |environ| answer(&notes, &environ))).boxed(),
        index: site(index).boxed(),
    };
    // A client that sends slowly holds no thread: the whole note arrives before the call.
    let options = Options::public().receive_before_call(LONGEST);
    let server = Server::new(listener, pages).options(options);
    let serving = server.serve_until(tokio::signal::ctrl_c());
    println!("serving http://{address}/");
    serving.await?;
    Ok(())
}

fn main() -> io::Result<()> {
    // At most this number of calls run at the same time; the others wait.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().max_blocking_threads(64).build()?.block_on(serve())
}
