//! One JSON object per request, made from the record, instead of an access line. Ctrl-C stops it gracefully.
//!
//! `cargo run -p wsgi-tokio --example log_json [ADDRESS]`
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is the log")]

use std::fmt::Write;

use tokio::net::TcpListener;
use wsgi_tokio::{Address, Body, Environ, LogEntry, Record, Result, Server, StartResponse};

async fn application(_environ: Environ, start_response: StartResponse) -> Result<Body> {
    start_response.start("200 OK", [("Content-Type", "text/plain")])?;
    Ok("Hello, World!\r\n".into())
}

fn log(entry: &LogEntry<'_>) {
    match entry {
        LogEntry::Access { record, .. } => println!("{}", json(record)),
        LogEntry::Debug(_) => {}
        other => eprintln!("{}", other.text()),
    }
}

fn json(record: &Record) -> String {
    // Without a head the request was refused, and this is the part of its first line that arrived.
    let line = record.head.as_ref().map_or(&*record.partial_request_line, |head| head.request_line());
    let client = match record.endpoints.remote {
        Address::Ip(address) => address.to_string(),
        Address::Local => "unix".into(),
    };
    format!(
        "{{\"time\":{},\"client\":{},\"request\":{},\"status\":{},\"bytes\":{},\"seconds\":{:.6},\"whole\":{}}}",
        record.unix,
        quoted(&client),
        quoted(&String::from_utf8_lossy(line)),
        record.status,
        record.body_length,
        record.elapsed.as_secs_f64(),
        !record.cut && record.lost.is_none(),
    )
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            // Writing to a string cannot fail.
            '\0'..' ' | '\x7f' => _ = write!(out, "\\u{:04x}", u32::from(character)),
            other => out.push(other),
        }
    }
    out + "\""
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".into());
    let listener = TcpListener::bind(address).await?;
    println!("serving http://{}/", listener.local_addr()?);
    let server = Server::new(listener, application).log(log);
    let handle = server.handle();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            handle.shutdown();
        }
    });
    server.serve().await?;
    Ok(())
}
