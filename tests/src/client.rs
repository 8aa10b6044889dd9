//! Plays the client of an exchange of the [`table`](crate::table) over a real socket, with or without TLS, against any
//! server.
//!
//! Every action of a client in the table also works over TLS: it sends, waits, falls silent, and closes its half, which
//! sends close_notify there. No client resets its connection or disconnects without close_notify.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::live::PATIENCE;
use crate::secure;
use crate::table::{Afterwards, Answer, Exchange};
use crate::uninterrupted::uninterrupted;

/// How long a connection must be silent to count as open.
const SILENCE: Duration = Duration::from_millis(40);

/// The client's end of a connection.
pub trait Line: Read + Write {
    /// Sets how long a read may wait.
    ///
    /// # Errors
    ///
    /// Errors from the socket.
    fn set_patience(&self, patience: Duration) -> io::Result<()>;

    /// Announces that no more bytes are sent.
    ///
    /// # Errors
    ///
    /// Errors from the socket.
    fn close_half(&self) -> io::Result<()>;
}

impl Line for TcpStream {
    fn set_patience(&self, patience: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(patience))
    }

    fn close_half(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Line for secure::Stream {
    fn set_patience(&self, patience: Duration) -> io::Result<()> {
        self.socket().set_patience(patience)
    }

    fn close_half(&self) -> io::Result<()> {
        self.close_notify()
    }
}

/// The received bytes. They end with `open` or `closed`; encrypted bytes that end without close_notify are an error.
///
/// # Errors
///
/// Errors from the connection. After a failed write the client keeps reading: the server may have answered already.
pub fn answer(exchange: &Exchange, line: impl Line, bytewise: bool) -> io::Result<Answer> {
    let mut client = Client { line, bytes: Vec::new(), closed: false };
    for (turn, piece) in exchange.client.iter().enumerate() {
        if turn > 0 {
            client.read(PATIENCE)?;
        }
        let size = if bytewise { 1 } else { piece.len().max(1) };
        for part in piece.chunks(size) {
            if client.line.write_all(part).is_err() {
                break;
            }
        }
    }
    if exchange.afterwards == Afterwards::Closes {
        client.line.close_half()?;
    }
    let closes = exchange.answer.end.starts_with("closed");
    while !client.closed {
        let all_there = crate::wire::mask_dates(&client.bytes).len() >= exchange.masked().len();
        let patience = if all_there && !closes { SILENCE } else { PATIENCE };
        if client.read(patience)? == 0 {
            break;
        }
    }
    let end = if client.closed { "closed" } else { "open" };
    Ok(Answer { bytes: client.bytes, end: end.into() })
}

struct Client<L> {
    line: L,
    bytes: Vec<u8>,
    closed: bool,
}

impl<L: Line> Client<L> {
    /// Reads available bytes; returns 0 when none arrive.
    fn read(&mut self, patience: Duration) -> io::Result<usize> {
        self.line.set_patience(patience)?;
        let mut space = [0; 16 * 1024];
        match uninterrupted(|| self.line.read(&mut space)) {
            Ok(count) => {
                self.closed = count == 0;
                self.bytes.extend_from_slice(&space[..count]);
                Ok(count)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(0),
            Err(error) => Err(error),
        }
    }
}
