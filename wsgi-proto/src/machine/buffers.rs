//! The buffers of a busy connection.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use bytes::BytesMut;

use crate::http::date::DateCache;
use crate::http::head::Head;
use crate::machine::chunks::Chunks;
use crate::machine::rates::Rates;

/// The size of a fresh receive buffer, in bytes.
const RECEIVE: usize = 16 * 1024;

/// The size up to which a receive buffer that has grown is kept. A connection that received a large body once will
/// probably receive another.
const LARGE: usize = 64 * 1024;

/// Memory for one busy connection, initialised once and pooled by the driver.
///
/// A connection that waits for its next request holds no buffers: the driver takes them back with
/// `Connection::take_buffers` before it waits, and provides them again with `Connection::provide_buffers` when there is
/// something to read.
#[derive(Debug)]
pub struct Buffers(pub(crate) Box<Memory>);

/// The contents of [`Buffers`]. Boxed because they move in and out of the connection for each request.
pub(crate) struct Memory {
    pub(crate) recv: BytesMut,
    pub(crate) send: Vec<u8>,
    pub(crate) reply: Vec<u8>,
    pub(crate) head: Option<Arc<Head>>,
    /// Of the last response that was sent from here, by any connection.
    pub(crate) date: DateCache,
    /// Used only by chunked responses.
    pub(crate) chunks: Chunks,
    /// Used only with a minimum rate.
    pub(crate) rates: Option<Box<Rates>>,
}

impl Buffers {
    /// Creates a set with a receive buffer of 16 KiB. The other buffers grow when they are used.
    pub fn new() -> Self {
        Self(Box::new(Memory {
            recv: BytesMut::zeroed(RECEIVE),
            send: Vec::new(),
            reply: Vec::new(),
            head: None,
            date: DateCache::default(),
            chunks: Chunks::default(),
            rates: None,
        }))
    }

    /// Frees the extra memory of an unusually large exchange, so that a pool of these stays small.
    #[must_use]
    pub fn trimmed(mut self) -> Self {
        let memory = &*self.0;
        let head = memory.head.as_ref().map_or(0, |head| head.bytes.capacity());
        let largest = memory.send.capacity().max(memory.reply.capacity()).max(head);
        if !(RECEIVE..=LARGE).contains(&memory.recv.len()) || largest > RECEIVE {
            self.0.trim();
        }
        self
    }
}

impl Memory {
    /// Makes a receive buffer if the application still holds pieces of the last one.
    #[inline]
    pub(crate) fn ensure_recv(&mut self) {
        if self.recv.is_empty() {
            self.recv = BytesMut::zeroed(RECEIVE);
        }
    }

    #[cold]
    fn trim(&mut self) {
        if !(RECEIVE..=LARGE).contains(&self.recv.len()) {
            self.recv = BytesMut::zeroed(RECEIVE);
        }
        for memory in [&mut self.send, &mut self.reply] {
            if memory.capacity() > RECEIVE {
                *memory = Vec::new();
            }
        }
        self.head.take_if(|head| head.bytes.capacity() > RECEIVE);
        self.chunks.trim();
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("recv", &self.recv.len())
            .field("send", &self.send.capacity())
            .finish_non_exhaustive()
    }
}
