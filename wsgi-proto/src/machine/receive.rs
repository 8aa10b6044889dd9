//! Input that the machine handles itself: it reads heads, drains bodies that the application did not read, and drops
//! bytes that arrive after the last response.

use alloc::sync::Arc;

use crate::config::Limits;
use crate::error::{CloseReason, RequestError};
use crate::event::Event;
use crate::http::head::{BodyLength, Head};
use crate::http::request_body::{BodyReader, Step};
use crate::http::scan::Scan;
use crate::machine::Machine;
use crate::machine::progress::Expectation;
use crate::machine::state::{OurEvent, OurHalf, PeerEvent, PeerHalf, Phase};
use crate::version::Version;

impl Machine {
    pub(crate) fn recv_space(&mut self) -> Option<&mut [u8]> {
        // A connection between two requests.
        let idle = (Phase::Open, PeerHalf::Idle, OurHalf::Idle);
        if (self.state.phase(), self.state.peer(), self.state.ours()) == idle
            && self.inbox.is_free(self.config.limits.inbox)
        {
            return Some(self.inbox.whole_space());
        }
        self.recv_space_in_general()
    }

    #[inline(never)]
    fn recv_space_in_general(&mut self) -> Option<&mut [u8]> {
        if self.state.phase() == Phase::Closed || self.state.ours() == OurHalf::TakenOver {
            return None;
        }
        self.make_buffers();
        let limits = &self.config.limits;
        let limit = match (self.state.phase(), self.state.peer()) {
            (Phase::Open, PeerHalf::Idle | PeerHalf::Head) => space_for_head(limits),
            (Phase::Open, PeerHalf::Body) => self.body.wanted_space(limits),
            _ => limits.inbox.max(1),
        };
        let expected = match (self.state.phase(), self.state.peer()) {
            (Phase::Lingering, _) => u64::MAX,
            (_, PeerHalf::Body) => self.body.expected(),
            _ => 0,
        };
        let space = self.inbox.space(limit, expected);
        if space.is_empty() { None } else { Some(space) }
    }

    pub(crate) fn recv_commit(&mut self, n: usize) {
        // Nothing was received (for example, a TLS record without content), so timers and waits are unchanged.
        if n == 0 {
            return;
        }
        self.inbox.commit(n);
        self.received_bytes(n);
    }

    /// Accounts for bytes that arrived.
    pub(crate) fn received_bytes(&mut self, n: usize) {
        if let Some(rates) = self.rates() {
            rates.request.add(n);
        }
        self.received();
        self.timers.read = None;
    }

    pub(crate) fn recv_eof(&mut self) {
        self.state.on_eof();
        self.received();
    }

    /// Notifies a reader that waits for input.
    fn received(&mut self) {
        self.state.settle_last_read();
        self.progress.wants_body = false;
        self.progress.notice = true;
    }

    pub(crate) fn make_room(&mut self) {
        if self.outbox.is_empty() {
            self.state.make_room();
        }
    }

    /// Opens the exchange of the request that is ready.
    pub(crate) fn open_exchange(&mut self) -> bool {
        let is_ready = self.state.request_is_ready() && self.state.phase() == Phase::Open;
        if is_ready {
            self.state.on_ours(OurEvent::Taken);
        }
        is_ready
    }

    /// Looks for a complete head in the inbox.
    pub(crate) fn await_request(&mut self) -> Option<Event> {
        // A peer that sends requests but does not read the responses has to wait.
        if self.is_full() {
            return self.wait(false);
        }
        match self.read_head() {
            Ok(true) => Some(Event::Request),
            Ok(false) if self.state.peer() == PeerHalf::Idle => {
                if self.state.has_ended_input() {
                    self.close(CloseReason::PeerClosed);
                    None
                } else {
                    self.free_own_buffers();
                    self.wait(true)
                }
            }
            Ok(false) if self.state.has_ended_input() => {
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
        if self.read_whole_head() { Ok(true) } else { self.read_any_head() }
    }

    /// Searches for the end of a head in the bytes that were added, and reads the head when it is complete.
    #[inline(never)]
    fn read_any_head(&mut self) -> Result<bool, RequestError> {
        let config = Arc::clone(&self.config);
        let found = self.scan.advance(self.inbox.bytes(), &config.limits);
        let skip = if matches!(found, Ok(None)) { self.scan.skip() } else { 0 };
        self.inbox.consume(skip);
        if !matches!(found, Ok(None)) || self.scan.begun(self.inbox.bytes()) {
            self.begin_head();
        }
        let Some(section) = found? else { return Ok(false) };
        let bytes = &self.inbox.bytes()[section.start..section.end];
        let head = next_head(&mut self.head).ok_or(RequestError::RequestLine)?;
        head.read(bytes, &section, &config.limits)?;
        let (length, expects) = (head.body_length(), head.expects_continue());
        self.inbox.consume(section.end);
        self.scan = Scan::default();
        self.begin_exchange(length, expects);
        Ok(true)
    }

    /// Reads a usual head that arrived whole. Returns false, without effect, if the next head is another one.
    fn read_whole_head(&mut self) -> bool {
        if !self.scan.is_new() {
            return false;
        }
        let Some(head) = next_head(&mut self.head) else { return false };
        let (buffer, length) = (self.inbox.buffer(), self.inbox.len());
        let Some(end) = head.read_whole(buffer, length, &self.config.limits) else { return false };
        let (length, expects) = (head.body_length(), head.expects_continue());
        self.inbox.consume(end);
        if self.state.peer() == PeerHalf::Idle {
            self.state.on_peer(PeerEvent::Began);
        }
        self.begin_exchange(length, expects);
        true
    }

    fn begin_head(&mut self) {
        if self.state.peer() == PeerHalf::Idle {
            self.state.on_peer(PeerEvent::Began);
            self.timers.begin_head(self.now.instant);
        }
    }

    fn begin_exchange(&mut self, length: BodyLength, expects_continue: bool) {
        let alone = length == BodyLength::Known(0);
        self.state.on_peer(if alone { PeerEvent::HeadAlone } else { PeerEvent::HeadWithBody });
        self.body = BodyReader::new(length);
        self.reply.reset(self.config.minimum_chunk_size.min(self.config.limits.outbox));
        self.timers.restart();
        self.account.begin(self.now.instant, true);
        self.progress.begin();
        if expects_continue && self.config.max_http_version == Version::Http11 {
            self.progress.expectation = Expectation::Pending;
        }
    }

    /// Reads and drops the rest of a request body, within the limits.
    pub(crate) fn drain(&mut self) -> Option<Event> {
        loop {
            let step = match self.drains_in_vain() {
                true => Err(()),
                false => self.body.step(&mut self.inbox, &self.config.limits).map_err(|_| ()),
            };
            match step {
                Ok(Step::Data(count)) => {
                    self.inbox.consume(count);
                    self.body.consumed(count);
                    self.progress.drained += count as u64;
                }
                // A chunk size that has just arrived may exceed the drain limit.
                Ok(Step::More) if !self.state.has_ended_input() && !self.drains_in_vain() => {
                    return self.wait(true);
                }
                Ok(Step::End(_)) => {
                    self.state.on_peer(PeerEvent::BodyEnded);
                    return None;
                }
                Ok(Step::More) | Err(()) => {
                    self.state.give_up_drain();
                    return None;
                }
            }
        }
    }

    /// Whether draining is pointless: no request can follow, or the remaining body exceeds the drain limit.
    fn drains_in_vain(&self) -> bool {
        // Without a 100, the client may or may not send the body, so its end cannot be found.
        !self.state.may_drain()
            || self.progress.expectation == Expectation::Pending
            || self.body.remaining().saturating_add(self.progress.drained) > self.config.limits.drain
    }

    pub(crate) fn linger(&mut self) -> Option<Event> {
        self.inbox.consume(self.inbox.len());
        if self.state.has_ended_input() {
            self.state.end_linger();
            return None;
        }
        self.wait(true)
    }
}

/// The memory for the next head: the previous head, unless the application kept it.
fn next_head(previous: &mut Option<Arc<Head>>) -> Option<&mut Head> {
    if previous.as_mut().is_none_or(|head| Arc::get_mut(head).is_none()) {
        *previous = Some(Arc::default());
    }
    previous.as_mut().and_then(Arc::get_mut)
}

/// The maximum number of bytes in the inbox while a head arrives. The 64 bytes are for the spaces and the version in
/// the request line, and for empty lines before it.
fn space_for_head(limits: &Limits) -> usize {
    let line = limits.method.saturating_add(limits.target).saturating_add(64);
    limits.inbox.max(line.saturating_add(limits.fields_size))
}
