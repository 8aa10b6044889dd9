//! The flow of one exchange: what the application waits for, and how many bytes were dropped.
//! Only `state` decides transitions.

use alloc::vec::Vec;
use core::fmt;

use crate::error::RequestError;
use crate::http::trailers::Trailers;

/// Whether the client waits for a 100 response (RFC 9110, 10.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Expectation {
    /// The client does not wait.
    #[default]
    None,
    /// The client waits for a 100 or for the final response.
    Pending,
}

/// The flow of the current exchange.
#[derive(Default)]
pub(crate) struct Progress {
    /// The application waits for body bytes that have not arrived.
    pub(crate) wants_body: bool,
    /// The application wants to be notified when the client disconnects.
    pub(crate) watches: bool,
    /// Why the rest of the body cannot be read.
    pub(crate) failure: Option<RequestError>,
    pub(crate) expectation: Expectation,
    /// Fields for the 100 response that the first read sends.
    pub(crate) continue_fields: Vec<u8>,
    pub(crate) trailers: Option<Trailers>,
    /// Body bytes dropped after the response.
    pub(crate) drained: u64,
}

impl Progress {
    /// Prepares for the next exchange and keeps the memory.
    pub(crate) fn begin(&mut self) {
        self.wants_body = false;
        self.watches = false;
        self.failure = None;
        self.expectation = Expectation::None;
        self.continue_fields.clear();
        self.trailers = None;
        self.drained = 0;
    }

    /// The memory that [`forget_extras`](Self::forget_extras) frees; zero if there is none.
    #[inline]
    pub(crate) fn extras(&self) -> usize {
        self.continue_fields.capacity() | usize::from(self.trailers.is_some())
    }

    /// Frees memory that most exchanges do not need.
    pub(crate) fn forget_extras(&mut self) {
        (self.continue_fields, self.trailers) = (Vec::new(), None);
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress")
            .field("wants_body", &self.wants_body)
            .field("watches", &self.watches)
            .field("failure", &self.failure)
            .field("expectation", &self.expectation)
            .finish_non_exhaustive()
    }
}
