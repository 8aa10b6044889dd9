//! The figures of one exchange, from which its record is made.

use alloc::vec::Vec;
use core::fmt;

use crate::error::RequestError;
use crate::time::Instant;

/// The figures of the current exchange.
#[derive(Default)]
pub(crate) struct Account {
    pub(crate) began: Instant,
    pub(crate) has_head: bool,
    /// The known part of the request line if there is no head.
    pub(crate) request_line: Vec<u8>,
    pub(crate) refused: Option<RequestError>,
    pub(crate) status: u16,
    /// The position of the response in the output of the whole connection.
    pub(crate) response_from: u64,
    pub(crate) head_length: u64,
    /// The head of the machine's own answer to a refused request, if one was sent. No exchange follows it.
    pub(crate) own_head: Vec<u8>,
    pub(crate) body_length: u64,
    /// The number of bytes the connection had transmitted when it was lost.
    pub(crate) transmitted: Option<u64>,
}

impl Account {
    /// Prepares for the next exchange and keeps the memory.
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

    /// The memory that [`forget_extras`](Self::forget_extras) frees; zero if there is none.
    #[inline]
    pub(crate) fn extras(&self) -> usize {
        self.request_line.capacity() | self.own_head.capacity()
    }

    /// Frees memory that most exchanges do not need.
    pub(crate) fn forget_extras(&mut self) {
        (self.request_line, self.own_head) = (Vec::new(), Vec::new());
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
