//! What the machine waits for, how long, and what happens when it has waited too long.

use core::time::Duration;

use crate::error::{CloseReason, LastExchange, Lost, RequestError};
use crate::event::{Event, Io, Reason};
use crate::machine::Machine;
use crate::machine::state::{PeerEvent, PeerHalf, Phase};
use crate::time::Instant;

/// How long earlier answers have before the reset that shows the last one to be broken off.
const TIME_TO_LEAVE: Duration = Duration::from_secs(1);

impl Machine {
    /// A wait, unless its deadline has passed already.
    #[inline]
    pub(crate) fn wait(&mut self, read: bool) -> Option<Event> {
        let write = !self.outbox.is_empty();
        let deadline = self.deadline(read, write);
        match deadline {
            Some((at, reason)) if at <= self.now.instant => {
                // What arrives while the connection lingers is dropped.
                let may_read = reason.waits_for_bytes()
                    && !self.state.has_ended_input()
                    && self.state.phase() != Phase::Lingering;
                if may_read && !self.state.was_read_last() {
                    return Some(self.last_read(deadline));
                }
                self.state.settle_last_read();
                self.expired(reason);
                None
            }
            _ => Some(Event::Io(Io { read, write, last_read: false, deadline })),
        }
    }

    /// One more read, without waiting, before the peer is given up.
    pub(crate) fn last_read(&self, deadline: Option<(Instant, Reason)>) -> Event {
        let deadline = deadline.or(Some((self.now.instant, Reason::Idle)));
        Event::Io(Io { read: true, write: !self.outbox.is_empty(), last_read: true, deadline })
    }

    /// What was sent must not look complete. Earlier answers may still be on their way, which a reset would destroy.
    pub(crate) fn abort(&mut self) -> Option<Event> {
        self.timers.abort.get_or_insert(self.now.instant);
        let at = self.abort_at()?;
        Some(if at <= self.now.instant {
            Event::Abort
        } else {
            Event::Io(Io { deadline: Some((at, Reason::Abort)), ..Io::default() })
        })
    }

    /// When the connection is to be reset; `None` as long as nothing asks for it.
    fn abort_at(&self) -> Option<Instant> {
        let since = self.timers.abort?;
        Some(if self.account.response_from > 0 { since.after(TIME_TO_LEAVE) } else { since })
    }

    /// Our half was closed, or the connection reset. No effect when nothing asked for it.
    pub(crate) fn write_closed(&mut self) {
        let due = self.abort_at().is_none_or(|at| at <= self.now.instant);
        let waits_for_abort = self.state.phase() == Phase::Breaking && (self.timers.abort.is_none() || !due);
        if self.outbox.is_empty() && !waits_for_abort {
            self.state.on_write_closed();
        }
    }

    fn deadline(&mut self, read: bool, write: bool) -> Option<(Instant, Reason)> {
        let (config, now) = (&*self.config, self.now.instant);
        let timers = &mut self.timers;
        let mut earliest: Option<(Instant, Reason)> = None;
        let mut until = |since: &mut Option<Instant>, bound: Option<Duration>, reason| {
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
        if self.state.makes_room() {
            until(&mut Some(now), Some(Duration::ZERO), Reason::Room);
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
            Reason::Room if self.state.phase() == Phase::Lingering => self.state.end_linger(),
            Reason::Room if self.state.peer() == PeerHalf::Head => {
                self.refuse(RequestError::Timeout);
                self.state.evict();
            }
            Reason::Room => self.close(CloseReason::Limit(LastExchange::Crowded)),
            // Compared where it is made.
            Reason::Abort => {}
            Reason::Head => self.refuse(RequestError::Timeout),
            Reason::Write => self.lost(Lost::TimedOut),
            Reason::Linger => self.state.end_linger(),
            Reason::Drain => self.state.on_peer(PeerEvent::Failed),
            Reason::Read if self.state.peer() == PeerHalf::Head => self.refuse(RequestError::Timeout),
            Reason::Read => {
                self.progress.wants_body = false;
                self.progress.notice = true;
                self.progress.failure = Some(RequestError::Timeout);
                self.state.on_peer(PeerEvent::Failed);
            }
        }
    }
}
