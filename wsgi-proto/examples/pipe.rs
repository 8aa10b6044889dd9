//! The machine without a transport: it gets the bytes of a client, and the example prints the bytes of the server.
//!
//! A driver that never blocks has this structure: the application runs until it has to wait, the machine returns what
//! it waits for, and the loop repeats. `cargo run -p wsgi-proto --example pipe`
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::sync::Arc;
use wsgi_proto::{
    Address, BodyError, BodyEvent, Buffers, Config, Connection, Endpoints, Event, Exchange, Instant, Io, Now,
};

const CLIENT: &[u8] = b"GET /hello HTTP/1.1\r\nHost: pipe\r\n\r\n\
    POST /echo HTTP/1.1\r\nHost: pipe\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n\
    5\r\nhello\r\n7\r\n again\n\r\n0\r\n\r\n\
    GET /never HTTP/1.1\r\nHost: pi";

fn main() -> Result<(), Box<dyn Error>> {
    // A real driver reads both clocks at every wake-up. Here time only advances when nothing else happens.
    let mut now = Now::new(Instant::from_nanos(0), 784_111_777);
    let mut connection =
        Connection::new(Arc::new(Config::default()), Endpoints::new(Address::Local, Address::Local));
    let mut pool = vec![Buffers::new()];
    let (mut incoming, mut outgoing) = (CLIENT, Vec::new());
    let mut body = Vec::new();
    let reason = loop {
        if let Some(exchange) = connection.exchange() {
            application(exchange, &mut body, now)?;
        }
        match connection.poll(now) {
            Event::Request => {
                if let Some(head) = connection.take_request() {
                    println!("request   {} {}", head.method(), head.path().escape_ascii());
                }
                body.clear();
            }
            Event::Done => {
                if let Some(record) = connection.take_record() {
                    println!("answered  {}, {} bytes", record.status, record.body_length);
                }
            }
            Event::Io(io) if io.write && !io.last_read => {
                let written = connection.transmit().slices().concat();
                connection.transmitted(written.len());
                outgoing.extend_from_slice(&written);
            }
            Event::Io(io) if io.read => {
                // While it waits for its next request, the connection needs no buffers.
                pool.extend(connection.take_buffers());
                if incoming.is_empty() {
                    match io.deadline {
                        // There is no more input: time passes, and the machine gives up its wait.
                        _ if io.last_read => connection.recv_nothing(),
                        Some((at, _)) => now.instant = at,
                        None => connection.recv_eof(),
                    }
                    continue;
                }
                if !connection.has_buffers() {
                    connection.provide_buffers(pool.pop().unwrap_or_default());
                }
                // A network may deliver this little in one read.
                let space = connection.recv_space().ok_or("no space to read into")?;
                let count = space.len().min(incoming.len()).min(20);
                space[..count].copy_from_slice(&incoming[..count]);
                connection.recv_commit(count);
                incoming = &incoming[count..];
            }
            Event::Io(Io { deadline: Some((at, _)), .. }) => now.instant = at,
            Event::Io(io) => return Err(format!("nothing can end the wait for {io:?}").into()),
            Event::ShutdownWrite | Event::Abort => connection.write_closed(),
            // The stream is no longer HTTP. This application never requests a takeover.
            Event::TakenOver => return Ok(()),
            Event::Closed(reason) => break reason,
        }
    };
    println!("closed    {reason}\n\n{}", String::from_utf8_lossy(&outgoing));
    Ok(())
}

/// Runs until it has to wait. The caller then calls it again.
fn application(mut exchange: Exchange<'_>, body: &mut Vec<u8>, now: Now) -> Result<(), Box<dyn Error>> {
    loop {
        let count = match exchange.body(now) {
            Ok(BodyEvent::Data(data)) => {
                body.extend_from_slice(data);
                data.len()
            }
            Ok(BodyEvent::End(_)) => break,
            Ok(BodyEvent::Io(_)) => return Ok(()),
            Err(BodyError::Request(error)) => {
                exchange.refuse(error);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        exchange.consume(count);
    }
    Ok(exchange.answer("200 OK", [("Content-Type", "text/plain")], body.as_slice())?)
}
