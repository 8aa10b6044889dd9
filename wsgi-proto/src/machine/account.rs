//! The figures of one exchange, of which its record is made.

use alloc::vec::Vec;
use core::fmt;

use crate::error::RequestError;
use crate::machine::Machine;
use crate::machine::state::OurHalf;
use crate::time::Instant;
use crate::wsgi::record::Record;

/// The figures of the current exchange.
#[derive(Default)]
pub(crate) struct Account {
    began: Instant,
    has_head: bool,
    /// What is known of the request line when there is no head.
    pub(crate) request_line: Vec<u8>,
    pub(crate) refused: Option<RequestError>,
    pub(crate) status: u16,
    /// Where in all that was ever sent the response begins.
    pub(crate) response_from: u64,
    pub(crate) head_length: u64,
    pub(crate) body_length: u64,
    /// All that was ever transmitted when the connection was lost.
    pub(crate) transmitted: Option<u64>,
}

impl Account {
    /// Opens the account of the next exchange; memory is kept.
    pub(crate) fn begin(&mut self, now: Instant, has_head: bool) {
        self.began = now;
        self.has_head = has_head;
        self.request_line.clear();
        self.refused = None;
        self.status = 0;
        self.response_from = 0;
        self.head_length = 0;
        self.body_length = 0;
        self.transmitted = None;
    }

    /// Gives back memory that only an open exchange needs.
    pub(crate) fn forget(&mut self) {
        self.request_line = Vec::new();
    }
}

impl Machine {
    pub(crate) fn record(&self) -> Record {
        let account = &self.account;
        let queued = match account.head_length {
            0 => 0,
            // What was lost with the connection may not even have reached this response.
            _ => self.outbox.total().saturating_sub(account.response_from),
        };
        let (mut response_length, mut body_length) = (queued, account.body_length);
        if let Some(transmitted) = account.transmitted {
            response_length = transmitted.saturating_sub(account.response_from);
            body_length = body_length.min(response_length.saturating_sub(account.head_length));
        }
        Record {
            head: self.head.clone().filter(|_| account.has_head),
            partial_request_line: account.request_line.clone(),
            peer: self.peer,
            status: account.status,
            body_length,
            response_length,
            elapsed: self.now.instant.since(account.began),
            unix: self.now.unix,
            zone_offset: self.now.zone_offset,
            refused: account.refused,
            lost: self.state.lost(),
            cut: self.state.ours() == OurHalf::Cut,
        }
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("status", &self.status)
            .field("refused", &self.refused)
            .field("body_length", &self.body_length)
            .finish_non_exhaustive()
    }
}
