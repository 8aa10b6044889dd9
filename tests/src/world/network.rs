//! The simulated network: connections with small buffers, what the system knows of them and what the runtime has
//! reported.
//!
//! As on a real system, bytes arrive whether or not the process looks, a runtime is notified of them by a report that arrives
//! later, and a timer fires late. Everything that the process does not do itself is an [event](Outside) of the world
//! outside; all that the runtime reports is an [event inside](Inside), which waits as long as the process is stopped.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};
use std::task::Waker;

use crate::machine::choose::{Choose, Seeded};
use crate::world::answers::Reader;
use crate::world::client::Client;
use crate::world::time::{MICRO, MILLI, Nanos};

/// What happens outside of the server's process.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outside {
    /// A client takes its next step.
    Step(usize, u64),
    /// A client takes some of what was sent on a link.
    Drain(usize),
}

/// What the server's runtime reports.
#[derive(Debug)]
pub(crate) enum Inside {
    /// A link can be read from, as far as the system knows.
    Readable(usize),
    /// A link can be written to.
    Writable(usize),
    /// The timer of a link has fired, which was set to this time.
    Timer(usize, Nanos),
    /// A sleep is over.
    Sleep(usize),
    /// A connection waits in the accept queue.
    Accept,
    /// A task that gave way is woken.
    Wake(Waker),
    /// The operator's next command.
    Command,
}

struct Entry<E> {
    at: Nanos,
    number: u64,
    event: E,
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

/// Events in the order of their times; those of one time in the order in which they were added.
pub(crate) struct Events<E> {
    heap: BinaryHeap<Entry<E>>,
    number: u64,
}

impl<E> Default for Events<E> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), number: 0 }
    }
}

impl<E> Events<E> {
    pub(crate) fn add(&mut self, at: Nanos, event: E) {
        self.number += 1;
        self.heap.push(Entry { at, number: self.number, event });
    }

    pub(crate) fn next_at(&self) -> Option<Nanos> {
        self.heap.peek().map(|entry| entry.at)
    }

    /// The next event, if its time has come.
    pub(crate) fn take(&mut self, now: Nanos) -> Option<(Nanos, E)> {
        if self.next_at()? > now {
            return None;
        }
        self.heap.pop().map(|entry| (entry.at, entry.event))
    }
}

/// How a client takes what it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// At once.
    Eager,
    /// This number of bytes each time.
    Slow { bytes: usize, every: Nanos },
}

/// How a client ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    Closed,
    Reset,
}

/// A request that a client sent whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    /// Its place among the requests of the plan.
    pub(crate) id: usize,
    /// Where it ends in the bytes of its connection.
    pub(crate) end: u64,
    /// When its first bytes arrived, and when its last one did.
    pub(crate) began: Nanos,
    pub(crate) at: Nanos,
}

/// One connection, both directions of it, and what has to be known of it later.
pub(crate) struct Link {
    pub(crate) client: usize,
    /// The transport takes bytes and keeps them until it is flushed, as TLS does.
    pub(crate) keeps: bool,
    /// The transport waits for one byte before HTTP begins.
    pub(crate) handshake: bool,
    pub(crate) capacity: usize,
    pub(crate) reading: Reading,
    // From the client.
    pub(crate) arrived: VecDeque<u8>,
    pub(crate) end_arrived: bool,
    pub(crate) reset_arrived: bool,
    pub(crate) reported: bool,
    report_due: bool,
    pub(crate) reader: Option<Waker>,
    // To the client.
    pub(crate) kept: Vec<u8>,
    pub(crate) underway: VecDeque<u8>,
    pub(crate) writer: Option<Waker>,
    /// The next write finds no room, though there is some.
    pub(crate) stuck: bool,
    drain_due: bool,
    // The transport's timer.
    pub(crate) timer: Option<Nanos>,
    pub(crate) sleeper: Option<Waker>,
    pub(crate) lazy_timer: bool,
    // What is known of it later.
    pub(crate) opened: Nanos,
    /// When it was taken out of the queue, and when there was room for it.
    pub(crate) taken: Option<Nanos>,
    pub(crate) accepted: Option<Nanos>,
    pub(crate) half_closed: Option<Nanos>,
    pub(crate) dropped: Option<Nanos>,
    pub(crate) aborted: bool,
    /// The server's bytes are lost that had not reached the client.
    pub(crate) torn: bool,
    pub(crate) left: Option<(Nanos, Left)>,
    /// The client left before it had taken everything.
    pub(crate) left_early: bool,
    /// The byte that goes before HTTP was taken.
    pub(crate) shaken: bool,
    pub(crate) client_ended: Option<Nanos>,
    pub(crate) last_arrival: Nanos,
    /// Bytes that have arrived from the client; and those that had when the server closed its half.
    pub(crate) total: u64,
    pub(crate) total_in_time: Option<u64>,
    pub(crate) requests: Vec<Sent>,
    /// When the request began that is being sent.
    pub(crate) began: Option<Nanos>,
    /// Bytes that were written, and when.
    pub(crate) writes: Vec<(u64, Nanos)>,
    pub(crate) received: Reader,
}

impl Link {
    /// Whether the server has ended its half, whether or not the client has noticed.
    pub(crate) fn server_ended(&self) -> Option<Nanos> {
        self.half_closed.or(self.dropped)
    }

    /// Whether the client knows that nothing more will arrive.
    pub(crate) fn seen_end(&self) -> bool {
        self.torn || (self.server_ended().is_some() && self.underway.is_empty())
    }

    /// When the byte before `end` was written.
    pub(crate) fn written_at(&self, end: u64) -> Option<Nanos> {
        let at = self.writes.partition_point(|(total, _)| *total < end);
        self.writes.get(at).map(|(_, at)| *at)
    }

    pub(crate) fn note_written(&mut self, count: usize, now: Nanos) {
        let before = self.writes.last().map_or(0, |(total, _)| *total);
        self.writes.push((before + count as u64, now));
    }
}

/// How unkind the system is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manners {
    /// A read or write moves less than it could, once in this number of times; 1 never does.
    pub(crate) partial: usize,
    /// A write finds no room although there is some, once in this number of times; 1 never does.
    pub(crate) stuck: usize,
    /// A report is late, once in this number of times; 1 never does.
    pub(crate) late: usize,
}

/// All connections, clients and timers of a world.
pub(crate) struct Net {
    pub(crate) choices: Seeded,
    pub(crate) manners: Manners,
    pub(crate) now: Nanos,
    pub(crate) outside: Events<Outside>,
    pub(crate) inside: Events<Inside>,
    pub(crate) links: Vec<Link>,
    pub(crate) clients: Vec<Client>,
    /// Links that wait to be accepted; `None` once the listener is closed.
    pub(crate) queue: Option<VecDeque<usize>>,
    pub(crate) acceptor: Option<Waker>,
    pub(crate) sleeps: Vec<Option<Waker>>,
}

impl Net {
    pub(crate) fn new(choices: Seeded, manners: Manners) -> Self {
        Self {
            choices,
            manners,
            now: 0,
            outside: Events::default(),
            inside: Events::default(),
            links: Vec::new(),
            clients: Vec::new(),
            queue: Some(VecDeque::new()),
            acceptor: None,
            sleeps: Vec::new(),
        }
    }

    /// How late a report is.
    pub(crate) fn lateness(&mut self) -> Nanos {
        if self.manners.late > 1 && self.choices.once_in(self.manners.late) {
            return self.choices.below(5 * MILLI as usize) as Nanos;
        }
        self.choices.below(20) as Nanos * MICRO
    }

    pub(crate) fn happens_less(&mut self) -> bool {
        self.manners.partial > 1 && self.choices.once_in(self.manners.partial)
    }

    /// Opens a connection; `None` when nothing listens any more.
    pub(crate) fn connect(&mut self, client: usize) -> Option<usize> {
        let at = self.now;
        let queue = self.queue.as_mut()?;
        let number = self.links.len();
        queue.push_back(number);
        let Client { reading, keeps, handshake, capacity, .. } = self.clients[client];
        self.links.push(Link {
            client,
            keeps,
            handshake,
            capacity,
            reading,
            arrived: VecDeque::new(),
            end_arrived: false,
            reset_arrived: false,
            reported: false,
            report_due: false,
            reader: None,
            kept: Vec::new(),
            underway: VecDeque::new(),
            writer: None,
            stuck: false,
            drain_due: false,
            timer: None,
            sleeper: None,
            lazy_timer: self.choices.once_in(2),
            opened: at,
            taken: None,
            accepted: None,
            half_closed: None,
            dropped: None,
            aborted: false,
            torn: false,
            left: None,
            left_early: false,
            shaken: !handshake,
            client_ended: None,
            last_arrival: at,
            total: 0,
            total_in_time: None,
            requests: Vec::new(),
            began: None,
            writes: Vec::new(),
            received: Reader::default(),
        });
        let late = self.lateness();
        self.inside.add(at + late, Inside::Accept);
        Some(number)
    }

    /// Bytes of a client arrive at the server's system.
    pub(crate) fn deliver(&mut self, number: usize, bytes: &[u8]) {
        let now = self.now;
        let link = &mut self.links[number];
        link.total += bytes.len() as u64;
        link.last_arrival = now;
        if link.dropped.is_some() {
            // Nobody is there: the system answers with a reset, which takes along what the client has not read.
            self.tear(number);
            return;
        }
        link.arrived.extend(bytes);
        self.report(number);
    }

    /// The client has closed its half.
    pub(crate) fn deliver_end(&mut self, number: usize) {
        let link = &mut self.links[number];
        link.client_ended.get_or_insert(self.now);
        link.end_arrived = true;
        self.report(number);
    }

    /// The client closes, or resets, the connection.
    pub(crate) fn leave(&mut self, number: usize, how: Left) {
        let now = self.now;
        let link = &mut self.links[number];
        if link.left.is_some() {
            return;
        }
        link.left = Some((now, how));
        link.left_early = !link.seen_end();
        link.client_ended.get_or_insert(now);
        link.end_arrived = true;
        // Bytes that a client has not read make its close a reset.
        if how == Left::Reset || !link.underway.is_empty() {
            link.reset_arrived = true;
            if self.choices.once_in(2) {
                link.arrived.clear();
            }
        }
        link.underway.clear();
        self.report(number);
        let late = self.lateness();
        self.inside.add(now + late, Inside::Writable(number));
    }

    /// The connection is reset by the server's system.
    pub(crate) fn tear(&mut self, number: usize) {
        let link = &mut self.links[number];
        link.torn = true;
        link.underway.clear();
        let client = link.client;
        self.client_looks(client, number);
    }

    fn report(&mut self, number: usize) {
        let link = &mut self.links[number];
        if link.reported || link.report_due || link.dropped.is_some() {
            return;
        }
        link.report_due = true;
        let late = self.lateness();
        self.inside.add(self.now + late, Inside::Readable(number));
    }

    /// Bytes were sent: the client takes them, now or later.
    pub(crate) fn sent(&mut self, number: usize) {
        let link = &mut self.links[number];
        if link.left.is_some() {
            // They arrive at a closed socket: the answer is a reset.
            if !link.underway.is_empty() {
                link.underway.clear();
                link.reset_arrived = true;
                self.report(number);
            }
            return;
        }
        match link.reading {
            Reading::Eager => self.drain(number, usize::MAX),
            Reading::Slow { every, .. } if !link.drain_due => {
                link.drain_due = true;
                self.outside.add(self.now + every, Outside::Drain(number));
            }
            Reading::Slow { .. } => {}
        }
    }

    /// The client takes as much as it does each time.
    pub(crate) fn drain_some(&mut self, number: usize) {
        let link = &mut self.links[number];
        link.drain_due = false;
        let Reading::Slow { bytes, every } = link.reading else { return };
        self.drain(number, bytes);
        let link = &mut self.links[number];
        if !link.underway.is_empty() {
            link.drain_due = true;
            self.outside.add(self.now + every, Outside::Drain(number));
        }
    }

    fn drain(&mut self, number: usize, most: usize) {
        let now = self.now;
        let link = &mut self.links[number];
        if link.left.is_some() {
            return;
        }
        let count = most.min(link.underway.len());
        let was_full = link.underway.len() >= link.capacity;
        link.received.take(link.underway.drain(..count), now);
        if link.seen_end() && !link.torn && link.dropped.is_none_or(|_| !link.aborted) {
            link.received.end(now);
        }
        let client = link.client;
        if was_full && count > 0 && link.writer.is_some() {
            let late = self.lateness();
            self.inside.add(now + late, Inside::Writable(number));
        }
        self.client_looks(client, number);
    }

    /// A client that waits for an answer, or for the end, looks again.
    fn client_looks(&mut self, client: usize, link: usize) {
        if self.clients[client].is_content(&self.links[link]) {
            let think = self.clients[client].think(&mut self.choices);
            self.step_after(client, think);
        }
    }

    /// Tells the runtime what the system knows.
    pub(crate) fn fire(&mut self, event: Inside) -> Option<Waker> {
        match event {
            Inside::Readable(number) => {
                let link = &mut self.links[number];
                (link.report_due, link.reported) = (false, true);
                link.reader.take()
            }
            Inside::Writable(number) => {
                let link = &mut self.links[number];
                link.stuck = false;
                link.writer.take()
            }
            Inside::Timer(number, at) => {
                let link = &mut self.links[number];
                if link.timer != Some(at) {
                    return None;
                }
                link.timer = None;
                link.sleeper.take()
            }
            Inside::Sleep(number) => self.sleeps[number].take(),
            Inside::Accept => self.acceptor.take(),
            Inside::Wake(waker) => Some(waker),
            Inside::Command => None,
        }
    }
}
