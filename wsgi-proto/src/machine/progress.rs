//! The flow of one exchange: what the application waits for, what it was told, how much was dropped. It bounds and paces,
//! and decides no transition.

use alloc::vec::Vec;

use crate::error::RequestError;
use crate::http::trailers::Trailers;

/// Whether the client waits for a 100 (RFC 9110, 10.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Expectation {
    /// It does not.
    #[default]
    None,
    /// It waits for a 100, or for the final response.
    Pending,
}

/// The flow of the current exchange.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The application waits for body bytes that have not arrived.
    pub(crate) wants_body: bool,
    /// The application wants to know when the peer is gone.
    pub(crate) watches: bool,
    /// Why the body cannot be read on.
    pub(crate) failure: Option<RequestError>,
    pub(crate) expectation: Expectation,
    /// Fields for the 100 that the first read sends.
    pub(crate) continue_fields: Vec<u8>,
    pub(crate) trailers: Option<Trailers>,
    /// Bytes of the body that were dropped after the response.
    pub(crate) drained: u64,
    /// Bytes dropped since our half was closed.
    pub(crate) lingered: u64,
}

impl Progress {
    /// Begins the next exchange; memory is kept.
    pub(crate) fn begin(&mut self) {
        self.wants_body = false;
        self.watches = false;
        self.failure = None;
        self.expectation = Expectation::None;
        self.continue_fields.clear();
        self.trailers = None;
        self.drained = 0;
    }

    /// Gives back memory that only an open exchange needs.
    pub(crate) fn forget(&mut self) {
        self.trailers = None;
        self.continue_fields = Vec::new();
    }
}
