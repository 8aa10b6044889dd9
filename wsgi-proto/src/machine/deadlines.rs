//! The waits of the machine, their deadlines, and what happens when a deadline passes.

use core::time::Duration;

use crate::error::{CloseReason, LastExchange, Lost, RequestError};
use crate::event::{Event, Io, Reason};
use crate::machine::Machine;
use crate::machine::rates::Meter;
use crate::machine::state::tables::{PeerEvent, PeerHalf, Phase};
use crate::time::Instant;

/// The time that earlier responses have to reach the client before a reset shows that the last one is incomplete.
const TIME_TO_LEAVE: Duration = Duration::from_secs(1);

/// How long a connection stays open at its maximum age after a response that promised to persist: the client may be
/// about to send its next request.
const TIME_TO_REUSE: Duration = Duration::from_secs(1);

impl Machine {
    /// Returns a wait, unless its deadline has already passed.
    #[inline]
    pub(crate) fn wait(&mut self, read: bool) -> Option<Event> {
        let write = !self.memory.is_flushed();
        let deadline = self.deadline(read, write);
        match deadline {
            Some((at, reason)) if at <= self.now.instant => {
                // Input that arrives while the connection lingers is dropped.
                let may_read = reason.waits_for_bytes()
                    && !self.state.has_ended_input()
                    && self.state.phase() != Phase::Lingering;
                if may_read && !self.state.was_read_last() {
                    return Some(self.last_read(deadline));
                }
                if reason.waits_for_room() && !self.state.was_written_last() {
                    return Some(Event::Io(Io { write: true, last_write: true, deadline, ..Io::default() }));
                }
                self.state.settle_last_read();
                self.state.settle_last_write();
                self.expired(reason);
                None
            }
            _ => Some(Event::Io(Io { read, write, deadline, ..Io::default() })),
        }
    }

    /// A last read without waiting, before the machine gives up on the peer.
    fn last_read(&self, deadline: Option<(Instant, Reason)>) -> Event {
        Event::Io(Io {
            read: true,
            write: !self.memory.is_flushed(),
            last_read: true,
            deadline,
            ..Io::default()
        })
    }

    /// Resets the connection, so that a cut response does not look complete. Earlier responses may still be in flight,
    /// and a reset would destroy them, so they get some time first.
    pub(crate) fn abort(&mut self) -> Option<Event> {
        self.timers.abort.get_or_insert(self.now.instant);
        let at = self.abort_at()?;
        Some(if at <= self.now.instant {
            Event::Abort
        } else {
            Event::Io(Io { deadline: Some((at, Reason::Abort)), ..Io::default() })
        })
    }

    /// The time at which to reset the connection; `None` if no reset is required.
    fn abort_at(&self) -> Option<Instant> {
        let since = self.timers.abort?;
        // The cut response is in it.
        let has_answered = self.memory.get().is_some_and(|memory| memory.account.response_from > 0);
        Some(if has_answered { since.after(TIME_TO_LEAVE) } else { since })
    }

    /// Records that our half was closed or the connection was reset. No effect if the machine did not request it.
    pub(crate) fn write_closed(&mut self) {
        let due = self.abort_at().is_none_or(|at| at <= self.now.instant);
        let waits_for_abort = self.state.phase() == Phase::Breaking && (self.timers.abort.is_none() || !due);
        if self.memory.is_flushed() && !waits_for_abort {
            if self.state.phase() == Phase::Flushing {
                // The linger begins.
                (self.timers.read, self.timers.unread) = (None, None);
            }
            self.state.on_write_closed();
        }
    }

    fn deadline(&mut self, read: bool, write: bool) -> Option<(Instant, Reason)> {
        let timeout = self.timeout(read, write);
        if !self.config.has_rates() {
            return timeout;
        }
        let sends = read && self.awaits_body(write);
        if !sends && !write && !self.memory.counts_rates() {
            // The usual wait, for the next request.
            return timeout;
        }
        let rate = self.rate_deadline(sends, write);
        match (timeout, rate) {
            (Some((timeout, _)), Some((at, _))) if at < timeout => rate,
            (timeout, rate) => timeout.or(rate),
        }
    }

    /// Whether the peer has to send its body now. Before it has read our 100 or our response, it need not.
    fn awaits_body(&self, write: bool) -> bool {
        !write && self.state.peer() == PeerHalf::Body && (self.memory.wants_body() || self.state.drains())
    }

    /// When to check the rate of the peer, which `sends` to us, or to which we `write`.
    #[cold]
    fn rate_deadline(&mut self, sends: bool, write: bool) -> Option<(Instant, Reason)> {
        let rates = self.memory.get_mut()?.rates.get_or_insert_default();
        let (config, now) = (&*self.config, self.now.instant);
        let look = |meter: &mut Meter, waits, rate: Option<u64>, reason| {
            Some((meter.look(waits, now, rate?, config.rate_grace)?, reason))
        };
        let request = look(&mut rates.request, sends, config.min_request_rate, Reason::RequestRate);
        let response = look(&mut rates.response, write, config.min_response_rate, Reason::ResponseRate);
        // The machine waits for one of them only.
        request.or(response)
    }

    fn timeout(&mut self, read: bool, write: bool) -> Option<(Instant, Reason)> {
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
            (Phase::Lingering, _) => {
                until(&mut timers.read, Some(config.linger_timeout), Reason::Linger);
                until(&mut timers.unread, Some(config.linger_limit), Reason::Linger);
            }
            // A peer is not idle while a response to it is still being written.
            (_, PeerHalf::Idle) if write => {}
            (_, PeerHalf::Idle) => {
                // Even without a timeout: a stop counts from the last response.
                let idle = *timers.idle.get_or_insert(now);
                until(&mut timers.idle, config.idle_timeout(), Reason::Idle);
                if self.state.ends_when_idle() {
                    until(&mut timers.idle, Some(config.last_request_timeout), Reason::Idle);
                }
                if let Some(at) = self.ends_at {
                    let has_answered = self.memory.total() > 0;
                    let at = if has_answered { at.max(idle.after(TIME_TO_REUSE)) } else { at };
                    until(&mut Some(at), Some(Duration::ZERO), Reason::Age);
                }
            }
            (_, PeerHalf::Head) => {
                until(&mut timers.head, config.header_timeout, Reason::Head);
                until(&mut timers.read, config.socket_timeout, Reason::Read);
            }
            // Without a reader that waits for them, bytes are not late. For example, the peer may only be watched.
            (_, PeerHalf::Body) if !self.memory.wants_body() && !self.state.drains() => {}
            (_, PeerHalf::Body) => {
                until(&mut timers.read, config.socket_timeout, Reason::Read);
                if self.state.drains() {
                    until(&mut timers.unread, Some(config.linger_timeout), Reason::Drain);
                }
            }
            (_, PeerHalf::Done | PeerHalf::Failed) => {}
        }
        earliest
    }

    fn expired(&mut self, reason: Reason) {
        match reason {
            Reason::Idle if self.state.ends_when_idle() => {
                if self.timers.idle.is_some_and(|since| since.after(TIME_TO_LEAVE) <= self.now.instant) {
                    // The last response has had time to arrive: nothing to linger for.
                    self.state.do_not_persist();
                }
                self.close(CloseReason::Shutdown);
            }
            Reason::Idle => self.close(CloseReason::IdleTimeout),
            Reason::Age => self.close(CloseReason::Limit(LastExchange::Age)),
            Reason::Room if self.state.phase() == Phase::Lingering => self.state.end_linger(),
            Reason::Room if self.state.peer() == PeerHalf::Head => {
                self.refuse(RequestError::Timeout);
                self.state.evict();
            }
            Reason::Room => self.close(CloseReason::Limit(LastExchange::Crowded)),
            // `abort` checks this deadline itself.
            Reason::Abort => {}
            Reason::Head => self.refuse(RequestError::Timeout),
            Reason::Write | Reason::ResponseRate => self.lost(Lost::TimedOut),
            Reason::Linger => self.state.end_linger(),
            Reason::Drain => self.state.give_up_drain(),
            Reason::Read | Reason::RequestRate if self.state.drains() => self.state.give_up_drain(),
            Reason::Read if self.state.peer() == PeerHalf::Head => self.refuse(RequestError::Timeout),
            Reason::Read | Reason::RequestRate => {
                let progress = &mut self.memory.get_or_make().progress;
                progress.wants_body = false;
                progress.failure = Some(RequestError::Timeout);
                self.notice = true;
                self.state.on_peer(PeerEvent::Failed);
            }
        }
    }
}
