//! Responds before the body arrives: with hints in the headers of `100 Continue`, with progress while a long upload is
//! processed, or with a refusal that saves the client the upload. Ctrl-C stops it gracefully.
//!
//! `cargo run -p wsgi-smol --example hundred_continue_smol [ADDRESS]`, then
//! `curl -iT FILE -H 'Expect: 100-continue' http://127.0.0.1:8090/`.
#![allow(clippy::print_stdout, reason = "it prints where it serves")]

use async_signal::{Signal, Signals};
use smol::net::TcpListener;
use smol::stream::StreamExt;
use wsgi_smol::{Body, Environ, Result, Server, StartResponse};

const LARGEST: u64 = 1024 * 1024;
/// The number of bytes after which progress is sent to the client.
const STAGE: usize = 64 * 1024;

async fn application(environ: Environ, start_response: StartResponse) -> Result<Body> {
    let input = environ.input();
    let length = environ.get("CONTENT_LENGTH").and_then(|length| length.parse().ok());
    if length.is_some_and(|length: u64| length > LARGEST) {
        // Nothing was read, so no 100 was sent, and the client does not send its body. The connection closes.
        start_response.start("417 Expectation Failed", [("Content-Type", "text/plain")])?;
        return Ok("too large\r\n".into());
    }
    // These are sent with the 100 of the first read.
    input.set_hundred_continue_response_headers([("X-Accepts", "encrypted, plain")])?;
    let mut received = 0;
    loop {
        let part = input.read(STAGE).await?;
        received += part.len();
        if part.len() < STAGE {
            break;
        }
        // One more 100, whenever there is progress to report.
        input.set_hundred_continue_response_headers([("X-Received", received.to_string())])?;
        input.send_hundred_continue_response()?;
    }
    start_response.start("200 OK", [("Content-Type", "text/plain")])?;
    Ok(format!("{received} bytes received\r\n").into())
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".into());
    smol::block_on(async {
        let listener = TcpListener::bind(address).await?;
        let mut signals = Signals::new([Signal::Int])?;
        println!("serving http://{}/", listener.local_addr()?);
        let server = Server::new(listener, application);
        let handle = server.handle();
        smol::spawn(async move {
            if let Some(Ok(_)) = signals.next().await {
                handle.shutdown();
            }
        })
        .detach();
        server.serve().await?;
        Ok(())
    })
}
