//! The tables: the states and the events of each part of a connection, and every transition between its states.
//!
//! `after` looks a transition up. Only the module above can call it, so nothing else decides a transition.

use crate::error::Lost;

/// The peer's half of the current exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PeerHalf {
    /// No byte of a request has arrived.
    Idle,
    /// A head is arriving.
    Head,
    /// The head is complete, and a body is arriving.
    Body,
    /// The request is complete.
    Done,
    /// The request will not be completed: it was refused, cut off, too late, or must not be drained.
    Failed,
}

/// An event in the peer's half.
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
    pub(super) const fn after(self, event: PeerEvent) -> Option<Self> {
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
    /// The application has not taken a request.
    Idle,
    /// The application has the request; the response can still be replaced.
    Open,
    /// The head of the response is in the outbox.
    Sending,
    /// The whole response is in the outbox.
    Done,
    /// The response will not be completed.
    Cut,
    /// The stream belongs to the application.
    TakenOver,
}

/// An event in our half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OurEvent {
    /// The application has taken the request.
    Taken,
    /// The head of the response is in the outbox.
    HeadSent,
    /// The whole response is in the outbox.
    Finished,
    /// The machine answered instead of the application.
    Answered,
    /// The response will not be completed.
    Cut,
    /// The application has taken the stream.
    TakenOver,
    /// The next exchange begins.
    NextExchange,
}

impl OurHalf {
    pub(super) const fn after(self, event: OurEvent) -> Option<Self> {
        Some(match (self, event) {
            (Self::Idle, OurEvent::Taken) => Self::Open,
            (Self::Open, OurEvent::HeadSent) => Self::Sending,
            (Self::Sending, OurEvent::Finished) | (Self::Idle | Self::Open, OurEvent::Answered) => Self::Done,
            (Self::Open | Self::Sending, OurEvent::Cut) => Self::Cut,
            (Self::Open | Self::Sending, OurEvent::TakenOver) => Self::TakenOver,
            (Self::Done, OurEvent::NextExchange) => Self::Idle,
            _ => return None,
        })
    }
}

/// The record of the current exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum RecordState {
    /// It is announced when the exchange is over.
    Wanted,
    /// Like `Wanted`, but not before the response is flushed.
    AfterFlush,
    /// It is not needed.
    Skipped,
    /// It was taken or skipped.
    Taken,
}

/// An event of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordEvent {
    /// It has to wait for the flush.
    FlushFirst,
    /// It was taken or skipped.
    Taken,
}

impl RecordState {
    pub(super) const fn after(self, event: RecordEvent) -> Option<Self> {
        Some(match (self, event) {
            (Self::Wanted | Self::AfterFlush | Self::Skipped, RecordEvent::FlushFirst) => Self::AfterFlush,
            (Self::Wanted | Self::AfterFlush | Self::Skipped, RecordEvent::Taken) => Self::Taken,
            (Self::Taken, _) => return None,
        })
    }
}

/// Whether another exchange may follow the current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Ending {
    /// Any number of exchanges may follow.
    Open,
    /// The current response, sent without `close`, allows one more exchange. That one is the last.
    NextIsLast,
    /// The current exchange, or the next one that arrives, is the last. Its response has `close`.
    LastExchange,
    /// The server stops, but the current response was sent without `close`. One more exchange may follow.
    Promised,
    /// The exchange that was current in `Promised` has ended; its response may still be in flight.
    Answered,
    /// No exchange follows.
    Ended,
    /// No exchange follows, and the connection closes without a linger: another connection is waiting for room.
    Evicted,
}

/// An event that affects whether another exchange may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndingEvent {
    /// The next head has to include `close`. The head of the current response, if any, has not been sent.
    LastExchange,
    /// The next head has to include `close`. The head of the current response has been sent.
    LastExchangeAfterHead,
    /// The server stops. The head of the current response, if any, has not been sent.
    Stop,
    /// The server stops. The head of the current response has been sent.
    StopAfterHead,
    /// The current exchange is the last one: its response has `close`, or something failed.
    Close,
    /// The connection has to make room.
    Evict,
    /// The next exchange begins.
    NextExchange,
}

impl Ending {
    pub(super) const fn after(self, event: EndingEvent) -> Option<Self> {
        Some(match (self, event) {
            (Self::Open | Self::NextIsLast, EndingEvent::LastExchange) => Self::LastExchange,
            (Self::Open, EndingEvent::LastExchangeAfterHead) => Self::NextIsLast,
            // The connection already ends at that point or earlier.
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

/// The last read, or the last write, before the machine gives up a wait for the peer. What the peer did in time counts,
/// even if the driver is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum LastAttempt {
    /// None is due.
    NotDue,
    /// The driver has to read or write once more, without waiting.
    Due,
    /// The driver tried once more, and no byte moved.
    Failed,
}

/// An event of the last read or write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastAttemptEvent {
    /// A wait for the peer is over.
    Ask,
    /// Nothing had arrived, or there was no room.
    Nothing,
    /// Bytes moved, or the machine gave up the wait.
    Settled,
}

impl LastAttempt {
    pub(super) const fn after(self, event: LastAttemptEvent) -> Option<Self> {
        Some(match (self, event) {
            (Self::NotDue | Self::Due, LastAttemptEvent::Ask) => Self::Due,
            (Self::Due, LastAttemptEvent::Nothing) => Self::Failed,
            (Self::NotDue | Self::Due | Self::Failed, LastAttemptEvent::Settled) => Self::NotDue,
            (Self::Failed, LastAttemptEvent::Ask)
            | (Self::NotDue | Self::Failed, LastAttemptEvent::Nothing) => {
                return None;
            }
        })
    }
}

/// Whether another connection is waiting for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Room {
    /// No connection is waiting for room.
    Kept,
    /// Another one is waiting: this connection ends unless a request is complete by its last read.
    Wanted,
}

/// An event that affects the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RoomEvent {
    /// Another connection is waiting for room.
    Ask,
    /// A request became complete after all.
    Busy,
}

impl Room {
    pub(super) const fn after(self, event: RoomEvent) -> Option<Self> {
        Some(match (self, event) {
            (Self::Kept | Self::Wanted, RoomEvent::Ask) => Self::Wanted,
            (Self::Kept | Self::Wanted, RoomEvent::Busy) => Self::Kept,
        })
    }
}

/// The directions in which the transport is still usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Transport {
    /// Both directions are open.
    Open,
    /// The peer has closed its sending half.
    HalfClosed,
    /// Neither direction is usable.
    Lost(Lost),
}

/// An event of the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TransportEvent {
    /// The peer has closed its sending half.
    Eof,
    /// Nothing more can be sent.
    Lost(Lost),
}

impl Transport {
    pub(super) const fn after(self, event: TransportEvent) -> Option<Self> {
        Some(match (self, event) {
            (Self::Open | Self::HalfClosed, TransportEvent::Eof) => Self::HalfClosed,
            (Self::Open | Self::HalfClosed, TransportEvent::Lost(cause)) => Self::Lost(cause),
            (Self::Lost(cause), _) => Self::Lost(cause),
        })
    }
}

/// The phase of the connection itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// Exchanges take place.
    Open,
    /// No further exchange. The outbox is flushed, then the connection lingers.
    Flushing,
    /// Like `Flushing`, but without a linger: nothing is in flight that a reset could destroy, the client sends nothing
    /// more, or another connection is waiting for room.
    Leaving,
    /// A cut response must not look complete: after the flush, the connection is reset and our half is not closed.
    Breaking,
    /// Our half is closed. Unread input is read and dropped, so that no reset destroys the last response.
    Lingering,
    /// The connection is over.
    Closed,
}

/// An event of the connection itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PhaseEvent {
    /// There is no further exchange.
    Closing,
    /// There is no further exchange, and no reason to linger.
    ClosingAtOnce,
    /// There is no further exchange, and only a reset shows that the last response is incomplete.
    Breaking,
    /// Our half was closed.
    WriteClosed,
    /// The linger is over, or the connection is lost.
    Over,
}

impl Phase {
    pub(super) const fn after(self, event: PhaseEvent) -> Option<Self> {
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
