//! Chooses the connection that makes room for a new one.
//!
//! One walk over all connections makes a sorted list, and many choices are taken from it. Each is checked when it
//! is taken. So a choice costs the same however many connections there are, and a connection records nothing for it.

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
    /// The slot of the last choice, and its time. `None` once that connection has left.
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
            && slots[slot].as_deref().is_some_and(is_leaving)
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

    /// Records that the connection in `slot` has left. The next connection that gets the slot is not the chosen one.
    pub(super) fn left(&mut self, slot: usize) {
        self.chosen = self.chosen.filter(|(chosen, _)| *chosen != slot);
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

/// Whether a connection has to make room and has not been served since.
fn is_leaving(shared: &ConnShared) -> bool {
    // A connection that is locked may be leaving just now.
    shared
        .try_lock()
        .is_none_or(|inner| inner.directive == Directive::MakeRoom && inner.waits_since.is_some())
}

#[cfg(test)]
mod tests {
    use wsgi_proto::{Address, Config, Endpoints, Event, Io, LogFormat, Now};

    use super::*;
    use crate::context::ServerContext;
    use crate::context::blocking::Blocking;
    use crate::context::clock::Clocks;
    use crate::context::lifetime::Lifetimes;

    fn context() -> Arc<ServerContext> {
        Arc::new(ServerContext {
            config: Arc::new(Config::default()),
            clock: Clocks::new(None),
            debug: false,
            log: None,
            format: LogFormat::default(),
            lifetimes: Lifetimes::default(),
            blocking: Blocking::default(),
            makes_room: true,
            receive_before_call: 0,
        })
    }

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    /// A connection that waits since `millis`.
    fn connection(context: &Arc<ServerContext>, wait: Wait, millis: u64) -> Arc<ConnShared> {
        let shared =
            Arc::new(ConnShared::new(Arc::clone(context), Endpoints::new(Address::Local, Address::Local)));
        let mut inner = shared.lock();
        let now = Now::new(at(millis), 0);
        inner.waits_since = Some(now.instant);
        match wait {
            Wait::FirstRequest => {}
            Wait::NextRequest => inner.serial = 1,
            Wait::Head => {
                // It was idle before.
                (inner.serial, inner.waits_since) = (1, Some(at(0)));
                receive(&mut inner, b'G');
                inner.machine.poll(now);
            }
            Wait::Linger => {
                receive(&mut inner, 0);
                while !inner.machine.lingers() {
                    match inner.machine.poll(now) {
                        Event::Done => drop(inner.machine.take_record()),
                        Event::Io(Io { write: true, .. }) => inner.machine.transmitted(usize::MAX),
                        Event::ShutdownWrite => inner.machine.write_closed(),
                        event => panic!("{event:?}"),
                    }
                }
            }
        }
        drop(inner);
        shared
    }

    fn receive(inner: &mut Inner, byte: u8) {
        inner.machine.recv_space().expect("it waits for a request")[0] = byte;
        inner.machine.recv_commit(1);
    }

    /// Chooses, and lets the chosen connection leave. Returns its slot.
    fn evict(
        candidates: &mut Candidates,
        slots: &mut [Option<Arc<ConnShared>>],
        millis: u64,
    ) -> Option<usize> {
        let chosen = candidates.choose(slots, at(millis))?;
        let slot = slots.iter().position(|slot| slot.as_ref().is_some_and(|slot| Arc::ptr_eq(slot, &chosen)));
        slots[slot.expect("it is one of them")] = None;
        slot
    }

    fn slots(waits: &[(Wait, u64)]) -> Vec<Option<Arc<ConnShared>>> {
        let context = context();
        waits.iter().map(|(wait, millis)| Some(connection(&context, *wait, *millis))).collect()
    }

    #[test]
    fn connections_leave_in_order_of_what_they_wait_for_and_how_long() {
        let mut slots = slots(&[
            (Wait::Head, 1),
            (Wait::NextRequest, 2),
            (Wait::FirstRequest, 300),
            (Wait::Linger, 400),
            (Wait::Head, 0),
            (Wait::NextRequest, 1),
            (Wait::FirstRequest, 200),
            (Wait::Linger, 399),
        ]);
        let mut candidates = Candidates::default();
        let order: Vec<_> =
            (0..8).map_while(|turn| evict(&mut candidates, &mut slots, 10_000 + turn)).collect();
        assert_eq!(order, [7, 3, 6, 2, 5, 1, 4, 0]);
    }

    #[test]
    fn no_connection_leaves_before_it_has_waited_for_half_a_second() {
        for wait in [Wait::Linger, Wait::FirstRequest, Wait::NextRequest, Wait::Head] {
            let mut slots = slots(&[(wait, 1000)]);
            assert_eq!(evict(&mut Candidates::default(), &mut slots, 1499), None, "{wait:?}");
            assert_eq!(evict(&mut Candidates::default(), &mut slots, 1500), Some(0), "{wait:?}");
        }
    }

    #[test]
    fn a_head_does_not_leave_while_a_younger_silent_connection_can() {
        let mut slots = slots(&[(Wait::Head, 0), (Wait::FirstRequest, 1500), (Wait::NextRequest, 1600)]);
        let mut candidates = Candidates::default();
        // The head is older, and the others have not waited for half a second.
        assert_eq!(evict(&mut candidates, &mut slots, 1990), None);
        assert_eq!(evict(&mut candidates, &mut slots, 2100), Some(1));
        // Its time is over. The choice above was made from an older list.
        assert_eq!(evict(&mut candidates, &mut slots, 2101), Some(2));
        assert_eq!(evict(&mut candidates, &mut slots, 2102), Some(0));
    }

    #[test]
    fn heads_alone_leave_after_half_a_second() {
        let mut slots = slots(&[(Wait::Head, 1000), (Wait::Head, 900)]);
        let mut candidates = Candidates::default();
        assert_eq!(evict(&mut candidates, &mut slots, 1399), None);
        assert_eq!(evict(&mut candidates, &mut slots, 1500), Some(1));
        assert_eq!(evict(&mut candidates, &mut slots, 1501), Some(0));
    }

    #[test]
    fn one_connection_leaves_at_a_time_unless_it_takes_too_long() {
        let slots = slots(&[(Wait::FirstRequest, 0), (Wait::FirstRequest, 1), (Wait::FirstRequest, 2)]);
        let mut candidates = Candidates::default();
        let mut choose = |millis| {
            let chosen = candidates.choose(&slots, at(millis))?;
            chosen.direct(Directive::MakeRoom);
            slots.iter().position(|slot| slot.as_ref().is_some_and(|slot| Arc::ptr_eq(slot, &chosen)))
        };
        assert_eq!(choose(1000), Some(0));
        assert_eq!(choose(1049), None);
        assert_eq!(choose(1050), Some(1));
        // It is served after all.
        slots[1].as_ref().expect("it is there").lock().directive = Directive::Serve;
        assert_eq!(choose(1051), Some(2));
    }

    #[test]
    fn a_new_connection_in_the_slot_of_the_last_choice_delays_nothing() {
        let mut slots = slots(&[(Wait::Head, 0), (Wait::Head, 1)]);
        let mut candidates = Candidates::default();
        let chosen = candidates.choose(&slots, at(1000)).expect("both have waited");
        assert!(Arc::ptr_eq(&chosen, slots[0].as_ref().expect("it is there")));
        candidates.left(0);
        // The connection that was waiting for room has the slot now, and another thread has begun to serve it.
        let new = connection(&context(), Wait::FirstRequest, 1000);
        slots[0] = Some(Arc::clone(&new));
        let _serves = new.lock();
        let chosen = candidates.choose(&slots, at(1000)).expect("the other has waited as well");
        assert!(Arc::ptr_eq(&chosen, slots[1].as_ref().expect("it is there")));
    }

    #[test]
    fn a_connection_that_was_served_since_the_walk_stays() {
        let slots = slots(&[(Wait::NextRequest, 0), (Wait::NextRequest, 1)]);
        let mut candidates = Candidates::default();
        candidates.walk(&slots, at(1000));
        slots[0].as_ref().expect("it is there").lock().waits_since = Some(at(1010));
        let chosen = candidates.choose(&slots, at(1020)).expect("one has waited");
        assert!(Arc::ptr_eq(&chosen, slots[1].as_ref().expect("it is there")));
    }

    #[test]
    fn a_choice_costs_the_same_however_many_connections_there_are() {
        const CONNECTIONS: usize = 8000;
        let context = context();
        let mut slots: Vec<_> =
            (0..CONNECTIONS).map(|_| Some(connection(&context, Wait::FirstRequest, 0))).collect();
        let mut candidates = Candidates::default();
        // For a second, 2,000 new connections come and are silent as well.
        for turn in 0..2000 {
            let millis = 1000 + turn / 2;
            let slot = evict(&mut candidates, &mut slots, millis).expect("all have waited");
            slots[slot] = Some(connection(&context, Wait::FirstRequest, millis));
        }
        // A walk each 100 ms at most.
        assert!(candidates.looks <= 2000 + 11 * CONNECTIONS, "{} looks", candidates.looks);
    }
}
