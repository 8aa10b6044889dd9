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
use std::time::Duration;

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
        self.text.lines().for_each(|line| bytes.extend(["data: ", line, "\n"]));
        bytes.push('\n');
        bytes.into()
    }
}

struct Events {
    recent: Mutex<VecDeque<Event>>,
    sender: broadcast::Sender<Event>,
}

impl Events {
    fn new() -> Self {
        // A listener that is this many events behind is disconnected, so that none of them needs more memory.
        Self { recent: Mutex::default(), sender: broadcast::channel(KEPT).0 }
    }

    fn publish(&self, text: &str) -> u64 {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let id = recent.back().map_or(1, |event| event.id + 1);
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
    fn listen(&self, last: Option<u64>) -> (VecDeque<Event>, broadcast::Receiver<Event>) {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let missed = last.map(|last| recent.iter().filter(|event| event.id > last).cloned().collect());
        (missed.unwrap_or_default(), self.sender.subscribe())
    }
}

fn listen(events: &Events, environ: Environ) -> Response {
    // Browsers send it when they connect again.
    let last = environ.header("Last-Event-ID").and_then(|id| id.parse().ok());
    let (missed, receiver) = events.listen(last);
    let fields = [
        ("Content-Type", "text/event-stream"),
        ("Cache-Control", "no-store"),
        // For nginx, which otherwise keeps events back.
        ("X-Accel-Buffering", "no"),
    ];
    (200, fields, Body::stream(unfold((missed, receiver, environ), next))).into_response()
}

type Listener = (VecDeque<Event>, broadcast::Receiver<Event>, Environ);

/// The next block of a listener; `None` ends the response.
async fn next((mut missed, mut receiver, environ): Listener) -> Option<(Result<Bytes>, Listener)> {
    let block = if let Some(event) = missed.pop_front() {
        event.to_bytes()
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
    Some((Ok(block), (missed, receiver, environ)))
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
    println!("serving http://{}/", listener.local_addr()?);
    let events = Arc::new(Events::new());
    let application = site(move |environ| page(events.clone(), environ));
    let server = Server::new(listener, application).options(Options::public());
    let handle = server.handle();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            handle.shutdown();
        }
    });
    server.serve().await?;
    Ok(())
}
