//! The load: many connections on one thread, without an external program.
//!
//! A closed loop sends the next request when the answer has arrived. A constant rate sends requests at fixed times, and
//! counts latency from those times, so that a server that stalls cannot hide it.

mod connection;
pub(crate) mod link;
mod response;
pub(crate) mod short;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use connection::Connection;
use link::{Link, Tls};

/// The longest wait for a server.
const PATIENCE: Duration = Duration::from_secs(30);
/// The bytes of one read.
const SPACE: usize = 256 * 1024;

/// Connections to one server, all of which repeat the same request.
pub(crate) struct Client {
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    space: Vec<u8>,
}

/// When a connection may begin the next batch of requests.
enum Begin {
    Always,
    /// This many more batches, for all connections together.
    Count(usize),
}

impl Client {
    /// Connects; each batch of a connection is `pipeline` times `request`.
    ///
    /// # Errors
    ///
    /// The server refuses a connection.
    pub(crate) fn connect(
        address: SocketAddr,
        tls: &Tls,
        request: &[u8],
        connections: usize,
        pipeline: usize,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let all = (0..connections)
            .map(|token| open(&poll, token, address, tls, request, pipeline))
            .collect::<io::Result<_>>()?;
        Ok(Self { poll, events: Events::with_capacity(1024), connections: all, space: vec![0; SPACE] })
    }

    /// Keeps every connection busy for this time; returns the number of answers.
    ///
    /// # Errors
    ///
    /// A connection fails, or an answer is not 200.
    pub(crate) fn run_for(&mut self, time: Duration) -> io::Result<usize> {
        let end = Instant::now() + time;
        let (mut answers, mut begin) = (self.begin_all(&mut Begin::Always)?, Begin::Always);
        while Instant::now() < end {
            answers += self.turn(Some(Duration::from_millis(20)), &mut begin)?;
        }
        Ok(answers)
    }

    /// Gets this many answers (rounded up to whole batches), and ends with all connections idle.
    ///
    /// # Errors
    ///
    /// Like [`run_for`](Self::run_for), or the server does not answer.
    pub(crate) fn run_count(&mut self, count: usize) -> io::Result<usize> {
        let pipeline = self.connections[0].pipeline();
        let mut begin = Begin::Count(count.div_ceil(pipeline));
        let (mut answers, limit) = (self.begin_all(&mut begin)?, Instant::now() + PATIENCE);
        while self.connections.iter().any(|connection| !connection.is_idle()) {
            answers += self.turn(Some(Duration::from_secs(1)), &mut begin)?;
            if Instant::now() > limit {
                return Err(io::Error::other("the server does not answer"));
            }
        }
        Ok(answers)
    }

    /// Sends requests at fixed times, `rate` in a second; returns the latency of each answer in nanoseconds, from the
    /// time at which its request was due. A request that finds all connections busy waits for one.
    ///
    /// # Errors
    ///
    /// Like [`run_for`](Self::run_for).
    pub(crate) fn run_at(&mut self, rate: f64, time: Duration) -> io::Result<Vec<u64>> {
        let (start, interval) = (Instant::now(), Duration::from_secs_f64(1.0 / rate));
        let total = (time.as_secs_f64() * rate) as u32;
        let mut free: VecDeque<usize> = (0..self.connections.len()).collect();
        let (mut due_at, mut sent) = (vec![start; self.connections.len()], 0);
        let mut latencies = Vec::with_capacity(total as usize);
        let limit = start + time + PATIENCE;
        while (latencies.len() as u32) < total {
            let now = Instant::now();
            while sent < total && start + interval * sent <= now {
                let Some(index) = free.pop_front() else { break };
                due_at[index] = start + interval * sent;
                self.connections[index].begin()?;
                sent += 1;
            }
            if now > limit {
                return Err(io::Error::other("the server does not answer"));
            }
            // No wait: the finest wait of the kernel is a millisecond, and this thread has a processor for itself.
            self.poll.poll(&mut self.events, Some(Duration::ZERO))?;
            for event in &self.events {
                let index = event.token().0;
                if self.connections[index].advance(&mut self.space)? > 0 {
                    latencies.push(due_at[index].elapsed().as_nanos() as u64);
                    free.push_back(index);
                }
            }
        }
        Ok(latencies)
    }

    /// Like [`run_at`](Self::run_at), until a further connection has got its answer to `request`. `look` is called every
    /// few milliseconds.
    ///
    /// # Errors
    ///
    /// Like [`run_for`](Self::run_for).
    pub(crate) fn run_beside(
        &mut self,
        rate: f64,
        address: SocketAddr,
        request: &[u8],
        mut look: impl FnMut(),
    ) -> io::Result<Vec<u64>> {
        let mut other = open(&self.poll, self.connections.len(), address, &None, request, 1)?;
        other.begin()?;
        let (start, interval) = (Instant::now(), Duration::from_secs_f64(1.0 / rate));
        let mut free: VecDeque<usize> = (0..self.connections.len()).collect();
        let (mut due_at, mut sent, mut looked) = (vec![start; self.connections.len()], 0, start);
        let (mut latencies, mut has_more) = (Vec::new(), false);
        while !other.is_idle() || free.len() < self.connections.len() {
            let now = Instant::now();
            while !other.is_idle() && start + interval * sent <= now {
                let Some(index) = free.pop_front() else { break };
                due_at[index] = start + interval * sent;
                self.connections[index].begin()?;
                sent += 1;
            }
            if now > start + PATIENCE {
                return Err(io::Error::other("the server does not answer"));
            }
            if now - looked > Duration::from_millis(5) {
                looked = now;
                look();
            }
            self.poll.poll(&mut self.events, Some(Duration::ZERO))?;
            for event in &self.events {
                let index = event.token().0;
                let Some(connection) = self.connections.get_mut(index) else {
                    has_more = true;
                    continue;
                };
                if connection.advance(&mut self.space)? > 0 {
                    latencies.push(due_at[index].elapsed().as_nanos() as u64);
                    free.push_back(index);
                }
            }
            // One read, so that this client does not delay itself.
            has_more = has_more && !other.is_idle() && other.advance_once(&mut self.space)?;
        }
        Ok(latencies)
    }

    fn begin_all(&mut self, begin: &mut Begin) -> io::Result<usize> {
        let mut answers = 0;
        for connection in &mut self.connections {
            if connection.is_idle() && begin.take() {
                connection.begin()?;
                answers += connection.advance(&mut self.space)?;
            }
        }
        Ok(answers)
    }

    /// Waits for events once and handles them.
    fn turn(&mut self, wait: Option<Duration>, begin: &mut Begin) -> io::Result<usize> {
        match self.poll.poll(&mut self.events, wait) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(0),
            other => other?,
        }
        let mut answers = 0;
        for event in &self.events {
            let connection = &mut self.connections[event.token().0];
            answers += connection.advance(&mut self.space)?;
            if connection.is_idle() && begin.take() {
                connection.begin()?;
            }
        }
        Ok(answers)
    }
}

/// Opens one connection.
fn open(
    poll: &Poll,
    token: usize,
    address: SocketAddr,
    tls: &Tls,
    request: &[u8],
    pipeline: usize,
) -> io::Result<Connection> {
    // It blocks until the connection exists, so that a full backlog delays instead of failing.
    let stream = std::net::TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    let mut stream = mio::net::TcpStream::from_std(stream);
    poll.registry().register(&mut stream, Token(token), Interest::READABLE | Interest::WRITABLE)?;
    Ok(Connection::new(Link::new(stream, tls)?, request.repeat(pipeline), pipeline))
}

impl Begin {
    fn take(&mut self) -> bool {
        match self {
            Self::Always => true,
            Self::Count(0) => false,
            Self::Count(left) => {
                *left -= 1;
                true
            }
        }
    }
}
