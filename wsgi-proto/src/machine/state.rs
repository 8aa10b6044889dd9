//! Every state of a connection, and every transition between states.
//!
//! Two rules:
//!
//! 1. Nothing outside this module decides a transition. The rest of the crate reports events and queries the next turn.
//! 2. Each part has its own table (`tables`). The next turn (`turn`) is derived from all of them, never stored.
//!
//! The peer's half and our half go through an exchange in parallel and start the next one together. The record of an
//! exchange has its own small table. The ending decides whether there is a next exchange. The transport
//! decides what can still be received and sent. The phase is that of the connection itself.

pub(crate) mod tables;
pub(crate) mod turn;

#[cfg(test)]
mod diagram;
#[cfg(test)]
mod tests;

use crate::error::{CloseReason, Lost};
use crate::machine::state::tables::{
    Ending, EndingEvent, LastAttempt, LastAttemptEvent, OurEvent, OurHalf, PeerEvent, PeerHalf, Phase,
    PhaseEvent, RecordEvent, RecordState, Room, RoomEvent, Transport, TransportEvent,
};

/// The state of a connection.
///
/// Invariants: if the peer's half is `Idle`, so is our half; once the phase is not `Open`, no exchange follows; if the
/// transport is lost, the phase is `Closed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    peer: PeerHalf,
    ours: OurHalf,
    record: RecordState,
    /// The initial state of each record: wanted or skipped.
    fresh_record: RecordState,
    ending: Ending,
    last_read: LastAttempt,
    last_write: LastAttempt,
    room: Room,
    transport: Transport,
    phase: Phase,
    /// Why the connection ends, if known. It is only reported and decides nothing.
    reason: Option<CloseReason>,
}

impl State {
    pub(crate) const fn new() -> Self {
        Self {
            peer: PeerHalf::Idle,
            ours: OurHalf::Idle,
            record: RecordState::Wanted,
            fresh_record: RecordState::Wanted,
            ending: Ending::Open,
            last_read: LastAttempt::NotDue,
            last_write: LastAttempt::NotDue,
            room: Room::Kept,
            transport: Transport::Open,
            phase: Phase::Open,
            reason: None,
        }
    }

    pub(crate) const fn peer(&self) -> PeerHalf {
        self.peer
    }

    pub(crate) const fn ours(&self) -> OurHalf {
        self.ours
    }

    pub(crate) const fn phase(&self) -> Phase {
        self.phase
    }

    /// Why the connection ends.
    pub(crate) fn reason(&self) -> CloseReason {
        self.reason.unwrap_or(CloseReason::Finished)
    }

    /// How the connection was lost, if it was.
    pub(crate) const fn lost(&self) -> Option<Lost> {
        match self.transport {
            Transport::Lost(cause) => Some(cause),
            Transport::Open | Transport::HalfClosed => None,
        }
    }

    /// Whether nothing more will be received.
    pub(crate) const fn has_ended_input(&self) -> bool {
        !matches!(self.transport, Transport::Open)
    }

    /// Whether another exchange may follow this one.
    pub(crate) const fn persists(&self) -> bool {
        matches!(self.ending, Ending::Open | Ending::NextIsLast | Ending::Promised)
    }

    /// Whether the connection ends soon unless another request begins: the server stops.
    pub(crate) const fn ends_when_idle(&self) -> bool {
        matches!(self.ending, Ending::Answered | Ending::Ended | Ending::Evicted)
    }

    /// Whether the rest of a body may be read to reach the next request.
    pub(crate) const fn may_drain(&self) -> bool {
        self.persists()
    }

    /// Whether the application has a request whose response is not finished.
    pub(crate) const fn exchange_is_open(&self) -> bool {
        matches!(self.ours, OurHalf::Open | OurHalf::Sending)
    }

    /// Whether the head of a response was sent, and its body can follow.
    pub(crate) const fn sends_body(&self) -> bool {
        matches!(self.ours, OurHalf::Sending) && !matches!(self.transport, Transport::Lost(_))
    }

    /// Whether a complete head is ready for the application.
    pub(crate) const fn request_is_ready(&self) -> bool {
        matches!((self.ours, self.peer), (OurHalf::Idle, PeerHalf::Body | PeerHalf::Done))
    }

    /// Whether the connection waits for a request: none has begun, or its head is still arriving.
    pub(crate) const fn awaits_request(&self) -> bool {
        matches!(self.phase, Phase::Open)
            && matches!((self.ours, self.peer), (OurHalf::Idle, PeerHalf::Idle | PeerHalf::Head))
    }

    /// Whether the response is finished but the request body is not.
    pub(crate) const fn drains(&self) -> bool {
        matches!((self.ours, self.peer), (OurHalf::Done, PeerHalf::Body))
    }

    /// Whether the record of the exchange can be taken. After a takeover it can be taken at any time, but it is not
    /// announced while the stream belongs to the application.
    pub(crate) const fn record_is_due(&self, flushed: bool) -> bool {
        let is_over =
            matches!(self.ours, OurHalf::Done | OurHalf::Cut | OurHalf::TakenOver) && !self.drains();
        is_over && (self.record.is_due(flushed) || matches!(self.record, RecordState::Skipped))
    }

    /// Skips the records of all exchanges that do not request one, from now on.
    pub(crate) fn skip_records(&mut self) {
        self.fresh_record = RecordState::Skipped;
        if self.record == RecordState::Wanted {
            self.record = RecordState::Skipped;
        }
    }

    /// Delays the record of the current exchange until the flush. No effect without an exchange, or if it was taken.
    pub(crate) fn flush_before_record(&mut self) {
        if self.ours != OurHalf::Idle
            && let Some(next) = self.record.after(RecordEvent::FlushFirst)
        {
            self.record = next;
        }
    }

    /// Marks the record as taken or skipped. The next exchange begins if there is one.
    pub(crate) fn on_record_taken(&mut self) -> AfterRecord {
        if let Some(next) = way(self.record.after(RecordEvent::Taken), "the record") {
            self.record = next;
        }
        match (self.phase, self.ours) {
            (Phase::Open, OurHalf::TakenOver) => AfterRecord::Nothing,
            (Phase::Open, _) if self.persists() => {
                self.next_exchange();
                AfterRecord::NextExchange
            }
            (Phase::Open, _) => AfterRecord::Close,
            _ => AfterRecord::Nothing,
        }
    }

    pub(crate) fn on_peer(&mut self, event: PeerEvent) {
        if let Some(next) = way(self.peer.after(event), "the peer's half") {
            self.peer = next;
            if event == PeerEvent::Failed {
                self.on_ending(EndingEvent::Close);
            }
            // A request that is served or refused keeps its place, and the linger after a refusal.
            if matches!(event, PeerEvent::HeadAlone | PeerEvent::HeadWithBody | PeerEvent::Failed)
                && let Some(next) = self.room.after(RoomEvent::Busy)
            {
                self.room = next;
            }
        }
    }

    pub(crate) fn on_ours(&mut self, event: OurEvent) {
        if let Some(next) = way(self.ours.after(event), "our half") {
            self.ours = next;
            if matches!(next, OurHalf::Cut | OurHalf::TakenOver) {
                self.on_ending(EndingEvent::Close);
            }
        }
        debug_assert!(
            self.ours == OurHalf::Idle || self.peer != PeerHalf::Idle,
            "a response without a request"
        );
    }

    /// Allows no further exchange on this connection.
    pub(crate) fn do_not_persist(&mut self) {
        self.on_ending(EndingEvent::Close);
    }

    /// Records that the server stops.
    pub(crate) fn stop(&mut self) {
        self.note(CloseReason::Shutdown);
        // After a head without `close`, the peer expects a response to a request that it has already sent.
        self.on_ending(if self.head_is_sent() { EndingEvent::StopAfterHead } else { EndingEvent::Stop });
    }

    /// Makes the next head include `close`.
    pub(crate) fn last_exchange(&mut self, reason: CloseReason) {
        self.note(reason);
        self.on_ending(if self.head_is_sent() {
            EndingEvent::LastExchangeAfterHead
        } else {
            EndingEvent::LastExchange
        });
    }

    fn head_is_sent(&self) -> bool {
        matches!(self.ours, OurHalf::Sending | OurHalf::Done)
    }

    /// Remembers why the connection is going to end.
    fn note(&mut self, reason: CloseReason) {
        if self.phase == Phase::Open {
            self.reason.get_or_insert(reason);
        }
    }

    /// Ends the drain before the end of the body.
    pub(crate) fn give_up_drain(&mut self) {
        if self.persists() {
            // The response did not announce it, so this explains more than a stop or a limit.
            self.reason = Some(CloseReason::BodyUnread);
        }
        self.on_peer(PeerEvent::Failed);
    }

    /// Whether the last read of a wait has been done. If not, it is due from now on.
    pub(crate) fn was_read_last(&mut self) -> bool {
        match self.last_read.after(LastAttemptEvent::Ask) {
            Some(next) => {
                self.last_read = next;
                false
            }
            None => true,
        }
    }

    /// Records that the last read found nothing. No effect if no last read is due.
    pub(crate) fn on_nothing(&mut self) {
        if let Some(next) = self.last_read.after(LastAttemptEvent::Nothing) {
            self.last_read = next;
        }
    }

    /// Resets the last read, so that the next wait has its own.
    pub(crate) fn settle_last_read(&mut self) {
        if let Some(next) = self.last_read.after(LastAttemptEvent::Settled) {
            self.last_read = next;
        }
    }

    /// Whether the last write of a wait has been done. If not, it is due from now on.
    pub(crate) fn was_written_last(&mut self) -> bool {
        match self.last_write.after(LastAttemptEvent::Ask) {
            Some(next) => {
                self.last_write = next;
                false
            }
            None => true,
        }
    }

    /// Records that the last write found no room. No effect if no last write is due.
    pub(crate) fn on_no_room(&mut self) {
        if let Some(next) = self.last_write.after(LastAttemptEvent::Nothing) {
            self.last_write = next;
        }
    }

    /// Resets the last write, so that the next wait has its own.
    pub(crate) fn settle_last_write(&mut self) {
        if let Some(next) = self.last_write.after(LastAttemptEvent::Settled) {
            self.last_write = next;
        }
    }

    /// Records that another connection is waiting for room. No effect unless this one awaits a request or lingers.
    pub(crate) fn make_room(&mut self) {
        if self.can_make_room()
            && let Some(next) = self.room.after(RoomEvent::Ask)
        {
            self.room = next;
        }
    }

    /// Whether the connection ends to make room: immediately if it lingers, otherwise after its last read, unless a
    /// request is complete by then.
    pub(crate) const fn makes_room(&self) -> bool {
        matches!(self.room, Room::Wanted) && self.can_make_room()
    }

    /// Whether the connection waits for a request, or for the peer to close.
    pub(crate) const fn can_make_room(&self) -> bool {
        self.awaits_request() || matches!(self.phase, Phase::Lingering)
    }

    /// Closes without a linger to make room, because the head did not become complete.
    pub(crate) fn evict(&mut self) {
        self.on_ending(EndingEvent::Evict);
    }

    fn on_ending(&mut self, event: EndingEvent) {
        if let Some(next) = way(self.ending.after(event), "the ending") {
            self.ending = next;
        }
    }

    pub(crate) fn on_eof(&mut self) {
        if let Some(next) = self.transport.after(TransportEvent::Eof) {
            self.transport = next;
        }
    }

    /// Records that nothing more can be sent. No effect if the connection is closed.
    pub(crate) fn on_lost(&mut self, cause: Lost) {
        if self.phase == Phase::Closed {
            return;
        }
        if let Some(next) = self.transport.after(TransportEvent::Lost(cause)) {
            self.transport = next;
        }
        // A refusal is the more precise reason. Once our half is closed, everything is out and the peer may do what it likes.
        if !matches!(self.reason, Some(CloseReason::Refused(_))) && self.phase != Phase::Lingering {
            self.reason = Some(CloseReason::Lost(cause));
        }
        self.on_phase(PhaseEvent::Over);
    }

    /// Ends the exchanges of the connection. `flushed`: the outbox is empty. `looks_complete`: a cut response looks
    /// complete to the client. `nothing_follows`: the client announced that its request is the last, and no byte after
    /// it has arrived.
    pub(crate) fn close(
        &mut self,
        reason: CloseReason,
        flushed: bool,
        looks_complete: bool,
        nothing_follows: bool,
    ) {
        match reason {
            // A refusal or a cut response is a better explanation than a stop or a limit.
            CloseReason::Refused(_) | CloseReason::Cut => self.reason = Some(reason),
            // A limit was to end the connection, but it ended for another reason first.
            CloseReason::IdleTimeout | CloseReason::PeerClosed
                if matches!(self.reason, Some(CloseReason::Limit(_))) =>
            {
                self.reason = Some(reason);
            }
            _ => drop(self.reason.get_or_insert(reason)),
        }
        // A response may still be in flight, and a reset would destroy it.
        let nothing_in_flight = self.ours == OurHalf::Idle && self.ending != Ending::Answered && flushed;
        // There is no unread input that could cause a reset.
        let all_was_read =
            nothing_follows && matches!((self.ours, self.peer), (OurHalf::Done, PeerHalf::Done));
        let at_once = nothing_in_flight || all_was_read || self.ending == Ending::Evicted;
        self.on_phase(match (self.ours, looks_complete) {
            (OurHalf::Cut, true) => PhaseEvent::Breaking,
            _ if at_once => PhaseEvent::ClosingAtOnce,
            _ => PhaseEvent::Closing,
        });
    }

    /// Records that our half was closed. No effect if the machine did not request it.
    pub(crate) fn on_write_closed(&mut self) {
        if matches!(self.phase, Phase::Flushing | Phase::Leaving | Phase::Breaking) {
            self.on_phase(PhaseEvent::WriteClosed);
        }
    }

    /// Ends the linger.
    pub(crate) fn end_linger(&mut self) {
        self.on_phase(PhaseEvent::Over);
    }

    fn on_phase(&mut self, event: PhaseEvent) {
        if let Some(next) = way(self.phase.after(event), "the phase") {
            self.phase = next;
            self.on_ending(EndingEvent::Close);
        }
    }

    /// Begins the next exchange in both halves.
    fn next_exchange(&mut self) {
        self.on_ours(OurEvent::NextExchange);
        self.on_peer(PeerEvent::NextExchange);
        self.on_ending(EndingEvent::NextExchange);
        self.record = self.fresh_record;
    }
}

impl RecordState {
    /// Whether the record can be taken once its exchange is over.
    const fn is_due(self, flushed: bool) -> bool {
        matches!((self, flushed), (Self::Wanted, _) | (Self::AfterFlush, true))
    }
}

/// The next step after the record of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterRecord {
    /// The next exchange has begun.
    NextExchange,
    /// The connection has to be closed.
    Close,
    /// The connection is already ending, or belongs to the application.
    Nothing,
}

/// Checks that a transition is in the table. A missing one is a bug in this crate: it panics in debug builds and has no
/// effect in release builds.
fn way<T>(next: Option<T>, part: &str) -> Option<T> {
    debug_assert!(next.is_some(), "no such transition in {part}");
    next
}
