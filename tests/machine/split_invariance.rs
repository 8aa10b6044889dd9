//! The same input gives the same output, however it is split and in whatever order the sides act.
//!
//! `PROPTEST_CASES=100000 cargo test -p wsgi-tests --test machine split_invariance` plays more cases than the default;
//! a failure is reported with the smallest case found, and with the seed that reproduces it (`PROPTEST_RNG_SEED`). The
//! binary `schedules` does the same a million times.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

use wsgi_tests::machine::choose::Given;
use wsgi_tests::machine::generate::{self, Drawn, SMALL};
use wsgi_tests::machine::play::play;
use wsgi_tests::machine::scenario::{Call, Cuts, Pieces, Scenario, Text, Whole};

/// A number of cases that takes some seconds, unless the environment sets it.
const CASES: u32 = 3000;

#[allow(clippy::print_stdout, reason = "the seed belongs to the report of a failure")]
fn config() -> Config {
    let heard = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let seed = heard("PROPTEST_RNG_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(0, |since| since.as_nanos() as u64)
    });
    println!("PROPTEST_RNG_SEED={seed}");
    Config {
        cases: heard("PROPTEST_CASES").map_or(CASES, |cases| cases as u32),
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..Config::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_schedule_gives_what_the_whole_input_gives(
        scenario in vec(any::<u8>(), 0..200),
        moves in vec(any::<u8>(), 0..2000),
    ) {
        let scenario = generate::scenario(&mut Given(&scenario));
        let whole = play(&scenario, &mut Whole);
        let moved = play(&scenario, &mut Drawn::new(Given(&moves)));
        prop_assert_eq!(whole.difference(&moved), None, "{:?}", scenario);
        for piece in [1, 3] {
            let pieces = play(&scenario, &mut Pieces(piece));
            prop_assert_eq!(whole.difference(&pieces), None, "in pieces of {}: {:?}", piece, scenario);
        }
    }
}

/// Splits at every pair of positions, for a few inputs that contain every feature.
#[test]
fn every_two_cuts_give_what_the_whole_input_gives() {
    let echo = vec![Call::Read(usize::MAX), Call::Respond("200 OK", vec![]), Call::Echo];
    let deaf = vec![Call::Respond("200 OK", vec![]), Call::Send(3)];
    for input in [
        "\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n\r\nHEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 24\r\n\r\n123456789012345678901234GET / HTTP/1.1\r\nHost: h\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1a\r\n12345678901234567890123456\r\n0\r\n\r\nGET",
    ] {
        let scenario = Scenario {
            config: wsgi_proto::Config::default().limits(SMALL).into(),
            input: Text(input.into()),
            eof: true,
            scripts: vec![echo.clone(), deaf.clone()],
        };
        for scripts in [scenario.scripts.clone(), vec![deaf.clone(), echo.clone()]] {
            let scenario = Scenario { scripts, ..scenario.clone() };
            let whole = play(&scenario, &mut Whole);
            for first in 1..input.len() {
                for second in first + 1..=input.len() {
                    let cut = play(&scenario, &mut Cuts(vec![first, second]));
                    assert_eq!(whole.difference(&cut), None, "cut at {first} and {second}: {scenario:?}");
                }
            }
        }
    }
}
