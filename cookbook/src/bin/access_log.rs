//! Logs: access lines as JSON in a file, with the user and the id of each request, everything else on standard error.
//!
//! `cargo run -p wsgi-cookbook --bin access_log [ADDRESS] [FILE]`

use std::fs::File;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::TcpListener;
use wsgi_tokio::{Environ, IntoResponse, Options, Response, Server, site};

/// Each value is escaped for JSON. `{X-Request-Id}o` is a field of the response, `{User-Agent}i` one of the request.
const FORMAT: &str = concat!(
    r#"{"time": "%(iso_time)s", "peer": "%(peer_ip)s", "request": "%(request_line)s", "status": %(status_code)d, "#,
    r#""seconds": %(wall_seconds).6f, "id": "%({X-Request-Id}o)s", "agent": "%({User-Agent}i)s"}"#,
);

async fn page(environ: Environ) -> Response {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let id = format!("{:x}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let response = match &*environ.path() {
        "/" => "Hello, World!\n".into_response(),
        _ => {
            // A line for the operator, on standard error. Writing it never fails.
            let _ = writeln!(environ.errors(), "{id}: no page {}", environ.path());
            (404, "no such page\n").into_response()
        }
    };
    response.with_header("X-Request-Id", id)
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".into());
    let path = std::env::args().nth(2).unwrap_or_else(|| "access.log".into());
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    // Append mode, so that logrotate may truncate the file (`copytruncate`). A slow disk delays no request.
    let file = File::options().append(true).create(true).open(path)?;
    let options = Options::public().access_log_to(file).log_format(FORMAT);
    let serving = Server::new(listener, site(page)).options(options).serve_until(tokio::signal::ctrl_c());
    println!("serving http://{address}/");
    serving.await?;
    Ok(())
}
