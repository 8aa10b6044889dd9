//! One JSON object per request, made from the record, instead of an access line. Ctrl-C stops it gracefully.
//!
//! A user's own log is called by the tasks that serve connections, so it must not wait for its reader. This one passes
//! lines to a thread through a bounded channel, and counts those that do not fit.
//!
//! `cargo run -p wsgi-tokio --example log_json [ADDRESS]`
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is the log")]

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::net::TcpListener;
use wsgi_tokio::{Address, Body, Environ, Log, LogEntry, Options, Record, Result, Server, StartResponse};

/// The maximum number of lines that wait for the reader of the log.
const WAITING: usize = 4096;

/// The maximum length of a text that the client sent, in bytes.
const LONGEST: usize = 1024;

async fn application(_environ: Environ, start_response: StartResponse) -> Result<Body> {
    start_response.start("200 OK", [("Content-Type", "text/plain")])?;
    Ok("Hello, World!\r\n".into())
}

/// Sends lines to the thread that writes them.
struct JsonLog {
    lines: SyncSender<String>,
    dropped: AtomicU64,
}

impl JsonLog {
    /// The log, and a receiver whose sender is dropped when the log is dropped and its last line is written.
    fn start() -> (Self, Receiver<()>) {
        let (lines, received) = sync_channel::<String>(WAITING);
        let (end, ended) = channel();
        thread::spawn(move || {
            for line in received {
                // If the log cannot be written, there is nowhere to report that.
                let _ = writeln!(io::stdout(), "{line}");
            }
            drop(end);
        });
        (Self { lines, dropped: AtomicU64::new(0) }, ended)
    }

    /// Never waits: a line that does not fit is counted, and the next one that fits has the number.
    fn send(&self, entry: &str) {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        let line =
            if dropped == 0 { format!("{{{entry}}}") } else { format!("{{{entry},\"dropped\":{dropped}}}") };
        if self.lines.try_send(line).is_err() {
            self.dropped.fetch_add(dropped + 1, Ordering::Relaxed);
        }
    }
}

impl Log for JsonLog {
    fn log(&self, entry: &LogEntry<'_>) {
        match entry {
            LogEntry::Access { record, .. } => self.send(&access(record)),
            LogEntry::Error(text) => self.send(&format!("\"error\":{}", quoted(text.as_bytes()))),
            LogEntry::Info(text) => self.send(&format!("\"info\":{}", quoted(text.as_bytes()))),
            _ => {}
        }
    }
}

/// The members of one object.
fn access(record: &Record) -> String {
    let client = match record.endpoints.remote {
        Address::Ip(address) => address.to_string(),
        Address::Local => "unix".into(),
    };
    // Without a head the request was refused, and this is the part of its first line that arrived.
    let line = record.head.as_ref().map_or(&*record.partial_request_line, |head| head.request_line());
    let agent = record.head.as_ref().and_then(|head| head.value("User-Agent"));
    format!(
        "\"time\":{},\"client\":{},\"request\":{},\"status\":{},\"bytes\":{},\"seconds\":{:.6},\"agent\":{},\"type\":{},\"whole\":{}",
        record.unix,
        quoted(client.as_bytes()),
        quoted(line),
        record.status,
        record.body_length,
        record.elapsed.as_secs_f64(),
        agent.map_or_else(|| "null".into(), quoted),
        record.response_field("Content-Type").map_or_else(|| "null".into(), quoted),
        !record.cut && record.lost.is_none(),
    )
}

/// A JSON string. Bytes that are not UTF-8 are replaced, and a long text is cut.
fn quoted(text: &[u8]) -> String {
    let mut out = String::from("\"");
    for character in String::from_utf8_lossy(&text[..text.len().min(LONGEST)]).chars() {
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
async fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".into());
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let (log, written) = JsonLog::start();
    let server = Server::new(listener, application).options(Options::default().logger(log));
    let serving = server.serve_until(tokio::signal::ctrl_c());
    println!("serving http://{address}/");
    serving.await?;
    // The server is dropped, and the log with it. A reader that has stopped does not prevent the end.
    let _ = written.recv_timeout(Duration::from_secs(1));
    Ok(())
}
