//! The same bytes, whole and split, give the same output, events, records and bodies.
//!
//! Input: four bytes that choose settings, script and schedule, four that choose the split points, then the client's
//! bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wsgi_proto::{Config, KeepAlive, Limits, Version};

use machine::choose::Seeded;
use machine::generate::{Drawn, SMALL};
use machine::play::play;
use machine::scenario::{Call, Cuts, Pieces, Scenario, Text, Whole};

#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../../tests/src/machine/mod.rs"]
mod machine;

fuzz_target!(|data: &[u8]| {
    let Some((&[settings, script, seed, piece, cuts @ ..], input)) = data.split_first_chunk::<8>() else {
        return;
    };
    let scenario = Scenario {
        config: config(settings).into(),
        input: Text(input.to_vec()),
        eof: settings & 1 == 0,
        scripts: vec![calls(script & 15), calls(script >> 4)],
    };
    let whole = play(&scenario, &mut Whole);
    let mut at = 0;
    let cuts = cuts.map(|delta| {
        at += usize::from(delta);
        at
    });
    let others = [
        play(&scenario, &mut Cuts(cuts.to_vec())),
        play(&scenario, &mut Pieces(1 + usize::from(piece) % 16)),
        play(&scenario, &mut Drawn::new(Seeded(seed.into()))),
    ];
    for other in others {
        if let Some(difference) = whole.difference(&other) {
            panic!("{difference}\n{scenario:?}");
        }
    }
});

fn config(settings: u8) -> Config {
    Config::default()
        .limits(if settings & 2 == 0 { Limits::default() } else { SMALL })
        .keepalive(if settings & 4 == 0 { KeepAlive::On } else { KeepAlive::Off })
        .max_http_version(if settings & 8 == 0 { Version::Http11 } else { Version::Http10 })
        .minimum_chunk_size(if settings & 16 == 0 { 0 } else { 9 })
}

/// The application's actions for every other request.
fn calls(number: u8) -> Vec<Call> {
    let respond = Call::Respond("200 OK", vec![("x-app", "1".into())]);
    let read = Call::Read(usize::MAX);
    match number {
        0 => vec![read, Call::Refuse, respond, Call::Echo],
        1 => vec![respond, Call::Announce(3), Call::Send(3)],
        2 => vec![Call::Read(5), respond, Call::Send(10), read, Call::Echo],
        3 => vec![Call::Look, respond, Call::Give(5000), Call::Give(7)],
        4 => vec![respond, Call::Send(1), read, Call::Echo, Call::FinishWith(vec![("X-Sum", "1")])],
        5 => vec![Call::ContinueHeaders, read, respond],
        6 => vec![Call::Inform("103 Early Hints"), Call::Inform("100 Continue"), read, respond],
        7 => vec![Call::Respond("101 S", vec![("Upgrade", "x".into())]), Call::TakeOver],
        8 => vec![Call::FlushFirst, respond, Call::Announce(9), Call::Send(3)],
        9 => vec![Call::Watch, Call::Shutdown, read, respond, Call::Send(3)],
        10 => vec![read, Call::Fail("oh")],
        11 => vec![Call::Abort],
        12 => vec![Call::Join(10), respond, Call::Send(3), Call::Send(8), Call::Send(30)],
        13 => vec![Call::Respond("304 Not Modified", vec![]), Call::Send(3)],
        14 => vec![Call::Respond("200 OK", vec![("Content-Length", "4".into())]), Call::Send(9)],
        _ => vec![Call::Respond("200 OK", vec![("Connection", "close".into())])],
    }
}
