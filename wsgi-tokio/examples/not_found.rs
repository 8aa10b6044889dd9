//! The manual's more elaborate application: it serves `/` and answers everything else with 404. Ctrl-C stops it
//! gracefully.
//!
//! `cargo run -p wsgi-tokio --example not_found [ADDRESS]`
#![allow(clippy::print_stdout, reason = "it prints where it serves")]

use tokio::net::TcpListener;
use wsgi_tokio::{Body, Environ, Result, Server, StartResponse};

async fn application(environ: Environ, start_response: StartResponse) -> Result<Body> {
    if environ.path() != "/" {
        start_response.start("404 Not Found", [("Content-Type", "text/plain")])?;
        return Ok("Not Found\r\n".into());
    }
    start_response.start("200 OK", [("Content-Type", "text/plain")])?;
    Ok("Hello, World!\r\n".into())
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".into());
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let server = Server::new(listener, application);
    let serving = server.serve_until(tokio::signal::ctrl_c());
    println!("serving http://{address}/");
    serving.await?;
    Ok(())
}
