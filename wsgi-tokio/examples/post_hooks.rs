//! Bills the bandwidth that was really used, even if the client disconnects early. It is known only after the response,
//! when the hook runs. Ctrl-C stops it gracefully.
//!
//! `cargo run -p wsgi-tokio --example post_hooks [ADDRESS]`, then for instance
//! `curl --max-filesize 1 http://127.0.0.1:8090/` or `curl http://127.0.0.1:8090/ | head -c 1000`.
#![allow(clippy::print_stdout, reason = "it prints where it serves, and the result of its hooks")]

use tokio::net::TcpListener;
use wsgi_tokio::{Body, Bytes, Environ, Record, Result, Server, StartResponse};

const BLOCK: &[u8] = &[b'x'; 64 * 1024];
const BLOCKS: usize = 1600;

/// The manual passes these as `args` and `kwargs`; here a closure captures them.
fn bill(customer: &str, promised: usize, environ: &Environ, record: &Record) {
    println!(
        "{customer} {} {}: {} of {promised} bytes sent, {}",
        environ.method(),
        environ.path(),
        record.body_length,
        match record.lost {
            Some(lost) => lost.to_string(),
            None if record.cut => "cut short".into(),
            None => "complete".into(),
        },
    );
}

async fn application(environ: Environ, start_response: StartResponse) -> Result<Body> {
    let (customer, promised) = ("customer-7", BLOCKS * BLOCK.len());
    environ.add_post_hook(move |environ, record| bill(customer, promised, environ, record));
    let length = promised.to_string();
    start_response.start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", length.as_str())])?;
    Ok(Body::iterator((0..BLOCKS).map(|_| Ok(Bytes::from_static(BLOCK)))))
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
