//! Every state of a connection, and every way from one to the next.
//!
//! Two rules:
//!
//! 1. Nothing outside this file changes a state. The rest of the crate reports what happened and asks where it is.
//! 2. Each half has its own table. What follows from both together is asked, never stored.
//!
//! The peer's half and ours run through one exchange side by side and start the next one together. Whether there is
//! a next one is `persist`, which only ever falls. The link is what becomes of the connection itself.

/// The peer's half of the current exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    Began,
    /// The head is complete and a body follows.
    HeadWithBody,
    /// The head is complete and nothing follows.
    HeadAlone,
    BodyEnded,
    Failed,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    Taken,
    HeadSent,
    Finished,
    /// The machine itself answered instead of the application.
    Answered,
    Cut,
    TakenOver,
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

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Open,
    /// No further exchange; what is in the outbox still goes out.
    Flushing,
    /// Our half is closed; unread input is read and dropped, so that no reset destroys the last answer.
    Lingering,
    Closed,
}

/// What happened to the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkEvent {
    Ending,
    WriteClosed,
    Over,
}

impl Link {
    const fn after(self, event: LinkEvent) -> Option<Self> {
        Some(match (self, event) {
            (Self::Open, LinkEvent::Ending) => Self::Flushing,
            (Self::Flushing, LinkEvent::WriteClosed) => Self::Lingering,
            (Self::Open | Self::Flushing | Self::Lingering, LinkEvent::Over) => Self::Closed,
            _ => return None,
        })
    }
}

/// Where a connection is.
///
/// Invariant: our half has left `Idle` only if the peer's half has left `Idle`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    peer: PeerHalf,
    ours: OurHalf,
    link: Link,
    persist: bool,
}

impl State {
    pub(crate) const fn new() -> Self {
        Self { peer: PeerHalf::Idle, ours: OurHalf::Idle, link: Link::Open, persist: true }
    }

    pub(crate) const fn peer(&self) -> PeerHalf {
        self.peer
    }

    pub(crate) const fn ours(&self) -> OurHalf {
        self.ours
    }

    pub(crate) const fn link(&self) -> Link {
        self.link
    }

    /// Whether another exchange may follow this one.
    pub(crate) const fn persists(&self) -> bool {
        self.persist
    }

    /// Whether the application has a request whose response is not over.
    pub(crate) const fn exchange_is_open(&self) -> bool {
        matches!(self.ours, OurHalf::Open | OurHalf::Sending)
    }

    /// Whether the head of the response is out, and the connection is not taken over.
    pub(crate) const fn has_sent_head(&self) -> bool {
        matches!(self.ours, OurHalf::Sending | OurHalf::Done)
    }

    /// Whether a whole head waits for the application.
    pub(crate) const fn request_is_ready(&self) -> bool {
        matches!((self.ours, self.peer), (OurHalf::Idle, PeerHalf::Body | PeerHalf::Done))
    }

    /// Whether the response is over and the rest of the request body is still to come.
    pub(crate) const fn drains(&self) -> bool {
        matches!((self.ours, self.peer), (OurHalf::Done, PeerHalf::Body))
    }

    /// Whether both halves of an exchange are over.
    pub(crate) const fn exchange_is_over(&self) -> bool {
        matches!(
            (self.ours, self.peer),
            (OurHalf::Cut, _) | (OurHalf::Done, PeerHalf::Done | PeerHalf::Failed)
        )
    }

    /// No further exchange on this connection.
    pub(crate) fn do_not_persist(&mut self) {
        self.persist = false;
    }

    pub(crate) fn on_peer(&mut self, event: PeerEvent) {
        if let Some(next) = step(self.peer.after(event), "the peer's half") {
            self.peer = next;
            if next == PeerHalf::Failed {
                self.persist = false;
            }
        }
    }

    pub(crate) fn on_ours(&mut self, event: OurEvent) {
        if let Some(next) = step(self.ours.after(event), "our half") {
            self.ours = next;
            if matches!(next, OurHalf::Cut | OurHalf::TakenOver) {
                self.persist = false;
            }
        }
        debug_assert!(
            self.ours == OurHalf::Idle || self.peer != PeerHalf::Idle,
            "an answer without a request"
        );
    }

    pub(crate) fn on_link(&mut self, event: LinkEvent) {
        if let Some(next) = step(self.link.after(event), "the link") {
            self.link = next;
            self.persist = false;
        }
    }

    /// Both halves begin the next exchange. Only after [`exchange_is_over`](Self::exchange_is_over).
    pub(crate) fn next_exchange(&mut self) {
        debug_assert!(self.persist, "the connection ends after this exchange");
        self.on_ours(OurEvent::NextExchange);
        self.on_peer(PeerEvent::NextExchange);
    }
}

/// A way that is not in the table is a fault of this crate: loud in tests, without effect in a server.
fn step<T>(next: Option<T>, half: &str) -> Option<T> {
    debug_assert!(next.is_some(), "no such way in {half}");
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: [PeerHalf; 5] =
        [PeerHalf::Idle, PeerHalf::Head, PeerHalf::Body, PeerHalf::Done, PeerHalf::Failed];
    const PEER_EVENTS: [PeerEvent; 6] = [
        PeerEvent::Began,
        PeerEvent::HeadWithBody,
        PeerEvent::HeadAlone,
        PeerEvent::BodyEnded,
        PeerEvent::Failed,
        PeerEvent::NextExchange,
    ];
    const OURS: [OurHalf; 6] =
        [OurHalf::Idle, OurHalf::Open, OurHalf::Sending, OurHalf::Done, OurHalf::Cut, OurHalf::TakenOver];
    const OUR_EVENTS: [OurEvent; 7] = [
        OurEvent::Taken,
        OurEvent::HeadSent,
        OurEvent::Finished,
        OurEvent::Answered,
        OurEvent::Cut,
        OurEvent::TakenOver,
        OurEvent::NextExchange,
    ];
    const LINKS: [Link; 4] = [Link::Open, Link::Flushing, Link::Lingering, Link::Closed];
    const LINK_EVENTS: [LinkEvent; 3] = [LinkEvent::Ending, LinkEvent::WriteClosed, LinkEvent::Over];

    /// One character a cell: the first letter of the next state, `-` where there is no way.
    fn row<S: Copy, E: Copy, N: core::fmt::Debug>(
        states: &[S],
        events: &[E],
        after: impl Fn(S, E) -> Option<N>,
    ) -> alloc::string::String {
        let mut table = alloc::string::String::new();
        for &state in states {
            for &event in events {
                match after(state, event) {
                    Some(next) => table.push_str(&alloc::format!("{next:?}")[..1]),
                    None => table.push('-'),
                }
            }
            table.push(' ');
        }
        table
    }

    #[test]
    fn the_tables_have_these_ways_and_no_others() {
        // Columns: Began, HeadWithBody, HeadAlone, BodyEnded, Failed, NextExchange.
        assert_eq!(row(&PEER, &PEER_EVENTS, PeerHalf::after), "H---F- -BD-F- ---DF- ----FI ------ ");
        // Columns: Taken, HeadSent, Finished, Answered, Cut, TakenOver, NextExchange.
        assert_eq!(
            row(&OURS, &OUR_EVENTS, OurHalf::after),
            "O--D--- -S-DC-- --D-CT- ------I ------- ------- "
        );
        // Columns: Ending, WriteClosed, Over.
        assert_eq!(row(&LINKS, &LINK_EVENTS, Link::after), "F-C -LC --C --- ");
    }

    #[test]
    fn each_pair_of_halves_means_one_thing_at_most() {
        for peer in PEER {
            for ours in OURS {
                for persist in [true, false] {
                    let state = State { peer, ours, link: Link::Open, persist };
                    let meanings = [
                        state.exchange_is_open(),
                        state.request_is_ready(),
                        state.drains(),
                        state.exchange_is_over(),
                        ours == OurHalf::TakenOver,
                        ours == OurHalf::Idle && !state.request_is_ready(),
                    ];
                    // Our half is never over before the peer's head is.
                    let reachable = ours == OurHalf::Idle
                        || !matches!(peer, PeerHalf::Idle | PeerHalf::Head)
                        || ours != OurHalf::Done;
                    assert_eq!(
                        meanings.iter().filter(|&&meaning| meaning).count(),
                        usize::from(reachable),
                        "{peer:?} {ours:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn persistence_only_ever_falls() {
        for event in LINK_EVENTS {
            for link in LINKS {
                if let Some(next) = link.after(event) {
                    let mut state = State { link, ..State::new() };
                    state.on_link(event);
                    assert_eq!((state.link(), state.persists()), (next, false));
                }
            }
        }
        let mut state = State::new();
        state.on_peer(PeerEvent::Failed);
        assert!(!state.persists());
    }
}
