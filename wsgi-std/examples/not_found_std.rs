//! The manual's more elaborate application: it serves `/` and answers everything else with 404. Ctrl-C stops it
//! gracefully.
//!
//! `cargo run -p wsgi-std --example not_found_std [ADDRESS]`
#![allow(clippy::print_stdout, reason = "it prints where it serves")]

use std::net::TcpListener;
use std::thread;

use signal_hook::consts::SIGINT;
use signal_hook::iterator::Signals;
use wsgi_std::{Body, Environ, Result, Server, StartResponse};

fn application(environ: Environ, start_response: StartResponse) -> Result<Body> {
    if environ.path() != "/" {
        start_response.start("404 Not Found", [("Content-Type", "text/plain")])?;
        return Ok("Not Found\r\n".into());
    }
    start_response.start("200 OK", [("Content-Type", "text/plain")])?;
    Ok("Hello, World!\r\n".into())
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".into());
    let listener = TcpListener::bind(address)?;
    let mut signals = Signals::new([SIGINT])?;
    println!("serving http://{}/", listener.local_addr()?);
    let server = Server::new(listener, application);
    let handle = server.handle();
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            handle.shutdown();
        }
    });
    server.serve()?;
    Ok(())
}
