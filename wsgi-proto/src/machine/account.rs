//! The accounts of one exchange, of which the record is made.

use alloc::vec::Vec;

use crate::connection::Connection;
use crate::error::RequestError;
use crate::event::Expectation;
use crate::http::trailers::Trailers;
use crate::machine::state::OurHalf;
use crate::time::Instant;
use crate::wsgi::record::Record;

/// The accounts of the current exchange.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    began: Instant,
    pub(crate) has_head: bool,
    pub(crate) request_line: Vec<u8>,
    pub(crate) refused: Option<RequestError>,
    /// Why the body cannot be read on.
    pub(crate) failure: Option<RequestError>,
    pub(crate) expectation: Expectation,
    /// Fields for the 100 that the first read sends.
    pub(crate) continue_fields: Vec<u8>,
    /// The application waits for body bytes that have not arrived.
    pub(crate) wants_body: bool,
    /// The application wants to know when the peer is gone.
    pub(crate) watches: bool,
    /// The record waits until the response is flushed.
    pub(crate) flush_first: bool,
    /// There is no record to take any more.
    pub(crate) settled: bool,
    pub(crate) nothing_answered: bool,
    pub(crate) drained: u64,
    pub(crate) trailers: Option<Trailers>,
    pub(crate) status: u16,
    /// Where in all that was ever sent the response begins.
    pub(crate) response_from: u64,
    pub(crate) head_length: u64,
    pub(crate) body_length: u64,
    /// All that was ever transmitted when the connection was lost.
    pub(crate) transmitted: Option<u64>,
}

impl Ledger {
    /// Opens the accounts of the next exchange; memory is kept.
    pub(crate) fn begin(&mut self, now: Instant, has_head: bool) {
        self.began = now;
        self.has_head = has_head;
        self.request_line.clear();
        self.refused = None;
        self.failure = None;
        self.expectation = Expectation::None;
        self.continue_fields.clear();
        self.wants_body = false;
        self.watches = false;
        self.flush_first = false;
        self.settled = false;
        self.nothing_answered = false;
        self.drained = 0;
        self.trailers = None;
        self.status = 0;
        self.response_from = 0;
        self.head_length = 0;
        self.body_length = 0;
        self.transmitted = None;
    }

    /// Gives back memory that only an open exchange needs.
    pub(crate) fn forget(&mut self) {
        self.trailers = None;
        (self.continue_fields, self.request_line) = (Vec::new(), Vec::new());
    }

    pub(crate) fn record(&self, connection: &Connection) -> Record {
        let queued = match self.head_length {
            0 => 0,
            // What was lost with the connection may not even have reached this response.
            _ => connection.outbox.total().saturating_sub(self.response_from),
        };
        let (mut response_length, mut body_length) = (queued, self.body_length);
        if let Some(transmitted) = self.transmitted {
            response_length = transmitted.saturating_sub(self.response_from);
            body_length = body_length.min(response_length.saturating_sub(self.head_length));
        }
        Record {
            head: connection.head.clone().filter(|_| self.has_head),
            partial_request_line: self.request_line.clone(),
            peer: connection.peer,
            status: self.status,
            body_length,
            response_length,
            elapsed: connection.now.instant.since(self.began),
            unix: connection.now.unix,
            zone_offset: connection.now.zone_offset,
            refused: self.refused,
            lost: connection.lost,
            cut: connection.state.ours() == OurHalf::Cut,
        }
    }
}
