//! A simulated driver for one [`Connection`]: a manual clock, and a slice of bytes as the peer.
//!
//! Nothing here sleeps, opens a socket or knows HTTP. [`Machine::poll`] checks on every call the invariants of every
//! state. [`play`] runs whole scenarios with scripted applications.

pub mod choose;
pub mod generate;
pub mod heads;
pub mod play;
pub mod scenario;

use std::sync::Arc;
use std::time::Duration;

use wsgi_proto::{
    Address, Buffers, CloseReason, Config, Connection, Endpoints, Event, Exchange, Head, Instant, Io,
    NO_HEADERS, Now, Reason, Record,
};

/// The fixed wall clock: `Sun, 06 Nov 1994 08:49:37 GMT`, the example of RFC 9110, 5.6.7.
pub const UNIX: i64 = 784_111_777;

/// Each byte of the driver's own pieces.
pub const EXTERNAL: u8 = b'e';

/// A connection with its driver.
#[derive(Debug)]
pub struct Machine {
    /// The machine itself, for calls that the driver does not make automatically.
    pub connection: Connection,
    now: Now,
    sent: Vec<u8>,
    pool: Option<Buffers>,
}

impl Machine {
    /// A connection that was just accepted, at second 1 of its clock.
    pub fn new(config: impl Into<Arc<Config>>) -> Self {
        Self {
            connection: Connection::new(config.into(), Endpoints::new(Address::Local, Address::Local)),
            now: Now::new(Instant::from_nanos(1_000_000_000), UNIX),
            sent: Vec::new(),
            pool: None,
        }
    }

    /// The current time of the clock.
    pub fn now(&self) -> Now {
        self.now
    }

    /// Moves the clock while the peer is silent: a requested last read finds nothing, a last write no room. The date does not change, so that
    /// answers can be compared.
    pub fn advance(&mut self, by: Duration) {
        self.pass(by);
        self.find_nothing();
    }

    /// Moves only the clock.
    pub fn pass(&mut self, by: Duration) {
        self.now.instant = self.now.instant.after(by);
    }

    /// Performs a last read or write, if one is due, and finds nothing, or no room.
    pub fn find_nothing(&mut self) {
        loop {
            match self.connection.poll(self.now) {
                Event::Io(Io { last_read: true, .. }) => self.connection.recv_nothing(),
                Event::Io(Io { last_write: true, .. }) => self.connection.transmitted(0),
                _ => return,
            }
        }
    }

    /// Polls the machine and checks its invariants.
    ///
    /// # Panics
    ///
    /// When two polls return different events, or the event ignores bytes in the outbox.
    pub fn poll(&mut self) -> Event {
        let event = self.connection.poll(self.now);
        assert_eq!(event, self.connection.poll(self.now), "two polls returned different events");
        let (slices, external) =
            (!self.connection.transmit().slices().is_empty(), self.connection.external() > 0);
        assert!(!(slices && external), "the next bytes are those of one of them");
        let waits = slices || external;
        match event {
            Event::Io(io) => {
                assert_eq!(io.write, waits, "io.write and the outbox disagree");
                assert!(io.read || !io.last_read, "a last read is a read");
                assert!(io.write || !io.last_write, "a last write is a write");
            }
            Event::ShutdownWrite | Event::Abort | Event::TakenOver | Event::Closed(_) => {
                assert!(!waits, "{event:?} with bytes in the outbox");
            }
            Event::Request | Event::Done => {}
        }
        event
    }

    /// The wait of the machine.
    ///
    /// # Panics
    ///
    /// When the machine does not wait.
    pub fn io(&mut self) -> Io {
        match self.poll() {
            Event::Io(io) => io,
            event => panic!("expected a wait, not {event:?}"),
        }
    }

    /// Passes as much of `bytes` to the machine as one read has room for, and returns the number.
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        if !self.connection.has_buffers() {
            self.connection.provide_buffers(self.pool.take().unwrap_or_default());
        }
        let Some(space) = self.connection.recv_space() else { return 0 };
        let count = bytes.len().min(space.len());
        space[..count].copy_from_slice(&bytes[..count]);
        if count > 0 {
            self.connection.recv_commit(count);
        }
        count
    }

    /// Takes the buffers if the machine releases them, and provides them again at the next read.
    pub fn take_buffers(&mut self) -> bool {
        let buffers = self.connection.take_buffers();
        let rested = buffers.is_some();
        self.pool = buffers.or(self.pool.take());
        rested
    }

    /// Passes all of `bytes`, polling after each read; for a machine that keeps reading.
    ///
    /// # Panics
    ///
    /// When the machine has no room although bytes remain.
    pub fn receive_all(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let count = self.receive(bytes);
            assert_ne!(count, 0, "no room for {} more bytes", bytes.len());
            bytes = &bytes[count..];
            self.poll();
        }
    }

    /// Passes `bytes` one at a time until all are accepted or the machine stops waiting for bytes.
    pub fn receive_bytewise(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if !matches!(self.poll(), Event::Io(Io { read: true, .. })) {
                break;
            }
            self.receive(std::slice::from_ref(byte));
        }
    }

    /// The number of bytes that one write can take.
    pub fn writable(&self) -> usize {
        let slices: usize = self.connection.transmit().slices().iter().map(|slice| slice.len()).sum();
        slices + usize::try_from(self.connection.external()).unwrap_or(usize::MAX)
    }

    /// Writes at most `most` bytes, like a partial write, and returns the number. Of the driver's own pieces, it keeps up
    /// to a megabyte.
    pub fn transmit(&mut self, most: usize) -> usize {
        let external = usize::try_from(self.connection.external()).unwrap_or(usize::MAX);
        if external > 0 {
            let count = most.min(external);
            self.sent.resize(self.sent.len() + count.min(1 << 20), EXTERNAL);
            self.connection.transmitted(count);
            return count;
        }
        let mut left = most;
        for slice in self.connection.transmit().slices() {
            let part = left.min(slice.len());
            self.sent.extend_from_slice(&slice[..part]);
            left -= part;
        }
        let count = most - left;
        if count > 0 {
            self.connection.transmitted(count);
        }
        count
    }

    /// Writes all pending bytes.
    pub fn flush(&mut self) {
        while self.transmit(usize::MAX) > 0 {}
    }

    /// All bytes written so far.
    pub fn sent(&self) -> &[u8] {
        &self.sent
    }

    /// Writes all pending bytes, and returns the bytes written since the last call as text.
    pub fn take_sent(&mut self) -> String {
        self.flush();
        String::from_utf8_lossy(&std::mem::take(&mut self.sent)).into_owned()
    }

    /// Passes the request in `bytes` and opens its exchange.
    ///
    /// # Panics
    ///
    /// When the bytes are not a request.
    pub fn open(&mut self, bytes: impl AsRef<[u8]>) -> Arc<Head> {
        let mut bytes = bytes.as_ref();
        while !bytes.is_empty() {
            let count = self.receive(bytes);
            bytes = &bytes[count..];
            if self.poll() == Event::Request || count == 0 {
                break;
            }
        }
        assert_eq!(self.poll(), Event::Request);
        assert!(bytes.is_empty(), "{} bytes after the head found no room", bytes.len());
        self.connection.take_request().expect("it was announced")
    }

    /// The application's half of the open exchange.
    ///
    /// # Panics
    ///
    /// When no exchange is open.
    pub fn exchange(&mut self) -> Exchange<'_> {
        self.connection.exchange().expect("an exchange is open")
    }

    /// Answers the open exchange with `200 OK` and a body of known length.
    ///
    /// # Panics
    ///
    /// When no exchange is open or the response was started.
    pub fn answer(&mut self, body: &str) {
        let mut exchange = self.exchange();
        exchange.respond("200 OK", NO_HEADERS).expect("nothing was started");
        exchange.announce_length(body.len() as u64);
        let _ = exchange.send(body).expect("the response was started");
        exchange.finish().expect("as long as announced");
    }

    /// Takes the announced record.
    ///
    /// # Panics
    ///
    /// When no record is announced.
    pub fn record(&mut self) -> Record {
        assert_eq!(self.poll(), Event::Done);
        self.connection.take_record().expect("it was announced")
    }

    /// Plays until the end: takes records, writes, closes, and lets the peer close once our half is closed.
    ///
    /// # Panics
    ///
    /// When the machine does not end by itself.
    pub fn end(&mut self) -> CloseReason {
        let mut shut = false;
        loop {
            match self.poll() {
                Event::Done => drop(self.record()),
                Event::Io(Io { write: true, .. }) => self.flush(),
                Event::Io(Io { last_read: true, .. }) => self.connection.recv_nothing(),
                Event::Io(Io { deadline: Some((at, Reason::Abort | Reason::Idle)), .. }) => {
                    self.pass(at.since(self.now.instant));
                }
                Event::Io(_) if shut => self.connection.recv_eof(),
                Event::Abort => self.connection.write_closed(),
                Event::ShutdownWrite => {
                    shut = true;
                    self.connection.write_closed();
                }
                Event::Closed(reason) => return reason,
                event => panic!("expected the end, not {event:?}"),
            }
        }
    }
}
