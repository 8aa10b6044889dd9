//! A `Router` of axum on this server, with its limits, its deadlines and a stop that ends.
//!
//! `cargo run -p wsgi-tokio --features tower --example axum [ADDRESS]`
//!
//! ```text
//! curl http://127.0.0.1:8090/users/7
//! curl 'http://127.0.0.1:8090/search?q=tea&page=2'
//! curl -H 'Content-Type: application/json' -d '{"name": "Ada"}' http://127.0.0.1:8090/users
//! curl http://127.0.0.1:8090/events
//! ```
//!
//! Ctrl-C stops it: it finishes the requests that have begun, and cuts what is left after 5 seconds.
#![allow(clippy::print_stdout, reason = "it prints where it serves")]

mod site;
mod web_socket;

use std::time::Duration;

use tokio::net::TcpListener;
use wsgi_tokio::{Options, Server, tower};

#[tokio::main]
async fn main() -> wsgi_tokio::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".into());
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;

    let options = Options::public().graceful_timeout(Duration::from_secs(5));
    let server = Server::new(listener, tower(site::router(Duration::from_secs(10)))).options(options);
    let serving = server.serve_until(tokio::signal::ctrl_c());
    println!("serving http://{address}/");
    serving.await?;
    Ok(())
}
