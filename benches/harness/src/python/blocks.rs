//! Finds out whether a server sends the blocks of a response in time: the application pauses between them and writes into
//! each when it was made, and a client notes when each arrives.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bench_common::requests;
use rustix::time::{ClockId, clock_gettime};

use crate::client::link::uninterrupted;
use crate::process::Server;

/// The blocks of a response and the digits of each, as in `applications.py`.
const BLOCKS: usize = 5;
const DIGITS: usize = 16;
/// How many milliseconds late a block of a server that sends blocks in time may arrive: half of the pause of 50 ms, far
/// above the delays of the system, and below those of a block that waits for the next one.
pub(crate) const IN_TIME: f64 = 25.0;
/// The tries, of which the best counts, since the machine may be busy.
const TRIES: usize = 3;

/// The largest delay of a block in milliseconds, from the time at which the application made it.
///
/// # Errors
///
/// The server fails.
pub(crate) fn delay(server: &Server) -> io::Result<f64> {
    let mut least = f64::INFINITY;
    for _ in 0..TRIES {
        least = least.min(once(server.address)?);
    }
    Ok(least)
}

fn once(address: SocketAddr) -> io::Result<f64> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(&requests::get("/blocks"))?;
    let (mut received, mut space, mut delays) = (Vec::new(), [0; 4096], Vec::new());
    while delays.len() < BLOCKS {
        let length = uninterrupted(|| stream.read(&mut space))?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let now = clock_gettime(ClockId::Monotonic);
        let now = now.tv_sec as f64 * 1000.0 + now.tv_nsec as f64 / 1e6;
        received.extend_from_slice(&space[..length]);
        for made in times(&received).skip(delays.len()).collect::<Vec<_>>() {
            delays.push(now - made.ok_or(io::ErrorKind::InvalidData)?);
        }
    }
    Ok(delays.into_iter().fold(0.0, f64::max))
}

/// The times in the whole blocks of a response, in milliseconds; `None` for a block that is none.
fn times(response: &[u8]) -> impl Iterator<Item = Option<f64>> {
    let mark = b"\r\n\r\n";
    let head = response.windows(mark.len()).position(|window| window == mark);
    let body = head.map_or(&[][..], |at| &response[at + mark.len()..]);
    let time = |block: &[u8]| std::str::from_utf8(block).ok()?.parse::<u64>().ok();
    body.chunks_exact(DIGITS).map(move |block| Some(time(block)? as f64 / 1000.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_blocks_after_the_head_are_times() {
        let found = |text: &str| times(text.as_bytes()).collect::<Vec<_>>();
        assert_eq!(found("HTTP/1.1 200 OK\r\nContent-Length: 80\r\n"), []);
        let body = "HTTP/1.1 200 OK\r\n\r\n000000000001500000000000000000x50000";
        assert_eq!(found(body), [Some(15.0), None]);
    }
}
