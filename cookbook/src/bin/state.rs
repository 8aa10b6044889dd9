//! State that all requests share: how often each page was requested.
//!
//! `cargo run -p wsgi-cookbook --bin state [ADDRESS]`

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::TcpListener;
use wsgi_tokio::{Environ, IntoResponse, Options, Response, Server, site};

/// Clients choose the paths, so their number needs a limit.
const PAGES: usize = 1000;
/// And their length, in bytes.
const LONGEST: usize = 200;

#[derive(Default)]
struct State {
    requests: AtomicU64,
    pages: Mutex<HashMap<String, u64>>,
}

impl State {
    /// Counts a request. Returns how many there were for this page; `None` if there are too many pages.
    fn count(&self, path: &str) -> Option<u64> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        // Do not hold a lock of std across an `.await`; tokio has one for that. Counters are valid after a panic, too.
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = pages.get_mut(path) {
            *count += 1;
            return Some(*count);
        }
        if pages.len() == PAGES {
            return None;
        }
        pages.insert(path.to_owned(), 1);
        Some(1)
    }
}

async fn page(state: Arc<State>, environ: Environ) -> Response {
    let path = environ.path();
    if path.len() > LONGEST {
        return (414, "the path is too long\n").into_response();
    }
    match state.count(&path) {
        Some(count) => {
            let requests = state.requests.load(Ordering::Relaxed);
            format!("{count} of {requests} requests\n").into_response()
        }
        None => (503, "too many pages\n").into_response(),
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".into());
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let state = Arc::new(State::default());
    let application = site(move |environ| page(state.clone(), environ));
    let serving =
        Server::new(listener, application).options(Options::public()).serve_until(tokio::signal::ctrl_c());
    println!("serving http://{address}/");
    serving.await?;
    Ok(())
}
