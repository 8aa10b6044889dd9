//! Tests of every state, every event, and every combination.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use std::collections::{HashMap, HashSet};

use super::*;
use crate::error::{LastExchange, RequestError};
use crate::machine::state::turn::Turn;

pub(super) const PEER: [PeerHalf; 5] =
    [PeerHalf::Idle, PeerHalf::Head, PeerHalf::Body, PeerHalf::Done, PeerHalf::Failed];
pub(super) const PEER_EVENTS: [PeerEvent; 6] = [
    PeerEvent::Began,
    PeerEvent::HeadWithBody,
    PeerEvent::HeadAlone,
    PeerEvent::BodyEnded,
    PeerEvent::Failed,
    PeerEvent::NextExchange,
];
pub(super) const OURS: [OurHalf; 6] =
    [OurHalf::Idle, OurHalf::Open, OurHalf::Sending, OurHalf::Done, OurHalf::Cut, OurHalf::TakenOver];
pub(super) const OUR_EVENTS: [OurEvent; 7] = [
    OurEvent::Taken,
    OurEvent::HeadSent,
    OurEvent::Finished,
    OurEvent::Answered,
    OurEvent::Cut,
    OurEvent::TakenOver,
    OurEvent::NextExchange,
];
pub(super) const RECORDS: [RecordState; 4] =
    [RecordState::Wanted, RecordState::AfterFlush, RecordState::Skipped, RecordState::Taken];
pub(super) const RECORD_EVENTS: [RecordEvent; 2] = [RecordEvent::FlushFirst, RecordEvent::Taken];
pub(super) const ENDINGS: [Ending; 7] = [
    Ending::Open,
    Ending::NextIsLast,
    Ending::LastExchange,
    Ending::Promised,
    Ending::Answered,
    Ending::Ended,
    Ending::Evicted,
];
pub(super) const ENDING_EVENTS: [EndingEvent; 7] = [
    EndingEvent::LastExchange,
    EndingEvent::LastExchangeAfterHead,
    EndingEvent::Stop,
    EndingEvent::StopAfterHead,
    EndingEvent::Close,
    EndingEvent::Evict,
    EndingEvent::NextExchange,
];
pub(super) const LAST_ATTEMPTS: [LastAttempt; 3] =
    [LastAttempt::NotDue, LastAttempt::Due, LastAttempt::Failed];
pub(super) const LAST_ATTEMPT_EVENTS: [LastAttemptEvent; 3] =
    [LastAttemptEvent::Ask, LastAttemptEvent::Nothing, LastAttemptEvent::Settled];
pub(super) const ROOMS: [Room; 2] = [Room::Kept, Room::Wanted];
pub(super) const ROOM_EVENTS: [RoomEvent; 2] = [RoomEvent::Ask, RoomEvent::Busy];
pub(super) const TRANSPORTS: [Transport; 3] =
    [Transport::Open, Transport::HalfClosed, Transport::Lost(Lost::Reset)];
pub(super) const TRANSPORT_EVENTS: [TransportEvent; 2] =
    [TransportEvent::Eof, TransportEvent::Lost(Lost::Reset)];
pub(super) const PHASES: [Phase; 6] =
    [Phase::Open, Phase::Flushing, Phase::Leaving, Phase::Breaking, Phase::Lingering, Phase::Closed];
pub(super) const PHASE_EVENTS: [PhaseEvent; 5] = [
    PhaseEvent::Closing,
    PhaseEvent::ClosingAtOnce,
    PhaseEvent::Breaking,
    PhaseEvent::WriteClosed,
    PhaseEvent::Over,
];

/// Every combination of the parts, reachable or not.
fn all_states() -> impl Iterator<Item = State> {
    let halves = PEER.into_iter().flat_map(|peer| OURS.map(|ours| (peer, ours)));
    halves.flat_map(|(peer, ours)| {
        RECORDS.into_iter().flat_map(move |record| {
            ENDINGS.into_iter().flat_map(move |ending| {
                let attempts =
                    LAST_ATTEMPTS.into_iter().flat_map(|read| LAST_ATTEMPTS.map(|write| (read, write)));
                let waits = attempts.flat_map(|attempts| ROOMS.map(|room| (attempts, room)));
                waits.flat_map(move |((last_read, last_write), room)| {
                    TRANSPORTS.into_iter().flat_map(move |transport| {
                        PHASES.map(move |phase| State {
                            peer,
                            ours,
                            record,
                            ending,
                            last_read,
                            last_write,
                            room,
                            transport,
                            phase,
                            ..State::new()
                        })
                    })
                })
            })
        })
    })
}

/// One character per cell: the first letter of the next state, or `-` if there is no transition.
fn row<S: Copy, E: Copy, N: core::fmt::Debug>(
    states: &[S],
    events: &[E],
    after: impl Fn(S, E) -> Option<N>,
) -> String {
    let cell = |state, event| {
        after(state, event).map_or_else(|| String::from("-"), |next| format!("{next:?}")[..1].into())
    };
    let row = |state: S| events.iter().map(|&event| cell(state, event)).collect::<String>();
    states.iter().map(|&state| row(state)).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_tables_have_these_ways_and_no_others() {
    // Columns: the events in the order of the constants above.
    assert_eq!(row(&PEER, &PEER_EVENTS, PeerHalf::after), "H---F- -BD-F- ---DF- ----FI ------");
    assert_eq!(row(&OURS, &OUR_EVENTS, OurHalf::after), "O--D--- -S-DCT- --D-CT- ------I ------- -------");
    assert_eq!(row(&RECORDS, &RECORD_EVENTS, RecordState::after), "AT AT AT --");
    assert_eq!(
        row(&ENDINGS, &ENDING_EVENTS, Ending::after),
        "LNEPEEO LNEPEEL LLEEEE- PPEPEEA AAAAEE- EEEEEE- EEEEEE-"
    );
    assert_eq!(row(&LAST_ATTEMPTS, &LAST_ATTEMPT_EVENTS, LastAttempt::after), "D-N DFN --N");
    assert_eq!(row(&ROOMS, &ROOM_EVENTS, Room::after), "WK WK");
    assert_eq!(row(&TRANSPORTS, &TRANSPORT_EVENTS, Transport::after), "HL HL LL");
    assert_eq!(row(&PHASES, &PHASE_EVENTS, Phase::after), "FLB-C ---LC ---CC ---CC ----C -----");
    // Two endings begin with the same letter.
    let evicted = ENDING_EVENTS.map(|event| Ending::Evicted.after(event));
    assert!(evicted[..6].iter().all(|next| *next == Some(Ending::Evicted)));
    assert!(ENDINGS.iter().all(|ending| ending.after(EndingEvent::Evict) == Some(Ending::Evicted)));
}

/// Checks the turn of each combination a second time, by properties that have to hold.
#[test]
fn each_combination_of_states_has_the_expected_turn() {
    for (state, flushed) in all_states().flat_map(|state| [(state, false), (state, true)]) {
        let turn = state.turn(flushed);
        let at = format!("{state:?} flushed: {flushed}");
        let in_exchange = matches!(state.ours, OurHalf::Open | OurHalf::Sending);
        assert_eq!(turn == Turn::Exchange, in_exchange, "an open exchange has priority: {at}");
        assert_eq!(in_exchange, state.exchange_is_open(), "{at}");
        let idle = state.ours == OurHalf::Idle;
        let waits = matches!(turn, Turn::Request | Turn::AwaitRequest);
        assert_eq!(waits, idle && state.phase == Phase::Open, "requests need an open phase: {at}");
        assert_eq!(turn == Turn::Request, waits && state.request_is_ready(), "{at}");
        assert_eq!(turn == Turn::Drain, state.drains(), "{at}");
        if matches!(turn, Turn::Record | Turn::PassRecord) {
            assert!(state.record_is_due(flushed), "an announced record can be taken: {at}");
        }
        if turn == Turn::Record {
            assert_ne!(state.record, RecordState::Skipped, "{at}");
            assert_ne!(state.record, RecordState::Taken, "{at}");
            assert!(flushed || state.record == RecordState::Wanted, "{at}");
        }
        if matches!(turn, Turn::CloseWrite | Turn::Abort | Turn::TakenOver) {
            assert!(flushed, "the outbox is empty: {at}");
        }
        let ends = [
            (Turn::CloseWrite, &[Phase::Flushing, Phase::Leaving][..]),
            (Turn::Abort, &[Phase::Breaking]),
            (Turn::Linger, &[Phase::Lingering]),
            (Turn::Closed, &[Phase::Closed]),
        ];
        for (end, phases) in ends {
            assert!(turn != end || phases.contains(&state.phase), "{end:?}: {at}");
            assert!(turn != end || !in_exchange && !state.drains(), "{end:?}: {at}");
        }
        if turn == Turn::Flush {
            let waits_for_record = state.record == RecordState::AfterFlush && !flushed;
            let closes =
                matches!(state.phase, Phase::Flushing | Phase::Leaving | Phase::Breaking) && !flushed;
            let hands_over = state.ours == OurHalf::TakenOver && !flushed;
            // The last one is never reached: after the record, the next exchange begins or the phase changes.
            let stuck = state.phase == Phase::Open && state.record == RecordState::Taken;
            assert!(waits_for_record || closes || hands_over || stuck, "{at}");
        }
    }
}

/// An event that the rest of the crate can report: its name, when it is possible, and the call that reports it.
type Move = (&'static str, fn(&State) -> bool, fn(&mut State));

const MOVES: [Move; 34] = [
    (
        "a head begins",
        |s| s.turn(true) == Turn::AwaitRequest && s.peer == PeerHalf::Idle,
        |s| s.on_peer(PeerEvent::Began),
    ),
    (
        "a head with a body",
        |s| s.turn(true) == Turn::AwaitRequest && s.peer == PeerHalf::Head,
        |s| s.on_peer(PeerEvent::HeadWithBody),
    ),
    (
        "a head without a body",
        |s| s.turn(true) == Turn::AwaitRequest && s.peer == PeerHalf::Head,
        |s| s.on_peer(PeerEvent::HeadAlone),
    ),
    (
        "a refusal",
        |s| s.turn(true) == Turn::AwaitRequest && s.peer == PeerHalf::Head,
        |s| {
            s.on_peer(PeerEvent::Failed);
            s.do_not_persist();
            s.on_ours(OurEvent::Answered);
        },
    ),
    (
        "an eviction of a head",
        |s| s.turn(true) == Turn::AwaitRequest && s.peer == PeerHalf::Head,
        |s| {
            s.on_peer(PeerEvent::Failed);
            s.do_not_persist();
            s.on_ours(OurEvent::Answered);
            s.evict();
        },
    ),
    (
        "the end of an idle wait",
        |s| s.turn(true) == Turn::AwaitRequest && s.peer == PeerHalf::Idle,
        |s| s.close(CloseReason::IdleTimeout, true, false, false),
    ),
    (
        "the same with a response in flight",
        |s| s.turn(true) == Turn::AwaitRequest && s.peer == PeerHalf::Idle,
        |s| s.close(CloseReason::PeerClosed, false, false, false),
    ),
    ("the request is taken", |s| s.turn(true) == Turn::Request, |s| s.on_ours(OurEvent::Taken)),
    (
        "the body ends",
        |s| s.peer == PeerHalf::Body && s.ours != OurHalf::Idle,
        |s| s.on_peer(PeerEvent::BodyEnded),
    ),
    (
        "the body fails",
        |s| s.peer == PeerHalf::Body && s.ours != OurHalf::Idle,
        |s| s.on_peer(PeerEvent::Failed),
    ),
    ("a head that persists", |s| s.ours == OurHalf::Open && s.persists(), |s| s.on_ours(OurEvent::HeadSent)),
    (
        "a head with close",
        |s| s.ours == OurHalf::Open,
        |s| {
            s.do_not_persist();
            s.on_ours(OurEvent::HeadSent);
        },
    ),
    ("the response ends", |s| s.ours == OurHalf::Sending, |s| s.on_ours(OurEvent::Finished)),
    (
        "the machine answers",
        |s| s.ours == OurHalf::Open,
        |s| {
            s.do_not_persist();
            s.on_ours(OurEvent::Answered);
        },
    ),
    ("the response is cut", |s| s.exchange_is_open(), |s| s.on_ours(OurEvent::Cut)),
    (
        "the stream is taken over",
        |s| s.ours == OurHalf::Sending && s.peer == PeerHalf::Done,
        |s| s.on_ours(OurEvent::TakenOver),
    ),
    ("flush first", |_| true, State::flush_before_record),
    (
        "the record is taken",
        |s| s.record_is_due(true),
        |s| {
            if s.on_record_taken() == AfterRecord::Close {
                s.close(CloseReason::Finished, false, false, false);
            }
        },
    ),
    (
        "the record of an announced last request is taken",
        |s| s.record_is_due(true),
        |s| {
            if s.on_record_taken() == AfterRecord::Close {
                s.close(CloseReason::Finished, false, false, true);
            }
        },
    ),
    (
        "the record is taken and the response looks complete",
        |s| s.record_is_due(true),
        |s| {
            if s.on_record_taken() == AfterRecord::Close {
                s.close(CloseReason::Cut, true, true, false);
            }
        },
    ),
    ("a last exchange", |_| true, |s| s.last_exchange(CloseReason::Limit(LastExchange::Age))),
    (
        "a last read",
        |s| s.turn(true) == Turn::AwaitRequest || s.exchange_is_open(),
        |s| {
            s.was_read_last();
        },
    ),
    ("the last read finds nothing", |_| true, State::on_nothing),
    ("input arrives", |_| true, State::settle_last_read),
    (
        "a last write",
        |s| s.phase != Phase::Closed,
        |s| {
            s.was_written_last();
        },
    ),
    ("the last write finds no room", |_| true, State::on_no_room),
    ("bytes are written", |_| true, State::settle_last_write),
    ("a request to make room", |_| true, State::make_room),
    ("a stop", |_| true, State::stop),
    ("eof", |_| true, State::on_eof),
    ("a loss", |_| true, |s| s.on_lost(Lost::Reset)),
    ("our half is closed", |_| true, State::on_write_closed),
    ("the linger ends", |s| s.turn(true) == Turn::Linger, State::end_linger),
    ("records are skipped", |_| true, State::skip_records),
];

/// All reachable states, each with the move and the state from which it was first reached.
fn reachable() -> HashMap<State, Option<(&'static str, State)>> {
    let mut found = HashMap::from([(State::new(), None)]);
    let mut queue = VecDeque::from([State::new()]);
    while let Some(from) = queue.pop_front() {
        for (name, can, make) in MOVES {
            if can(&from) {
                let mut to = from;
                make(&mut to);
                found.entry(to).or_insert_with(|| {
                    queue.push_back(to);
                    Some((name, from))
                });
            }
        }
    }
    found
}

#[test]
fn the_invariants_hold_in_every_reachable_state() {
    let found = reachable();
    assert!(found.len() > 300, "the moves reach only {} states", found.len());
    for state in found.keys() {
        let mut path = String::new();
        let mut at = *state;
        while let Some((name, before)) = found[&at] {
            path = format!("{name}, {path}");
            at = before;
        }
        let at = format!("{state:?} by: {path}");
        assert!(state.ours == OurHalf::Idle || state.peer != PeerHalf::Idle, "{at}");
        assert!(state.phase == Phase::Open || !state.persists(), "{at}");
        assert!(state.lost().is_none() || state.phase == Phase::Closed, "{at}");
        assert!(!(state.ours == OurHalf::Cut || state.peer == PeerHalf::Failed) || !state.persists(), "{at}");
        assert!(!state.may_drain() || state.persists(), "{at}");
        assert!(!state.ends_when_idle() || !state.persists(), "{at}");
        assert!(!state.makes_room() || matches!(state.turn(true), Turn::AwaitRequest | Turn::Linger), "{at}");
        assert!(state.phase != Phase::Breaking || state.ours == OurHalf::Cut, "{at}");
        let stuck = state.turn(true) == Turn::Flush;
        assert!(!stuck, "a flush of an empty outbox never ends: {at}");
        assert!(state.phase == Phase::Open || state.reason.is_some(), "ends without a reason: {at}");
    }
}

#[test]
fn every_connection_can_close_and_stays_closed() {
    let found = reachable();
    let steps = |from: &State| {
        let mut to = Vec::new();
        for (_, can, make) in MOVES {
            if can(from) {
                let mut next = *from;
                make(&mut next);
                to.push(next);
            }
        }
        to
    };
    // Backwards from the states that are closed.
    let mut before: HashMap<State, Vec<State>> = HashMap::new();
    for from in found.keys() {
        for to in steps(from) {
            before.entry(to).or_default().push(*from);
        }
    }
    let is_end = |state: &State| state.turn(true) == Turn::Closed || state.turn(true) == Turn::TakenOver;
    let mut ending: HashSet<State> = found.keys().filter(|state| is_end(state)).copied().collect();
    let mut queue: VecDeque<State> = ending.iter().copied().collect();
    while let Some(state) = queue.pop_front() {
        for &earlier in before.get(&state).into_iter().flatten() {
            if ending.insert(earlier) {
                queue.push_back(earlier);
            }
        }
    }
    assert_eq!(ending.len(), found.len(), "some connections can never end");
    // Phases only advance, and a connection that no longer persists never persists again.
    let order: BTreeMap<&str, usize> =
        [("Open", 0), ("Flushing", 1), ("Leaving", 1), ("Breaking", 1), ("Lingering", 2), ("Closed", 3)]
            .into();
    let place = |state: &State| order[&*format!("{:?}", state.phase)];
    for from in found.keys() {
        for to in steps(from) {
            assert!(place(&to) >= place(from), "{from:?} {to:?}");
            assert!(from.persists() || !to.persists(), "{from:?} {to:?}");
        }
    }
}

#[test]
fn a_refusal_or_cut_is_reported_rather_than_the_stop() {
    for (reason, wanted) in [
        (CloseReason::Finished, CloseReason::Shutdown),
        (CloseReason::PeerClosed, CloseReason::Shutdown),
        (CloseReason::Cut, CloseReason::Cut),
        (CloseReason::Refused(RequestError::Host), CloseReason::Refused(RequestError::Host)),
    ] {
        let mut state = State::new();
        state.stop();
        state.close(reason, true, false, false);
        assert_eq!(state.reason(), wanted);
    }
    let mut state = State::new();
    state.stop();
    state.on_lost(Lost::Reset);
    assert_eq!(state.reason(), CloseReason::Lost(Lost::Reset));
}
