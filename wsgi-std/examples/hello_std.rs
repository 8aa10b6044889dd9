//! The manual's first example: `curl -i http://127.0.0.1:8090/`. Ctrl-C stops it gracefully.
#![allow(clippy::print_stdout, reason = "it prints where it serves")]

use wsgi_std::{Body, Environ, Result, Server, StartResponse};

fn hello_world(_environ: Environ, start_response: StartResponse) -> Result<Body> {
    start_response.start("200 OK", [("Content-Type", "text/plain")])?;
    Ok("Hello, World!\r\n".into())
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".into());
    let listener = std::net::TcpListener::bind(address)?;
    let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGINT])?;
    println!("serving http://{}/", listener.local_addr()?);
    let server = Server::new(listener, hello_world);
    let handle = server.handle();
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            handle.shutdown();
        }
    });
    server.serve()?;
    Ok(())
}
