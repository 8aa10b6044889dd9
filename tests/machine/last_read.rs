//! Data that arrived in time counts, however late the driver is: the machine reads once more before it abandons any
//! wait for the peer.

use std::time::Duration;

use wsgi_proto::{
    BodyError, BodyEvent, CloseReason, Config, Event, Io, KeepAlive, LastExchange, Reason, RequestError,
};
use wsgi_tests::machine::Machine;

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n";
const LATE: Duration = Duration::from_secs(60);

fn machine() -> Machine {
    Machine::new(
        Config::default()
            .keepalive(KeepAlive::For(Duration::from_secs(5)))
            .header_timeout(Some(Duration::from_secs(10)))
            .socket_timeout(Some(Duration::from_secs(20))),
    )
}

/// Checks that the driver must read once more, and the reason.
fn asked(machine: &mut Machine, reason: Reason) {
    let io = machine.io();
    assert!(io.read && io.last_read, "{io:?}");
    assert_eq!(io.deadline.map(|(_, reason)| reason), Some(reason));
}

#[test]
fn a_request_that_arrived_in_time_is_served_by_a_late_driver() {
    for before in ["", GET] {
        let mut machine = machine();
        if !before.is_empty() {
            machine.open(before);
            machine.answer("x");
            machine.record();
            machine.take_sent();
        }
        machine.io();
        machine.pass(LATE);
        asked(&mut machine, Reason::Idle);
        machine.open(GET);
        machine.answer("hello");
        assert!(!machine.take_sent().contains("Connection: close"), "it stays open");
    }
}

#[test]
fn nothing_at_a_last_read_lets_the_deadline_pass() {
    let mut machine = machine();
    machine.io();
    machine.pass(LATE);
    asked(&mut machine, Reason::Idle);
    asked(&mut machine, Reason::Idle);
    machine.connection.recv_nothing();
    assert_eq!(machine.end(), CloseReason::IdleTimeout);
}

#[test]
fn a_head_that_is_completed_by_its_last_read_is_served() {
    let mut machine = machine();
    machine.receive(&GET.as_bytes()[..10]);
    machine.io();
    machine.pass(LATE);
    asked(&mut machine, Reason::Head);
    machine.receive(&GET.as_bytes()[10..20]);
    // Bytes that complete nothing do not move a deadline; more of them may follow.
    asked(&mut machine, Reason::Head);
    machine.receive(&GET.as_bytes()[20..]);
    assert_eq!(machine.poll(), Event::Request);
}

#[test]
fn a_head_that_is_not_completed_by_its_last_read_gets_408() {
    let mut machine = machine();
    machine.receive(&GET.as_bytes()[..10]);
    machine.io();
    machine.pass(LATE);
    asked(&mut machine, Reason::Head);
    machine.receive(b"x");
    asked(&mut machine, Reason::Head);
    machine.connection.recv_nothing();
    assert_eq!(machine.record().refused, Some(RequestError::Timeout));
}

#[test]
fn a_body_that_arrived_in_time_is_read_by_a_late_application() {
    let mut machine = machine();
    machine.open(POST);
    let now = machine.now();
    assert!(matches!(machine.exchange().body(now), Ok(BodyEvent::Io(Io { last_read: false, .. }))));
    machine.pass(LATE);
    let now = machine.now();
    let Ok(BodyEvent::Io(io)) = machine.exchange().body(now) else { panic!("it waits") };
    assert!(io.read && io.last_read, "so does the application's half: {io:?}");
    asked(&mut machine, Reason::Read);
    machine.receive(b"hello");
    assert!(matches!(machine.exchange().body(now), Ok(BodyEvent::Data(b"hello"))));
}

#[test]
fn a_body_that_did_not_come_is_late_after_the_last_read() {
    let mut machine = machine();
    machine.open(POST);
    let now = machine.now();
    assert!(machine.exchange().body(now).is_ok());
    machine.pass(LATE);
    asked(&mut machine, Reason::Read);
    machine.connection.take_notice();
    machine.connection.recv_nothing();
    machine.io();
    assert!(machine.connection.take_notice(), "the application must be notified");
    let now = machine.now();
    assert_eq!(machine.exchange().body(now).unwrap_err(), BodyError::Request(RequestError::Timeout));
}

#[test]
fn a_stop_reads_an_idle_connection_once_more() {
    for arrives in [false, true] {
        let mut machine = machine();
        machine.open(GET);
        machine.answer("x");
        machine.record();
        machine.take_sent();
        machine.io();
        machine.connection.shutdown();
        machine.pass(Duration::from_secs(1));
        assert!(machine.io().last_read);
        if arrives {
            machine.open(GET);
            machine.answer("y");
            assert!(machine.take_sent().contains("Connection: close\r\n"));
            machine.record();
        } else {
            machine.connection.recv_nothing();
        }
        assert_eq!(machine.end(), CloseReason::Shutdown);
        assert_eq!(machine.take_sent(), "", "nothing is sent to a peer that expects nothing");
    }
}

#[test]
fn a_connection_that_makes_room_is_read_once_more_and_served_if_its_request_is_there() {
    for head in ["", &GET[..9]] {
        for arrives in [false, true] {
            let mut machine = machine();
            machine.receive(head.as_bytes());
            machine.io();
            machine.connection.make_room();
            asked(&mut machine, Reason::Room);
            if arrives {
                machine.open(&GET[head.len()..]);
                machine.answer("x");
                machine.record();
                assert!(!machine.take_sent().contains("close"), "it was not idle after all");
                assert!(!machine.io().last_read);
            } else {
                machine.connection.recv_nothing();
                let reason = machine.end();
                let answered = machine.take_sent();
                assert_eq!(answered.starts_with("HTTP/1.1 408 "), !head.is_empty(), "{answered}");
                if head.is_empty() {
                    assert_eq!(reason, CloseReason::Limit(LastExchange::Crowded));
                }
            }
        }
    }
}

#[test]
fn a_connection_that_lingers_makes_room_without_a_last_read() {
    let mut machine = machine();
    machine.receive(b"\0");
    machine.record();
    machine.flush();
    assert!(!machine.connection.lingers());
    machine.connection.make_room();
    assert_eq!(machine.poll(), Event::ShutdownWrite, "the response is not abandoned");
    machine.connection.write_closed();
    assert!(machine.connection.lingers());
    assert!(matches!(machine.io().deadline, Some((_, Reason::Linger))), "it was polled too early");
    machine.connection.make_room();
    assert!(matches!(machine.poll(), Event::Closed(_)));
}

#[test]
fn a_head_that_begins_at_the_last_read_does_not_keep_the_place() {
    let mut machine = machine();
    machine.io();
    machine.connection.make_room();
    asked(&mut machine, Reason::Room);
    machine.receive(b"GET /");
    asked(&mut machine, Reason::Room);
    machine.connection.recv_nothing();
    assert_eq!(machine.record().refused, Some(RequestError::Timeout));
}

#[test]
fn a_peer_that_has_closed_its_half_is_not_read_again() {
    let mut machine = machine();
    machine.receive(b"GET /");
    machine.connection.recv_eof();
    machine.pass(LATE);
    assert_eq!(machine.record().refused, Some(RequestError::Incomplete));
}

#[test]
fn a_driver_that_found_nothing_unasked_changes_nothing() {
    let mut machine = machine();
    machine.connection.recv_nothing();
    let waits = machine.io();
    machine.connection.recv_nothing();
    assert_eq!(machine.io(), waits);
    machine.pass(LATE);
    machine.connection.recv_nothing();
    asked(&mut machine, Reason::Idle);
}

#[test]
fn each_wait_has_a_last_read_of_its_own() {
    let mut machine = machine();
    for _ in 0..3 {
        machine.open(POST);
        let now = machine.now();
        assert!(machine.exchange().body(now).is_ok());
        machine.pass(LATE);
        asked(&mut machine, Reason::Read);
        machine.receive(b"hello");
        machine.exchange().consume(5);
        machine.answer("x");
        machine.record();
        machine.flush();
        machine.io();
        machine.pass(LATE);
        asked(&mut machine, Reason::Idle);
    }
}

#[test]
fn the_rest_of_an_unread_body_that_arrived_in_time_is_drained_by_a_late_driver() {
    let mut machine = machine();
    machine.open(POST);
    machine.answer("not read");
    assert!(!machine.take_sent().contains("Connection: close"), "it promises to persist");
    assert!(matches!(machine.io(), Io { read: true, last_read: false, .. }));
    machine.pass(LATE);
    asked(&mut machine, Reason::Drain);
    machine.receive(b"hello");
    machine.receive_all(GET.as_bytes());
    machine.record();
    assert_eq!(machine.poll(), Event::Request);
}

#[test]
fn a_refused_request_that_the_last_read_finds_keeps_its_linger() {
    let limits = wsgi_proto::Limits::default().body(Some(4));
    let mut machine = Machine::new(Config::default().limits(limits));
    machine.open(GET);
    machine.answer("x");
    machine.record();
    machine.flush();
    machine.io();
    machine.connection.make_room();
    asked(&mut machine, Reason::Room);
    machine.receive(POST.as_bytes());
    assert_eq!(machine.record().refused, Some(RequestError::BodyTooLarge(4)));
    machine.flush();
    assert_eq!(machine.poll(), Event::ShutdownWrite);
    machine.connection.write_closed();
    assert!(matches!(machine.io().deadline, Some((_, Reason::Linger))), "the client may still be sending");
}
