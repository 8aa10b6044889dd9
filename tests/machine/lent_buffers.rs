//! The buffers carry nothing from one connection to another, and the connection forgets nothing when it returns them.

use std::mem::size_of;

use wsgi_proto::{Config, Connection, Lost, NO_HEADERS, Reason, Record, RequestError};
use wsgi_tests::machine::Machine;

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const UPGRADE: &str = "GET /u HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";

fn config() -> Config {
    Config::default().record_response_head(true)
}

type Use = fn(&mut Machine);

/// Ways to use buffers, after which the machine returns them.
const USES: &[(&str, Use)] = &[
    ("an answer", |machine| {
        machine.open(GET);
        machine.answer("a body");
        machine.flush();
        machine.record();
        machine.io();
    }),
    ("chunks, joined blocks and trailers", |machine| {
        machine.open(GET);
        let mut exchange = machine.exchange();
        exchange.set_minimum_chunk_size(100);
        exchange.respond("200 OK", [("X-Secret", "yes")]).expect("it is allowed");
        for _ in 0..30 {
            let _ = exchange.send("a block").expect("it is allowed");
        }
        let _ = exchange.send(vec![b'x'; 10_000]).expect("it is allowed");
        exchange.finish_with([("X-Sum", "1")]).expect("it is allowed");
        machine.flush();
        machine.record();
        machine.io();
    }),
    ("a chunked request with trailers", |machine| {
        let body = "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nA: b\r\n\r\n";
        machine.open("POST / HTTP/1.1\r\nHost: h\r\n".to_owned() + body);
        let now = machine.now();
        let mut exchange = machine.exchange();
        exchange.continue_headers([("X-Secret", "yes")]).expect("it is allowed");
        exchange.watch_peer();
        let _ = exchange.body(now).expect("it is allowed");
        exchange.consume(1);
        let _ = exchange.body(now).expect("it is allowed");
        machine.answer("");
        machine.flush();
        machine.record();
        machine.io();
    }),
    ("a refused request", |machine| {
        machine.receive(b"HEAD / HTTP/9.9\r\n\r\n rest");
        machine.end();
    }),
    ("an answer cut off by a loss", |machine| {
        machine.open(GET.to_owned() + GET);
        let mut exchange = machine.exchange();
        exchange.respond("200 OK", NO_HEADERS).expect("it is allowed");
        let _ = exchange.send_now("a block").expect("it is allowed");
        machine.transmit(20);
        machine.connection.lost(Lost::Reset);
        machine.exchange().abort();
        machine.record();
    }),
    ("a head cut off by a loss", |machine| {
        machine.receive(b"\r\nGET / HTTP/1.1\r\nHost:");
        machine.io();
        machine.connection.lost(Lost::Reset);
    }),
    ("a stream that was taken over", |machine| {
        machine.open(UPGRADE);
        let mut exchange = machine.exchange();
        exchange.respond("101 Switching Protocols", [("Upgrade", "x")]).expect("it is allowed");
        exchange.take_over().expect("it is allowed");
        machine.flush();
        machine.poll();
    }),
];

/// Everything that a record contains.
fn show(record: &Record) -> String {
    let target = record.head.as_ref().map(|head| head.target().escape_ascii().to_string());
    let lines = (record.partial_request_line.escape_ascii(), record.response_head.escape_ascii());
    let lengths = (record.body_length, record.response_length, record.elapsed);
    let ends = (record.refused, record.lost, record.cut);
    format!("{target:?} {} {lengths:?} {ends:?} {} {}", record.status, lines.0, lines.1)
}

/// Everything that a client and the log see of a few exchanges.
fn observe(machine: &mut Machine) -> String {
    let mut seen = String::new();
    for request in [GET, UPGRADE, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\na"] {
        machine.open(request);
        machine.answer("abc");
        seen += &(show(&machine.record()) + &machine.take_sent());
    }
    machine.receive(b"BAD\r\n\r\n");
    seen += &(show(&machine.record()) + &machine.take_sent());
    seen + &format!("{:?}", machine.end())
}

#[test]
fn a_connection_sees_nothing_of_the_one_that_had_its_buffers_before() {
    let wanted = observe(&mut Machine::new(config()));
    for (name, make_use) in USES {
        let mut first = Machine::new(config());
        make_use(&mut first);
        let buffers = first.connection.take_buffers().expect(name);
        let mut second = Machine::new(config());
        second.connection.provide_buffers(buffers);
        assert_eq!(observe(&mut second), wanted, "after {name}");
    }
}

#[test]
fn a_connection_continues_with_other_buffers_as_with_its_own() {
    let mut machine = Machine::new(config());
    let (mut wanted, mut seen) = (Vec::new(), Vec::new());
    for (all, returns) in [(&mut wanted, false), (&mut seen, true)] {
        machine = Machine::new(config());
        for body in ["a", "bc", "def"] {
            machine.open(GET);
            machine.answer(body);
            all.push(show(&machine.record()));
            machine.flush();
            machine.io();
            if returns {
                machine.connection.take_buffers().expect("it is idle");
            }
        }
    }
    assert_eq!(seen, wanted);
    // Its earlier responses may still be in flight.
    machine.connection.shutdown();
    assert!(machine.io().deadline.is_some_and(|(at, _)| at > machine.now().instant));
}

#[test]
fn a_reset_waits_for_earlier_responses_although_the_buffers_were_returned_since() {
    let mut machine = Machine::new(config());
    machine.open(GET);
    machine.answer("a");
    machine.record();
    machine.flush();
    machine.io();
    assert!(machine.take_buffers());
    machine.open("GET / HTTP/1.0\r\n\r\n");
    let mut exchange = machine.exchange();
    exchange.respond("200 OK", NO_HEADERS).expect("it is allowed");
    let _ = exchange.send_now("a block").expect("it is allowed");
    exchange.abort();
    machine.record();
    machine.flush();
    assert!(matches!(machine.io().deadline, Some((_, Reason::Abort))), "the first one may be in flight");
}

#[test]
fn empty_lines_count_although_the_buffers_are_returned_after_each() {
    let mut machine = Machine::new(config());
    for _ in 0..8 {
        machine.receive(b"\r\n");
        machine.io();
        assert!(machine.take_buffers());
    }
    machine.receive(b"\r\n");
    assert_eq!(machine.record().refused, Some(RequestError::EmptyLines));
}

#[test]
fn the_record_is_whole_although_the_buffers_were_returned_before() {
    let record = |returns: bool| {
        let mut machine = Machine::new(config());
        machine.open(UPGRADE);
        let mut exchange = machine.exchange();
        exchange.respond("101 Switching Protocols", [("Upgrade", "x")]).expect("it is allowed");
        exchange.take_over().expect("it is allowed");
        machine.flush();
        machine.poll();
        if returns {
            assert!(machine.take_buffers());
            assert!(!machine.connection.has_buffers() && !machine.take_buffers());
        }
        let record = machine.connection.take_record().expect("it can be taken at any time");
        show(&record)
    };
    assert_eq!(record(true), record(false));
}

#[test]
fn an_idle_connection_is_small() {
    assert!(size_of::<Connection>() <= 216, "{} bytes", size_of::<Connection>());
}
