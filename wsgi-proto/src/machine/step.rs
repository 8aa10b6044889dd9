//! Runs the turns that the state requires, until there is an event for the driver.

use crate::error::CloseReason;
use crate::event::Event;
use crate::http::framing::Framing;
use crate::machine::Machine;
use crate::machine::state::{AfterRecord, OurHalf, Turn};
use crate::time::Now;
use crate::version::Version;
use crate::wsgi::record::Record;

impl Machine {
    pub(crate) fn poll(&mut self, now: Now) -> Event {
        self.now = now;
        loop {
            if let Some(event) = self.step() {
                return event;
            }
        }
    }

    /// Runs one step. `None`: the state changed, so step again.
    fn step(&mut self) -> Option<Event> {
        match self.state.turn(self.outbox.is_empty()) {
            Turn::AwaitRequest => self.await_request(),
            Turn::Request => Some(Event::Request),
            Turn::Exchange => {
                let wants = self.progress.wants_body || self.watches_peer();
                self.wait(wants && self.state.lost().is_none())
            }
            Turn::Drain => self.drain(),
            Turn::Record => Some(Event::Done),
            Turn::PassRecord => {
                self.pass_record();
                None
            }
            Turn::Flush => self.wait(false),
            Turn::TakenOver => Some(Event::TakenOver),
            Turn::CloseWrite => Some(Event::ShutdownWrite),
            Turn::Abort => self.abort(),
            Turn::Linger => self.linger(),
            Turn::Closed => Some(Event::Closed(self.state.reason())),
        }
    }

    /// Whether to read only to detect that the peer closes.
    fn watches_peer(&self) -> bool {
        self.progress.watches && !self.state.has_ended_input() && self.inbox.len() < self.config.limits.inbox
    }

    pub(crate) fn take_record(&mut self) -> Option<Record> {
        if !self.state.record_is_due(self.outbox.is_empty()) {
            return None;
        }
        let record = self.record();
        self.pass_record();
        Some(record)
    }

    /// The record of the current exchange, for the log and the post hooks.
    fn record(&self) -> Record {
        let account = &self.account;
        let queued = match account.head_length {
            0 => 0,
            // After a loss, the transmitted bytes may end before this response begins.
            _ => self.outbox.total().saturating_sub(account.response_from),
        };
        let (mut status, mut response_length, mut body_length) =
            (account.status, queued, account.body_length);
        if let Some(transmitted) = account.transmitted {
            if transmitted <= account.response_from {
                status = 0;
            }
            response_length = transmitted.saturating_sub(account.response_from);
            body_length = body_length.min(response_length.saturating_sub(account.head_length));
        }
        Record {
            head: self.head.clone().filter(|_| account.has_head),
            partial_request_line: account.request_line.clone(),
            endpoints: self.endpoints,
            status,
            body_length,
            response_length,
            elapsed: self.now.instant.since(account.began),
            unix: self.now.unix,
            zone_offset: self.now.zone_offset,
            refused: account.refused,
            lost: self.state.lost(),
            cut: self.state.ours() == OurHalf::Cut,
            response_head: self.response_head().to_vec(),
        }
    }

    /// The head of the current response for the record; empty if none was sent, or if records have no heads.
    fn response_head(&self) -> &[u8] {
        if !self.config.record_response_head || self.account.head_length == 0 {
            &[]
        } else if self.account.own_head.is_empty() {
            self.reply.head_bytes()
        } else {
            // A response that the application started is still in `reply`.
            &self.account.own_head
        }
    }

    /// Continues after the record, with the next exchange or the end of the connection.
    fn pass_record(&mut self) {
        self.timers.unread = None;
        if self.state.on_record_taken() == AfterRecord::Close {
            self.close(match (self.account.refused, self.state.ours()) {
                (Some(error), _) => CloseReason::Refused(error),
                (None, OurHalf::Cut) => CloseReason::Cut,
                (None, _) => CloseReason::Finished,
            });
        }
    }

    /// Ends the connection after this exchange: it is flushed, our half is closed, and it lingers.
    pub(crate) fn close(&mut self, reason: CloseReason) {
        let looks_complete = self.reply.framing == Framing::UntilClose;
        let nothing_follows = self.inbox.is_empty() && self.account.has_head && self.was_last_request();
        self.state.close(reason, self.outbox.is_empty(), looks_complete, nothing_follows);
    }

    /// Whether the client announced that the current request is its last (RFC 9112, 9.3).
    fn was_last_request(&self) -> bool {
        self.head
            .as_ref()
            .is_some_and(|head| head.info.close || head.version() == Version::Http10 && !head.info.keep_alive)
    }
}
