//! The response that an application has started.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::{fmt, mem};

use crate::http::framing::Framing;
use crate::http::response_head::{Draft, ResponseHead, ResponseInfo};
use crate::version::Version;

/// The response that the application has started. Its head is kept here, so that it can be replaced until something is
/// sent.
pub(crate) struct Reply {
    head: ResponseHead,
    pub(crate) framing: Framing,
    /// The length of the whole body, if the application specified it by other means than a field.
    pub(crate) total: Option<u64>,
    /// The length of blocks that were joined is not that of the body.
    pub(crate) length_is_open: bool,
    /// `Content-Length` as sent; for the error message.
    pub(crate) length: u64,
    /// Blocks that are joined up to the minimum chunk size.
    pub(crate) joined: Vec<u8>,
    pub(crate) minimum_chunk_size: usize,
    /// Trailer fields in wire format.
    pub(crate) trailers: Vec<u8>,
}

impl Default for Reply {
    fn default() -> Self {
        Self {
            head: ResponseHead { text: Vec::new(), info: ResponseInfo::default(), version: Version::Http11 },
            framing: Framing::Undecided,
            total: None,
            length_is_open: false,
            length: 0,
            joined: Vec::new(),
            minimum_chunk_size: 0,
            trailers: Vec::new(),
        }
    }
}

impl Reply {
    /// Prepares for the next exchange and keeps the memory.
    pub(crate) fn reset(&mut self, minimum_chunk_size: usize) {
        self.forget();
        self.framing = Framing::Undecided;
        self.total = None;
        self.length_is_open = false;
        self.length = 0;
        self.joined.clear();
        self.trailers.clear();
        self.minimum_chunk_size = minimum_chunk_size;
    }

    /// Discards the started response.
    pub(crate) fn forget(&mut self) {
        self.head.text.clear();
        self.head.info = ResponseInfo::default();
    }

    pub(crate) fn is_started(&self) -> bool {
        self.status() != 0
    }

    pub(crate) fn status(&self) -> u16 {
        self.head.info.status
    }

    pub(crate) fn head(&self) -> &ResponseHead {
        &self.head
    }

    /// Returns a draft for a head. It uses the memory of the current head if no response is started.
    pub(crate) fn draft(&mut self, version: Version, capitalize: bool) -> Draft {
        let memory = if self.is_started() { Vec::new() } else { mem::take(&mut self.head.text) };
        Draft { text: memory, version, capitalize }
    }

    /// Starts or replaces the response. `version` is that of the connection.
    pub(crate) fn start(&mut self, head: Cow<'_, ResponseHead>, version: Version) {
        match head {
            Cow::Owned(head) => self.head = head,
            Cow::Borrowed(head) => {
                self.head.text.clear();
                self.head.text.extend_from_slice(&head.text);
                (self.head.info, self.head.version) = (head.info, head.version);
            }
        }
        self.head.set_version(version);
    }

    /// The memory that [`forget_extras`](Self::forget_extras) frees; zero if there is none.
    #[inline]
    pub(crate) fn extras(&self) -> usize {
        self.joined.capacity() | self.trailers.capacity()
    }

    /// Frees memory that most responses do not need.
    pub(crate) fn forget_extras(&mut self) {
        (self.joined, self.trailers) = (Vec::new(), Vec::new());
    }

    pub(crate) fn capacity(&self) -> usize {
        self.head.text.capacity()
    }

    /// Notes a response that started without a draft: its head is in the outbox. `head` is kept for the record.
    pub(crate) fn note(&mut self, info: ResponseInfo, framing: Framing, head: Option<&[u8]>) {
        self.head.info = info;
        self.framing = framing;
        if let Framing::Length(length) = framing {
            self.length = length;
        }
        if let Some(head) = head {
            self.head.text.clear();
            self.head.text.extend_from_slice(head);
        }
    }

    /// Whether a block of `length` bytes is joined with others.
    #[inline]
    pub(crate) fn joins(&self, length: usize) -> bool {
        !self.joined.is_empty() || length < self.minimum_chunk_size
    }

    pub(crate) fn head_bytes(&self) -> &[u8] {
        &self.head.text
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("head", &self.head)
            .field("framing", &self.framing)
            .field("total", &self.total)
            .field("joined", &self.joined.len())
            .finish_non_exhaustive()
    }
}
