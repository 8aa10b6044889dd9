//! Room that the peer made in time counts, however late the driver is: the machine writes once more before it abandons a
//! peer that does not read.

use std::time::Duration;

use wsgi_proto::{CloseReason, Config, Event, Io, Lost, NO_HEADERS, Reason, SendError};
use wsgi_tests::machine::Machine;

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const LATE: Duration = Duration::from_secs(60);

fn machine() -> Machine {
    Machine::new(Config::default().socket_timeout(Some(Duration::from_secs(10))))
}

/// A machine with a response of which nothing was written.
fn answering() -> Machine {
    let mut machine = machine();
    machine.open(GET);
    machine.exchange().respond("200 OK", NO_HEADERS).expect("a request is open");
    let _ = machine.exchange().send("hello").expect("a request is open");
    machine.io();
    machine
}

/// Checks that the driver must write once more, and do nothing else.
fn asked(machine: &mut Machine) {
    let io = machine.io();
    let wanted = Io { write: true, last_write: true, deadline: io.deadline, ..Io::default() };
    assert_eq!((io, io.deadline.map(|(_, reason)| reason)), (wanted, Some(Reason::Write)));
}

#[test]
fn a_response_that_has_room_is_written_by_a_late_driver() {
    let mut machine = answering();
    machine.pass(LATE);
    asked(&mut machine);
    machine.flush();
    let _ = machine.exchange().send("world").expect("it is not lost");
    assert!(!machine.io().last_write, "the next wait begins");
    machine.exchange().finish().unwrap();
    machine.record();
    machine.flush();
    assert!(machine.io().read, "the next request is awaited");
}

#[test]
fn a_late_driver_that_writes_a_part_has_the_whole_time_for_the_rest() {
    let mut machine = answering();
    machine.pass(LATE);
    asked(&mut machine);
    machine.transmit(1);
    let at = machine.now().instant.after(Duration::from_secs(10));
    assert_eq!(machine.io(), Io { write: true, deadline: Some((at, Reason::Write)), ..Io::default() });
}

#[test]
fn no_room_at_a_last_write_lets_the_deadline_pass() {
    let mut machine = answering();
    machine.pass(LATE);
    asked(&mut machine);
    asked(&mut machine);
    machine.connection.transmitted(0);
    assert_eq!(machine.io(), Io::default());
    assert_eq!(machine.exchange().send("x"), Err(SendError::Lost(Lost::TimedOut)));
    machine.exchange().abort();
    assert_eq!(machine.record().lost, Some(Lost::TimedOut));
    assert_eq!(machine.end(), CloseReason::Lost(Lost::TimedOut));
}

#[test]
fn the_wait_of_a_writer_has_a_last_write_as_well() {
    let mut machine = answering();
    machine.pass(LATE);
    let now = machine.now();
    assert!(machine.exchange().wait(now).is_ok_and(|io| io.last_write));
    machine.connection.transmitted(0);
    assert_eq!(machine.exchange().wait(now), Err(Lost::TimedOut));
}

#[test]
fn a_driver_that_found_no_room_unasked_changes_nothing() {
    let mut machine = answering();
    machine.connection.transmitted(0);
    let waits = machine.io();
    machine.connection.transmitted(0);
    assert_eq!(machine.io(), waits);
    machine.pass(LATE);
    machine.connection.transmitted(0);
    asked(&mut machine);
}

#[test]
fn each_wait_has_a_last_write_of_its_own() {
    let mut machine = answering();
    for _ in 0..3 {
        machine.pass(LATE);
        asked(&mut machine);
        machine.transmit(1);
        assert!(!machine.io().last_write);
    }
    machine.pass(LATE);
    asked(&mut machine);
    machine.connection.transmitted(0);
    machine.transmit(1);
    assert!(!machine.io().last_write, "there was room after all");
    machine.pass(LATE);
    asked(&mut machine);
}

#[test]
fn nothing_at_a_last_read_is_not_a_last_write_without_room() {
    let config = Config::default().socket_timeout(Some(Duration::from_secs(10)));
    let mut machine = Machine::new(config);
    machine.open("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n");
    let now = machine.now();
    assert!(machine.exchange().body(now).is_ok());
    // The read is waited for since now, the write since a second later.
    machine.pass(Duration::from_secs(1));
    machine.exchange().respond("200 OK", NO_HEADERS).unwrap();
    let _ = machine.exchange().send("hello").unwrap();
    machine.io();
    machine.pass(LATE);
    assert!(machine.io().last_read);
    machine.connection.recv_nothing();
    asked(&mut machine);
    machine.flush();
    let now = machine.now();
    assert!(machine.exchange().body(now).is_err(), "the body is late");
    assert!(machine.exchange().send("x").is_ok(), "and yet the peer reads");
}

#[test]
fn a_reader_that_made_room_in_time_is_not_too_slow() {
    let config = Config::default().min_response_rate(Some(240)).rate_grace(Duration::from_secs(10));
    for has_room in [false, true] {
        let mut machine = Machine::new(config.clone());
        machine.open(GET);
        machine.answer(&"x".repeat(5000));
        machine.record();
        let io = loop {
            let io = machine.io();
            if io.last_write {
                break io;
            }
            let (at, _) = io.deadline.expect("the rate is checked");
            machine.pass(at.since(machine.now().instant));
        };
        assert_eq!(io.deadline.map(|(_, reason)| reason), Some(Reason::ResponseRate));
        machine.connection.transmitted(if has_room { 4000 } else { 0 });
        let is_lost = matches!(machine.poll(), Event::Closed(CloseReason::Lost(Lost::TimedOut)));
        assert_eq!(is_lost, !has_room);
    }
}
