//! An application and its tests, without a socket and without waiting.
//!
//! `cargo run -p wsgi-cookbook --bin tested [ADDRESS]`; the tests: `cargo test -p wsgi-cookbook --bin tested`

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use wsgi_tokio::{Address, Application, Environ, IntoResponse, Options, Response, Server, site};

/// How many requests a client may send in each minute.
const ALLOWED: u32 = 3;
const MINUTE: Duration = Duration::from_secs(60);
const CLIENTS: usize = 10_000;

struct Limiter {
    /// The clock is a part of the state, so that a test can move it.
    now: Box<dyn Fn() -> Instant + Send + Sync>,
    /// The start of each client's minute, and its requests since then.
    clients: Mutex<HashMap<IpAddr, (Instant, u32)>>,
}

impl Limiter {
    fn new(now: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        Self { now: Box::new(now), clients: Mutex::default() }
    }

    /// Counts a request. Returns how long the client has to wait if it sent too many.
    fn check(&self, client: IpAddr) -> Option<Duration> {
        let now = (self.now)();
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() == CLIENTS && !clients.contains_key(&client) {
            clients.retain(|_, (begin, _)| now - *begin < MINUTE);
            if clients.len() == CLIENTS {
                return Some(MINUTE);
            }
        }
        let (begin, count) = clients.entry(client).or_insert((now, 0));
        if now - *begin >= MINUTE {
            (*begin, *count) = (now, 0);
        }
        *count += 1;
        (*count > ALLOWED).then(|| *begin + MINUTE - now)
    }
}

/// The whole application, for `main` and for the tests.
fn application(limiter: Limiter) -> impl Application {
    let limiter = Arc::new(limiter);
    site(move |environ| page(limiter.clone(), environ))
}

async fn page(limiter: Arc<Limiter>, environ: Environ) -> Result<Response, Response> {
    let client = match environ.endpoints().remote {
        Address::Ip(address) => address.ip(),
        Address::Local => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    if let Some(wait) = limiter.check(client) {
        let seconds = wait.as_secs_f64().ceil().to_string();
        return Err((429, [("Retry-After", seconds)], "too many requests\n").into_response());
    }
    let name = environ.input().read_all(100).await?;
    let name = std::str::from_utf8(&name).map_err(|_| (400, "not UTF-8\n").into_response())?;
    Ok(format!("Hello, {}!\n", if name.is_empty() { "World" } else { name }).into_response())
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".into());
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let application = application(Limiter::new(Instant::now));
    let serving =
        Server::new(listener, application).options(Options::public()).serve_until(tokio::signal::ctrl_c());
    println!("serving http://{address}/");
    serving.await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use wsgi_tokio::Endpoints;
    use wsgi_tokio::test::{Request, call};

    use super::*;

    fn text(response: &Response) -> String {
        response.body().as_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn a_name_is_greeted() {
        let response = call(application(Limiter::new(Instant::now)), Request::post("/", "Ada")).await;
        assert_eq!((response.status().code(), text(&response)), (200, "Hello, Ada!\n".into()));
        assert_eq!(response.headers().get("Content-Type").as_deref(), Some("text/plain; charset=utf-8"));
    }

    #[tokio::test]
    async fn names_that_are_too_long_or_not_text_are_refused() {
        let application = Arc::new(application(Limiter::new(Instant::now)));
        let response = call(application.clone(), Request::post("/", "x".repeat(101))).await;
        assert_eq!(response.status().code(), 413);
        let response = call(application, Request::post("/", &b"\xff"[..])).await;
        assert_eq!((response.status().code(), text(&response)), (400, "not UTF-8\n".into()));
    }

    #[tokio::test]
    async fn a_client_that_sends_too_much_waits_for_its_minute() {
        let (begin, seconds) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let clock = seconds.clone();
        let limiter = Limiter::new(move || begin + Duration::from_secs(clock.load(Ordering::Relaxed)));
        let application = Arc::new(application(limiter));
        let from = |client: [u8; 4]| {
            let endpoints = Endpoints::new(Address::Ip((client, 4711).into()), Address::Local);
            call(application.clone(), Request::get("/").endpoints(endpoints))
        };
        for status in [200, 200, 200, 429] {
            assert_eq!(from([192, 0, 2, 1]).await.status().code(), status);
        }
        assert_eq!(from([192, 0, 2, 2]).await.status().code(), 200);
        // No test waits for a minute.
        seconds.store(59, Ordering::Relaxed);
        let refused = from([192, 0, 2, 1]).await;
        assert_eq!(refused.headers().get("Retry-After").as_deref(), Some("1"));
        seconds.store(60, Ordering::Relaxed);
        assert_eq!(from([192, 0, 2, 1]).await.status().code(), 200);
    }
}
