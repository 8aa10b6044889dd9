//! The simplest blocking server: one thread per connection, with only std and the machine.
//! `cargo run -p wsgi-proto --example blocking`, then `curl -i --data hello http://127.0.0.1:8091/`
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example shows what it does")]

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant as Clock, SystemTime, UNIX_EPOCH};
use wsgi_proto::{BodyError, BodyEvent, Config, Connection, Endpoints, Event, Instant, Io, Lost, Now};

const NOT_YET: [ErrorKind; 3] = [ErrorKind::WouldBlock, ErrorKind::TimedOut, ErrorKind::Interrupted];
type Failure = Box<dyn std::error::Error>;

fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:8091")?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let begin = |(stream, _)| std::thread::Builder::new().spawn(|| serve(stream));
        if let Err(error) = listener.accept().and_then(begin) {
            eprintln!("cannot serve a connection: {error}");
            std::thread::park_timeout(Duration::from_millis(50)); // Out of descriptors, for instance.
        }
    }
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let config = Config::default().socket_timeout(Some(Duration::from_secs(60)));
    let peer = Endpoints::new(stream.peer_addr()?.into(), stream.local_addr()?.into());
    let (mut connection, start) = (Connection::new(config.into(), peer), Clock::now());
    loop {
        match connection.poll(now(start)) {
            Event::Request => {
                if let Err(error) = application(&mut connection, &mut stream, start) {
                    eprintln!("application: {error}");
                    connection.exchange().into_iter().for_each(|mut exchange| exchange.fail(""));
                }
            }
            Event::Done => drop(connection.take_record()),
            Event::Io(io) => transfer(&mut connection, &mut stream, io, start),
            Event::ShutdownWrite => {
                let _ = stream.shutdown(Shutdown::Write); // If it fails, so does the next read.
                connection.write_closed();
            }
            Event::Abort => {
                // The cut response must not look complete. std cannot reset a connection; `socket2` can, with a linger
                // of zero. Here the client has to notice that the end is missing.
                connection.write_closed();
            }
            // This application never sends a 101. After one, the stream would belong to the application.
            Event::TakenOver | Event::Closed(_) => return Ok(()),
        }
    }
}

/// Reads the whole body and answers with its length.
fn application(connection: &mut Connection, stream: &mut TcpStream, start: Clock) -> Result<(), Failure> {
    let head = connection.take_request().ok_or("no request")?;
    let mut length = 0;
    while let Some(mut exchange) = connection.exchange() {
        match exchange.body(now(start)) {
            Ok(BodyEvent::Data(data)) => {
                let count = data.len();
                exchange.consume(count);
                length += count;
            }
            Ok(BodyEvent::Io(io)) => transfer(connection, stream, io, start),
            Ok(BodyEvent::End(_)) => {
                let text = format!("{} with a body of {length} bytes\n", head.method());
                exchange.answer("200 OK", [("Content-Type", "text/plain")], text.as_bytes())?;
            }
            Err(BodyError::Request(error)) => exchange.refuse(error),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Reads or writes some bytes, or waits until the deadline. The caller polls again in any case. The deadline of a last
/// read or write has passed, so it waits only for the shortest possible timeout. It has priority over a write.
fn transfer(connection: &mut Connection, stream: &mut TcpStream, io: Io, start: Clock) {
    let timeout = io.deadline.map(|(at, _)| at.since(now(start).instant).max(Duration::from_millis(1)));
    let writes = io.write && !io.last_read;
    let moved = if writes {
        let slices: Vec<_> = connection.transmit().slices().iter().map(|slice| IoSlice::new(slice)).collect();
        stream.set_write_timeout(timeout).and_then(|()| stream.write_vectored(&slices))
    } else if io.read {
        stream.set_read_timeout(timeout).and_then(|()| receive(connection, stream))
    } else {
        std::thread::park_timeout(timeout.unwrap_or_default());
        return;
    };
    match moved {
        Ok(count) if writes => connection.transmitted(count),
        Ok(0) => connection.recv_eof(),
        Ok(count) => connection.recv_commit(count),
        Err(error) if NOT_YET.contains(&error.kind()) => {
            // Only has an effect after a last read or write: the deadline then takes effect.
            if writes {
                connection.transmitted(0);
            } else {
                connection.recv_nothing();
            }
        }
        Err(_) => connection.lost(Lost::Transport),
    }
}

/// Reads into the connection. While it waits for its next request, it holds no buffers. A larger server would pool
/// them.
fn receive(connection: &mut Connection, stream: &mut TcpStream) -> io::Result<usize> {
    if !connection.has_buffers() {
        stream.peek(&mut [0])?;
    }
    let space = connection.recv_space().ok_or(ErrorKind::WouldBlock)?;
    stream.read(space)
}

fn now(start: Clock) -> Now {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Now::new(Instant::from_origin(start.elapsed()), unix.cast_signed())
}
