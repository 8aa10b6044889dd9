//! The memory of a busy connection: everything that an idle connection does not need, in one box.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::{fmt, mem};

use crate::http::date::DateCache;
use crate::http::head::Head;
use crate::http::inbox::Inbox;
use crate::http::request_body::BodyReader;
use crate::http::response::Reply;
use crate::http::scan::Scan;
use crate::machine::account::Account;
use crate::machine::chunks::Chunks;
use crate::machine::outbox::Outbox;
use crate::machine::progress::Progress;
use crate::machine::rates::Rates;

/// The size of a fresh receive buffer, in bytes.
const RECEIVE: usize = 16 * 1024;

/// The size up to which a receive buffer that has grown is kept. A connection that received a large body once will
/// probably receive another.
const LARGE: usize = 64 * 1024;

/// The memory of one busy connection.
///
/// The figures of an exchange are set when it begins, so those of an earlier one, even of another connection, are never
/// read.
pub(crate) struct Memory {
    pub(crate) inbox: Inbox,
    pub(crate) outbox: Outbox,
    pub(crate) scan: Scan,
    /// The head of the current exchange; between exchanges, memory for the next head.
    pub(crate) head: Option<Arc<Head>>,
    pub(crate) body: BodyReader,
    pub(crate) reply: Reply,
    pub(crate) account: Account,
    pub(crate) progress: Progress,
    /// Of the last response that was sent from here, by any connection.
    pub(crate) date: DateCache,
    /// Used only by chunked responses.
    pub(crate) chunks: Chunks,
    /// Used only with a minimum rate.
    pub(crate) rates: Option<Box<Rates>>,
    /// Whether the machine made it itself. If so, it frees it at the next idle wait.
    pub(crate) is_own: bool,
}

impl Memory {
    /// Memory with a receive buffer. The other buffers grow when they are used.
    #[cold]
    pub(crate) fn new() -> Box<Self> {
        let mut memory = Self::without_buffers();
        memory.inbox.ensure_buffer(RECEIVE);
        memory
    }

    fn without_buffers() -> Box<Self> {
        Box::new(Self {
            inbox: Inbox::default(),
            outbox: Outbox::default(),
            scan: Scan::default(),
            head: None,
            body: BodyReader::default(),
            reply: Reply::default(),
            account: Account::default(),
            progress: Progress::default(),
            date: DateCache::default(),
            chunks: Chunks::default(),
            rates: None,
            is_own: false,
        })
    }

    /// Whether more memory may be in use than [`trim`](Self::trim) leaves.
    pub(crate) fn is_large(&self) -> bool {
        let head = self.head.as_ref().map_or(0, |head| head.bytes.capacity());
        // Not less than the largest of them.
        let together = self.outbox.capacity() | self.reply.capacity() | head;
        !(RECEIVE..=LARGE).contains(&self.inbox.capacity()) || together > RECEIVE
    }

    /// Frees the memory of an unusually large exchange.
    #[cold]
    pub(crate) fn trim(&mut self) {
        if !(RECEIVE..=LARGE).contains(&self.inbox.capacity()) {
            self.inbox = Inbox::default();
            self.inbox.ensure_buffer(RECEIVE);
        }
        if self.outbox.capacity() > RECEIVE {
            self.outbox = Outbox::default();
        }
        if self.reply.capacity() > RECEIVE {
            self.reply = Reply::default();
        }
        self.head.take_if(|head| head.bytes.capacity() > RECEIVE);
        self.chunks.trim();
    }

    /// Accounts for bytes that arrived. The application may be waiting for them.
    #[inline]
    pub(crate) fn received(&mut self, count: usize) {
        self.progress.wants_body = false;
        if let Some(rates) = &mut self.rates {
            rates.request.add(count);
        }
    }

    /// Prepares for another connection. Bytes that were received and not consumed are dropped.
    #[inline]
    fn forget(&mut self) {
        self.is_own = false;
        self.inbox.clear();
        // The application may still hold pieces of the last one.
        self.inbox.ensure_buffer(RECEIVE);
        if !self.scan.is_new() {
            self.scan = Scan::default();
        }
        // A head that the application kept cannot be reused for the next request.
        self.head.take_if(|head| Arc::strong_count(head) > 1);
        if let Some(rates) = &mut self.rates {
            rates.reset();
        }
        if self.outbox.extras() | self.reply.extras() | self.account.extras() | self.progress.extras() > 0 {
            self.forget_extras();
        }
    }

    /// Frees memory that most exchanges do not need.
    #[cold]
    fn forget_extras(&mut self) {
        self.outbox.forget_extras();
        self.reply.forget_extras();
        self.account.forget_extras();
        self.progress.forget_extras();
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("inbox", &self.inbox)
            .field("outbox", &self.outbox)
            .field("reply", &self.reply)
            .field("account", &self.account)
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}

/// The memory of a connection while it is busy, and the figures that remain while it is idle.
#[derive(Debug, Default)]
pub(crate) struct Lent {
    memory: Option<Box<Memory>>,
    /// The number of bytes that the connection had transmitted before it got `memory`.
    transmitted: u64,
    /// The number of empty lines that it had received before it got `memory`, since the last request.
    empty_lines: u32,
}

impl Lent {
    #[inline]
    pub(crate) fn get(&self) -> Option<&Memory> {
        self.memory.as_deref()
    }

    /// Whether the transfer rates have to be looked at even if the machine does not wait for the peer.
    #[inline]
    pub(crate) fn counts_rates(&self) -> bool {
        self.get().is_some_and(|memory| memory.rates.as_ref().is_none_or(|rates| rates.are_counting()))
    }

    /// The memory if there is any.
    #[inline]
    pub(crate) fn get_mut(&mut self) -> Option<&mut Memory> {
        self.memory.as_deref_mut()
    }

    /// The memory. It is made if there is none.
    #[inline]
    pub(crate) fn get_or_make(&mut self) -> &mut Memory {
        if self.memory.is_none() {
            self.make();
        }
        self.memory.get_or_insert_with(Memory::without_buffers)
    }

    #[cold]
    fn make(&mut self) {
        let mut memory = Memory::new();
        memory.is_own = true;
        self.provide(memory);
    }

    /// Provides memory. No effect if there is some already.
    #[inline]
    pub(crate) fn provide(&mut self, mut memory: Box<Memory>) {
        if self.memory.is_some() {
            return drop(memory);
        }
        memory.outbox.begin(self.transmitted);
        memory.scan.begin(self.empty_lines);
        self.memory = Some(memory);
    }

    /// Takes the memory, which the connection does not need any more.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<Box<Memory>> {
        let mut memory = self.memory.take()?;
        self.transmitted = memory.outbox.total_transmitted();
        self.empty_lines = memory.scan.empty_lines();
        memory.forget();
        Some(memory)
    }

    /// Takes the buffers, and keeps the figures of the exchange for its record.
    #[cold]
    pub(crate) fn take_buffers_only(&mut self) -> Option<Box<Memory>> {
        let memory = self.memory.as_mut()?;
        let mut kept = Memory::without_buffers();
        kept.outbox.begin(memory.outbox.total_transmitted());
        mem::swap(&mut kept.head, &mut memory.head);
        mem::swap(&mut kept.reply, &mut memory.reply);
        mem::swap(&mut kept.account, &mut memory.account);
        let taken = self.take();
        self.memory = Some(kept);
        taken
    }

    /// Whether no bytes wait to be transmitted.
    #[inline]
    pub(crate) fn is_flushed(&self) -> bool {
        self.get().is_none_or(|memory| memory.outbox.is_empty())
    }

    /// Whether bytes have arrived that were not consumed.
    #[inline]
    pub(crate) fn has_unread(&self) -> bool {
        self.get().is_some_and(|memory| !memory.inbox.is_empty())
    }

    /// Whether the application waits for body bytes that have not arrived.
    #[inline]
    pub(crate) fn wants_body(&self) -> bool {
        self.get().is_some_and(|memory| memory.progress.wants_body)
    }

    /// The total number of bytes transmitted or queued.
    #[inline]
    pub(crate) fn total(&self) -> u64 {
        self.get().map_or(self.transmitted, |memory| memory.outbox.total())
    }
}
