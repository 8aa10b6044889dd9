//! The manual's first example on async-std: `curl -i http://127.0.0.1:8090/`. Ctrl-C stops it gracefully.
#![allow(clippy::print_stdout, reason = "it prints where it serves")]

use async_signal::{Signal, Signals};
use async_std::stream::StreamExt;
use wsgi_smol::{Body, Environ, Result, Server, StartResponse};

async fn hello_world(_environ: Environ, start_response: StartResponse) -> Result<Body> {
    start_response.start("200 OK", [("Content-Type", "text/plain")])?;
    Ok("Hello, World!\r\n".into())
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".into());
    async_std::task::block_on(async {
        let listener = async_std::net::TcpListener::bind(address).await?;
        let mut signals = Signals::new([Signal::Int])?;
        println!("serving http://{}/", listener.local_addr()?);
        let server = Server::new(listener, hello_world);
        let handle = server.handle();
        async_std::task::spawn(async move {
            if let Some(Ok(_)) = signals.next().await {
                handle.shutdown();
            }
        });
        server.serve().await?;
        Ok(())
    })
}
