//! Runs the turns that the state requires, until there is an event for the driver.

use crate::config::Config;
use crate::error::CloseReason;
use crate::event::Event;
use crate::http::framing::Framing;
use crate::http::head::Head;
use crate::http::response::Reply;
use crate::machine::Machine;
use crate::machine::account::Account;
use crate::machine::memory::Memory;
use crate::machine::receive::Awaited;
use crate::machine::state::AfterRecord;
use crate::machine::state::tables::OurHalf;
use crate::machine::state::turn::Turn;
use crate::time::Now;
use crate::version::Version;
use crate::wsgi::record::Record;

impl Machine {
    pub(crate) fn poll(&mut self, now: Now) -> Event {
        self.now = now;
        loop {
            // A wait returns whether to read. Without one, the state has changed.
            let wait = match self.state.turn(self.memory.is_flushed()) {
                Turn::AwaitRequest => match self.await_request() {
                    Awaited::Request => return Event::Request,
                    Awaited::Wait { read } => Some(read),
                    Awaited::Ended => None,
                },
                Turn::Request => return Event::Request,
                Turn::Exchange => {
                    let wants = self.memory.wants_body() || self.watches_peer();
                    Some(wants && self.state.lost().is_none())
                }
                Turn::Drain => self.drain(),
                Turn::Record => return Event::Done,
                Turn::PassRecord => {
                    self.pass_record();
                    None
                }
                Turn::Flush => Some(false),
                Turn::TakenOver => return Event::TakenOver,
                Turn::CloseWrite => return Event::ShutdownWrite,
                Turn::Abort => match self.abort() {
                    Some(event) => return event,
                    None => None,
                },
                Turn::Linger => self.linger(),
                Turn::Closed => return Event::Closed(self.state.reason()),
            };
            if let Some(read) = wait
                && let Some(event) = self.wait(read)
            {
                return event;
            }
        }
    }

    /// Whether to read only to detect that the peer closes.
    fn watches_peer(&self) -> bool {
        let has_room =
            |memory: &Memory| memory.progress.watches && memory.inbox.len() < self.config.limits.inbox;
        self.memory.get().is_some_and(has_room) && !self.state.has_ended_input()
    }

    pub(crate) fn take_record(&mut self) -> Option<Record> {
        if !self.state.record_is_due(self.memory.is_flushed()) {
            return None;
        }
        let record = self.record();
        self.pass_record();
        Some(record)
    }

    /// The record of the current exchange, for the log and the post hooks.
    fn record(&mut self) -> Record {
        let Memory { account, outbox, reply, head, .. } = self.memory.get_or_make();
        let queued = match account.head_length {
            0 => 0,
            // After a loss, the transmitted bytes may end before this response begins.
            _ => outbox.total().saturating_sub(account.response_from),
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
            head: head.clone().filter(|_| account.has_head),
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
            response_head: response_head(&self.config, account, reply).to_vec(),
        }
    }

    /// Continues after the record, with the next exchange or the end of the connection.
    fn pass_record(&mut self) {
        self.timers.unread = None;
        if self.state.on_record_taken() == AfterRecord::Close {
            let refused = self.memory.get().and_then(|memory| memory.account.refused);
            self.close(match (refused, self.state.ours()) {
                (Some(error), _) => CloseReason::Refused(error),
                (None, OurHalf::Cut) => CloseReason::Cut,
                (None, _) => CloseReason::Finished,
            });
        }
    }

    /// Ends the connection after this exchange: it is flushed, our half is closed, and it lingers.
    pub(crate) fn close(&mut self, reason: CloseReason) {
        let (mut looks_complete, mut nothing_follows) = (false, false);
        if let Some(Memory { reply, inbox, account, head, .. }) = self.memory.get() {
            looks_complete = reply.framing == Framing::UntilClose;
            nothing_follows = inbox.is_empty() && account.has_head && head.as_deref().is_some_and(is_last);
        }
        self.state.close(reason, self.memory.is_flushed(), looks_complete, nothing_follows);
    }
}

/// Whether the client announced that this request is its last (RFC 9112, 9.3).
fn is_last(head: &Head) -> bool {
    head.info.close || head.version() == Version::Http10 && !head.info.keep_alive
}

/// The head of the current response for the record; empty if none was sent, or if records have no heads.
fn response_head<'a>(config: &Config, account: &'a Account, reply: &'a Reply) -> &'a [u8] {
    if !config.record_response_head || account.head_length == 0 {
        &[]
    } else if account.own_head.is_empty() {
        reply.head_bytes()
    } else {
        // A response that the application started is still in `reply`.
        &account.own_head
    }
}
