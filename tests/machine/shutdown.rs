//! A stop, the end of input and a loss in every state of the machine.

use std::time::Duration;

use wsgi_proto::{
    BodyError, BodyEvent, CloseReason, Config, Event, Io, KeepAlive, Lost, NO_HEADERS, Reason, RequestError,
    SendError,
};
use wsgi_tests::machine::Machine;

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n";

/// Every state of a connection, and how to reach it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Fresh,
    EmptyLine,
    Head,
    /// A whole head that the application has not taken.
    Ready,
    Open,
    /// Waiting for a body.
    Reading,
    Sending,
    Draining,
    /// The record was not taken.
    Done,
    /// Like `Done`, but the record waits until everything is flushed.
    Unflushed,
    Idle,
    Refused,
    Cut,
    Flushing,
    Closing,
    Lingering,
    Closed,
    TakingOver,
    TakenOver,
}

const STATES: [State; 19] = [
    State::Fresh,
    State::EmptyLine,
    State::Head,
    State::Ready,
    State::Open,
    State::Reading,
    State::Sending,
    State::Draining,
    State::Done,
    State::Unflushed,
    State::Idle,
    State::Refused,
    State::Cut,
    State::Flushing,
    State::Closing,
    State::Lingering,
    State::Closed,
    State::TakingOver,
    State::TakenOver,
];

impl State {
    fn reach(self) -> Machine {
        let mut machine = Machine::new(Config::default());
        self.go(&mut machine);
        machine.poll();
        machine
    }

    fn go(self, machine: &mut Machine) {
        let now = machine.now();
        match self {
            Self::Fresh => {}
            Self::EmptyLine => machine.receive_all(b"\r\n"),
            Self::Head => machine.receive_all(b"GET / HT"),
            Self::Ready => machine.receive_all(GET.as_bytes()),
            Self::Open => drop(machine.open(GET)),
            Self::Reading => {
                machine.open(POST);
                assert!(matches!(machine.exchange().body(now), Ok(BodyEvent::Io(_))));
            }
            Self::Sending => {
                machine.open(GET);
                machine.exchange().respond("200 OK", NO_HEADERS).expect("nothing was started");
                let _ = machine.exchange().send("a").expect("it was started");
                machine.flush();
            }
            Self::Draining => {
                machine.open(POST);
                machine.answer("x");
            }
            Self::Done => {
                machine.open(GET);
                machine.answer("x");
            }
            Self::Unflushed => {
                machine.open(GET);
                machine.exchange().flush_before_record();
                machine.answer("x");
            }
            Self::Idle => {
                Self::Done.go(machine);
                machine.record();
                machine.flush();
            }
            Self::Refused => {
                machine.receive(b"\0");
            }
            Self::Cut => {
                Self::Sending.go(machine);
                machine.exchange().abort();
            }
            Self::Flushing => {
                Self::Refused.go(machine);
                machine.record();
            }
            Self::Closing => {
                Self::Flushing.go(machine);
                machine.poll();
                machine.flush();
            }
            Self::Lingering => {
                Self::Closing.go(machine);
                assert_eq!(machine.poll(), Event::ShutdownWrite);
                machine.connection.write_closed();
            }
            Self::Closed => {
                Self::Lingering.go(machine);
                machine.connection.recv_eof();
            }
            Self::TakingOver => {
                machine.open(GET);
                machine.exchange().respond("101 S", [("Upgrade", "x")]).expect("nothing was started");
                machine.exchange().take_over().expect("a 101 was started");
            }
            Self::TakenOver => {
                Self::TakingOver.go(machine);
                machine.flush();
            }
        }
    }

    fn is_taken_over(self) -> bool {
        matches!(self, Self::TakingOver | Self::TakenOver)
    }
}

/// Lets the application answer the open and later requests, and plays until the end.
fn play_on(machine: &mut Machine) -> (Event, String) {
    loop {
        match machine.poll() {
            Event::Request => drop(machine.connection.take_request()),
            Event::Done => drop(machine.record()),
            Event::ShutdownWrite | Event::Abort => machine.connection.write_closed(),
            Event::Io(Io { write: true, .. }) => machine.flush(),
            Event::Io(Io { read: true, .. }) => machine.connection.recv_eof(),
            Event::Io(_) => {
                let Some(mut exchange) = machine.connection.exchange() else { panic!("nothing to wait for") };
                let _ = exchange.respond("200 OK", NO_HEADERS);
                let _ = exchange.send("b");
                let _ = exchange.finish();
            }
            event @ (Event::Closed(_) | Event::TakenOver) => return (event, machine.take_sent()),
        }
    }
}

#[test]
fn a_stop_lets_what_has_begun_finish_and_ends_the_connection() {
    for state in STATES {
        let mut machine = state.reach();
        machine.connection.shutdown();
        machine.connection.shutdown();
        if state == State::Head {
            machine.receive(b"TP/1.1\r\nHost: h\r\n\r\n");
        }
        let opened = matches!(state, State::Head | State::Ready | State::Open | State::Reading);
        if state == State::Reading {
            machine.receive(b"hello");
        }
        let (end, sent) = play_on(&mut machine);
        match state {
            state if state.is_taken_over() => assert_eq!(end, Event::TakenOver),
            State::Refused | State::Flushing | State::Closing | State::Lingering | State::Closed => {
                assert_eq!(end, Event::Closed(CloseReason::Refused(RequestError::StrayByte)), "{state:?}");
            }
            State::Cut => assert_eq!(end, Event::Closed(CloseReason::Cut)),
            // The rest of the body never arrives.
            State::Draining => assert_eq!(end, Event::Closed(CloseReason::BodyUnread)),
            _ => assert_eq!(end, Event::Closed(CloseReason::Shutdown), "{state:?}"),
        }
        assert_eq!(
            sent.contains("HTTP/1.1 200 OK\r\n") && sent.contains("Connection: close\r\n"),
            opened,
            "{state:?}"
        );
    }
}

#[test]
fn a_stop_serves_one_request_that_is_there_and_no_more() {
    let mut machine = Machine::new(Config::default());
    machine.receive(GET.repeat(3).as_bytes());
    machine.connection.shutdown();
    machine.open("");
    machine.answer("x");
    assert_eq!(machine.end(), CloseReason::Shutdown);
    assert_eq!(machine.take_sent().matches("HTTP/1.1 ").count(), 1);
}

#[test]
fn a_stop_behind_a_head_that_promised_more_serves_the_request_that_has_come() {
    for state in [State::Sending, State::Done, State::Unflushed] {
        for (behind, wanted) in [("", 1), (GET, 2), (&GET[..1], 2), (&GET.repeat(3), 2)] {
            let mut machine = state.reach();
            machine.receive(behind.as_bytes());
            machine.connection.shutdown();
            // `shutdown` may be called more than once.
            machine.connection.shutdown();
            if behind.len() == 1 {
                machine.receive(&GET.as_bytes()[1..]);
            }
            let (end, sent) = play_on(&mut machine);
            assert_eq!(end, Event::Closed(CloseReason::Shutdown), "{state:?} {behind:?}");
            let answers = sent.matches("HTTP/1.1 200 OK\r\n").count();
            assert_eq!(answers, wanted, "{state:?} {behind:?}: {sent}");
            assert_eq!(
                sent.matches("Connection: close\r\n").count(),
                wanted - 1,
                "{state:?} {behind:?}: {sent}"
            );
        }
    }
}

#[test]
fn a_stop_gives_an_idle_connection_a_second_since_its_last_response() {
    // Idle for this long before the stop, and what remains after it.
    for (idle, left) in [(0, 1000), (400, 600), (999, 1), (1000, 0), (60_000, 0)] {
        for answered in [false, true] {
            let (idle, left) = (Duration::from_millis(idle), Duration::from_millis(left));
            let mut machine = if answered { State::Idle } else { State::Fresh }.reach();
            machine.advance(idle);
            machine.poll();
            machine.connection.shutdown();
            machine.connection.shutdown();
            if !left.is_zero() {
                assert_eq!(machine.io().deadline, Some((machine.now().instant.after(left), Reason::Idle)));
                machine.advance(left - Duration::from_nanos(1));
                assert!(!machine.io().last_read, "{idle:?}");
                machine.pass(Duration::from_nanos(1));
            }
            assert!(machine.io().last_read, "{idle:?}");
            assert_eq!(machine.end(), CloseReason::Shutdown);
        }
    }
}

#[test]
fn a_request_within_that_second_is_served_and_is_the_last_one() {
    for state in [State::Fresh, State::EmptyLine, State::Idle, State::Sending, State::Done, State::Unflushed]
    {
        let mut machine = state.reach();
        machine.take_sent();
        machine.connection.shutdown();
        if state == State::Sending {
            machine.exchange().finish().expect("it was started");
        }
        if matches!(state, State::Sending | State::Done | State::Unflushed) {
            machine.flush();
            machine.record();
            machine.flush();
        }
        machine.io();
        machine.advance(Duration::from_millis(999));
        machine.take_sent();
        machine.open(GET.repeat(2));
        machine.answer("late");
        machine.record();
        assert_eq!(machine.end(), CloseReason::Shutdown, "{state:?}");
        let sent = machine.take_sent();
        assert_eq!(sent.matches("HTTP/1.1 200 OK\r\n").count(), 1, "{state:?}: {sent}");
        assert!(sent.contains("Connection: close\r\n"), "{state:?}: {sent}");
    }
}

#[test]
fn a_stop_closes_idle_connections_immediately_if_the_config_says_so() {
    let mut machine = Machine::new(Config::default().last_request_timeout(Duration::ZERO));
    machine.io();
    machine.connection.shutdown();
    assert!(machine.io().last_read);
    assert_eq!(machine.end(), CloseReason::Shutdown);
}

#[test]
fn a_body_that_is_not_drained_is_reported_rather_than_the_stop() {
    let mut machine = Machine::new(Config::default());
    machine.open(POST);
    machine.answer("x");
    assert!(!machine.take_sent().contains("Connection: close"));
    machine.connection.shutdown();
    machine.io();
    machine.advance(Config::default().linger_timeout);
    machine.record();
    assert_eq!(machine.end(), CloseReason::BodyUnread);
}

#[test]
fn a_stop_just_as_a_response_ends_does_not_linger_for_a_client_that_is_silent_since() {
    let mut machine = Machine::new(Config::default());
    machine.open(GET);
    machine.answer("x");
    // The stop arrives before the record was taken.
    machine.connection.shutdown();
    machine.record();
    assert!(!machine.take_sent().contains("Connection: close"));
    machine.io();
    machine.pass(Duration::from_secs(1));
    assert!(machine.io().last_read);
    machine.connection.recv_nothing();
    assert_eq!(machine.poll(), Event::ShutdownWrite);
    machine.connection.write_closed();
    assert_eq!(machine.poll(), Event::Closed(CloseReason::Shutdown));
}

#[test]
fn a_stop_during_the_drain_of_an_unread_body_serves_the_request_behind_it() {
    let mut machine = Machine::new(Config::default());
    machine.open(POST);
    machine.answer("not read");
    assert!(!machine.take_sent().contains("Connection: close"), "it promises to persist");
    machine.io();
    machine.connection.shutdown();
    machine.receive_all(b"hello");
    machine.receive_all(GET.as_bytes());
    machine.record();
    assert_eq!(machine.poll(), Event::Request);
    machine.connection.take_request();
    machine.answer("x");
    assert!(machine.take_sent().contains("Connection: close"));
}

#[test]
fn a_stop_leaves_empty_lines_unanswered() {
    for lines in ["\r\n", "\r"] {
        let mut machine = Machine::new(Config::default());
        machine.receive(lines.as_bytes());
        machine.connection.shutdown();
        assert_eq!(machine.end(), CloseReason::Shutdown);
        assert_eq!(machine.sent(), b"");
    }
}

#[test]
fn a_connection_is_busy_from_the_first_byte_to_the_last() {
    for state in STATES {
        let idle = matches!(state, State::Fresh | State::EmptyLine | State::Idle);
        assert_eq!(state.reach().connection.is_busy(), !idle, "{state:?}");
    }
}

#[test]
fn the_end_of_input_ends_what_is_incomplete_and_nothing_else() {
    for state in STATES {
        let mut machine = state.reach();
        machine.connection.recv_eof();
        machine.connection.recv_eof();
        let (end, sent) = play_on(&mut machine);
        match state {
            state if state.is_taken_over() => assert_eq!(end, Event::TakenOver),
            State::Head => {
                assert_eq!(end, Event::Closed(CloseReason::Refused(RequestError::Incomplete)));
                assert!(sent.starts_with("HTTP/1.1 400 "));
            }
            State::Refused | State::Flushing | State::Closing | State::Lingering | State::Closed => {
                assert_eq!(end, Event::Closed(CloseReason::Refused(RequestError::StrayByte)), "{state:?}");
            }
            State::Cut => assert_eq!(end, Event::Closed(CloseReason::Cut)),
            // The body was not complete, so the connection ends after the response.
            State::Reading | State::Draining => {
                assert_eq!(end, Event::Closed(CloseReason::BodyUnread), "{state:?}")
            }
            _ => assert_eq!(end, Event::Closed(CloseReason::PeerClosed), "{state:?}"),
        }
    }
}

#[test]
fn a_half_closed_client_gets_all_its_answers() {
    let mut machine = Machine::new(Config::default());
    machine.receive(GET.repeat(3).as_bytes());
    machine.connection.recv_eof();
    let (end, sent) = play_on(&mut machine);
    assert_eq!(end, Event::Closed(CloseReason::PeerClosed));
    assert_eq!(sent.matches("HTTP/1.1 200 OK\r\n").count(), 3);
}

#[test]
fn a_body_that_the_end_of_input_cuts_off_is_the_readers_error() {
    let mut machine = State::Reading.reach();
    machine.receive(b"hel");
    machine.connection.recv_eof();
    let now = machine.now();
    assert!(machine.exchange().client_gone());
    assert!(matches!(machine.exchange().body(now), Ok(BodyEvent::Data(b"hel"))));
    machine.exchange().consume(3);
    assert_eq!(machine.exchange().body(now).unwrap_err(), BodyError::Request(RequestError::Incomplete));
}

#[test]
fn a_loss_closes_at_once_and_an_open_exchange_ends_first() {
    for state in STATES {
        let mut machine = state.reach();
        machine.connection.lost(Lost::Reset);
        machine.connection.lost(Lost::Transport);
        machine.connection.shutdown();
        machine.connection.recv_eof();
        machine.connection.write_closed();
        assert!(machine.connection.transmit().slices().is_empty());
        if let Some(exchange) = machine.connection.exchange() {
            assert!(matches!(state, State::Open | State::Reading | State::Sending));
            assert!(exchange.client_gone());
            assert_eq!(machine.io(), Io::default(), "{state:?}: a lost transport is not read");
            assert_eq!(machine.exchange().finish(), Err(SendError::Lost(Lost::Reset)));
        }
        assert!(machine.connection.take_request().is_none());
        if machine.poll() == Event::Done {
            assert_eq!(machine.record().lost, Some(Lost::Reset), "{state:?}");
        }
        let reason = match state {
            State::Flushing | State::Closing | State::Lingering | State::Closed => {
                CloseReason::Refused(RequestError::StrayByte)
            }
            _ => CloseReason::Lost(Lost::Reset),
        };
        assert_eq!(machine.poll(), Event::Closed(reason), "{state:?}");
    }
}

#[test]
fn a_lost_transport_is_not_read_again() {
    let mut machine = State::Open.reach();
    machine.exchange().watch_peer();
    assert!(machine.io().read);
    machine.connection.lost(Lost::Reset);
    assert_eq!(machine.io(), Io::default());
}

#[test]
fn a_loss_reports_what_was_sent_of_a_pipelined_answer_too() {
    let mut machine = Machine::new(Config::default());
    machine.receive(GET.repeat(2).as_bytes());
    machine.open("");
    machine.answer("first");
    let first = machine.record().response_length;
    assert_eq!(machine.poll(), Event::Request);
    machine.connection.take_request().unwrap();
    machine.exchange().respond("200 OK", NO_HEADERS).unwrap();
    let _ = machine.exchange().send("second").unwrap();
    machine.transmit(3);
    machine.connection.lost(Lost::Reset);
    machine.exchange().abort();
    let record = machine.record();
    assert!(first > 3);
    assert_eq!((record.response_length, record.body_length), (0, 0), "not a byte of the second");
    assert_eq!(record.status, 0);
}

#[test]
fn after_a_loss_the_record_counts_the_bytes_that_were_sent_and_no_framing() {
    let blocks: [&[u8]; 5] = [b"first\n", &[b'x'; 300], b"", &[b'y'; 5000], b"last"];
    for (headers, http) in [(None, "1.1"), (Some(("Content-Length", "5310")), "1.1"), (None, "1.0")] {
        let respond = |machine: &mut Machine| {
            machine.open(format!("GET / HTTP/{http}\r\nHost: h\r\n\r\n"));
            machine.exchange().respond("200 OK", headers).unwrap();
            for block in blocks {
                let _ = machine.exchange().send(block.to_vec()).unwrap();
            }
        };
        let mut whole = Machine::new(Config::default());
        respond(&mut whole);
        whole.flush();
        let sent = whole.sent().to_vec();
        let head = sent.windows(4).position(|four| four == b"\r\n\r\n").expect("there is a head") + 4;
        let mut rest = &sent[head..];
        // Whether each byte belongs to the body.
        let mut is_body = vec![false; head];
        for block in blocks.into_iter().filter(|block| !block.is_empty()) {
            let line = rest.windows(block.len()).position(|part| part == block).expect("it was sent");
            is_body.extend(vec![false; line]);
            is_body.extend(vec![true; block.len()]);
            rest = &rest[line + block.len()..];
        }
        for count in (0..sent.len()).filter(|count| count % 97 == 0 || (head..head + 400).contains(count)) {
            let mut machine = Machine::new(Config::default());
            respond(&mut machine);
            machine.transmit(count);
            machine.connection.lost(Lost::Reset);
            machine.exchange().abort();
            let record = machine.record();
            let body = is_body.iter().take(count).filter(|is_body| **is_body).count() as u64;
            assert_eq!(record.body_length, body, "after {count} bytes of {headers:?}");
            assert_eq!(record.response_length, count as u64);
            assert_eq!(record.status, if count == 0 { 0 } else { 200 });
        }
    }
}

#[test]
fn without_keepalive_each_connection_has_one_request() {
    let mut machine = Machine::new(Config::default().keepalive(KeepAlive::Off));
    machine.open(GET.repeat(2).split_at(GET.len()).0);
    machine.answer("x");
    assert!(machine.take_sent().contains("Connection: close\r\n"));
    assert_eq!(machine.end(), CloseReason::Finished);
}
