//! Short-lived connections: connect, one request with `Connection: close`, the answer, the end.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::link::{Link, Tls, connect};
use crate::client::response::Responses;

/// Repeats for this time, on this many threads; returns the number of connections.
///
/// # Errors
///
/// A connection fails, or an answer is not 200.
pub(crate) fn run_for(
    address: SocketAddr,
    tls: &Tls,
    request: &[u8],
    threads: usize,
    time: Duration,
) -> io::Result<usize> {
    let end = Instant::now() + time;
    let repeat = || {
        let mut count = 0;
        while Instant::now() < end {
            once(address, tls, request)?;
            count += 1;
        }
        io::Result::Ok(count)
    };
    thread::scope(|scope| {
        let started: Vec<_> = (0..threads).map(|_| scope.spawn(repeat)).collect();
        started.into_iter().map(|thread| thread.join().expect("it does not panic")).sum()
    })
}

/// Repeats this often, one after the other.
///
/// # Errors
///
/// Like [`run_for`].
pub(crate) fn run_count(address: SocketAddr, tls: &Tls, request: &[u8], count: usize) -> io::Result<usize> {
    for _ in 0..count {
        once(address, tls, request)?;
    }
    Ok(count)
}

fn once(address: SocketAddr, tls: &Tls, request: &[u8]) -> io::Result<()> {
    let mut link = connect(address, tls)?;
    link.transport().set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut sent = 0;
    while sent < request.len() {
        sent += link.write(&request[sent..])?;
    }
    let (mut responses, mut ended, mut space) = (Responses::default(), 0, [0; 4096]);
    loop {
        match link.read(&mut space) {
            Ok(0) => break,
            Ok(length) => ended += responses.consume(&space[..length])?,
            // A server may close TLS without its closing message.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof && matches!(link, Link::Secure(_)) => {
                break;
            }
            Err(error) => return Err(error),
        }
    }
    if ended == 1 { Ok(()) } else { Err(io::Error::other(format!("{ended} answers instead of one"))) }
}
