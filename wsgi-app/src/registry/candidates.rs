//! Chooses the connection that makes room for a new one.
//!
//! One walk over all connections makes a sorted list, and many choices are taken from it. Each is checked when its turn
//! comes. So a choice costs the same however many connections there are, and a connection records nothing for it.

use std::sync::Arc;
use std::time::Duration;

use wsgi_proto::Instant;

use crate::exchange::shared::{ConnShared, Directive, Inner};

/// How long a connection may wait before it has to make room: for its first request, for its next one, for the rest of a
/// head, or for the peer to close.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long a head may take if others can leave instead, which may themselves still be within their [`PATIENCE`].
const HEAD_PATIENCE: Duration = Duration::from_secs(2);

/// The shortest time between two walks.
const BETWEEN_WALKS: Duration = Duration::from_millis(50);

/// The age at which a list is too old to choose from.
const STALE: Duration = Duration::from_millis(100);

/// How long a chosen connection may take to leave before another one is chosen as well.
const TIME_TO_LEAVE: Duration = Duration::from_millis(50);

/// What a connection waits for, in the order in which connections make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wait {
    /// The peer's close, after the last response.
    Linger,
    /// The first byte of the first request, or the end of a handshake.
    FirstRequest,
    /// The next request.
    NextRequest,
    /// The rest of a head.
    Head,
}

/// A connection that waits. Candidates that make room first are the smaller ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    wait: Wait,
    since: Instant,
    slot: usize,
}

impl Candidate {
    /// `None` if the connection is being served.
    fn new(slot: usize, inner: &Inner) -> Option<Self> {
        let since = inner.waits_since?;
        let (wait, since) = if inner.machine.lingers() {
            (Wait::Linger, since)
        } else if let Some(began) = inner.machine.head_began() {
            (Wait::Head, began)
        } else if inner.serial == 0 {
            (Wait::FirstRequest, since)
        } else {
            (Wait::NextRequest, since)
        };
        Some(Self { wait, since, slot })
    }
}

/// The connections that can make room.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// The best one is the last one.
    sorted: Vec<Candidate>,
    /// The time of the walk that made the list.
    walked: Option<Instant>,
    /// The slot of the last choice, and its time.
    chosen: Option<(usize, Instant)>,
    /// The number of connections that were looked at.
    #[cfg(test)]
    pub(super) looks: usize,
}

impl Candidates {
    /// Chooses the connection that has to make room. `None` if the last choice is about to leave, or if no connection
    /// has waited long enough.
    pub(super) fn choose(
        &mut self,
        slots: &[Option<Arc<ConnShared>>],
        now: Instant,
    ) -> Option<Arc<ConnShared>> {
        if let Some((slot, at)) = self.chosen
            && now.since(at) < TIME_TO_LEAVE
            && slots[slot].as_deref().is_some_and(|shared| is_leaving(shared))
        {
            return None;
        }
        self.chosen = None;
        if self.walked.is_some_and(|walked| now.since(walked) > STALE) {
            self.sorted.clear();
        }
        loop {
            while let Some(candidate) = self.sorted.pop() {
                self.count(1);
                let Some(shared) = &slots[candidate.slot] else { continue };
                // A connection that is locked is being used.
                let Some(inner) = shared.try_lock() else { continue };
                // It may have been served since the walk, or another connection has its slot.
                if inner.directive == Directive::Serve
                    && Candidate::new(candidate.slot, &inner) == Some(candidate)
                {
                    self.chosen = Some((candidate.slot, now));
                    return Some(Arc::clone(shared));
                }
            }
            if self.walked.is_some_and(|walked| now.since(walked) < BETWEEN_WALKS) {
                return None;
            }
            self.walk(slots, now);
            if self.sorted.is_empty() {
                return None;
            }
        }
    }

    fn walk(&mut self, slots: &[Option<Arc<ConnShared>>], now: Instant) {
        self.count(slots.len());
        self.walked = Some(now);
        self.sorted.clear();
        let waiting = slots.iter().enumerate().filter_map(|(slot, shared)| {
            let inner = shared.as_ref()?.try_lock()?;
            Candidate::new(slot, &inner).filter(|_| inner.directive == Directive::Serve)
        });
        self.sorted.extend(waiting);
        // A head that is a little late is worth more than a connection that sends nothing, even a new one. But heads alone
        // must not keep others out.
        let only_heads = self.sorted.iter().all(|candidate| candidate.wait == Wait::Head);
        self.sorted.retain(|candidate| {
            let patience = if candidate.wait == Wait::Head && !only_heads { HEAD_PATIENCE } else { PATIENCE };
            now.since(candidate.since) >= patience
        });
        self.sorted.sort_unstable_by(|one, other| other.cmp(one));
    }

    #[cfg(test)]
    fn count(&mut self, looks: usize) {
        self.looks += looks;
    }

    #[cfg(not(test))]
    fn count(&mut self, _: usize) {}
}

/// Whether a connection was told to make room and has not been served since.
fn is_leaving(shared: &ConnShared) -> bool {
    // A connection that is locked may be leaving just now.
    shared
        .try_lock()
        .is_none_or(|inner| inner.directive == Directive::MakeRoom && inner.waits_since.is_some())
}
