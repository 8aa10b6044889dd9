//! Server-sent events: clients listen to `/events`, and a text that is posted there is sent to all of them.
//!
//! `cargo run -p wsgi-cookbook --bin events [ADDRESS]`
//!
//! ```text
//! curl -N http://127.0.0.1:8090/events
//! curl -d 'Hello' http://127.0.0.1:8090/events
//! ```

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::stream::unfold;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::time::sleep;
use wsgi_tokio::{Body, Bytes, Environ, IntoResponse, Options, Response, Result, Server, site};

/// The events that are kept for clients that connect again.
const KEPT: usize = 100;

/// Proxies close a connection on which nothing happens.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The longest event.
const LONGEST: usize = 64 * 1024;

#[derive(Clone)]
struct Event {
    id: u64,
    text: Arc<str>,
}

impl Event {
    /// As `EventSource` of browsers reads it: a field per line, and an empty line at the end.
    fn to_bytes(&self) -> Bytes {
        let mut bytes = format!("id: {}\n", self.id);
        // A single CR ends a line, too: otherwise a client could add fields of its own, such as another id.
        for line in self.text.replace("\r\n", "\n").split(['\r', '\n']) {
            bytes.extend(["data: ", line, "\n"]);
        }
        bytes.push('\n');
        bytes.into()
    }
}

struct Events {
    first_id: u64,
    recent: Mutex<VecDeque<Event>>,
    sender: broadcast::Sender<Event>,
}

impl Events {
    fn new() -> Self {
        // Milliseconds, so that numbers go on after a restart: a client that then sends the number of an older
        // event gets all that are newer.
        let first_id = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        // A listener that is this many events behind is disconnected, so that none of them needs more memory.
        Self { first_id, recent: Mutex::default(), sender: broadcast::channel(KEPT).0 }
    }

    fn publish(&self, text: &str) -> u64 {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let id = recent.back().map_or(self.first_id, |event| event.id + 1);
        let event = Event { id, text: text.into() };
        if recent.len() == KEPT {
            recent.pop_front();
        }
        recent.push_back(event.clone());
        // Under the lock, so that a listener that begins now gets each event once. No listener is no error.
        let _ = self.sender.send(event);
        id
    }

    /// The events after the one with this number that are still known, and those to come.
    fn listen(&self, last: Option<u64>) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let missed = last.map(|last| recent.iter().filter(|event| event.id > last).cloned().collect());
        (missed.unwrap_or_default(), self.sender.subscribe())
    }
}

fn listen(events: &Events, environ: Environ) -> Response {
    // Browsers send it when they connect again.
    let last = environ.header("Last-Event-ID").and_then(|id| id.parse().ok());
    let (missed, receiver) = events.listen(last);
    // The head is sent with the first block. This one, a comment, tells a browser at once that it is connected
    // (`onopen`); otherwise it would wait for the first event.
    let mut blocks = VecDeque::from([Bytes::from(":\n\n")]);
    blocks.extend(missed.iter().map(Event::to_bytes));
    let fields = [
        ("Content-Type", "text/event-stream"),
        ("Cache-Control", "no-store"),
        // For nginx, which otherwise keeps events back.
        ("X-Accel-Buffering", "no"),
    ];
    (200, fields, Body::stream(unfold((blocks, receiver, environ), next))).into_response()
}

type Listener = (VecDeque<Bytes>, broadcast::Receiver<Event>, Environ);

/// The next block of a listener; `None` ends the response.
async fn next((mut blocks, mut receiver, environ): Listener) -> Option<(Result<Bytes>, Listener)> {
    let block = if let Some(block) = blocks.pop_front() {
        block
    } else {
        let input = environ.input();
        tokio::select! {
            // Too far behind: the client connects again, and asks for what it missed.
            event = receiver.recv() => event.ok()?.to_bytes(),
            // A comment.
            () = sleep(KEEP_ALIVE) => ":\n\n".into(),
            // A browser connects again by itself, to the next server.
            () = environ.stopping() => return None,
            // Otherwise that would be noticed at the next event, or comment.
            () = input.client_gone() => return None,
        }
    };
    Some((Ok(block), (blocks, receiver, environ)))
}

async fn publish(events: &Events, environ: Environ) -> Result<Response> {
    let text = environ.input().read_all(LONGEST).await?;
    let id = events.publish(&String::from_utf8_lossy(&text));
    Ok((201, format!("{id}\n")).into_response())
}

async fn page(events: Arc<Events>, environ: Environ) -> Result<Response> {
    match (&*environ.method(), &*environ.path()) {
        ("GET", "/events") => Ok(listen(&events, environ)),
        ("POST", "/events") => publish(&events, environ).await,
        ("GET", "/listeners") => Ok(format!("{}\n", events.sender.receiver_count()).into_response()),
        _ => Ok((404, "no such page\n").into_response()),
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".into());
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let events = Arc::new(Events::new());
    let application = site(move |environ| page(events.clone(), environ));
    let server = Server::new(listener, application).options(Options::public());
    let serving = server.serve_until(tokio::signal::ctrl_c());
    println!("serving http://{address}/");
    serving.await?;
    Ok(())
}
