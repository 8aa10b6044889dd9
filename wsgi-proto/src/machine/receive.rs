//! Input that the machine handles itself: it reads heads, drains bodies that the application did not read, and drops
//! bytes that arrive after the last response.

use alloc::sync::Arc;

use crate::config::Limits;
use crate::error::{CloseReason, RequestError};
use crate::http::head::{BodyLength, Head};
use crate::http::request_body::Step;
use crate::http::scan::Scan;
use crate::machine::Machine;
use crate::machine::memory::Memory;
use crate::machine::progress::Expectation;
use crate::machine::state::tables::{OurEvent, OurHalf, PeerEvent, PeerHalf, Phase};
use crate::version::Version;

/// The result of a search for a request.
pub(crate) enum Awaited {
    /// It is complete.
    Request,
    /// It has not arrived.
    Wait { read: bool },
    /// None will follow, or it was refused.
    Ended,
}

impl Machine {
    pub(crate) fn recv_space(&mut self) -> Option<&mut [u8]> {
        // A connection between two requests.
        let idle = (Phase::Open, PeerHalf::Idle, OurHalf::Idle);
        if (self.state.phase(), self.state.peer(), self.state.ours()) == idle
            && self.memory.get().is_some_and(|memory| memory.inbox.is_free(self.config.limits.inbox))
        {
            return self.memory.get_mut().map(|memory| memory.inbox.whole_space());
        }
        self.recv_space_in_general()
    }

    #[inline(never)]
    fn recv_space_in_general(&mut self) -> Option<&mut [u8]> {
        if self.state.phase() == Phase::Closed || self.state.ours() == OurHalf::TakenOver {
            return None;
        }
        let Memory { inbox, body, .. } = self.memory.get_or_make();
        let limits = &self.config.limits;
        let limit = match (self.state.phase(), self.state.peer()) {
            (Phase::Open, PeerHalf::Idle | PeerHalf::Head) => space_for_head(limits),
            (Phase::Open, PeerHalf::Body) => body.wanted_space(limits),
            _ => limits.inbox.max(1),
        };
        let expected = match (self.state.phase(), self.state.peer()) {
            (Phase::Lingering, _) => u64::MAX,
            (_, PeerHalf::Body) => body.expected(),
            _ => 0,
        };
        let space = inbox.space(limit, expected);
        if space.is_empty() { None } else { Some(space) }
    }

    pub(crate) fn recv_commit(&mut self, n: usize) {
        // Nothing was received (for example, a TLS record without content), so timers and waits are unchanged.
        if n == 0 {
            return;
        }
        if let Some(memory) = self.memory.get_mut() {
            memory.inbox.commit(n);
            memory.received(n);
        }
        self.timers.read = None;
        self.received();
    }

    /// Accounts for `n` bytes that arrived without the inbox.
    pub(crate) fn received_directly(&mut self, n: usize) {
        self.memory.get_or_make().received(n);
        self.timers.read = None;
        self.received();
    }

    pub(crate) fn recv_eof(&mut self) {
        self.state.on_eof();
        if let Some(memory) = self.memory.get_mut() {
            memory.received(0);
        }
        self.received();
    }

    /// Notifies a reader that waits for input.
    fn received(&mut self) {
        self.state.settle_last_read();
        self.notice = true;
    }

    pub(crate) fn make_room(&mut self) {
        if self.memory.is_flushed() {
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
    #[inline]
    pub(crate) fn await_request(&mut self) -> Awaited {
        // A peer that sends requests but does not read the responses has to wait.
        if self.is_full() {
            return Awaited::Wait { read: false };
        }
        match self.read_head() {
            Ok(true) => return Awaited::Request,
            Ok(false) if !self.state.has_ended_input() => {
                if self.state.peer() == PeerHalf::Idle {
                    self.free_own_buffers();
                }
                return Awaited::Wait { read: true };
            }
            Ok(false) if self.state.peer() == PeerHalf::Idle => self.close(CloseReason::PeerClosed),
            Ok(false) => self.refuse(RequestError::Incomplete),
            Err(error) => self.refuse(error),
        }
        Awaited::Ended
    }

    fn read_head(&mut self) -> Result<bool, RequestError> {
        if !self.memory.has_unread() {
            return Ok(false);
        }
        if self.read_whole_head() { Ok(true) } else { self.read_any_head() }
    }

    /// Searches for the end of a head in the bytes that were added, and reads the head when it is complete.
    #[inline(never)]
    fn read_any_head(&mut self) -> Result<bool, RequestError> {
        let limits = &self.config.limits;
        let Memory { scan, inbox, head, .. } = self.memory.get_or_make();
        let found = scan.advance(inbox.bytes(), limits);
        let skip = if matches!(found, Ok(None)) { scan.skip() } else { 0 };
        inbox.consume(skip);
        if (!matches!(found, Ok(None)) || scan.begun(inbox.bytes())) && self.state.peer() == PeerHalf::Idle {
            self.state.on_peer(PeerEvent::Began);
            self.timers.begin_head(self.now.instant);
        }
        let Some(section) = found? else { return Ok(false) };
        let bytes = &inbox.bytes()[section.start..section.end];
        let head = next_head(head).ok_or(RequestError::RequestLine)?;
        head.read(bytes, &section, limits, self.config.require_host)?;
        let (length, expects) = (head.body_length(), head.expects_continue());
        inbox.consume(section.end);
        *scan = Scan::default();
        self.begin_exchange(length, expects);
        Ok(true)
    }

    /// Reads a usual head that arrived whole. Returns false, without effect, if the next head is another one.
    fn read_whole_head(&mut self) -> bool {
        let Memory { scan, inbox, head, .. } = self.memory.get_or_make();
        if !scan.is_new() {
            return false;
        }
        let Some(head) = next_head(head) else { return false };
        let (buffer, length) = (inbox.buffer(), inbox.len());
        let Some(end) = head.read_whole(buffer, length, &self.config.limits) else { return false };
        let (length, expects) = (head.body_length(), head.expects_continue());
        inbox.consume(end);
        if self.state.peer() == PeerHalf::Idle {
            self.state.on_peer(PeerEvent::Began);
        }
        self.begin_exchange(length, expects);
        true
    }

    fn begin_exchange(&mut self, length: BodyLength, expects_continue: bool) {
        let alone = length == BodyLength::Known(0);
        self.state.on_peer(if alone { PeerEvent::HeadAlone } else { PeerEvent::HeadWithBody });
        self.timers.restart();
        self.notice = false;
        let Memory { body, reply, account, progress, .. } = self.memory.get_or_make();
        body.begin(length);
        reply.reset(self.config.minimum_chunk_size.min(self.config.limits.outbox));
        account.begin(self.now.instant, true);
        progress.begin();
        if expects_continue && self.config.max_http_version == Version::Http11 {
            progress.expectation = Expectation::Pending;
        }
    }

    /// Reads and drops the rest of a request body, within the limits. Returns `None` at its end, or whether to read more.
    pub(crate) fn drain(&mut self) -> Option<bool> {
        loop {
            let in_vain = self.drains_in_vain();
            let Memory { inbox, body, progress, .. } = self.memory.get_or_make();
            let step = match in_vain {
                true => Err(()),
                false => body.step(inbox, &self.config.limits).map_err(|_| ()),
            };
            match step {
                Ok(Step::Data(count)) => {
                    inbox.consume(count);
                    body.consumed(count);
                    progress.drained += count as u64;
                }
                // A chunk size that has just arrived may exceed the drain limit.
                Ok(Step::More) if !self.state.has_ended_input() && !self.drains_in_vain() => {
                    return Some(true);
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
        let Some(Memory { body, progress, .. }) = self.memory.get() else { return true };
        // Without a 100, the client may or may not send the body, so its end cannot be found.
        !self.state.may_drain()
            || progress.expectation == Expectation::Pending
            || body.remaining().saturating_add(progress.drained) > self.config.limits.drain
    }

    /// Drops what has arrived. Returns `None` if the linger is over, or whether to read more.
    pub(crate) fn linger(&mut self) -> Option<bool> {
        if let Some(Memory { inbox, .. }) = self.memory.get_mut() {
            inbox.consume(inbox.len());
        }
        if self.state.has_ended_input() {
            self.state.end_linger();
            return None;
        }
        Some(true)
    }
}

/// The memory for the next head: the previous head, unless the application kept it.
#[inline(always)]
fn next_head(previous: &mut Option<Arc<Head>>) -> Option<&mut Head> {
    previous.take_if(|head| Arc::strong_count(head) + Arc::weak_count(head) > 1);
    Arc::get_mut(previous.get_or_insert_default())
}

/// The maximum number of bytes in the inbox while a head arrives. The 64 bytes are for the spaces and the version in
/// the request line, and for empty lines before it.
fn space_for_head(limits: &Limits) -> usize {
    let line = limits.method.saturating_add(limits.target).saturating_add(64);
    limits.inbox.max(line.saturating_add(limits.fields_size))
}
