//! Every deadline: when it starts, what moves it, its effect, and how to switch it off. Nothing here sleeps.

use std::time::Duration;

use wsgi_proto::{
    BodyError, BodyEvent, CloseReason, Config, Event, Io, KeepAlive, Lost, NO_HEADERS, Reason, RequestError,
    SendError,
};
use wsgi_tests::machine::Machine;

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n";

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// No deadlines except those that cannot be switched off.
fn without() -> Config {
    Config::default().header_timeout(None).linger_timeout(seconds(3600))
}

fn with_socket_timeout() -> Config {
    without().socket_timeout(Some(seconds(10)))
}

/// Checks that the machine waits and that its next deadline is `after` from now and for `reason`; a nanosecond earlier
/// nothing happens. Stops the clock at the deadline.
fn expires(machine: &mut Machine, after: Duration, reason: Reason) {
    let io = machine.io();
    assert_eq!(io.deadline, Some((machine.now().instant.after(after), reason)));
    machine.advance(after - Duration::from_nanos(1));
    assert_eq!(machine.io(), io, "before the deadline");
    machine.advance(Duration::from_nanos(1));
}

fn answers_408(machine: &mut Machine) {
    assert_eq!(machine.record().refused, Some(RequestError::Timeout));
    assert!(machine.take_sent().starts_with("HTTP/1.1 408 Request Timeout\r\n"));
    assert_eq!(machine.end(), CloseReason::Refused(RequestError::Timeout));
}

#[test]
fn without_timeouts_nothing_has_a_deadline() {
    let mut machine = Machine::new(without());
    assert_eq!(machine.io().deadline, None, "idle");
    machine.receive(b"POST / HTTP/1.1\r\nHost: h\r\n");
    assert_eq!(machine.io().deadline, None, "in a head");
    machine.open("Content-Length: 5\r\n\r\n");
    let now = machine.now();
    assert!(matches!(machine.exchange().body(now), Ok(BodyEvent::Io(Io { deadline: None, .. }))));
    machine.exchange().respond("200 OK", NO_HEADERS).unwrap();
    let _ = machine.exchange().send("x").unwrap();
    assert_eq!(machine.io(), Io { read: true, write: true, ..Io::default() });
    machine.advance(seconds(1_000_000_000));
    assert_eq!(machine.io(), Io { read: true, write: true, ..Io::default() });
}

#[test]
fn an_idle_connection_is_closed_silently() {
    for (config, after) in [
        (with_socket_timeout(), 10),
        (with_socket_timeout().keepalive(KeepAlive::For(seconds(5))), 5),
        (with_socket_timeout().keepalive(KeepAlive::For(seconds(15))), 15),
        (without().keepalive(KeepAlive::For(seconds(5))), 5),
        (with_socket_timeout().keepalive(KeepAlive::Off), 10),
    ] {
        let mut machine = Machine::new(config);
        expires(&mut machine, seconds(after), Reason::Idle);
        assert_eq!(machine.end(), CloseReason::IdleTimeout);
        assert_eq!(machine.sent(), b"");
    }
}

#[test]
fn each_wait_for_a_request_has_the_whole_timeout() {
    let mut machine = Machine::new(without().keepalive(KeepAlive::For(seconds(5))));
    for _ in 0..3 {
        machine.io();
        machine.advance(seconds(4));
        machine.open(GET);
        machine.advance(seconds(100));
        machine.answer("x");
        machine.flush();
        machine.record();
    }
    expires(&mut machine, seconds(5), Reason::Idle);
    assert_eq!(machine.end(), CloseReason::IdleTimeout);
}

#[test]
fn empty_lines_are_no_request_and_move_no_deadline() {
    let mut machine = Machine::new(with_socket_timeout());
    machine.io();
    for piece in [&b"\r\n"[..], b"\r", b"\n"] {
        machine.advance(seconds(2));
        machine.receive(piece);
        machine.io();
    }
    expires(&mut machine, seconds(4), Reason::Idle);
    assert_eq!(machine.end(), CloseReason::IdleTimeout);
}

#[test]
fn a_connection_is_not_idle_while_its_last_answer_is_on_the_way() {
    let mut machine = Machine::new(without().keepalive(KeepAlive::For(seconds(5))));
    machine.open(GET);
    machine.answer(&"x".repeat(50_000));
    machine.record();
    for _ in 0..10 {
        assert!(matches!(machine.io(), Io { read: true, write: true, deadline: None, .. }));
        machine.advance(seconds(4));
        machine.transmit(4000);
    }
    machine.flush();
    expires(&mut machine, seconds(5), Reason::Idle);
    assert_eq!(machine.end(), CloseReason::IdleTimeout);
}

#[test]
fn a_whole_head_has_a_time_that_bytes_do_not_move() {
    let mut machine = Machine::new(without().header_timeout(Some(seconds(30))));
    assert_eq!(machine.io().deadline, None);
    machine.advance(seconds(100));
    for byte in &GET.as_bytes()[..20] {
        machine.receive(&[*byte]);
        machine.io();
        machine.advance(seconds(1));
    }
    expires(&mut machine, seconds(10), Reason::Head);
    answers_408(&mut machine);
}

#[test]
fn each_byte_of_a_head_has_the_socket_timeout() {
    let mut machine = Machine::new(with_socket_timeout());
    for byte in &GET.as_bytes()[..20] {
        machine.receive(&[*byte]);
        machine.io();
        machine.advance(seconds(9));
    }
    expires(&mut machine, seconds(1), Reason::Read);
    answers_408(&mut machine);
}

#[test]
fn of_two_deadlines_the_earlier_wins() {
    let config = with_socket_timeout().header_timeout(Some(seconds(15)));
    let mut machine = Machine::new(config);
    machine.receive(b"G");
    assert!(matches!(machine.io().deadline, Some((_, Reason::Read))));
    machine.advance(seconds(6));
    machine.receive(b"E");
    expires(&mut machine, seconds(9), Reason::Head);
    answers_408(&mut machine);
}

#[test]
fn a_head_that_arrives_at_its_deadline_is_served() {
    let mut machine = Machine::new(without().header_timeout(Some(seconds(30))));
    machine.receive(&GET.as_bytes()[..10]);
    machine.io();
    machine.pass(seconds(30));
    machine.receive(&GET.as_bytes()[10..]);
    assert_eq!(machine.poll(), Event::Request);
}

#[test]
fn a_body_that_does_not_come_is_the_readers_error() {
    let mut machine = Machine::new(with_socket_timeout());
    machine.open(POST);
    for _ in 0..2 {
        let now = machine.now();
        assert!(matches!(machine.exchange().body(now), Ok(BodyEvent::Io(Io { read: true, .. }))));
        machine.advance(seconds(9));
        machine.receive(b"a");
        machine.exchange().consume(1);
    }
    let now = machine.now();
    assert!(matches!(machine.exchange().body(now), Ok(BodyEvent::Io(_))));
    expires(&mut machine, seconds(10), Reason::Read);
    assert_eq!(machine.io(), Io::default(), "it is the application's turn");
    let now = machine.now();
    assert_eq!(machine.exchange().body(now).unwrap_err(), BodyError::Request(RequestError::Timeout));
    machine.exchange().refuse(RequestError::Timeout);
    answers_408(&mut machine);
}

#[test]
fn bytes_that_the_application_receives_itself_restart_the_wait() {
    let mut machine = Machine::new(with_socket_timeout());
    machine.open(POST);
    for _ in 0..2 {
        let now = machine.now();
        assert!(matches!(machine.exchange().body(now), Ok(BodyEvent::Io(Io { read: true, .. }))));
        machine.advance(seconds(9));
        machine.exchange().recv_direct(1);
        assert!(machine.connection.take_notice());
        assert_eq!(machine.io(), Io::default(), "no one waits for more");
    }
    let now = machine.now();
    assert!(matches!(machine.exchange().body(now), Ok(BodyEvent::Io(_))));
    // A last read that the application makes itself.
    machine.pass(seconds(10));
    assert!(machine.io().last_read);
    machine.exchange().recv_direct(1);
    let now = machine.now();
    assert!(matches!(machine.exchange().body(now), Ok(BodyEvent::Io(Io { last_read: false, .. }))));
    expires(&mut machine, seconds(10), Reason::Read);
}

#[test]
fn the_reader_itself_notices_that_the_time_is_over() {
    let mut machine = Machine::new(with_socket_timeout());
    machine.open(POST);
    let now = machine.now();
    assert!(matches!(machine.exchange().body(now), Ok(BodyEvent::Io(_))));
    machine.advance(seconds(10));
    let now = machine.now();
    assert_eq!(machine.exchange().body(now).unwrap_err(), BodyError::Request(RequestError::Timeout));
    machine.answer("late");
    assert!(machine.take_sent().ends_with("Connection: close\r\n\r\nlate"));
}

#[test]
fn a_body_that_is_not_awaited_is_not_late() {
    for watches in [false, true] {
        let mut machine = Machine::new(with_socket_timeout());
        machine.open(POST.to_owned() + "hello");
        if watches {
            machine.exchange().watch_peer();
        }
        assert_eq!(machine.io().deadline, None);
        machine.advance(seconds(1000));
        machine.io();
        let now = machine.now();
        assert!(matches!(machine.exchange().body(now), Ok(BodyEvent::Data(b"hello"))), "watching: {watches}");
    }
}

#[test]
fn a_peer_that_takes_nothing_is_lost() {
    let mut machine = Machine::new(with_socket_timeout());
    machine.open(GET);
    machine.exchange().respond("200 OK", NO_HEADERS).unwrap();
    let _ = machine.exchange().send("hello").unwrap();
    for _ in 0..3 {
        machine.io();
        machine.advance(seconds(9));
        machine.transmit(1);
    }
    expires(&mut machine, seconds(10), Reason::Write);
    assert_eq!(machine.io(), Io::default());
    assert_eq!(machine.exchange().send("x"), Err(SendError::Lost(Lost::TimedOut)));
    machine.exchange().abort();
    let record = machine.record();
    assert_eq!((record.lost, record.response_length), (Some(Lost::TimedOut), 3));
    assert_eq!(machine.end(), CloseReason::Lost(Lost::TimedOut));
}

#[test]
fn the_wait_of_a_writer_has_the_same_deadline() {
    let mut machine = Machine::new(with_socket_timeout());
    machine.open(GET);
    machine.exchange().respond("200 OK", NO_HEADERS).unwrap();
    let _ = machine.exchange().send("hello").unwrap();
    let now = machine.now();
    let at = now.instant.after(seconds(10));
    let io = Io { write: true, deadline: Some((at, Reason::Write)), ..Io::default() };
    assert_eq!(machine.exchange().wait(now), Ok(io));
    machine.advance(seconds(10));
    let now = machine.now();
    assert_eq!(machine.exchange().wait(now), Err(Lost::TimedOut));
}

#[test]
fn the_last_answer_is_waited_for_as_long_as_any_other() {
    let mut machine = Machine::new(with_socket_timeout());
    machine.open("GET / HTTP/1.0\r\n\r\n");
    machine.answer("x");
    machine.record();
    expires(&mut machine, seconds(10), Reason::Write);
    assert!(matches!(machine.poll(), Event::Closed(_)));
}

#[test]
fn an_unread_body_that_does_not_end_is_given_up() {
    let mut machine = Machine::new(with_socket_timeout().linger_timeout(seconds(2)));
    machine.open(POST);
    machine.answer("x");
    machine.flush();
    machine.io();
    machine.advance(seconds(1));
    machine.receive(b"hell");
    expires(&mut machine, seconds(1), Reason::Drain);
    machine.record();
    assert_eq!(machine.poll(), Event::ShutdownWrite);
    assert_eq!(machine.end(), CloseReason::BodyUnread);
}

#[test]
fn an_unread_body_has_the_socket_timeout_if_that_is_earlier() {
    let mut machine = Machine::new(with_socket_timeout().linger_timeout(seconds(20)));
    machine.open(POST);
    machine.answer("x");
    machine.flush();
    expires(&mut machine, seconds(10), Reason::Read);
    machine.record();
    assert_eq!(machine.end(), CloseReason::BodyUnread);
}

#[test]
fn each_drain_has_the_whole_timeout() {
    let mut machine = Machine::new(without().linger_timeout(seconds(2)));
    for _ in 0..3 {
        machine.open(POST);
        machine.answer("x");
        machine.flush();
        machine.io();
        machine.advance(seconds(1));
        machine.receive(b"hello");
        machine.record();
    }
    assert!(matches!(machine.io(), Io { read: true, .. }));
}

/// A machine that lingers after it has refused a request.
fn lingering(config: Config) -> Machine {
    let mut machine = Machine::new(config);
    machine.receive(b"\0");
    machine.record();
    machine.flush();
    assert_eq!(machine.poll(), Event::ShutdownWrite);
    machine.advance(seconds(50));
    machine.connection.write_closed();
    machine
}

#[test]
fn a_peer_that_stays_silent_after_the_last_response_has_the_linger_timeout() {
    let mut machine = lingering(without().linger_timeout(seconds(2)));
    for _ in 0..10 {
        machine.io();
        machine.advance(Duration::from_millis(1500));
        machine.receive(b"more");
    }
    expires(&mut machine, seconds(2), Reason::Linger);
    assert_eq!(machine.poll(), Event::Closed(CloseReason::Refused(RequestError::StrayByte)));
}

#[test]
fn a_peer_that_continues_to_send_after_the_last_response_has_the_linger_limit() {
    let mut machine = lingering(without().linger_timeout(seconds(2)).linger_limit(seconds(30)));
    for _ in 0..29 {
        machine.io();
        machine.advance(seconds(1));
        // No number of bytes ends it.
        for _ in 0..100 {
            assert!(machine.receive(&[b'x'; 65_536]) > 0);
            machine.io();
        }
    }
    expires(&mut machine, seconds(1), Reason::Linger);
    assert_eq!(machine.poll(), Event::Closed(CloseReason::Refused(RequestError::StrayByte)));
}

#[test]
fn the_wait_for_a_body_does_not_count_as_silence_of_the_linger() {
    let mut machine = Machine::new(without().linger_timeout(seconds(2)));
    machine.open(POST);
    let now = machine.now();
    assert!(matches!(machine.exchange().body(now), Ok(BodyEvent::Io(_))));
    machine.advance(seconds(20));
    machine.exchange().refuse(RequestError::ChunkData);
    machine.record();
    machine.flush();
    assert_eq!(machine.poll(), Event::ShutdownWrite);
    machine.connection.write_closed();
    expires(&mut machine, seconds(2), Reason::Linger);
}

#[test]
fn endless_timeouts_and_a_clock_that_goes_back_break_nothing() {
    let config = without().socket_timeout(Some(Duration::MAX)).header_timeout(Some(Duration::MAX));
    let mut machine = Machine::new(config);
    machine.advance(seconds(100 * 365 * 86_400));
    machine.receive(b"GET / HTTP/1.1\r\n");
    machine.io();
    let back = wsgi_proto::Now::default();
    assert!(matches!(machine.connection.poll(back), Event::Io(Io { read: true, .. })));
    let request = machine.receive(b"Host: h\r\n\r\n");
    assert_eq!((request, machine.connection.poll(back)), (11, Event::Request));
}
