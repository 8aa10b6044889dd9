//! The machine of one connection: its states, buffers and deadlines. [`Connection`](crate::Connection) is the API for
//! the driver, [`Exchange`](crate::Exchange) the API for the application.
//!
//! `state` owns every transition. `step` queries it for the next turn and runs that turn: `receive` handles input,
//! `send` handles output, and `deadlines` handles time.

pub(crate) mod account;
pub(crate) mod buffers;
pub(crate) mod chunks;
pub(crate) mod deadlines;
pub(crate) mod memory;
pub(crate) mod outbox;
pub(crate) mod piece;
pub(crate) mod progress;
pub(crate) mod rates;
pub(crate) mod receive;
pub(crate) mod send;
pub(crate) mod state;
pub(crate) mod step;
pub(crate) mod timers;

use alloc::sync::Arc;

use crate::config::Config;
use crate::endpoints::Endpoints;
use crate::machine::buffers::Buffers;
use crate::machine::memory::Lent;
use crate::machine::state::State;
use crate::machine::state::tables::{OurHalf, PeerHalf, Phase};
use crate::machine::timers::Timers;
use crate::time::{Instant, Now};

/// The server side of one HTTP/1.x connection.
///
/// Most connections are idle, so it is small: what only a busy one needs is in `memory`.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) config: Arc<Config>,
    pub(crate) endpoints: Endpoints,
    pub(crate) state: State,
    pub(crate) memory: Lent,
    pub(crate) timers: Timers,
    /// When the connection reaches its maximum age, if it has one.
    pub(crate) ends_at: Option<Instant>,
    pub(crate) now: Now,
    /// Something happened that the application may be waiting for: input, its end, space in the outbox, or an error.
    pub(crate) notice: bool,
}

impl Machine {
    pub(crate) fn new(config: Arc<Config>, endpoints: Endpoints) -> Self {
        Self {
            config,
            endpoints,
            state: State::new(),
            memory: Lent::default(),
            timers: Timers::default(),
            ends_at: None,
            now: Now::default(),
            notice: false,
        }
    }

    /// Provides the machine with buffers. No effect if it already has buffers.
    pub(crate) fn provide_buffers(&mut self, buffers: Buffers) {
        self.memory.provide(buffers.0);
    }

    pub(crate) fn has_buffers(&self) -> bool {
        self.memory.get().is_some_and(|memory| memory.inbox.capacity() > 0)
    }

    /// Returns the buffers if they are empty and will stay empty until the next read.
    pub(crate) fn take_buffers(&mut self) -> Option<Buffers> {
        let memory = self.memory.get()?;
        if !memory.outbox.is_empty() {
            return None;
        }
        let has_unread = !memory.inbox.is_empty();
        if (self.state.peer(), self.state.ours()) == (PeerHalf::Idle, OurHalf::Idle) && !has_unread {
            return self.memory.take().map(Buffers);
        }
        let closed = self.state.phase() == Phase::Closed && !self.state.exchange_is_open();
        let taken_over = self.state.ours() == OurHalf::TakenOver && !has_unread;
        if !(closed || taken_over) {
            None
        } else if self.state.record_is_due(true) {
            if self.has_buffers() { self.memory.take_buffers_only().map(Buffers) } else { None }
        } else {
            self.memory.take().map(Buffers)
        }
    }

    /// Frees buffers that the machine allocated itself. Provided buffers remain until the driver takes them.
    pub(crate) fn free_own_buffers(&mut self) {
        if self.memory.get().is_some_and(|memory| memory.is_own) {
            drop(self.take_buffers());
        }
    }
}
