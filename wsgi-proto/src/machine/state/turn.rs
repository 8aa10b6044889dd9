//! Derives the machine's next turn from the states of all parts.

use crate::machine::state::State;
use crate::machine::state::tables::{OurHalf, PeerHalf, Phase, RecordState};

/// The machine's next task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Turn {
    /// Wait for a head.
    AwaitRequest,
    /// A complete head is ready for the application.
    Request,
    /// The application has the exchange.
    Exchange,
    /// Read and drop the rest of a body that the application did not read.
    Drain,
    /// Announce the record.
    Record,
    /// Skip the record, because it is not needed.
    PassRecord,
    /// Flush the outbox first.
    Flush,
    /// The stream belongs to the application.
    TakenOver,
    /// Close our half.
    CloseWrite,
    /// Reset the connection after earlier responses have had time to reach the client.
    Abort,
    /// Read and drop until the peer closes.
    Linger,
    /// Nothing is left to do.
    Closed,
}

impl State {
    /// Returns the next turn. `flushed`: the outbox is empty.
    pub(crate) const fn turn(&self, flushed: bool) -> Turn {
        if self.is_between_exchanges() {
            return match self.peer {
                PeerHalf::Body | PeerHalf::Done => Turn::Request,
                PeerHalf::Idle | PeerHalf::Head | PeerHalf::Failed => Turn::AwaitRequest,
            };
        }
        match self.ours {
            OurHalf::Open | OurHalf::Sending => Turn::Exchange,
            OurHalf::Idle => self.ending_turn(flushed),
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

    /// Whether exchanges may take place, and the application has none.
    #[inline]
    pub(crate) const fn is_between_exchanges(&self) -> bool {
        const { assert!(OurHalf::Idle as u8 == 0 && Phase::Open as u8 == 0) }
        // Two comparisons would become a table of jumps, together with the match that follows.
        self.ours as u8 | self.phase as u8 == 0
    }

    /// Returns the next turn after the last exchange.
    const fn ending_turn(&self, flushed: bool) -> Turn {
        match self.phase {
            // Never reached: after the record, the next exchange begins or the phase changes.
            Phase::Open => Turn::Flush,
            Phase::Flushing | Phase::Leaving | Phase::Breaking if !flushed => Turn::Flush,
            Phase::Flushing | Phase::Leaving => Turn::CloseWrite,
            Phase::Breaking => Turn::Abort,
            Phase::Lingering => Turn::Linger,
            Phase::Closed => Turn::Closed,
        }
    }
}
