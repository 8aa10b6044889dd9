//! The driver's half of the machine: one connection, one question.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::body::{BodyReader, Step};
use crate::buffers::Buffers;
use crate::date::DateCache;
use crate::event::{Event, Expectation, Io, Reason, Timers};
use crate::exchange::{Exchange, Ledger};
use crate::inbox::Inbox;
use crate::outbox::{Outbox, Transmit};
use crate::response::{self, Reply};
use crate::scan::Scan;
use crate::state::{Link, LinkEvent, OurEvent, OurHalf, PeerEvent, PeerHalf, State};
use crate::time::{Instant, Now};
use crate::{BodyLength, CloseReason, Config, Head, Lost, Peer, Record, RequestError, Version};

/// One HTTP/1.x connection of a server, without anything that moves bytes.
///
/// The driver asks [`poll`](Self::poll) what to do, does it, and asks again. Any call may follow any other; what makes
/// no sense in a state has no effect. See the crate's documentation for a whole driver.
#[derive(Debug)]
pub struct Connection {
    pub(crate) config: Arc<Config>,
    pub(crate) peer: Peer,
    pub(crate) state: State,
    pub(crate) inbox: Inbox,
    pub(crate) outbox: Outbox,
    scan: Scan,
    /// The head of the current exchange; between exchanges, memory to read the next one into.
    pub(crate) head: Option<Arc<Head>>,
    pub(crate) body: BodyReader,
    pub(crate) reply: Reply,
    pub(crate) ledger: Ledger,
    pub(crate) now: Now,
    pub(crate) date: DateCache,
    pub(crate) timers: Timers,
    pub(crate) lost: Option<Lost>,
    pub(crate) eof: bool,
    /// Bytes dropped since our half was closed.
    lingered: u64,
    reason: Option<CloseReason>,
}

impl Connection {
    /// A connection that was just accepted. It holds no buffer until one is [lent](Self::lend).
    pub fn new(config: Arc<Config>, peer: Peer) -> Self {
        Self {
            config,
            peer,
            state: State::new(),
            inbox: Inbox::default(),
            outbox: Outbox::default(),
            scan: Scan::default(),
            head: None,
            body: BodyReader::default(),
            reply: Reply::default(),
            ledger: Ledger::default(),
            now: Now::default(),
            date: DateCache::default(),
            timers: Timers::default(),
            lost: None,
            eof: false,
            lingered: 0,
            reason: None,
        }
    }

    /// What now? `now` is compared with the deadlines, and kept for what is dated until the next call.
    pub fn poll(&mut self, now: Now) -> Event {
        self.now = now;
        loop {
            if let Some(event) = self.step() {
                return event;
            }
        }
    }

    /// Initialised room to read into. Empty: the machine wants no more bytes now, or has no buffer.
    pub fn recv_space(&mut self) -> &mut [u8] {
        let limits = &self.config.limits;
        let limit = match (self.state.link(), self.state.peer()) {
            (Link::Open, PeerHalf::Idle | PeerHalf::Head) => {
                // The request line's spaces and version, and empty lines before it, are few.
                let line = limits.method.saturating_add(limits.target).saturating_add(64);
                limits.inbox.max(line.saturating_add(limits.fields_size))
            }
            (Link::Open, PeerHalf::Body) => self.body.wanted_space(limits),
            _ => limits.inbox,
        };
        let large_body = matches!(self.state.peer(), PeerHalf::Body);
        self.inbox.space(limit, large_body)
    }

    /// Tells that the first `n` bytes of [`recv_space`](Self::recv_space) were received. More than there was room
    /// for counts as all of it.
    pub fn recv_commit(&mut self, n: usize) {
        self.inbox.commit(n);
        self.ledger.wants_body = false;
        self.timers.read = None;
    }

    /// Tells that the peer closed its sending half. Requests that arrived whole are still answered.
    pub fn recv_eof(&mut self) {
        self.eof = true;
        self.ledger.wants_body = false;
    }

    /// Tells that nothing can be sent any more. The calls of an open exchange fail from now on.
    pub fn lost(&mut self, cause: Lost) {
        if self.state.link() == Link::Closed {
            return;
        }
        self.lost = Some(cause);
        self.ledger.transmitted = Some(self.outbox.total_transmitted());
        self.outbox.discard();
        self.reason.get_or_insert(CloseReason::Lost(cause));
        self.state.on_link(LinkEvent::Over);
    }

    /// What to write: slices for one vectored write.
    pub fn transmit(&self) -> Transmit<'_> {
        self.outbox.transmit()
    }

    /// Tells that the first `n` bytes of [`transmit`](Self::transmit) were written.
    pub fn transmitted(&mut self, n: usize) {
        self.outbox.transmitted(n);
        self.timers.write = None;
    }

    /// The request that [`Event::Request`] announced; its exchange is open from now on.
    pub fn take_request(&mut self) -> Option<Arc<Head>> {
        if !self.state.request_is_ready() || self.state.link() != Link::Open {
            return None;
        }
        self.state.on_ours(OurEvent::Taken);
        self.head.clone()
    }

    /// The record that [`Event::Done`] announced. After it the next exchange may begin. A connection that was taken
    /// over has one too, to be taken when the application is through with the stream.
    pub fn take_record(&mut self) -> Option<Record> {
        if !self.record_is_ready() {
            return None;
        }
        let record = self.ledger.record(self);
        self.pass_record();
        Some(record)
    }

    /// As [`take_record`](Self::take_record), for a driver that has no use for the record.
    pub fn pass_record(&mut self) {
        if !self.record_is_ready() {
            return;
        }
        self.ledger.settled = true;
        self.timers.drain = None;
        if self.state.link() != Link::Open || self.state.ours() == OurHalf::TakenOver {
            return;
        }
        if self.state.persists() {
            self.state.next_exchange();
        } else {
            let reason = match (self.ledger.refused, self.state.ours()) {
                (Some(error), _) => CloseReason::Refused(error),
                (None, OurHalf::Cut) => CloseReason::Cut,
                (None, _) => CloseReason::Finished,
            };
            self.end(reason);
        }
    }

    /// Tells that the sending half was closed, as [`Event::ShutdownWrite`] asked for.
    pub fn write_closed(&mut self) {
        if self.state.link() == Link::Flushing && self.outbox.is_empty() {
            self.state.on_link(LinkEvent::WriteClosed);
        }
    }

    /// No further request is begun. One of which a byte was received is served, with `Connection: close`. Legal in
    /// every state.
    pub fn shutdown(&mut self) {
        if self.state.link() == Link::Open {
            self.reason.get_or_insert(CloseReason::Shutdown);
        }
        self.state.do_not_persist();
    }

    /// The application's half: `Some` exactly while a request is open.
    pub fn exchange(&mut self) -> Option<Exchange<'_>> {
        self.state.exchange_is_open().then(|| Exchange::new(self))
    }

    /// Gives the machine memory to work with. It keeps it until [`rest`](Self::rest).
    pub fn lend(&mut self, buffers: Buffers) {
        self.inbox.lend(buffers.recv);
        self.outbox.lend(buffers.send);
        self.reply.lend_memory(buffers.reply);
        if self.head.is_none() {
            self.head = buffers.head;
        }
    }

    /// Whether the machine holds lent buffers.
    pub fn has_buffers(&self) -> bool {
        self.inbox.has_buffer()
    }

    /// The buffers, when the connection is idle and nothing is in them, or when it is closed.
    pub fn rest(&mut self) -> Option<Buffers> {
        let idle = matches!((self.state.peer(), self.state.ours()), (PeerHalf::Idle, OurHalf::Idle))
            && self.inbox.is_empty();
        let closed = self.state.link() == Link::Closed && !self.state.exchange_is_open();
        if !((idle || closed) && self.has_buffers() && self.outbox.is_empty()) {
            return None;
        }
        Some(Buffers {
            recv: self.inbox.take_buffer(),
            send: self.outbox.take_buffer(),
            reply: self.reply.take_memory(),
            head: self.head.take().filter(|head| Arc::strong_count(head) == 1),
        })
    }

    /// Addresses and scheme.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The settings.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Whether a byte of a request has been received that is not answered. A graceful stop lets such a connection
    /// finish.
    pub fn is_busy(&self) -> bool {
        self.state.peer() != PeerHalf::Idle || !self.inbox.is_empty() || !self.outbox.is_empty()
    }

    /// Whether nothing can be sent any more.
    pub fn is_lost(&self) -> bool {
        self.lost.is_some()
    }

    /// One step. `None`: something changed, ask again.
    fn step(&mut self) -> Option<Event> {
        match self.state.ours() {
            OurHalf::Open | OurHalf::Sending => {
                let watches = self.ledger.watches && !self.eof && self.inbox.len() < self.config.limits.inbox;
                self.wait(self.lost.is_none() && (self.ledger.wants_body || watches))
            }
            OurHalf::Idle => self.between_exchanges(),
            OurHalf::Done if self.state.drains() => self.drain(),
            OurHalf::Done | OurHalf::Cut if self.ledger.settled => self.closing(),
            OurHalf::Done | OurHalf::Cut if self.record_is_ready() => Some(Event::Done),
            OurHalf::Done | OurHalf::Cut => self.wait(false),
            OurHalf::TakenOver if self.state.link() != Link::Open => self.closing(),
            OurHalf::TakenOver if self.outbox.is_empty() => Some(Event::TakenOver),
            OurHalf::TakenOver => self.wait(false),
        }
    }

    fn between_exchanges(&mut self) -> Option<Event> {
        match (self.state.link(), self.state.request_is_ready()) {
            (Link::Open, false) => self.await_request(),
            (Link::Open, true) => Some(Event::Request),
            _ => self.closing(),
        }
    }

    /// There is no further exchange.
    fn closing(&mut self) -> Option<Event> {
        match self.state.link() {
            Link::Flushing if self.outbox.is_empty() => Some(Event::ShutdownWrite),
            Link::Open | Link::Flushing => self.wait(false),
            Link::Lingering => self.linger(),
            Link::Closed => Some(Event::Closed(self.reason.unwrap_or(CloseReason::Finished))),
        }
    }

    fn record_is_ready(&self) -> bool {
        let hooks_may_run = !self.ledger.flush_first || self.outbox.is_empty();
        let is_over = self.state.exchange_is_over() || self.state.ours() == OurHalf::TakenOver;
        is_over && !self.ledger.settled && hooks_may_run
    }

    /// Looks for a whole head in the inbox.
    fn await_request(&mut self) -> Option<Event> {
        // A peer that sends requests and reads no answers is held back.
        if self.outbox.len() >= self.config.limits.outbox {
            return self.wait(false);
        }
        match self.read_head() {
            Ok(true) => None,
            Ok(false) if self.state.peer() == PeerHalf::Idle => {
                if self.eof {
                    self.end(CloseReason::PeerClosed);
                    None
                } else if !self.state.persists() {
                    self.end(CloseReason::Shutdown);
                    None
                } else {
                    self.wait(true)
                }
            }
            Ok(false) if self.eof => {
                self.refuse(RequestError::Incomplete);
                None
            }
            Ok(false) => self.wait(true),
            Err(error) => {
                self.refuse(error);
                None
            }
        }
    }

    fn read_head(&mut self) -> Result<bool, RequestError> {
        if self.inbox.is_empty() {
            return Ok(false);
        }
        let config = Arc::clone(&self.config);
        let found = self.scan.advance(self.inbox.bytes(), &config.limits);
        let skip = if matches!(found, Ok(None)) { self.scan.skip() } else { 0 };
        self.inbox.consume(skip);
        if self.state.peer() == PeerHalf::Idle
            && (!matches!(found, Ok(None)) || self.scan.begun(self.inbox.bytes()))
        {
            self.state.on_peer(PeerEvent::Began);
            self.timers =
                Timers { head: Some(self.now.instant), write: self.timers.write, ..Timers::default() };
        }
        let Some(section) = found? else { return Ok(false) };
        let bytes = &self.inbox.bytes()[section.start..section.end];
        // Nobody else holds the head of an exchange that is over, unless the application kept it.
        let head = match self.head.as_mut().and_then(Arc::get_mut) {
            Some(head) => head,
            None => Arc::get_mut(self.head.insert(Arc::default())).ok_or(RequestError::RequestLine)?,
        };
        head.read(bytes, section.fields, &config.limits)?;
        let (length, expects) = (head.body_length(), head.expects_continue());
        self.inbox.consume(section.end);
        self.scan = Scan::default();
        self.begin_exchange(length, expects);
        Ok(true)
    }

    fn begin_exchange(&mut self, length: BodyLength, expects_continue: bool) {
        let alone = length == BodyLength::Known(0);
        self.state.on_peer(if alone { PeerEvent::HeadAlone } else { PeerEvent::HeadWithBody });
        self.body = BodyReader::new(length);
        self.reply.reset(self.config.minimum_chunk_size);
        self.timers = Timers { write: self.timers.write, ..Timers::default() };
        self.ledger.begin(self.now.instant, true);
        if expects_continue && self.config.max_http_version == Version::Http11 {
            self.ledger.expectation = Expectation::Pending;
        }
    }

    /// Reads and drops what is left of a request body, within the limits.
    fn drain(&mut self) -> Option<Event> {
        loop {
            let step = match self.drains_in_vain() {
                true => Err(()),
                false => self.body.step(&mut self.inbox, &self.config.limits).map_err(|_| ()),
            };
            match step {
                Ok(Step::Data(count)) => {
                    self.inbox.consume(count);
                    self.body.consumed(count);
                    self.ledger.drained += count as u64;
                }
                // The size of a chunk may have come just now.
                Ok(Step::More) if !self.eof && !self.drains_in_vain() => return self.wait(true),
                Ok(Step::End(_)) => {
                    self.state.on_peer(PeerEvent::BodyEnded);
                    return None;
                }
                Ok(Step::More) | Err(()) => {
                    self.state.on_peer(PeerEvent::Failed);
                    return None;
                }
            }
        }
    }

    /// Whether the rest of the body is not worth reading.
    fn drains_in_vain(&self) -> bool {
        // A client that was never told to send the body may or may not send it: the end cannot be found.
        !self.state.persists()
            || self.ledger.expectation == Expectation::Pending
            || self.body.remaining().saturating_add(self.ledger.drained) > self.config.limits.drain
    }

    fn linger(&mut self) -> Option<Event> {
        self.lingered += self.inbox.len() as u64;
        self.inbox.consume(self.inbox.len());
        if self.eof || self.ledger.nothing_answered || self.lingered > self.config.limits.linger {
            self.state.on_link(LinkEvent::Over);
            return None;
        }
        self.wait(true)
    }

    /// Answers a request that is none, instead of the application.
    pub(crate) fn refuse(&mut self, error: RequestError) {
        if self.state.peer() == PeerHalf::Idle {
            self.state.on_peer(PeerEvent::Began);
        }
        let is_head = if self.state.ours() == OurHalf::Idle {
            // There is no valid head; what is known of the request line is for the log.
            self.ledger.begin(self.now.instant, false);
            self.ledger.request_line =
                self.scan.request_line(self.inbox.bytes()).map(Vec::from).unwrap_or_default();
            self.ledger.request_line.starts_with(b"HEAD ")
        } else {
            self.head.as_ref().is_some_and(|head| head.facts.is_head)
        };
        self.ledger.refused = Some(error);
        if self.state.peer() != PeerHalf::Failed {
            self.state.on_peer(PeerEvent::Failed);
        }
        let text = alloc::format!("{error}\n");
        self.answer(error.status(), &text, is_head);
    }

    /// The one writer of answers that are the machine's own.
    pub(crate) fn answer(&mut self, status: u16, text: &str, is_head: bool) {
        let mut head = Vec::with_capacity(192);
        response::status_line(&mut head, self.config.max_http_version, response::own_status(status));
        head.extend_from_slice(self.date.line(self.now.unix));
        head.extend_from_slice(b"Connection: close\r\nContent-Type: text/plain\r\nContent-Length: ");
        head.extend_from_slice(itoa::Buffer::new().format(text.len()).as_bytes());
        head.extend_from_slice(b"\r\n\r\n");
        self.ledger.response_from = self.outbox.total();
        self.ledger.head_length = head.len() as u64;
        self.ledger.status = status;
        self.outbox.copy(&head);
        if !is_head {
            self.outbox.copy(text.as_bytes());
            self.ledger.body_length = text.len() as u64;
        }
        self.state.do_not_persist();
        self.state.on_ours(OurEvent::Answered);
    }

    /// No further exchange: flush, close our half, linger.
    fn end(&mut self, reason: CloseReason) {
        self.reason.get_or_insert(reason);
        // What was refused says more than what was asked of the server meanwhile.
        if matches!(reason, CloseReason::Refused(_) | CloseReason::Cut) {
            self.reason = Some(reason);
        }
        self.ledger.nothing_answered = self.state.ours() == OurHalf::Idle;
        self.state.on_link(LinkEvent::Ending);
    }

    /// A wait, unless its deadline has passed already.
    pub(crate) fn wait(&mut self, read: bool) -> Option<Event> {
        let write = !self.outbox.is_empty();
        let deadline = self.deadline(read, write);
        match deadline {
            Some((at, reason)) if at <= self.now.instant => {
                self.expired(reason);
                None
            }
            _ => Some(Event::Io(Io { read, write, deadline })),
        }
    }

    fn deadline(&mut self, read: bool, write: bool) -> Option<(Instant, Reason)> {
        let (config, now) = (&*self.config, self.now.instant);
        let timers = &mut self.timers;
        let mut earliest: Option<(Instant, Reason)> = None;
        let mut until = |since: &mut Option<Instant>, bound: Option<core::time::Duration>, reason| {
            let Some(bound) = bound else { return };
            let at = since.get_or_insert(now).after(bound);
            if earliest.is_none_or(|(earlier, _)| at < earlier) {
                earliest = Some((at, reason));
            }
        };
        if write {
            until(&mut timers.write, config.socket_timeout, Reason::Write);
        }
        if !read {
            return earliest;
        }
        match (self.state.link(), self.state.peer()) {
            (Link::Lingering, _) => until(&mut timers.linger, Some(config.linger_timeout), Reason::Linger),
            // A peer that is still being answered is not idle.
            (_, PeerHalf::Idle) if write => {}
            (_, PeerHalf::Idle) => until(&mut timers.idle, config.idle_timeout(), Reason::Idle),
            (_, PeerHalf::Head) => {
                until(&mut timers.head, config.header_timeout, Reason::Head);
                until(&mut timers.read, config.socket_timeout, Reason::Read);
            }
            // Bytes that nobody waits for, as when the peer is only watched, are not late.
            (_, PeerHalf::Body) if !self.ledger.wants_body && !self.state.drains() => {}
            (_, PeerHalf::Body) => {
                until(&mut timers.read, config.socket_timeout, Reason::Read);
                if self.state.drains() {
                    until(&mut timers.drain, Some(config.linger_timeout), Reason::Drain);
                }
            }
            (_, PeerHalf::Done | PeerHalf::Failed) => {}
        }
        earliest
    }

    fn expired(&mut self, reason: Reason) {
        match reason {
            Reason::Idle => self.end(CloseReason::IdleTimeout),
            Reason::Head => self.refuse(RequestError::Timeout),
            Reason::Write => self.lost(Lost::TimedOut),
            Reason::Linger => self.state.on_link(LinkEvent::Over),
            Reason::Drain => self.state.on_peer(PeerEvent::Failed),
            Reason::Read if self.state.peer() == PeerHalf::Head => self.refuse(RequestError::Timeout),
            Reason::Read => {
                self.ledger.wants_body = false;
                self.ledger.failure = Some(RequestError::Timeout);
                self.state.on_peer(PeerEvent::Failed);
            }
        }
    }
}
