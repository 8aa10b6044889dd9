//! Output to the peer: the machine seals the head of a response once, counts, joins and frames its blocks, and answers
//! malformed requests itself.

use alloc::vec::Vec;

use crate::config::KeepAlive;
use crate::error::{CloseReason, LastExchange, Lost, RequestError, SendError, StartError};
use crate::event::Flow;
use crate::http::date::DateCache;
use crate::http::framing::{Framing, FramingContext};
use crate::http::response_head::ResponseInfo;
use crate::http::response_lines;
use crate::machine::Machine;
use crate::machine::outbox::{MOST_EXTERNAL, Piece};
use crate::machine::progress::Expectation;
use crate::machine::state::{OurEvent, OurHalf, PeerEvent, PeerHalf, Phase};
use crate::version::Version;

impl Machine {
    /// Accepts `length` bytes of a response whose head was sent, which the driver has.
    pub(crate) fn accept_external(&mut self, length: u64) -> Result<(), SendError> {
        let mut taken = length.min(MOST_EXTERNAL);
        match &mut self.reply.framing {
            Framing::Bodyless => return Ok(()),
            Framing::Length(left) => {
                taken = taken.min(*left);
                *left -= taken;
            }
            _ => {}
        }
        match self.reply.framing {
            _ if taken == 0 => {}
            Framing::Chunked => {
                self.count_chunk(taken);
                self.outbox.push_external_chunk(taken);
            }
            _ => self.outbox.push_external(taken),
        }
        self.account.body_length = self.account.body_length.saturating_add(taken);
        if taken < length { Err(SendError::TooLong(self.reply.length)) } else { Ok(()) }
    }

    /// Cuts the response at the bytes that the driver has but did not send.
    pub(crate) fn cut_external(&mut self) {
        if self.outbox.external_left() == 0 {
            return;
        }
        self.outbox.cut_external();
        let end = self.outbox.total();
        self.account.body_length = match &self.memory {
            Some(memory) if self.reply.framing == Framing::Chunked => memory.chunks.body_in(end),
            _ => end.saturating_sub(self.account.response_from).saturating_sub(self.account.head_length),
        };
    }

    /// Accepts a block of a response whose head was sent.
    #[inline]
    pub(crate) fn accept(&mut self, mut piece: Piece<'_>) -> Result<(), SendError> {
        let reply = &mut self.reply;
        let mut surplus = false;
        match &mut reply.framing {
            _ if piece.is_empty() => return Ok(()),
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
        if reply.joined.is_empty() && piece.len() >= reply.minimum_chunk_size {
            self.frame(piece);
        } else {
            self.join(piece.as_slice());
        }
        if surplus { Err(SendError::TooLong(self.reply.length)) } else { Ok(()) }
    }

    pub(crate) fn flow(&self) -> Flow {
        if self.is_full() { Flow::Full } else { Flow::Ready }
    }

    pub(crate) fn may_send(&self) -> Result<(), SendError> {
        match self.state.lost() {
            _ if !self.state.exchange_is_open() => Err(SendError::Finished),
            Some(lost) => Err(SendError::Lost(lost)),
            None if !self.reply.is_started() => Err(SendError::NotStarted),
            None => Ok(()),
        }
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
        let client = self.head.as_ref().map_or(Version::Http10, |head| head.version());
        client.min(self.config.max_http_version) == Version::Http11
    }

    /// Sends the head of the response that was started. `ended`: the application will not read or send anything more.
    pub(crate) fn seal(&mut self, ended: bool) -> Result<(), SendError> {
        let from = self.copy_head();
        self.send_head(from, self.reply.head().info, self.reply.total, ended);
        // Blocks that were joined before the framing was known.
        if self.reply.joined.is_empty() {
            return Ok(());
        }
        let waiting = core::mem::take(&mut self.reply.joined);
        self.accept(Piece::Borrowed(&waiting))
    }

    /// Copies the lines of the response that was started to the end of the outbox. Returns their position.
    pub(crate) fn copy_head(&mut self) -> usize {
        let lines = self.outbox.head_text();
        let from = lines.len();
        self.reply.head().copy_to(lines, self.config.max_http_version);
        from
    }

    /// Sends a whole response. The lines of its head are at the end of the outbox, from the position `from`. Its length
    /// is that of `body`, unless it has no body.
    pub(crate) fn send_whole(&mut self, from: usize, info: ResponseInfo, body: Piece<'_>) {
        self.send_head(from, info, Some(body.len() as u64), true);
        if self.reply.framing != Framing::Bodyless {
            self.reply.framing = Framing::Length(0);
            self.account.body_length = body.len() as u64;
            self.outbox.push(body);
        }
        self.state.on_ours(OurEvent::Finished);
    }

    /// Completes the head whose lines are at the end of the outbox, from the position `from`, and queues it.
    fn send_head(&mut self, from: usize, info: ResponseInfo, total: Option<u64>, ended: bool) {
        if self.ends_at.is_some_and(|at| at <= self.now.instant) {
            self.state.last_exchange(CloseReason::Limit(LastExchange::Age));
        }
        let given = self.framing_context(total, ended);
        let date_line = &self.date_line();
        let (framing, persist) = info.complete(self.outbox.head_text(), given, date_line);
        if !persist {
            self.state.do_not_persist();
        }
        self.account.response_from = self.outbox.total();
        let head = self.outbox.end_head(from);
        self.account.head_length = head.len() as u64;
        self.account.status = info.status;
        self.reply.note(info, framing, self.config.record_response_head.then_some(head));
        self.state.on_ours(OurEvent::HeadSent);
    }

    /// The `Date` line for now.
    fn date_line(&mut self) -> [u8; 37] {
        let unix = self.now.unix;
        match &mut self.memory {
            Some(memory) => *memory.date.line(unix),
            // A response follows a request, which is read into buffers.
            None => *DateCache::default().line(unix),
        }
    }

    fn framing_context(&self, total: Option<u64>, ended: bool) -> FramingContext {
        let config = &*self.config;
        let may_chunk = self.speaks_http11();
        let info = self.head.as_ref().map(|head| head.info).unwrap_or_default();
        // RFC 9112, 9.3.
        let asked = !info.close && (may_chunk || info.keep_alive);
        // Unread input that will not be drained ends the connection. The head includes `close` if this is known in
        // time.
        let unread = ended
            && self.state.peer() == PeerHalf::Body
            && (self.progress.expectation == Expectation::Pending
                || self.body.declared_remaining() > config.limits.drain);
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

    /// Keeps a block until it reaches the minimum size together with others.
    fn join(&mut self, block: &[u8]) {
        let reply = &mut self.reply;
        reply.joined.extend_from_slice(block);
        if reply.joined.len() >= reply.minimum_chunk_size {
            let mut joined = core::mem::take(&mut self.reply.joined);
            self.emit(&joined);
            joined.clear();
            self.reply.joined = joined;
        }
    }

    /// Sends blocks that did not reach the minimum size.
    pub(crate) fn emit_joined(&mut self) {
        if !self.reply.joined.is_empty() {
            let joined = core::mem::take(&mut self.reply.joined);
            self.emit(&joined);
        }
    }

    fn emit(&mut self, block: &[u8]) {
        self.frame(Piece::Borrowed(block));
    }

    /// Counts, frames and queues a block, which is not empty.
    #[inline]
    fn frame(&mut self, piece: Piece<'_>) {
        let length = piece.len() as u64;
        if self.reply.framing == Framing::Chunked {
            self.count_chunk(length);
            self.outbox.push_chunk(piece);
        } else {
            self.outbox.push(piece);
        }
        self.account.body_length = self.account.body_length.saturating_add(length);
    }

    /// Notes the place of a chunk of `length` bytes, before it is counted and queued.
    #[inline]
    fn count_chunk(&mut self, length: u64) {
        if let Some(memory) = &mut self.memory {
            let (from, transmitted) = (self.outbox.total(), self.outbox.total_transmitted());
            memory.chunks.add(length, from, self.account.body_length, transmitted);
        }
    }

    pub(crate) fn transmitted(&mut self, n: usize) {
        if n == 0 {
            return self.state.on_no_room();
        }
        self.state.settle_last_write();
        let was_full = self.is_full();
        self.outbox.transmitted(n);
        if let Some(rates) = self.rates() {
            rates.response.add(n);
        }
        self.timers.write = None;
        self.progress.notice |= self.outbox.is_empty() || was_full && !self.is_full();
    }

    /// Handles the loss of the connection. Nothing more can be sent.
    pub(crate) fn lost(&mut self, cause: Lost) {
        if self.state.phase() == Phase::Closed {
            return;
        }
        self.state.on_lost(cause);
        self.progress.notice = true;
        let transmitted = self.outbox.total_transmitted();
        self.account.transmitted = Some(transmitted);
        if self.reply.framing == Framing::Chunked
            && self.account.body_length > 0
            && let Some(memory) = &self.memory
        {
            self.account.body_length = memory.chunks.body_in(transmitted);
        }
        self.outbox.discard();
    }

    /// Whether the outbox has to be flushed before it accepts more.
    pub(crate) fn is_full(&self) -> bool {
        self.outbox.len() >= self.config.limits.outbox.max(1) as u64
    }

    /// Answers a faulty request, instead of the application.
    pub(crate) fn refuse(&mut self, error: RequestError) {
        if self.state.peer() == PeerHalf::Idle {
            self.state.on_peer(PeerEvent::Began);
        }
        let is_head = if self.state.ours() == OurHalf::Idle {
            // There is no valid head, so the log shows the known part of the request line.
            self.account.begin(self.now.instant, false);
            self.progress.begin();
            self.account.request_line = Vec::from(self.scan.request_line(self.inbox.bytes()));
            self.account.request_line.starts_with(b"HEAD ")
        } else {
            self.head.as_ref().is_some_and(|head| head.info.is_head)
        };
        self.account.refused = Some(error);
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
        head.extend_from_slice(&self.date_line());
        head.extend_from_slice(b"Connection: close\r\nContent-Type: text/plain\r\nContent-Length: ");
        head.extend_from_slice(itoa::Buffer::new().format(text.len()).as_bytes());
        head.extend_from_slice(b"\r\n\r\n");
        self.account.response_from = self.outbox.total();
        self.account.head_length = head.len() as u64;
        self.account.status = status;
        self.outbox.copy(&head);
        self.account.own_head = head;
        if !is_head {
            self.outbox.copy(text.as_bytes());
            self.account.body_length = text.len() as u64;
        }
        self.state.do_not_persist();
        self.state.on_ours(OurEvent::Answered);
    }
}
