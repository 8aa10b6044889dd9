//! A server embedded in a program that does other things too: it binds a free port, the program itself sends it a
//! request, and its handle stops it.
//!
//! `cargo run -p wsgi-smol --example embedded_smol [ADDRESS]`
#![allow(clippy::print_stdout, reason = "it prints what it does")]

use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::{TcpListener, TcpStream};
use wsgi_smol::{Body, Environ, Result, Server, StartResponse};

async fn application(environ: Environ, start_response: StartResponse) -> Result<Body> {
    start_response.start("200 OK", [("Content-Type", "text/plain")])?;
    Ok(format!("served from inside: {}\r\n", environ.path()).into())
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    smol::block_on(async {
        let listener = TcpListener::bind(address).await?;
        // Port 0 means any free port; the listener knows which one.
        let address = listener.local_addr()?;
        println!("serving http://{address}/");

        let server = Server::new(listener, application).log_output(false);
        let handle = server.handle();
        let serving = smol::spawn(server.serve());

        // The program continues here while the server runs.
        let mut client = TcpStream::connect(address).await?;
        client.write_all(b"GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        client.read_to_string(&mut answer).await?;
        print!("{answer}");

        // This connection is idle, so it does not hold up the stop.
        let _idle = TcpStream::connect(address).await?;
        println!("stopping with {} requests under way", handle.requests());
        handle.shutdown();
        let report = serving.await?;
        println!("stopped: {} connections finished, {} cut", report.finished, report.cut);
        Ok(())
    })
}
