//! An idle connection holds no buffer, and no peer makes a busy one exceed its limits.

use std::sync::Arc;

use wsgi_proto::{BodyEvent, Config, Connection, Event, Io, Limits, Lost, NO_HEADERS};
use wsgi_tests::machine::Machine;

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// Sends `bytes` repeatedly as long as there is room, and returns how many were accepted.
fn pour(machine: &mut Machine, bytes: &[u8]) -> usize {
    let mut taken = 0;
    while taken < 10_000_000 {
        let count = machine.receive(&bytes[taken % bytes.len()..]);
        if count == 0 {
            return taken;
        }
        taken += count;
    }
    panic!("there is always room");
}

#[test]
fn a_fresh_connection_holds_no_buffer() {
    let mut machine = Machine::new(Config::default());
    machine.io();
    assert!(!machine.connection.has_buffers());
    assert!(machine.connection.take_buffers().is_none(), "there is nothing to return");
}

#[test]
fn a_machine_that_was_lent_nothing_has_a_buffer_while_it_is_busy_and_none_while_it_waits() {
    let mut connection =
        Connection::new(Arc::default(), *Machine::new(Config::default()).connection.endpoints());
    let now = Machine::new(Config::default()).now();
    for _ in 0..3 {
        let space = connection.recv_space().expect("there is room");
        space[..GET.len()].copy_from_slice(GET.as_bytes());
        connection.recv_commit(GET.len());
        assert_eq!(connection.poll(now), Event::Request);
        assert!(connection.take_request().is_some() && connection.has_buffers());
        let mut exchange = connection.exchange().expect("it is open");
        exchange.respond("204 No Content", NO_HEADERS).expect("a valid head");
        exchange.finish().expect("it was started");
        connection.transmitted(usize::MAX);
        assert!(connection.take_record().is_some());
        assert!(matches!(connection.poll(now), Event::Io(Io { read: true, .. })));
        assert!(!connection.has_buffers());
        // A driver that requests room before it waits gets some each time.
        assert!(connection.recv_space().is_some());
        connection.poll(now);
        assert!(!connection.has_buffers());
    }
}

#[test]
fn an_idle_connection_gives_its_buffer_back_after_requests() {
    let mut machine = Machine::new(Config::default());
    for _ in 0..3 {
        let head = machine.open(GET);
        assert!(!machine.take_buffers());
        machine.answer("hello");
        assert!(!machine.take_buffers(), "the answer is in it");
        machine.flush();
        assert!(!machine.take_buffers(), "the record was not taken");
        machine.record();
        drop(head);
        assert!(machine.take_buffers());
        assert!(!machine.connection.has_buffers());
        assert!(matches!(machine.io(), Io { read: true, write: false, .. }), "it waits without one");
    }
}

#[test]
fn an_idle_connection_gives_its_buffer_back_after_empty_lines() {
    for lines in [&["\r\n"][..], &["\r\n\r\n"], &["\r", "\n"], &["\r\n\r", "\n"]] {
        let mut machine = Machine::new(Config::default());
        for line in lines {
            machine.receive(line.as_bytes());
            machine.io();
        }
        assert!(machine.take_buffers(), "{lines:?}");
        machine.open(GET);
    }
}

#[test]
fn bytes_of_a_next_request_keep_the_buffer() {
    let mut machine = Machine::new(Config::default());
    machine.open(GET);
    machine.receive(b"GET");
    machine.answer("hello");
    machine.flush();
    machine.record();
    machine.io();
    assert!(!machine.take_buffers());
}

#[test]
fn a_closed_connection_gives_its_buffer_back() {
    let mut machine = Machine::new(Config::default());
    machine.receive(b"\0\0\0");
    machine.end();
    assert!(machine.take_buffers(), "after an error answer");
    let mut machine = Machine::new(Config::default());
    machine.open(GET);
    machine.answer("x");
    machine.record();
    machine.connection.lost(Lost::Reset);
    machine.poll();
    assert!(machine.take_buffers(), "after a loss");
    let mut machine = Machine::new(Config::default());
    machine.receive(b"GET / HT");
    machine.poll();
    machine.connection.lost(Lost::Reset);
    machine.poll();
    assert!(machine.take_buffers(), "the bytes of a lost peer are useless");
}

#[test]
fn a_peer_that_sends_requests_and_reads_no_answers_is_held_back() {
    let limits = Limits::default().outbox(1000).inbox(2000);
    let mut machine = Machine::new(Config::default().limits(limits));
    let (mut answered, mut waits) = (0, 0);
    while waits < 2 {
        pour(&mut machine, GET.as_bytes());
        match machine.poll() {
            Event::Request => {
                machine.connection.take_request().unwrap();
                machine.answer("hello");
                answered += 1;
            }
            Event::Done => drop(machine.record()),
            Event::Io(io) => {
                assert_eq!(io, Io { write: true, ..Io::default() });
                waits += 1;
            }
            event => panic!("{event:?}"),
        }
        let queued: usize = machine.connection.transmit().slices().iter().map(|slice| slice.len()).sum();
        assert!(queued < 1000 + 200, "{queued} bytes wait");
    }
    assert!(answered > 5);
    machine.flush();
    assert_eq!(machine.poll(), Event::Request, "it continues when answers are read");
}

#[test]
fn an_unread_body_stays_with_the_peer() {
    let limits = Limits::default().inbox(20_000);
    let mut machine = Machine::new(Config::default().limits(limits));
    machine.open("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000\r\n\r\n");
    for watches in [false, true] {
        if watches {
            machine.exchange().watch_peer();
        }
        pour(&mut machine, &[b'a'; 3000]);
        assert!(machine.connection.recv_space().is_none());
        assert_eq!(machine.io(), Io::default(), "it must not read");
    }
    let now = machine.now();
    let mut exchange = machine.exchange();
    let Ok(BodyEvent::Data(data)) = exchange.body(now) else { panic!("it has arrived") };
    assert_eq!(data.len(), 20_000);
}

#[test]
fn requests_sent_ahead_of_a_slow_application_stay_at_the_peer() {
    let limits = Limits::default().inbox(20_000);
    let mut machine = Machine::new(Config::default().limits(limits));
    machine.open(GET);
    assert_eq!(machine.io(), Io::default(), "it must not read");
    assert!(pour(&mut machine, GET.as_bytes()) <= 20_000);
}

#[test]
fn a_head_takes_no_more_room_than_its_limits() {
    let mut machine = Machine::new(Config::default());
    let mut taken = machine.receive(b"GET / HTTP/1.1\r\nHost: h\r\n");
    loop {
        match machine.poll() {
            Event::Io(Io { read: true, .. }) => {
                taken += machine.receive(&b"X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(20))
            }
            Event::Done => break,
            event => panic!("{event:?} after {taken} bytes"),
        }
        assert!(taken < 65_536 + 2000);
    }
}
