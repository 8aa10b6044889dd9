//! The accept loop, the registry and the connection tasks of `wsgi-app` in simulated worlds. `../src/world/mod.rs` defines
//! what a world is and what has to hold in it; `../src/bin/worlds.rs` plays more of them.

use wsgi_tests::world::{self, Outcome};

/// How many worlds each of the threads plays.
const WORLDS: u64 = 1_000;

/// Plays a world in which everything holds.
#[track_caller]
fn play(seed: u64) -> Outcome {
    let outcome = world::run(seed);
    assert!(outcome.faults.is_empty(), "world {seed}: {:#?}\n{}", outcome.faults, outcome.story);
    outcome
}

fn play_all(from: u64) {
    let mut requests = 0;
    for seed in from..from + WORLDS {
        requests += play(seed).requests;
    }
    assert!(requests > 5 * WORLDS as usize, "{requests} requests in {WORLDS} worlds");
}

// Several tests, so that they run side by side.

#[test]
fn everything_holds_in_the_first_thousand_worlds() {
    play_all(0);
}

#[test]
fn everything_holds_in_the_second_thousand_worlds() {
    play_all(WORLDS);
}

#[test]
fn everything_holds_in_the_third_thousand_worlds() {
    play_all(2 * WORLDS);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..100 {
        assert_eq!(play(seed).digest, play(seed).digest, "world {seed}");
    }
    assert_ne!(play(1).digest, play(2).digest);
}

/// Worlds in which something did not hold once. Each fault also has a test on the machine.
#[test]
fn worlds_that_found_a_fault_stay_right() {
    for (seed, _fault) in [
        (597, "a response that was lost on its way out was logged as sent, and its connection was not reset"),
        (23_561, "the rest of an unread body had arrived in time, and a late process did not read it"),
        (7_495, "a stop during the drain of an unread body lost the request behind it"),
        (1_007_503, "a refused request that the last read of an eviction found had no linger"),
        (5_013_494, "the log did not name a body that was left unread when a stop had begun"),
    ] {
        play(seed);
    }
}
