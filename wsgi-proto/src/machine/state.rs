//! Every state of a connection, and every way from one to the next.
//!
//! Two rules:
//!
//! 1. Nothing outside this file decides a transition. The rest of the crate reports what happened and asks what is next.
//! 2. Each part has its own table. What follows from all of them together is derived ([`State::turn`]), never stored.
//!
//! The peer's half and ours run through one exchange side by side and start the next one together. The record of an
//! exchange has its own small table. Whether there is a next exchange is the ending, what can still be received
//! and sent is the transport, and what becomes of the connection itself is the phase.

#[cfg(test)]
mod diagram;
#[cfg(test)]
mod tests;

use crate::error::{CloseReason, Lost};

/// The peer's half of the current exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PeerHalf {
    /// No byte of a request has come.
    Idle,
    /// A head is arriving.
    Head,
    /// The head is there, a body is arriving.
    Body,
    /// The request is complete.
    Done,
    /// The request will not be completed: refused, cut off, too late, or not worth draining.
    Failed,
}

/// What happened in the peer's half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeerEvent {
    /// The first byte of a request has arrived.
    Began,
    /// The head is complete and a body follows.
    HeadWithBody,
    /// The head is complete and nothing follows.
    HeadAlone,
    /// The end of the body has arrived.
    BodyEnded,
    /// The request will not be completed.
    Failed,
    /// The next exchange begins.
    NextExchange,
}

impl PeerHalf {
    const fn after(self, event: PeerEvent) -> Option<Self> {
        Some(match (self, event) {
            (Self::Idle, PeerEvent::Began) => Self::Head,
            (Self::Head, PeerEvent::HeadWithBody) => Self::Body,
            (Self::Head, PeerEvent::HeadAlone) | (Self::Body, PeerEvent::BodyEnded) => Self::Done,
            (Self::Idle | Self::Head | Self::Body | Self::Done, PeerEvent::Failed) => Self::Failed,
            (Self::Done, PeerEvent::NextExchange) => Self::Idle,
            _ => return None,
        })
    }
}

/// Our half of the current exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum OurHalf {
    /// No request has been taken by the application.
    Idle,
    /// The application has the request; nothing of the response is final.
    Open,
    /// The response's head is in the outbox.
    Sending,
    /// The response is whole in the outbox.
    Done,
    /// The response will not be completed.
    Cut,
    /// The stream belongs to the application.
    TakenOver,
}

/// What happened in our half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OurEvent {
    /// The application has taken the request.
    Taken,
    /// The head of the response is in the outbox.
    HeadSent,
    /// The response is whole in the outbox.
    Finished,
    /// The machine itself answered instead of the application.
    Answered,
    /// The response will not be completed.
    Cut,
    /// The application has taken the stream.
    TakenOver,
    /// The next exchange begins.
    NextExchange,
}

impl OurHalf {
    const fn after(self, event: OurEvent) -> Option<Self> {
        Some(match (self, event) {
            (Self::Idle, OurEvent::Taken) => Self::Open,
            (Self::Open, OurEvent::HeadSent) => Self::Sending,
            (Self::Sending, OurEvent::Finished) | (Self::Idle | Self::Open, OurEvent::Answered) => Self::Done,
            (Self::Open | Self::Sending, OurEvent::Cut) => Self::Cut,
            (Self::Sending, OurEvent::TakenOver) => Self::TakenOver,
            (Self::Done, OurEvent::NextExchange) => Self::Idle,
            _ => return None,
        })
    }
}

/// The record of the current exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RecordState {
    /// It is announced when the exchange is over.
    Wanted,
    /// As wanted, but not before the response is flushed.
    AfterFlush,
    /// Nobody wants it.
    Skipped,
    /// It was taken, or passed over.
    Taken,
}

/// What happened to the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordEvent {
    /// It has to wait for the flush.
    FlushFirst,
    /// It was taken, or passed over.
    Taken,
}

impl RecordState {
    const fn after(self, event: RecordEvent) -> Option<Self> {
        Some(match (self, event) {
            (Self::Wanted | Self::AfterFlush | Self::Skipped, RecordEvent::FlushFirst) => Self::AfterFlush,
            (Self::Wanted | Self::AfterFlush | Self::Skipped, RecordEvent::Taken) => Self::Taken,
            (Self::Taken, _) => return None,
        })
    }
}

/// Whether another exchange may follow the current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ending {
    /// As many as the peer likes.
    Open,
    /// As many as the current one promises, and then one: its response is the last.
    NextIsLast,
    /// The current one, or the next one that arrives, is the last: its response says so.
    LastExchange,
    /// The server stops, but the head of the current response has promised to go on: one more, if something of its
    /// request has been received by the end of this one.
    Promised,
    /// That end has come, so an answer may still be in flight.
    Answered,
    /// None.
    Ended,
    /// None, and the connection leaves without a linger: somebody waits for its place.
    Evicted,
}

/// What happened to the prospects of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndingEvent {
    /// The next head that is sent has to say `close`; that of the current response, if there is one, is not sent.
    LastExchange,
    /// The same, when the head of the current response is sent.
    LastExchangeAfterHead,
    /// The server stops; the head of the current response, if there is one, is not sent.
    Stop,
    /// The server stops; the head of the current response is sent.
    StopAfterHead,
    /// The current exchange is the last one: its response says so, or something failed.
    Close,
    /// The connection has to make room.
    Evict,
    /// The next exchange begins.
    NextExchange,
}

impl Ending {
    const fn after(self, event: EndingEvent) -> Option<Self> {
        Some(match (self, event) {
            (Self::Open | Self::NextIsLast, EndingEvent::LastExchange) => Self::LastExchange,
            (Self::Open, EndingEvent::LastExchangeAfterHead) => Self::NextIsLast,
            // What is asked for is so already, or the connection ends even earlier.
            (same, EndingEvent::LastExchange | EndingEvent::LastExchangeAfterHead) => same,
            (Self::Open | Self::NextIsLast | Self::Promised, EndingEvent::StopAfterHead) => Self::Promised,
            (Self::LastExchange, EndingEvent::Stop | EndingEvent::StopAfterHead | EndingEvent::Close) => {
                Self::Ended
            }
            (Self::Open | Self::NextIsLast | Self::Promised, EndingEvent::Stop | EndingEvent::Close) => {
                Self::Ended
            }
            (Self::Answered, EndingEvent::Stop | EndingEvent::StopAfterHead) => Self::Answered,
            (Self::Answered | Self::Ended, EndingEvent::Close) => Self::Ended,
            (Self::Ended, EndingEvent::Stop | EndingEvent::StopAfterHead) => Self::Ended,
            (_, EndingEvent::Evict) => Self::Evicted,
            (Self::Evicted, EndingEvent::Stop | EndingEvent::StopAfterHead | EndingEvent::Close) => {
                Self::Evicted
            }
            (Self::Open, EndingEvent::NextExchange) => Self::Open,
            (Self::NextIsLast, EndingEvent::NextExchange) => Self::LastExchange,
            (Self::Promised, EndingEvent::NextExchange) => Self::Answered,
            (
                Self::LastExchange | Self::Answered | Self::Ended | Self::Evicted,
                EndingEvent::NextExchange,
            ) => return None,
        })
    }
}

/// The one last read before a wait for the peer is given up: what has arrived in time counts, however late the driver is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum LastRead {
    /// None is due.
    NotDue,
    /// The driver has to read once more, without waiting.
    Due,
    /// It did, and nothing was there.
    Empty,
}

/// What happened to the last read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastReadEvent {
    /// A wait for the peer is over.
    Ask,
    /// Nothing was there.
    Nothing,
    /// Something was there, or the wait has been given up.
    Settled,
}

impl LastRead {
    const fn after(self, event: LastReadEvent) -> Option<Self> {
        Some(match (self, event) {
            (Self::NotDue | Self::Due, LastReadEvent::Ask) => Self::Due,
            (Self::Due, LastReadEvent::Nothing) => Self::Empty,
            (Self::NotDue | Self::Due | Self::Empty, LastReadEvent::Settled) => Self::NotDue,
            (Self::Empty, LastReadEvent::Ask) | (Self::NotDue | Self::Empty, LastReadEvent::Nothing) => {
                return None;
            }
        })
    }
}

/// Whether somebody waits for the place of this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Room {
    /// Nobody does.
    Kept,
    /// The connection ends unless a request is complete by its last read.
    Wanted,
}

/// What happened about the place of this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RoomEvent {
    /// Somebody waits for it.
    Ask,
    /// A request was complete after all.
    Busy,
}

impl Room {
    const fn after(self, event: RoomEvent) -> Option<Self> {
        Some(match (self, event) {
            (Self::Kept | Self::Wanted, RoomEvent::Ask) => Self::Wanted,
            (Self::Kept | Self::Wanted, RoomEvent::Busy) => Self::Kept,
        })
    }
}

/// What the transport still carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Transport {
    /// Bytes in both directions.
    Open,
    /// The peer has closed its sending half.
    HalfClosed,
    /// Nothing.
    Lost(Lost),
}

/// What happened to the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransportEvent {
    /// The peer has closed its sending half.
    Eof,
    /// Nothing can be sent any more.
    Lost(Lost),
}

impl Transport {
    const fn after(self, event: TransportEvent) -> Option<Self> {
        Some(match (self, event) {
            (Self::Open | Self::HalfClosed, TransportEvent::Eof) => Self::HalfClosed,
            (Self::Open | Self::HalfClosed, TransportEvent::Lost(cause)) => Self::Lost(cause),
            (Self::Lost(cause), _) => Self::Lost(cause),
        })
    }
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// Exchanges go on.
    Open,
    /// No further exchange; what is in the outbox still goes out, then comes the linger.
    Flushing,
    /// As flushing, but nothing is in flight that a reset could destroy, or nobody has the time: no linger.
    Leaving,
    /// What was sent must not look complete: after the outbox comes no close of our half, but a reset.
    Breaking,
    /// Our half is closed; unread input is read and dropped, so that no reset destroys the last answer.
    Lingering,
    /// Over.
    Closed,
}

/// What happened to the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PhaseEvent {
    /// There is no further exchange.
    Closing,
    /// There is no further exchange, and no reason to linger.
    ClosingAtOnce,
    /// There is no further exchange, and the last response is broken off where nothing else shows it.
    Breaking,
    /// Our half was closed.
    WriteClosed,
    /// The linger is over, or the connection is lost.
    Over,
}

impl Phase {
    const fn after(self, event: PhaseEvent) -> Option<Self> {
        Some(match (self, event) {
            (Self::Open, PhaseEvent::Closing) => Self::Flushing,
            (Self::Open, PhaseEvent::ClosingAtOnce) => Self::Leaving,
            (Self::Open, PhaseEvent::Breaking) => Self::Breaking,
            (Self::Flushing, PhaseEvent::WriteClosed) => Self::Lingering,
            (Self::Leaving | Self::Breaking, PhaseEvent::WriteClosed) => Self::Closed,
            (
                Self::Open | Self::Flushing | Self::Leaving | Self::Breaking | Self::Lingering,
                PhaseEvent::Over,
            ) => Self::Closed,
            _ => return None,
        })
    }
}

/// What the machine has to see to next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Turn {
    /// Wait for a head.
    AwaitRequest,
    /// A whole head waits for the application.
    Request,
    /// The application has the exchange.
    Exchange,
    /// Read and drop the rest of a body that the application left.
    Drain,
    /// Announce the record.
    Record,
    /// Nobody wants the record: go on without it.
    PassRecord,
    /// The outbox has to be empty first.
    Flush,
    /// The stream is the application's.
    TakenOver,
    /// Close our half.
    CloseWrite,
    /// Reset the connection, when earlier answers have had the time to leave.
    Abort,
    /// Read and drop until the peer closes.
    Linger,
    /// Nothing is left to do.
    Closed,
}

/// Where a connection is.
///
/// Invariants: our half has left `Idle` only if the peer's half has; once the phase is not `Open`, no exchange follows;
/// a lost transport means a closed phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    peer: PeerHalf,
    ours: OurHalf,
    record: RecordState,
    /// How the record of each exchange begins: wanted or skipped.
    fresh_record: RecordState,
    ending: Ending,
    last_read: LastRead,
    room: Room,
    transport: Transport,
    phase: Phase,
    /// Why the connection ends, as far as it is known. It is reported and decides nothing.
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
            last_read: LastRead::NotDue,
            room: Room::Kept,
            transport: Transport::Open,
            phase: Phase::Open,
            reason: None,
        }
    }

    /// What is next. `flushed`: nothing waits in the outbox.
    pub(crate) const fn turn(&self, flushed: bool) -> Turn {
        match self.ours {
            OurHalf::Open | OurHalf::Sending => Turn::Exchange,
            OurHalf::Idle => match (self.phase, self.peer) {
                (Phase::Open, PeerHalf::Body | PeerHalf::Done) => Turn::Request,
                (Phase::Open, _) => Turn::AwaitRequest,
                _ => self.ending_turn(flushed),
            },
            OurHalf::TakenOver if matches!(self.phase, Phase::Open) => {
                if flushed {
                    Turn::TakenOver
                } else {
                    Turn::Flush
                }
            }
            OurHalf::Done if matches!(self.peer, PeerHalf::Body) => Turn::Drain,
            OurHalf::Done | OurHalf::Cut | OurHalf::TakenOver => match self.record {
                RecordState::Wanted => Turn::Record,
                RecordState::AfterFlush if flushed => Turn::Record,
                RecordState::AfterFlush => Turn::Flush,
                RecordState::Skipped => Turn::PassRecord,
                RecordState::Taken => self.ending_turn(flushed),
            },
        }
    }

    /// What is next when no exchange is left to see to.
    const fn ending_turn(&self, flushed: bool) -> Turn {
        match self.phase {
            // The record was taken and nothing came of it: that is never reached.
            Phase::Open => Turn::Flush,
            Phase::Flushing | Phase::Leaving | Phase::Breaking if !flushed => Turn::Flush,
            Phase::Flushing | Phase::Leaving => Turn::CloseWrite,
            Phase::Breaking => Turn::Abort,
            Phase::Lingering => Turn::Linger,
            Phase::Closed => Turn::Closed,
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

    /// Whether a request that has not begun is not waited for any more.
    pub(crate) const fn ends_when_idle(&self) -> bool {
        matches!(self.ending, Ending::Answered | Ending::Ended | Ending::Evicted)
    }

    /// Whether it is worth reading the rest of a body to get at the next request.
    pub(crate) const fn may_drain(&self) -> bool {
        matches!(self.ending, Ending::Open | Ending::NextIsLast)
    }

    /// Whether the application has a request whose response is not over.
    pub(crate) const fn exchange_is_open(&self) -> bool {
        matches!(self.ours, OurHalf::Open | OurHalf::Sending)
    }

    /// Whether a whole head waits for the application.
    pub(crate) const fn request_is_ready(&self) -> bool {
        matches!((self.ours, self.peer), (OurHalf::Idle, PeerHalf::Body | PeerHalf::Done))
    }

    /// Whether no request is with the application: none has begun, or its head is still arriving.
    pub(crate) const fn awaits_request(&self) -> bool {
        matches!(self.phase, Phase::Open)
            && matches!((self.ours, self.peer), (OurHalf::Idle, PeerHalf::Idle | PeerHalf::Head))
    }

    /// Whether the response is over and the rest of the request body is still to come.
    pub(crate) const fn drains(&self) -> bool {
        matches!((self.ours, self.peer), (OurHalf::Done, PeerHalf::Body))
    }

    /// Whether the record of the exchange can be taken. That of a connection which was taken over can be taken at any
    /// time, though it is not announced as long as the stream is the application's.
    pub(crate) const fn record_is_due(&self, flushed: bool) -> bool {
        let is_over =
            matches!(self.ours, OurHalf::Done | OurHalf::Cut | OurHalf::TakenOver) && !self.drains();
        is_over && (self.record.is_due(flushed) || matches!(self.record, RecordState::Skipped))
    }

    /// From now on nobody wants the record of an exchange that does not ask for it.
    pub(crate) fn skip_records(&mut self) {
        self.fresh_record = RecordState::Skipped;
        if self.record == RecordState::Wanted {
            self.record = RecordState::Skipped;
        }
    }

    /// The record of the current exchange waits for the flush. No effect without an exchange, or when it was taken.
    pub(crate) fn flush_before_record(&mut self) {
        if self.ours != OurHalf::Idle
            && let Some(next) = self.record.after(RecordEvent::FlushFirst)
        {
            self.record = next;
        }
    }

    /// The record was taken or passed over; the next exchange begins if there is one.
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
            match event {
                PeerEvent::Failed => self.on_ending(EndingEvent::Close),
                PeerEvent::HeadAlone | PeerEvent::HeadWithBody => {
                    if let Some(next) = self.room.after(RoomEvent::Busy) {
                        self.room = next;
                    }
                }
                PeerEvent::Began | PeerEvent::BodyEnded | PeerEvent::NextExchange => {}
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
            "an answer without a request"
        );
    }

    /// No further exchange on this connection.
    pub(crate) fn do_not_persist(&mut self) {
        self.on_ending(EndingEvent::Close);
    }

    /// The server stops.
    pub(crate) fn stop(&mut self) {
        self.note(CloseReason::Shutdown);
        // A head that is out and has not said `close` lets the peer expect an answer to what it has sent ahead.
        self.on_ending(if self.head_is_sent() { EndingEvent::StopAfterHead } else { EndingEvent::Stop });
    }

    /// The next head says `close`.
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

    /// Keeps a reason to end for when it does.
    fn note(&mut self, reason: CloseReason) {
        if self.phase == Phase::Open {
            self.reason.get_or_insert(reason);
        }
    }

    /// Whether a wait for the peer has been looked at once more. If not, that is due from now on.
    pub(crate) fn was_read_last(&mut self) -> bool {
        match self.last_read.after(LastReadEvent::Ask) {
            Some(next) => {
                self.last_read = next;
                false
            }
            None => true,
        }
    }

    /// The last read has found nothing. No effect when none is due.
    pub(crate) fn on_nothing(&mut self) {
        if let Some(next) = self.last_read.after(LastReadEvent::Nothing) {
            self.last_read = next;
        }
    }

    /// The next wait for the peer has its own last read.
    pub(crate) fn settle_last_read(&mut self) {
        if let Some(next) = self.last_read.after(LastReadEvent::Settled) {
            self.last_read = next;
        }
    }

    /// Somebody waits for the place of this connection. No effect unless it awaits a request or lingers.
    pub(crate) fn make_room(&mut self) {
        if self.can_make_room()
            && let Some(next) = self.room.after(RoomEvent::Ask)
        {
            self.room = next;
        }
    }

    /// Whether the connection ends: at once if it lingers, else after its last read unless a request is complete then.
    pub(crate) const fn makes_room(&self) -> bool {
        matches!(self.room, Room::Wanted) && self.can_make_room()
    }

    /// Whether the connection waits for a request, or for the peer to close.
    pub(crate) const fn can_make_room(&self) -> bool {
        self.awaits_request() || matches!(self.phase, Phase::Lingering)
    }

    /// A head that did not become complete gives its place away, without a linger.
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

    /// Nothing can be sent any more. No effect when the connection is closed.
    pub(crate) fn on_lost(&mut self, cause: Lost) {
        if self.phase == Phase::Closed {
            return;
        }
        if let Some(next) = self.transport.after(TransportEvent::Lost(cause)) {
            self.transport = next;
        }
        if matches!(self.reason, None | Some(CloseReason::Shutdown | CloseReason::Limit(_))) {
            self.reason = Some(CloseReason::Lost(cause));
        }
        self.on_phase(PhaseEvent::Over);
    }

    /// There is no further exchange. `flushed`: nothing waits in the outbox. `looks_complete`: nothing that was sent shows
    /// that the last response was broken off.
    pub(crate) fn close(&mut self, reason: CloseReason, flushed: bool, looks_complete: bool) {
        match reason {
            // What was refused says more than what was asked of the server meanwhile.
            CloseReason::Refused(_) | CloseReason::Cut => self.reason = Some(reason),
            // It was asked to end soon, and ended otherwise before that.
            CloseReason::IdleTimeout | CloseReason::PeerClosed
                if matches!(self.reason, Some(CloseReason::Limit(_))) =>
            {
                self.reason = Some(reason);
            }
            _ => drop(self.reason.get_or_insert(reason)),
        }
        // An answer may still be on its way, and a reset would destroy it.
        let nothing_in_flight = self.ours == OurHalf::Idle && self.ending != Ending::Answered && flushed;
        let at_once = nothing_in_flight || self.ending == Ending::Evicted;
        self.on_phase(match (self.ours, looks_complete) {
            (OurHalf::Cut, true) => PhaseEvent::Breaking,
            _ if at_once => PhaseEvent::ClosingAtOnce,
            _ => PhaseEvent::Closing,
        });
    }

    /// Our half was closed. No effect when nothing asked for it.
    pub(crate) fn on_write_closed(&mut self) {
        if matches!(self.phase, Phase::Flushing | Phase::Leaving | Phase::Breaking) {
            self.on_phase(PhaseEvent::WriteClosed);
        }
    }

    /// The linger is over.
    pub(crate) fn end_linger(&mut self) {
        self.on_phase(PhaseEvent::Over);
    }

    fn on_phase(&mut self, event: PhaseEvent) {
        if let Some(next) = way(self.phase.after(event), "the phase") {
            self.phase = next;
            self.on_ending(EndingEvent::Close);
        }
    }

    /// Both halves begin the next exchange.
    fn next_exchange(&mut self) {
        self.on_ours(OurEvent::NextExchange);
        self.on_peer(PeerEvent::NextExchange);
        self.on_ending(EndingEvent::NextExchange);
        self.record = self.fresh_record;
    }
}

impl RecordState {
    /// Whether it can be taken when its exchange is over.
    const fn is_due(self, flushed: bool) -> bool {
        matches!((self, flushed), (Self::Wanted, _) | (Self::AfterFlush, true))
    }
}

/// What follows the record of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterRecord {
    /// The next exchange has begun.
    NextExchange,
    /// The connection has to be closed.
    Close,
    /// The connection is on its way already, or is not ours any more.
    Nothing,
}

/// A way that is not in the table is a fault of this crate: loud in tests, without effect in a server.
fn way<T>(next: Option<T>, part: &str) -> Option<T> {
    debug_assert!(next.is_some(), "no such way in {part}");
    next
}
