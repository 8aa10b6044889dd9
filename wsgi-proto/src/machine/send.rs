//! Output to the peer: the machine seals the head of a response once, counts, joins and frames its blocks, and answers
//! malformed requests itself.

use alloc::vec::Vec;

use crate::config::KeepAlive;
use crate::error::{CloseReason, LastExchange, Lost, RequestError, SendError, StartError};
use crate::event::Flow;
use crate::http::framing::{Framing, FramingContext};
use crate::http::response_head::ResponseInfo;
use crate::http::response_lines;
use crate::machine::Machine;
use crate::machine::memory::Memory;
use crate::machine::outbox::MOST_EXTERNAL;
use crate::machine::piece::Piece;
use crate::machine::progress::Expectation;
use crate::machine::state::tables::{OurEvent, OurHalf, PeerEvent, PeerHalf, Phase};
use crate::version::Version;

impl Machine {
    /// Accepts `length` bytes of a response whose head was sent, which the driver has.
    pub(crate) fn accept_external(&mut self, length: u64) -> Result<(), SendError> {
        let Memory { outbox, reply, account, chunks, .. } = self.memory.get_or_make();
        let mut taken = length.min(MOST_EXTERNAL);
        match &mut reply.framing {
            Framing::Bodyless => return Ok(()),
            Framing::Length(left) => {
                taken = taken.min(*left);
                *left -= taken;
            }
            _ => {}
        }
        match reply.framing {
            _ if taken == 0 => {}
            Framing::Chunked => {
                chunks.add(taken, account.body_length, outbox.len(), outbox.total_transmitted());
                outbox.push_external_chunk(taken);
            }
            _ => outbox.push_external(taken),
        }
        account.body_length = account.body_length.saturating_add(taken);
        if taken < length { Err(SendError::TooLong(reply.length)) } else { Ok(()) }
    }

    /// Cuts the response at the bytes that the driver has but did not send.
    pub(crate) fn cut_external(&mut self) {
        let Memory { outbox, reply, account, chunks, .. } = self.memory.get_or_make();
        if outbox.external_left() == 0 {
            return;
        }
        outbox.cut_external();
        let end = outbox.total();
        account.body_length = match reply.framing {
            Framing::Chunked => chunks.body_in(end),
            _ => end.saturating_sub(account.response_from).saturating_sub(account.head_length),
        };
    }

    /// Accepts a block of a response whose head was sent.
    #[inline]
    pub(crate) fn accept(&mut self, mut piece: Piece<'_>) -> Result<(), SendError> {
        if piece.is_empty() {
            return Ok(());
        }
        let memory = self.memory.get_or_make();
        let reply = &mut memory.reply;
        let mut surplus = false;
        match &mut reply.framing {
            Framing::Bodyless => return Ok(()),
            Framing::Length(left) => {
                surplus = piece.len() as u64 > *left;
                if surplus {
                    piece = piece.truncated(usize::try_from(*left).unwrap_or(usize::MAX));
                }
                *left -= piece.len() as u64;
            }
            _ => {}
        }
        if reply.joins(piece.len()) {
            join(memory, piece.as_slice());
        } else if reply.framing == Framing::Chunked {
            frame(memory, piece);
        } else {
            send_plain(memory, piece);
        }
        if surplus { Err(SendError::TooLong(memory.reply.length)) } else { Ok(()) }
    }

    /// The memory, if a block of `length` bytes can become a chunk without anything else: the head of a chunked response
    /// was sent, there is room, and the block is not joined with others.
    #[inline(always)]
    pub(crate) fn memory_for_chunk(&mut self, length: usize, limit: u64) -> Option<&mut Memory> {
        if !self.state.sends_body() {
            return None;
        }
        let memory = self.memory.get_mut()?;
        let is_chunk = memory.reply.framing == Framing::Chunked && !memory.reply.joins(length) && length > 0;
        (is_chunk && memory.outbox.len() < limit).then_some(memory)
    }

    pub(crate) fn flow(&self) -> Flow {
        if self.is_full() { Flow::Full } else { Flow::Ready }
    }

    pub(crate) fn may_send(&self) -> Result<(), SendError> {
        match self.state.lost() {
            _ if !self.state.exchange_is_open() => Err(SendError::Finished),
            Some(lost) => Err(SendError::Lost(lost)),
            None if !self.is_started() => Err(SendError::NotStarted),
            None => Ok(()),
        }
    }

    pub(crate) fn is_started(&self) -> bool {
        self.memory.get().is_some_and(|memory| memory.reply.is_started())
    }

    /// Whether a response can still be started, or an interim response sent.
    pub(crate) fn may_start(&self) -> Result<(), StartError> {
        if self.state.exchange_is_open() { Ok(()) } else { Err(StartError::Over) }
    }

    pub(crate) fn may_replace(&self) -> Result<(), StartError> {
        match self.state.ours() {
            OurHalf::Open => Ok(()),
            OurHalf::Sending => Err(StartError::HeadSent),
            _ => Err(StartError::Over),
        }
    }

    /// Whether interim responses and chunks may be sent.
    pub(crate) fn speaks_http11(&self) -> bool {
        let head = self.memory.get().and_then(|memory| memory.head.as_ref());
        let client = head.map_or(Version::Http10, |head| head.version());
        client.min(self.config.max_http_version) == Version::Http11
    }

    /// Sends the head of the response that was started. `ended`: the application will not read or send anything more.
    pub(crate) fn seal(&mut self, ended: bool) -> Result<(), SendError> {
        let (from, info) = self.copy_head();
        let total = self.memory.get_or_make().reply.total;
        self.send_head(from, info, total, ended);
        // Blocks that were joined before the framing was known.
        let Memory { reply, .. } = self.memory.get_or_make();
        if reply.joined.is_empty() {
            return Ok(());
        }
        let waiting = core::mem::take(&mut reply.joined);
        self.accept(Piece::Borrowed(&waiting))
    }

    /// Copies the lines of the response that was started to the end of the outbox. Returns their position.
    #[inline]
    pub(crate) fn copy_head(&mut self) -> (usize, ResponseInfo) {
        let Memory { outbox, reply, .. } = self.memory.get_or_make();
        let lines = outbox.head_text();
        let from = lines.len();
        reply.head().copy_to(lines, self.config.max_http_version);
        (from, reply.head().info)
    }

    /// Sends a whole response. The lines of its head are at the end of the outbox, from the position `from`. Its length
    /// is that of `body`, unless it has no body.
    #[inline]
    pub(crate) fn send_whole(&mut self, from: usize, info: ResponseInfo, body: Piece<'_>) {
        self.send_head(from, info, Some(body.len() as u64), true);
        let Memory { outbox, reply, account, .. } = self.memory.get_or_make();
        if reply.framing != Framing::Bodyless {
            reply.framing = Framing::Length(0);
            account.body_length = body.len() as u64;
            outbox.push(body);
        }
        self.state.on_ours(OurEvent::Finished);
    }

    /// Completes the head whose lines are at the end of the outbox, from the position `from`, and queues it.
    fn send_head(&mut self, from: usize, info: ResponseInfo, total: Option<u64>, ended: bool) {
        if self.ends_at.is_some_and(|at| at <= self.now.instant) {
            self.state.last_exchange(CloseReason::Limit(LastExchange::Age));
        }
        let given = self.framing_context(total, ended);
        let Memory { outbox, reply, account, date, .. } = self.memory.get_or_make();
        let (framing, persist) = info.complete(outbox.head_text(), given, date.line(self.now.unix));
        if !persist {
            self.state.do_not_persist();
        }
        account.response_from = outbox.total();
        let head = outbox.end_head(from);
        account.head_length = head.len() as u64;
        account.status = info.status;
        reply.note(info, framing, self.config.record_response_head.then_some(head));
        self.state.on_ours(OurEvent::HeadSent);
    }

    fn framing_context(&self, total: Option<u64>, ended: bool) -> FramingContext {
        let config = &*self.config;
        let may_chunk = self.speaks_http11();
        let memory = self.memory.get();
        let head = memory.and_then(|memory| memory.head.as_ref());
        let info = head.map(|head| head.info).unwrap_or_default();
        // RFC 9112, 9.3.
        let asked = !info.close && (may_chunk || info.keep_alive);
        // Unread input that will not be drained ends the connection. The head includes `close` if this is known in
        // time.
        let will_not_drain = |Memory { progress, body, .. }: &Memory| {
            progress.expectation == Expectation::Pending || body.declared_remaining() > config.limits.drain
        };
        let unread = ended && self.state.peer() == PeerHalf::Body && memory.is_some_and(will_not_drain);
        FramingContext {
            is_head_request: info.is_head,
            may_chunk,
            persist: self.state.persists() && config.reuses_connections() && asked && !unread,
            announce_keep_alive: info.keep_alive,
            keep_alive_timeout: match config.keepalive {
                KeepAlive::For(time) if time.as_secs() >= 1 => Some(time.as_secs()),
                _ => None,
            },
            total,
        }
    }

    /// Sends blocks that did not reach the minimum size.
    pub(crate) fn emit_joined(&mut self) {
        let memory = self.memory.get_or_make();
        if !memory.reply.joined.is_empty() {
            let joined = core::mem::take(&mut memory.reply.joined);
            frame(memory, Piece::Borrowed(&joined));
        }
    }

    pub(crate) fn transmitted(&mut self, n: usize) {
        if n == 0 {
            return self.state.on_no_room();
        }
        self.state.settle_last_write();
        self.timers.write = None;
        let Some(Memory { outbox, rates, .. }) = self.memory.get_mut() else { return };
        let before = outbox.len();
        outbox.transmitted(n);
        self.notice |= outbox.is_empty() || {
            let limit = self.config.limits.outbox.max(1) as u64;
            before >= limit && outbox.len() < limit
        };
        if let Some(rates) = rates {
            rates.response.add(n);
        }
    }

    /// Handles the loss of the connection. Nothing more can be sent.
    pub(crate) fn lost(&mut self, cause: Lost) {
        if self.state.phase() == Phase::Closed {
            return;
        }
        self.state.on_lost(cause);
        self.notice = true;
        let Some(Memory { outbox, reply, account, chunks, .. }) = self.memory.get_mut() else { return };
        let transmitted = outbox.total_transmitted();
        account.transmitted = Some(transmitted);
        if reply.framing == Framing::Chunked && account.body_length > 0 {
            account.body_length = chunks.body_in(transmitted);
        }
        outbox.discard();
    }

    /// Whether the outbox has to be flushed before it accepts more.
    pub(crate) fn is_full(&self) -> bool {
        self.memory.get().is_some_and(|memory| memory.outbox.len() >= self.outbox_limit())
    }

    /// The number of bytes that wait to be transmitted from which the outbox is full.
    #[inline]
    pub(crate) fn outbox_limit(&self) -> u64 {
        self.config.limits.outbox.max(1) as u64
    }

    /// Answers a faulty request, instead of the application.
    pub(crate) fn refuse(&mut self, error: RequestError) {
        if self.state.peer() == PeerHalf::Idle {
            self.state.on_peer(PeerEvent::Began);
        }
        let Memory { inbox, scan, head, account, progress, .. } = self.memory.get_or_make();
        let is_head = if self.state.ours() == OurHalf::Idle {
            // There is no valid head, so the log shows the known part of the request line.
            account.begin(self.now.instant, false);
            progress.begin();
            self.notice = false;
            account.request_line = Vec::from(scan.request_line(inbox.bytes()));
            account.request_line.starts_with(b"HEAD ")
        } else {
            head.as_ref().is_some_and(|head| head.info.is_head)
        };
        account.refused = Some(error);
        if self.state.peer() != PeerHalf::Failed {
            self.state.on_peer(PeerEvent::Failed);
        }
        let text = alloc::format!("{error}\n");
        self.answer(error.status(), &text, is_head);
    }

    /// Writes the response to a refused request.
    fn answer(&mut self, status: u16, text: &str, is_head: bool) {
        let mut head = Vec::with_capacity(192);
        response_lines::status_line(
            &mut head,
            self.config.max_http_version,
            response_lines::own_status(status),
        );
        let Memory { outbox, account, date, .. } = self.memory.get_or_make();
        head.extend_from_slice(date.line(self.now.unix));
        head.extend_from_slice(b"Connection: close\r\nContent-Type: text/plain\r\nContent-Length: ");
        head.extend_from_slice(itoa::Buffer::new().format(text.len()).as_bytes());
        head.extend_from_slice(b"\r\n\r\n");
        account.response_from = outbox.total();
        account.head_length = head.len() as u64;
        account.status = status;
        outbox.copy(&head);
        account.own_head = head;
        if !is_head {
            outbox.copy(text.as_bytes());
            account.body_length = text.len() as u64;
        }
        self.state.do_not_persist();
        self.state.on_ours(OurEvent::Answered);
    }
}

/// Keeps a block until it reaches the minimum size together with others.
fn join(memory: &mut Memory, block: &[u8]) {
    let reply = &mut memory.reply;
    reply.joined.extend_from_slice(block);
    if reply.joined.len() >= reply.minimum_chunk_size {
        let mut joined = core::mem::take(&mut reply.joined);
        frame(memory, Piece::Borrowed(&joined));
        joined.clear();
        memory.reply.joined = joined;
    }
}

/// Counts, frames and queues a block, which is not empty.
#[inline(never)]
fn frame(memory: &mut Memory, piece: Piece<'_>) {
    if memory.reply.framing == Framing::Chunked {
        send_chunk(memory, piece)
    } else {
        send_plain(memory, piece)
    }
}

/// Counts and queues a block as it is.
#[inline]
fn send_plain(Memory { outbox, account, .. }: &mut Memory, piece: Piece<'_>) {
    account.body_length = account.body_length.saturating_add(piece.len() as u64);
    outbox.push(piece);
}

/// Counts and queues a block as a chunk.
#[inline(always)]
pub(crate) fn send_chunk(Memory { outbox, account, chunks, .. }: &mut Memory, piece: Piece<'_>) {
    let length = piece.len() as u64;
    chunks.add(length, account.body_length, outbox.len(), outbox.total_transmitted());
    account.body_length = account.body_length.saturating_add(length);
    outbox.push_chunk(piece);
}
