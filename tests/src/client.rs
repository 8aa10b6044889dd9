//! Plays the client of an exchange of the [`table`](crate::table) over a real socket, whatever server is at the other
//! end.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::table::{Afterwards, Answer, Exchange};

/// How long a client waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long nothing more has to come for a connection to count as open.
const SILENCE: Duration = Duration::from_millis(40);

/// What comes back. It ends with `open` or `closed`.
///
/// # Errors
///
/// Those of the socket. A client that cannot write reads on: the server may have answered already.
pub fn answer(exchange: &Exchange, address: SocketAddr, bytewise: bool) -> io::Result<Answer> {
    let mut client = Client { stream: TcpStream::connect(address)?, bytes: Vec::new(), closed: false };
    client.stream.set_nodelay(true)?;
    for (turn, piece) in exchange.client.iter().enumerate() {
        if turn > 0 {
            client.read(PATIENCE)?;
        }
        let size = if bytewise { 1 } else { piece.len().max(1) };
        for part in piece.chunks(size) {
            if client.stream.write_all(part).is_err() {
                break;
            }
        }
    }
    if exchange.afterwards == Afterwards::Closes {
        client.stream.shutdown(Shutdown::Write)?;
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

struct Client {
    stream: TcpStream,
    bytes: Vec<u8>,
    closed: bool,
}

impl Client {
    /// Reads what comes; 0 when nothing does.
    fn read(&mut self, patience: Duration) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(patience))?;
        let mut space = [0; 16 * 1024];
        match self.stream.read(&mut space) {
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
