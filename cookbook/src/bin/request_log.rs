//! A log with `tracing`: a span for each request, and an event when its response has been sent.
//!
//! `cargo run -p wsgi-cookbook --bin request_log [ADDRESS]`

use tokio::net::TcpListener;
use tracing::{Instrument, info, info_span, warn};
use wsgi_tokio::{
    Application, Body, Environ, LogEntry, Options, Record, Response, Result, Server, StartResponse, site,
};

/// Middleware around any application.
struct Traced<A>(A);

impl<A: Application> Application for Traced<A> {
    async fn call(&self, environ: Environ, start_response: StartResponse) -> Result<Body> {
        // Debug formatting escapes what the client has chosen. The query is left out: it may have secrets.
        let span = info_span!(
            "request",
            method = ?environ.method(),
            path = ?environ.path(),
            client = environ.get("REMOTE_ADDR"),
        );
        let ended = span.clone();
        environ.add_post_hook(move |_environ, record| ended.in_scope(|| log(record)));
        // Everything that the application logs is in the span; an iterator or a stream that it returns runs later.
        self.0.call(environ, start_response).instrument(span).await
    }
}

/// Logs what the client got, which only the server knows: also of an application that has failed, and of a client that
/// has left.
fn log(record: &Record) {
    let Record { status, body_length, elapsed, .. } = record;
    match record.lost {
        None if !record.cut => info!(status, body_length, ?elapsed, "sent"),
        None => warn!(status, body_length, ?elapsed, "cut"),
        Some(lost) => warn!(status, body_length, ?elapsed, %lost, "client lost"),
    }
}

/// Passes the entries of the server on, such as the errors of applications. Accesses have their own event.
fn server_log(entry: &LogEntry<'_>) {
    match entry {
        LogEntry::Error(text) => tracing::error!("{text}"),
        LogEntry::Info(text) => tracing::info!("{text}"),
        LogEntry::Debug(text) => tracing::debug!("{text}"),
        _ => {}
    }
}

async fn page(environ: Environ) -> Result<Response> {
    match &*environ.path() {
        "/fails" => Err("no disk".into()),
        "/cut" => {
            let blocks = (0..3).map(|n| if n < 2 { Ok("block\n".into()) } else { Err("no disk".into()) });
            Ok(Response::text(Body::iterator(blocks)))
        }
        _ => {
            info!(stock = 3, "counted");
            Ok(Response::text("Hello\n"))
        }
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".into());
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    tracing_subscriber::fmt().with_ansi(false).init();
    let application = Traced(site(page));
    let server = Server::new(listener, application).options(Options::public().log(server_log));
    let serving = server.serve_until(tokio::signal::ctrl_c());
    println!("serving http://{address}/");
    serving.await?;
    Ok(())
}
