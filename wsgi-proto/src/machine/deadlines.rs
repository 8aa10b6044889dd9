//! What the machine waits for, how long, and what happens when it has waited too long.

use crate::error::CloseReason;
use crate::error::Lost;
use crate::error::RequestError;
use crate::event::{Event, Io, Reason};
use crate::machine::Machine;
use crate::machine::state::{PeerEvent, PeerHalf, Phase};
use crate::time::Instant;

impl Machine {
    /// A wait, unless its deadline has passed already.
    pub(crate) fn wait(&mut self, read: bool) -> Option<Event> {
        let write = !self.outbox.is_empty();
        let deadline = self.deadline(read, write);
        match deadline {
            Some((at, reason)) if at <= self.now.instant => {
                self.expired(reason);
                None
            }
            _ => Some(Event::Io(Io { read, write, deadline })),
        }
    }

    fn deadline(&mut self, read: bool, write: bool) -> Option<(Instant, Reason)> {
        let (config, now) = (&*self.config, self.now.instant);
        let timers = &mut self.timers;
        let mut earliest: Option<(Instant, Reason)> = None;
        let mut until = |since: &mut Option<Instant>, bound: Option<core::time::Duration>, reason| {
            let Some(bound) = bound else { return };
            let at = since.get_or_insert(now).after(bound);
            if earliest.is_none_or(|(earlier, _)| at < earlier) {
                earliest = Some((at, reason));
            }
        };
        if write {
            until(&mut timers.write, config.socket_timeout, Reason::Write);
        }
        if !read {
            return earliest;
        }
        match (self.state.phase(), self.state.peer()) {
            (Phase::Lingering, _) => until(&mut timers.linger, Some(config.linger_timeout), Reason::Linger),
            // A peer that is still being answered is not idle.
            (_, PeerHalf::Idle) if write => {}
            (_, PeerHalf::Idle) => until(&mut timers.idle, config.idle_timeout(), Reason::Idle),
            (_, PeerHalf::Head) => {
                until(&mut timers.head, config.header_timeout, Reason::Head);
                until(&mut timers.read, config.socket_timeout, Reason::Read);
            }
            // Bytes that nobody waits for, as when the peer is only watched, are not late.
            (_, PeerHalf::Body) if !self.progress.wants_body && !self.state.drains() => {}
            (_, PeerHalf::Body) => {
                until(&mut timers.read, config.socket_timeout, Reason::Read);
                if self.state.drains() {
                    until(&mut timers.drain, Some(config.linger_timeout), Reason::Drain);
                }
            }
            (_, PeerHalf::Done | PeerHalf::Failed) => {}
        }
        earliest
    }

    fn expired(&mut self, reason: Reason) {
        match reason {
            Reason::Idle => self.close(CloseReason::IdleTimeout),
            Reason::Head => self.refuse(RequestError::Timeout),
            Reason::Write => self.lost(Lost::TimedOut),
            Reason::Linger => self.state.end_linger(),
            Reason::Drain => self.state.on_peer(PeerEvent::Failed),
            Reason::Read if self.state.peer() == PeerHalf::Head => self.refuse(RequestError::Timeout),
            Reason::Read => {
                self.progress.wants_body = false;
                self.progress.failure = Some(RequestError::Timeout);
                self.state.on_peer(PeerEvent::Failed);
            }
        }
    }
}
