//! The WebSocket of `web_socket_smol.rs` on async-std: only `main` differs.
//!
//! `cargo run -p wsgi-cookbook --bin web_socket_async_std [ADDRESS]`

#[path = "web_socket_smol.rs"]
#[allow(dead_code, reason = "its `main` is for smol")]
mod web_socket_smol;

use async_signal::{Signal, Signals};
use async_std::net::TcpListener;
use async_std::stream::StreamExt;
use wsgi_smol::{Options, Server};

use web_socket_smol::application;

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".into());
    async_std::task::block_on(async {
        let listener = TcpListener::bind(address).await?;
        let mut signals = Signals::new([Signal::Int])?;
        println!("serving http://{}/", listener.local_addr()?);
        let server = Server::new(listener, application).options(Options::public());
        server.serve_until(async move { signals.next().await }).await?;
        Ok(())
    })
}
