//! The driver's half of the machine: one connection, one question.

use alloc::boxed::Box;
use alloc::sync::Arc;

use crate::config::Config;
use crate::error::CloseReason;
use crate::error::Lost;
use crate::error::RequestError;
use crate::event::{Event, Timers};
use crate::exchange::Exchange;
use crate::http::date::DateCache;
use crate::http::head::Head;
use crate::http::inbox::Inbox;
use crate::http::request_body::BodyReader;
use crate::http::response::Reply;
use crate::http::scan::Scan;
use crate::machine::account::Ledger;
use crate::machine::buffers::{Buffers, Memory};
use crate::machine::outbox::{Outbox, Transmit};
use crate::machine::state::{Link, LinkEvent, OurEvent, OurHalf, PeerHalf, State};
use crate::peer::Peer;
use crate::time::Now;
use crate::wsgi::record::Record;

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
    pub(crate) scan: Scan,
    /// What the buffers came in, for the way back.
    memory: Option<Box<Memory>>,
    /// Nobody lent them: they are freed at the next idle wait.
    pub(crate) owns_memory: bool,
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
    skips_records: bool,
    /// There is no time to linger.
    pub(crate) hurries: bool,
    /// The server stops: at most one further exchange, if something of its request has been received.
    pub(crate) stopping: bool,
    /// An exchange was over when the server stopped.
    answered: bool,
    /// Bytes dropped since our half was closed.
    pub(crate) lingered: u64,
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
            memory: None,
            owns_memory: false,
            head: None,
            body: BodyReader::default(),
            reply: Reply::default(),
            ledger: Ledger::default(),
            now: Now::default(),
            date: DateCache::default(),
            timers: Timers::default(),
            lost: None,
            eof: false,
            skips_records: false,
            hurries: false,
            stopping: false,
            answered: false,
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

    /// Initialised room to read into, never empty. `None`: the machine wants no more bytes now.
    ///
    /// A machine that was [lent](Self::lend) no buffer makes one, which it frees when it waits for a request.
    pub fn recv_space(&mut self) -> Option<&mut [u8]> {
        if self.state.link() == Link::Closed || self.state.ours() == OurHalf::TakenOver {
            return None;
        }
        if !self.has_buffers() {
            self.lend(Buffers::new());
            self.owns_memory = true;
        }
        let limits = &self.config.limits;
        let limit = match (self.state.link(), self.state.peer()) {
            (Link::Open, PeerHalf::Idle | PeerHalf::Head) => {
                // The request line's spaces and version, and empty lines before it, are few.
                let line = limits.method.saturating_add(limits.target).saturating_add(64);
                limits.inbox.max(line.saturating_add(limits.fields_size))
            }
            (Link::Open, PeerHalf::Body) => self.body.wanted_space(limits),
            _ => limits.inbox.max(1),
        };
        let large_body = matches!(self.state.peer(), PeerHalf::Body);
        let space = self.inbox.space(limit, large_body);
        if space.is_empty() { None } else { Some(space) }
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
        if matches!(self.reason, None | Some(CloseReason::Shutdown)) {
            self.reason = Some(CloseReason::Lost(cause));
        }
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

    /// What follows the record of an exchange.
    fn pass_record(&mut self) {
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
            if self.stopping {
                self.state.do_not_persist();
                self.answered = true;
            }
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

    /// No further request is begun. One of which a byte was received is served, with `Connection: close`; so is the next
    /// one of which a byte was received by the end of a response whose head has promised to go on. Legal in every
    /// state.
    pub fn shutdown(&mut self) {
        if self.state.link() == Link::Open {
            self.reason.get_or_insert(CloseReason::Shutdown);
        }
        self.stopping = true;
        // A head that is out and has not said `close` lets the peer expect an answer to what it has sent ahead.
        if !self.state.has_sent_head() {
            self.state.do_not_persist();
        }
    }

    /// Whether no request is with the application: none has begun, or its head is still arriving.
    pub fn awaits_request(&self) -> bool {
        self.state.ours() == OurHalf::Idle && !self.state.request_is_ready() && self.outbox.is_empty()
    }

    /// Ends a connection that [awaits a request](Self::awaits_request), to make room for another: without a word when
    /// none has begun, else with 408. No effect in other states.
    pub fn leave(&mut self) {
        if self.state.link() != Link::Open || !self.awaits_request() {
            return;
        }
        match self.state.peer() {
            PeerHalf::Head => {
                self.refuse(RequestError::Timeout);
                // Somebody waits for its place.
                self.hurries = true;
            }
            _ => self.shutdown(),
        }
    }

    /// The application's half: `Some` exactly while a request is open.
    pub fn exchange(&mut self) -> Option<Exchange<'_>> {
        self.state.exchange_is_open().then(|| Exchange::new(self))
    }

    /// From now on [`Event::Done`] comes only for exchanges that ask for it by
    /// [`flush_before_record`](Exchange::flush_before_record): for a driver that has no use for the other records.
    pub fn skip_records(&mut self) {
        self.skips_records = true;
    }

    /// The record of an exchange that the application is through with waits until the response is flushed, also if
    /// records are [skipped](Self::skip_records). No effect once the record was announced as over.
    pub fn flush_before_record(&mut self) {
        if self.state.ours() != OurHalf::Idle && !self.ledger.settled {
            self.ledger.flush_first = true;
        }
    }

    /// Gives the machine memory to work with, for instance of a pool. It keeps it until [`rest`](Self::rest). No effect
    /// when it has some.
    pub fn lend(&mut self, mut buffers: Buffers) {
        if self.has_buffers() {
            return;
        }
        self.swap_memory(&mut buffers.0);
        self.memory = Some(buffers.0);
    }

    fn swap_memory(&mut self, memory: &mut Memory) {
        self.inbox.swap_buffer(&mut memory.recv);
        self.outbox.swap_buffer(&mut memory.send);
        self.reply.swap_memory(&mut memory.reply);
        core::mem::swap(&mut self.head, &mut memory.head);
    }

    /// Whether the machine holds buffers.
    pub fn has_buffers(&self) -> bool {
        self.memory.is_some()
    }

    /// The buffers, when the connection is idle and nothing is in them, or when it is closed.
    pub fn rest(&mut self) -> Option<Buffers> {
        let idle = matches!((self.state.peer(), self.state.ours()), (PeerHalf::Idle, OurHalf::Idle))
            && self.inbox.is_empty();
        let closed = self.state.link() == Link::Closed && !self.state.exchange_is_open();
        let taken_over = self.state.ours() == OurHalf::TakenOver && self.inbox.is_empty();
        if !((idle || closed || taken_over) && self.outbox.is_empty()) {
            return None;
        }
        let mut memory = self.memory.take()?;
        self.owns_memory = false;
        self.ledger.forget();
        self.swap_memory(&mut memory);
        // What the application kept is no memory to read the next head into.
        memory.head.take_if(|head| Arc::strong_count(head) > 1);
        Some(Buffers(memory))
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
            OurHalf::Done | OurHalf::Cut if self.skips_records && !self.ledger.flush_first => {
                self.pass_record();
                None
            }
            OurHalf::Done | OurHalf::Cut if self.record_is_ready() => Some(Event::Done),
            OurHalf::Done | OurHalf::Cut => self.wait(false),
            OurHalf::TakenOver if self.state.link() != Link::Open => match self.record_is_ready() {
                true => Some(Event::Done),
                false => self.closing(),
            },
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

    pub(crate) fn record_is_ready(&self) -> bool {
        let hooks_may_run = !self.ledger.flush_first || self.outbox.is_empty();
        let is_over = self.state.exchange_is_over() || self.state.ours() == OurHalf::TakenOver;
        is_over && !self.ledger.settled && hooks_may_run
    }

    /// No further exchange: flush, close our half, linger.
    pub(crate) fn end(&mut self, reason: CloseReason) {
        self.reason.get_or_insert(reason);
        // What was refused says more than what was asked of the server meanwhile.
        if matches!(reason, CloseReason::Refused(_) | CloseReason::Cut) {
            self.reason = Some(reason);
        }
        // An answer may still be on its way, and a reset would destroy it.
        let answered = self.answered || !self.outbox.is_empty();
        self.ledger.nothing_answered = self.state.ours() == OurHalf::Idle && !answered;
        self.state.on_link(LinkEvent::Ending);
    }
}
