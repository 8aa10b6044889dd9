//! The log as events of `tracing`: each kind of entry has its level, and an access has fields. Ctrl-C stops it
//! gracefully.
//!
//! `cargo run -p wsgi-tokio --example log_tracing [ADDRESS]`
#![allow(clippy::print_stdout, reason = "it prints where it serves")]

use tokio::net::TcpListener;
use tracing::{Level, debug, error, info};
use wsgi_tokio::{Body, Environ, LogEntry, Result, Server, StartResponse};

async fn application(_environ: Environ, start_response: StartResponse) -> Result<Body> {
    start_response.start("200 OK", [("Content-Type", "text/plain")])?;
    Ok("Hello, World!\r\n".into())
}

fn log(entry: &LogEntry<'_>) {
    match entry {
        LogEntry::Access { record, line } => info!(
            target: "access",
            status = record.status,
            bytes = record.body_length,
            micros = u64::try_from(record.elapsed.as_micros()).unwrap_or(u64::MAX),
            "{line}"
        ),
        LogEntry::Error(text) => error!("{text}"),
        LogEntry::Debug(text) => debug!("{text}"),
        other => info!("{}", other.text()),
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    tracing_subscriber::fmt().with_max_level(Level::DEBUG).with_writer(std::io::stderr).init();
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".into());
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let server = Server::new(listener, application).log(log);
    let serving = server.serve_until(tokio::signal::ctrl_c());
    println!("serving http://{address}/");
    serving.await?;
    Ok(())
}
