//! One connection: its states, its buffers, its deadlines. [`Connection`](crate::Connection) is the driver's half of it and
//! [`Exchange`](crate::Exchange) the application's.
//!
//! `state` owns every transition. `step` asks it what is next and has it done: `receive` deals with what the peer sends,
//! `send` with what goes out, `deadlines` with time.

pub(crate) mod account;
pub(crate) mod buffers;
pub(crate) mod deadlines;
pub(crate) mod outbox;
pub(crate) mod progress;
pub(crate) mod receive;
pub(crate) mod send;
pub(crate) mod state;
pub(crate) mod step;
pub(crate) mod timers;

use alloc::boxed::Box;
use alloc::sync::Arc;

use crate::config::Config;
use crate::endpoints::Endpoints;
use crate::http::date::DateCache;
use crate::http::head::Head;
use crate::http::inbox::Inbox;
use crate::http::request_body::BodyReader;
use crate::http::response::Reply;
use crate::http::scan::Scan;
use crate::machine::account::Account;
use crate::machine::buffers::{Buffers, Memory};
use crate::machine::outbox::Outbox;
use crate::machine::progress::Progress;
use crate::machine::state::{OurHalf, PeerHalf, Phase, State};
use crate::machine::timers::Timers;
use crate::time::Now;

/// One HTTP/1.x connection of a server.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) config: Arc<Config>,
    pub(crate) endpoints: Endpoints,
    pub(crate) state: State,
    pub(crate) inbox: Inbox,
    pub(crate) outbox: Outbox,
    pub(crate) scan: Scan,
    /// What the buffers came in, for the way back.
    memory: Option<Box<Memory>>,
    /// Nobody provided them: they are freed at the next idle wait.
    owns_memory: bool,
    /// The head of the current exchange; between exchanges, memory to read the next one into.
    pub(crate) head: Option<Arc<Head>>,
    pub(crate) body: BodyReader,
    pub(crate) reply: Reply,
    pub(crate) account: Account,
    pub(crate) progress: Progress,
    pub(crate) timers: Timers,
    pub(crate) now: Now,
    pub(crate) date: DateCache,
}

impl Machine {
    pub(crate) fn new(config: Arc<Config>, endpoints: Endpoints) -> Self {
        Self {
            config,
            endpoints,
            state: State::new(),
            inbox: Inbox::default(),
            outbox: Outbox::default(),
            scan: Scan::default(),
            memory: None,
            owns_memory: false,
            head: None,
            body: BodyReader::default(),
            reply: Reply::default(),
            account: Account::default(),
            progress: Progress::default(),
            timers: Timers::default(),
            now: Now::default(),
            date: DateCache::default(),
        }
    }

    /// Takes memory to work with. No effect when there is some.
    pub(crate) fn provide_buffers(&mut self, mut buffers: Buffers) {
        if self.has_buffers() {
            return;
        }
        self.swap_memory(&mut buffers.0);
        self.memory = Some(buffers.0);
    }

    /// Makes memory to work with if nobody provided any.
    pub(crate) fn make_buffers(&mut self) {
        if !self.has_buffers() {
            self.provide_buffers(Buffers::new());
            self.owns_memory = true;
        }
    }

    fn swap_memory(&mut self, memory: &mut Memory) {
        self.inbox.swap_buffer(&mut memory.recv);
        self.outbox.swap_buffer(&mut memory.send);
        self.reply.swap_memory(&mut memory.reply);
        core::mem::swap(&mut self.head, &mut memory.head);
    }

    pub(crate) fn has_buffers(&self) -> bool {
        self.memory.is_some()
    }

    /// The memory, when nothing is in it and nothing is going to be before the next read.
    pub(crate) fn take_buffers(&mut self) -> Option<Buffers> {
        let idle = matches!((self.state.peer(), self.state.ours()), (PeerHalf::Idle, OurHalf::Idle))
            && self.inbox.is_empty();
        let closed = self.state.phase() == Phase::Closed && !self.state.exchange_is_open();
        let taken_over = self.state.ours() == OurHalf::TakenOver && self.inbox.is_empty();
        if !((idle || closed || taken_over) && self.outbox.is_empty()) {
            return None;
        }
        let mut memory = self.memory.take()?;
        self.owns_memory = false;
        self.account.forget();
        self.progress.forget();
        self.swap_memory(&mut memory);
        // What the application kept is no memory to read the next head into.
        memory.head.take_if(|head| Arc::strong_count(head) > 1);
        Some(Buffers(memory))
    }

    /// Frees memory of the machine's own; a provided one stays until it is asked for.
    pub(crate) fn free_own_buffers(&mut self) {
        if self.owns_memory {
            drop(self.take_buffers());
        }
    }
}
