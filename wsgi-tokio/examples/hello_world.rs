//! The manual's first example: `curl -i http://127.0.0.1:8090/`. Ctrl-C stops it gracefully.
#![allow(clippy::print_stdout, reason = "it prints where it serves")]

use wsgi_tokio::{Body, Environ, Result, Server, StartResponse};

async fn hello_world(_environ: Environ, start_response: StartResponse) -> Result<Body> {
    start_response.start("200 OK", [("Content-Type", "text/plain")])?;
    Ok("Hello, World!\r\n".into())
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let server = Server::new(listener, hello_world);
    let serving = server.serve_until(tokio::signal::ctrl_c());
    println!("serving http://{address}/");
    serving.await?;
    Ok(())
}
