//! The machine of one connection: its states, buffers and deadlines. [`Connection`](crate::Connection) is the API for
//! the driver, [`Exchange`](crate::Exchange) the API for the application.
//!
//! `state` owns every transition. `step` queries it for the next turn and runs that turn: `receive` handles input,
//! `send` handles output, and `deadlines` handles time.

pub(crate) mod account;
pub(crate) mod buffers;
pub(crate) mod chunks;
pub(crate) mod deadlines;
pub(crate) mod outbox;
pub(crate) mod progress;
pub(crate) mod rates;
pub(crate) mod receive;
pub(crate) mod send;
pub(crate) mod state;
pub(crate) mod step;
pub(crate) mod timers;

use alloc::boxed::Box;
use alloc::sync::Arc;

use crate::config::Config;
use crate::endpoints::Endpoints;
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
use crate::time::{Instant, Now};

/// The server side of one HTTP/1.x connection.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) config: Arc<Config>,
    pub(crate) endpoints: Endpoints,
    pub(crate) state: State,
    pub(crate) inbox: Inbox,
    pub(crate) outbox: Outbox,
    pub(crate) scan: Scan,
    /// The box in which the buffers were provided, kept to return them in.
    pub(crate) memory: Option<Box<Memory>>,
    /// Whether the machine allocated the buffers itself. If so, it frees them at the next idle wait.
    owns_memory: bool,
    /// The head of the current exchange; between exchanges, memory for the next head.
    pub(crate) head: Option<Arc<Head>>,
    pub(crate) body: BodyReader,
    pub(crate) reply: Reply,
    pub(crate) account: Account,
    pub(crate) progress: Progress,
    pub(crate) timers: Timers,
    /// When the connection reaches its maximum age, if it has one.
    pub(crate) ends_at: Option<Instant>,
    pub(crate) now: Now,
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
            ends_at: None,
            now: Now::default(),
        }
    }

    /// Provides the machine with buffers. No effect if it already has buffers.
    pub(crate) fn provide_buffers(&mut self, mut buffers: Buffers) {
        if self.has_buffers() {
            return;
        }
        self.swap_memory(&mut buffers.0);
        self.memory = Some(buffers.0);
    }

    /// Allocates buffers if none were provided.
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

    /// Returns the buffers if they are empty and will stay empty until the next read.
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
        memory.ensure_recv();
        if let Some(rates) = &mut memory.rates {
            rates.reset();
        }
        // A head that the application kept cannot be reused for the next request.
        memory.head.take_if(|head| Arc::strong_count(head) > 1);
        Some(Buffers(memory))
    }

    /// Frees buffers that the machine allocated itself. Provided buffers remain until the driver takes them.
    pub(crate) fn free_own_buffers(&mut self) {
        if self.owns_memory {
            drop(self.take_buffers());
        }
    }
}
