//! The peer's half of an exchange, as the machine itself deals with it: heads arrive, bodies that nobody reads are
//! drained, and what is no request is answered.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::body::{BodyReader, Step};
use crate::connection::Connection;
use crate::event::{Event, Expectation, Timers};
use crate::response;
use crate::scan::Scan;
use crate::state::{LinkEvent, OurEvent, OurHalf, PeerEvent, PeerHalf};
use crate::{BodyLength, CloseReason, RequestError, Version};

impl Connection {
    /// Looks for a whole head in the inbox.
    pub(super) fn await_request(&mut self) -> Option<Event> {
        // A peer that sends requests and reads no answers is held back.
        if self.outbox.len() >= self.config.limits.outbox.max(1) {
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
        head.read(bytes, &section, &config.limits)?;
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
    pub(super) fn drain(&mut self) -> Option<Event> {
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
            || self.stopping
            || self.ledger.expectation == Expectation::Pending
            || self.body.remaining().saturating_add(self.ledger.drained) > self.config.limits.drain
    }

    pub(super) fn linger(&mut self) -> Option<Event> {
        self.lingered += self.inbox.len() as u64;
        self.inbox.consume(self.inbox.len());
        if self.eof
            || self.hurries
            || self.ledger.nothing_answered
            || self.lingered > self.config.limits.linger
        {
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
            self.ledger.request_line = Vec::from(self.scan.request_line(self.inbox.bytes()));
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
}
