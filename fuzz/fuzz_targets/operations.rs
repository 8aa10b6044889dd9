//! Any calls of a driver and an application, in any order, with any data: no panic, and the invariants hold.
//!
//! Input: one byte a choice, see `machine::choose::Given`; a received piece is a length and its bytes.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use wsgi_proto::{
    BodyEvent, Buffers, Config, Connection, Event, KeepAlive, Limits, Lost, RequestError, Version,
};

use machine::Machine;
use machine::choose::{Choose, Given};
use machine::generate::SMALL;

#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../../tests/src/machine/mod.rs"]
mod machine;

/// Requests that bring a fuzzer far at once, and pieces to make its own of.
const PIECES: [&str; 12] = [
    "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
    "HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "5\r\nhello\r\n",
    "0\r\nX-Sum: 1\r\n\r\n",
    "0\r\n\r\n",
    "ff\r\n",
    "\r\n",
    "123456789",
    "GET /",
];

const STATUSES: [&str; 8] =
    ["200 OK", "204 No Content", "304 N", "101 S", "100 Continue", "103 E", "99 X", "500 O\r\nops: 1"];
const NAMES: [&str; 8] =
    ["X-A", "Content-Length", "Transfer-Encoding", "Connection", "Date", "Trailer", "Bad Name", "Keep-Alive"];
const VALUES: [&str; 7] = ["3", "close", "upgrade", "chunked", "", "a\r\nb", "\u{e9}"];

fuzz_target!(|data: &[u8]| {
    let mut choices = Given(data);
    let config = Config {
        limits: if choices.once_in(2) { SMALL } else { Limits::default() },
        keepalive: [KeepAlive::On, KeepAlive::Off, KeepAlive::For(Duration::from_secs(5))][choices.below(3)],
        max_http_version: if choices.once_in(4) { Version::Http10 } else { Version::Http11 },
        minimum_chunk_size: choices.below(2) * 10,
        socket_timeout: [None, Some(Duration::from_secs(10))][choices.below(2)],
        ..Config::default()
    };
    let limits = config.limits;
    let room = limits.inbox.max(limits.target + limits.method + limits.fields_size + 64).max(16 * 1024);
    let mut machine = Machine::new(config);
    let mut closed = None;
    while !choices.0.is_empty() {
        if choices.once_in(3) || machine.connection.exchange().is_none() {
            drive(&mut machine, &mut choices);
        } else {
            apply(&mut machine, &mut choices);
        }
        check(&mut machine, room, &mut closed);
    }
});

/// What holds whatever was called.
fn check(machine: &mut Machine, room: usize, closed: &mut Option<Event>) {
    assert!(machine.connection.recv_space().len() <= room, "the inbox is over its limit");
    let event = machine.poll();
    if let Some(closed) = closed {
        assert_eq!(*closed, event, "there is a life after the end");
    }
    if matches!(event, Event::Closed(_)) {
        *closed = Some(event);
        assert!(machine.connection.exchange().is_none(), "closed with an open exchange");
    }
    if machine.connection.exchange().is_some() {
        assert!(matches!(event, Event::Io(_)), "{event:?} during an exchange");
    }
    if let Event::Io(io) = event {
        let waits = io.read || io.write || io.deadline.is_some();
        assert!(waits || machine.connection.exchange().is_some(), "waits for nothing");
        if io.read {
            // Which an adapter relies on: it never spins.
            let lent = machine.connection.has_buffers();
            assert!(!lent || !machine.connection.recv_space().is_empty(), "asked to read without room");
        }
    }
    for slice in machine.connection.transmit().slices() {
        assert!(!slice.is_empty(), "an empty slice to write");
    }
}

/// A call of the driver, announced or not.
fn drive(machine: &mut Machine, choices: &mut Given<'_>) {
    let announced = machine.poll();
    match choices.below(16) {
        0..=2 => {
            machine.receive(PIECES[choices.below(PIECES.len())].as_bytes());
        }
        3 => {
            let length = choices.below(64).min(choices.0.len());
            let (piece, rest) = choices.0.split_at(length);
            choices.0 = rest;
            machine.receive(piece);
        }
        4 => obey(machine, announced),
        5 => {
            let taken = machine.connection.take_request();
            assert_eq!(taken.is_some(), announced == Event::Request);
            assert_eq!(
                machine.connection.exchange().is_some(),
                taken.is_some() || announced_open(announced, machine)
            );
        }
        6 => {
            let taken = machine.connection.take_record().is_some();
            // A connection that was taken over has a record that is not announced.
            assert!(taken || announced != Event::Done);
        }
        7 => drop(machine.transmit(1 + choices.below(300))),
        8 => machine.flush(),
        9 => machine.advance(Duration::from_millis(1 << choices.below(16))),
        10 => machine.connection.write_closed(),
        11 => machine.connection.recv_eof(),
        12 => drop(machine.rest()),
        13 => machine.connection.lend(Buffers::new()),
        14 => match choices.below(4) {
            0 => machine.connection.shutdown(),
            1 => machine.connection.lost(Lost::Reset),
            2 => machine.connection.transmitted(usize::MAX),
            _ => machine.connection.recv_commit(choices.below(1 << 15)),
        },
        _ => obey(machine, announced),
    }
}

fn announced_open(announced: Event, machine: &mut Machine) -> bool {
    matches!(announced, Event::Io(_)) && machine.connection.exchange().is_some()
}

fn obey(machine: &mut Machine, event: Event) {
    let connection: &mut Connection = &mut machine.connection;
    match event {
        Event::Request => assert!(connection.take_request().is_some() && connection.exchange().is_some()),
        Event::Done => assert!(connection.take_record().is_some()),
        Event::ShutdownWrite => connection.write_closed(),
        Event::Io(_) => machine.flush(),
        Event::TakenOver | Event::Closed(_) => {}
    }
}

/// A call of the application.
fn apply(machine: &mut Machine, choices: &mut Given<'_>) {
    let now = machine.now();
    let Some(mut exchange) = machine.connection.exchange() else { return };
    let fields: Vec<_> = (0..choices.below(3))
        .map(|_| (NAMES[choices.below(NAMES.len())], VALUES[choices.below(VALUES.len())]))
        .collect();
    match choices.below(23) {
        0 | 1 => {
            if let Ok(BodyEvent::Data(data)) = exchange.body(now) {
                assert!(!data.is_empty(), "data without bytes");
            }
        }
        2 => exchange.consume(choices.below(40)),
        3 => exchange.consume(usize::MAX),
        4 => drop(exchange.inform(STATUSES[choices.below(STATUSES.len())], fields)),
        5 => drop(exchange.continue_headers(fields)),
        6 | 7 => drop(exchange.respond(STATUSES[choices.below(STATUSES.len())], fields)),
        8 => drop(exchange.replace(STATUSES[choices.below(STATUSES.len())], fields)),
        9 => exchange.announce_length(choices.below(20) as u64),
        10 => exchange.set_minimum_chunk_size(choices.below(20)),
        11 | 12 => drop(exchange.send(&vec![b'x'; choices.below(40)][..])),
        13 => drop(exchange.send(vec![b'y'; choices.below(9000)])),
        14 => drop(exchange.wait(now)),
        15 => exchange.watch_peer(),
        16 => exchange.flush_before_record(),
        22 => drop(exchange.set_trailers(fields)),
        // The calls that end an exchange: if they succeed, it is gone.
        17 => {
            let ended = exchange.finish().is_ok();
            assert!(!ended || machine.connection.exchange().is_none());
        }
        18 => drop(exchange.finish_with(fields)),
        19 => {
            let ended = exchange.take_over().is_ok();
            assert!(!ended || machine.connection.exchange().is_none());
        }
        20 => match choices.below(3) {
            0 => exchange.abort(),
            1 => exchange.fail("oh"),
            _ => exchange.refuse(RequestError::ChunkData),
        },
        _ => {
            let _ = exchange.respond("200 OK", fields);
            let _ = exchange.finish();
        }
    }
}
