//! Plays the client of an exchange of the [`table`](crate::table) over a real socket, in the clear or encrypted, whatever
//! server is at the other end.
//!
//! All that a client of the table does can be said over TLS, too: it sends, waits, falls silent, and closes its half,
//! which is a close_notify there. None of them resets its connection or leaves without a farewell.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::secure;
use crate::table::{Afterwards, Answer, Exchange};

/// How long a client waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long nothing more has to come for a connection to count as open.
const SILENCE: Duration = Duration::from_millis(40);

/// The client's end of a connection.
pub trait Line: Read + Write {
    /// How long a read may wait.
    ///
    /// # Errors
    ///
    /// Those of the socket.
    fn set_patience(&self, patience: Duration) -> io::Result<()>;

    /// Tells the server that nothing more is sent.
    ///
    /// # Errors
    ///
    /// Those of the socket.
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

/// What comes back. It ends with `open` or `closed`; encrypted bytes that end without close_notify are an error.
///
/// # Errors
///
/// Those of the line. A client that cannot write reads on: the server may have answered already.
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
    /// Reads what comes; 0 when nothing does.
    fn read(&mut self, patience: Duration) -> io::Result<usize> {
        self.line.set_patience(patience)?;
        let mut space = [0; 16 * 1024];
        match self.line.read(&mut space) {
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
