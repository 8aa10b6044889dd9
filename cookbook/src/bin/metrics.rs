//! Metrics for Prometheus: requests by method and status, their duration, and those that are being handled.
//!
//! `cargo run -p wsgi-cookbook --bin metrics [ADDRESS] [ADDRESS OF THE METRICS]`

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use wsgi_tokio::{Environ, IntoResponse, Options, Record, Response, Server, ServerHandle, site};

/// The upper bounds of the buckets for durations, in milliseconds.
const BUCKETS: [u64; 9] = [1, 5, 10, 50, 100, 500, 1000, 5000, 10_000];

#[derive(Default)]
struct Metrics {
    in_flight: AtomicI64,
    /// Under one lock, because Prometheus relies on sums that fit together.
    finished: Mutex<Finished>,
}

#[derive(Clone, Default)]
struct Finished {
    /// By method and status. Not by paths, which clients choose freely: each one would be another series.
    requests: BTreeMap<(&'static str, u16), u64>,
    /// The number of requests that took at most as long as the limit with the same index.
    durations: [u64; BUCKETS.len()],
    elapsed: Duration,
}

impl Metrics {
    /// Counts a request. The hook runs whatever happens: after a panic, and if the client disconnects.
    fn measure(self: &Arc<Self>, environ: &Environ) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        let metrics = Arc::clone(self);
        environ.add_post_hook(move |environ, record| metrics.count(&environ.method(), record));
    }

    fn count(&self, method: &str, record: &Record) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let known = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];
        let method = known.into_iter().find(|known| *known == method).unwrap_or("other");
        // 0: the client disconnected before anything was sent. nginx calls that 499.
        let status = if record.status == 0 { 499 } else { record.status };
        let mut finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        *finished.requests.entry((method, status)).or_default() += 1;
        for (limit, count) in BUCKETS.iter().zip(&mut finished.durations) {
            *count += u64::from(record.elapsed <= Duration::from_millis(*limit));
        }
        finished.elapsed += record.elapsed;
    }

    /// The text format of Prometheus.
    fn write(&self, server: &ServerHandle) -> String {
        let Finished { requests, durations, elapsed } =
            self.finished.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut text = String::from("# HELP http_requests_total Responses, by method and status.\n");
        text.push_str("# TYPE http_requests_total counter\n");
        for ((method, status), count) in &requests {
            let _ = writeln!(text, "http_requests_total{{method=\"{method}\",code=\"{status}\"}} {count}");
        }
        text.push_str(
            "# HELP http_request_duration_seconds From the whole head to the end of the response.\n",
        );
        text.push_str("# TYPE http_request_duration_seconds histogram\n");
        for (limit, count) in BUCKETS.iter().zip(durations) {
            let seconds = *limit as f64 / 1000.0;
            let _ = writeln!(text, "http_request_duration_seconds_bucket{{le=\"{seconds}\"}} {count}");
        }
        let all: u64 = requests.values().sum();
        let seconds = elapsed.as_secs_f64();
        let _ = writeln!(text, "http_request_duration_seconds_bucket{{le=\"+Inf\"}} {all}");
        let _ = writeln!(text, "http_request_duration_seconds_sum {seconds}");
        let _ = writeln!(text, "http_request_duration_seconds_count {all}");
        for (name, help, value) in [
            ("http_requests_in_flight", "Requests that have begun.", self.in_flight.load(Ordering::Relaxed)),
            ("http_connections", "Open connections.", server.connections().try_into().unwrap_or(i64::MAX)),
        ] {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
        }
        text
    }
}

async fn page(metrics: Arc<Metrics>, environ: Environ) -> Response {
    metrics.measure(&environ);
    match (&*environ.method(), &*environ.path()) {
        ("GET" | "HEAD", "/") => "Hello, World!\n".into_response(),
        ("GET" | "HEAD", "/panic") => panic!("a bug"),
        (_, "/" | "/panic") => Response::not_allowed("GET, HEAD"),
        _ => (404, "no such page\n").into_response(),
    }
}

async fn metrics_page(metrics: Arc<Metrics>, server: ServerHandle, environ: Environ) -> Response {
    match &*environ.path() {
        "/metrics" => Response::text(metrics.write(&server))
            .with_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8"),
        _ => (404, "no such page\n").into_response(),
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let listener = TcpListener::bind(arguments.next().unwrap_or_else(|| "127.0.0.1:8090".into())).await?;
    // A separate listener that clients cannot reach.
    let internal = TcpListener::bind(arguments.next().unwrap_or_else(|| "127.0.0.1:9100".into())).await?;
    let (address, internal_address) = (listener.local_addr()?, internal.local_addr()?);

    let metrics = Arc::new(Metrics::default());
    let counted = metrics.clone();
    let application = site(move |environ| page(counted.clone(), environ));
    let server = Server::new(listener, application).options(Options::public());
    let observed = server.handle();
    let shown = site(move |environ| metrics_page(metrics.clone(), observed.clone(), environ));
    // It stays until the other one has stopped, so that the stop shows.
    let internal = Server::new(internal, shown).options(Options::public().log_output(false));
    let internal = tokio::spawn(internal.serve());
    let serving = server.serve_until(tokio::signal::ctrl_c());
    println!("serving http://{address}/\nmetrics at http://{internal_address}/metrics");
    serving.await?;
    internal.abort();
    Ok(())
}
