//! How much of its speed a computing thread of Python keeps beside a server that is loaded.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bench_common::requests;

use crate::client::Client;
use crate::client::link::uninterrupted;
use crate::process::Server;
use crate::python::measure::{Times, pause};
use crate::python::scenarios::hello;

/// The connections of the load.
pub(crate) const CONNECTIONS: usize = 32;
/// The requests per second of the constant load.
pub(crate) const RATE: f64 = 5000.0;

/// The load beside the computing thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    /// [`RATE`] requests per second.
    Rate,
    /// As many requests as the server answers.
    Full,
}

impl Beside {
    /// Its name in the results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Full => "full",
        }
    }
}

/// What was found under a load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// The speed of the thread, relative to that without load.
    pub(crate) share: f64,
    /// Answers per second.
    pub(crate) answers: f64,
}

/// Measures the speed of the thread without load, then under each load, in the order of [`Beside`].
///
/// # Errors
///
/// The server fails.
pub(crate) fn measure(server: &Server, times: Times) -> io::Result<[Found; 2]> {
    let mut counter = Counter::connect(server)?;
    counter.read()?;
    pause(times.warm_up);
    let (alone, _) = counter.speeds(|| {
        pause(times.time);
        Ok(0)
    })?;
    let mut client = Client::connect(server.address, &None, &hello(), CONNECTIONS, 1)?;
    let mut found = |beside| {
        let load = |client: &mut Client, time| match beside {
            Beside::Rate => client.run_at(RATE, time).map(|latencies| latencies.len()),
            Beside::Full => client.run_for(time),
        };
        load(&mut client, times.warm_up)?;
        let (loaded, answers) = counter.speeds(|| load(&mut client, times.time))?;
        // What is still under way must not count for the next load.
        client.run_count(0)?;
        io::Result::Ok(Found { share: loaded / alone, answers })
    };
    Ok([found(Beside::Rate)?, found(Beside::Full)?])
}

/// A connection that reads the count of the computing thread.
struct Counter(TcpStream);

impl Counter {
    fn connect(server: &Server) -> io::Result<Self> {
        let stream = TcpStream::connect(server.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Self(stream))
    }

    /// The count; the first call starts the thread.
    fn read(&mut self) -> io::Result<f64> {
        self.0.write_all(&requests::get("/count"))?;
        let (mut received, mut space) = (Vec::new(), [0; 1024]);
        loop {
            let length = uninterrupted(|| self.0.read(&mut space))?;
            if length == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            received.extend_from_slice(&space[..length]);
            let text = String::from_utf8_lossy(&received);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            });
            if length.is_some_and(|length| body.len() >= length) {
                return body.parse().map_err(io::Error::other);
            }
        }
    }

    /// Counts per second, and answers per second, while the work runs.
    fn speeds(&mut self, work: impl FnOnce() -> io::Result<usize>) -> io::Result<(f64, f64)> {
        let (start, before) = (Instant::now(), self.read()?);
        let answers = work()?;
        let (after, seconds) = (self.read()?, start.elapsed().as_secs_f64());
        Ok(((after - before) / seconds, answers as f64 / seconds))
    }
}
