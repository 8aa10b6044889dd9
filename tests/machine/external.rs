//! Blocks whose bytes only the driver has: they are counted, framed, ordered, bounded in time and cut like any others.

use std::time::Duration;

use wsgi_proto::{
    CloseReason, Config, Event, Flow, Io, Limits, Lost, NO_HEADERS, Reason, SendError, StartError,
};
use wsgi_tests::machine::Machine;

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n";
const OLD: &str = "GET / HTTP/1.0\r\n\r\n";
const GIB: u64 = 1 << 30;

fn begin(request: &str) -> Machine {
    begin_with(Config::default(), request)
}

fn begin_with(config: Config, request: &str) -> Machine {
    let mut machine = Machine::new(config);
    machine.open(request);
    machine.exchange().respond("200 OK", NO_HEADERS).expect("a valid head");
    machine
}

#[test]
fn the_head_precedes_the_bytes_and_the_next_block_follows_them() {
    for most in [1, 7, 1000] {
        let mut machine = begin(GET);
        machine.exchange().announce_length(12);
        assert_eq!(machine.exchange().send("<<"), Ok(Flow::Ready));
        assert_eq!(machine.exchange().send_external(8), Ok(Flow::Ready));
        assert_eq!(machine.exchange().send(">>"), Ok(Flow::Ready));
        assert_eq!(machine.connection.external(), 0, "the head is first");
        while machine.transmit(most) > 0 {}
        machine.exchange().finish().expect("as long as announced");
        let sent = machine.take_sent();
        assert!(sent.contains("Content-Length: 12\r\n") && sent.ends_with("\r\n\r\n<<eeeeeeee>>"), "{sent}");
        let record = machine.record();
        assert_eq!((record.body_length, record.cut), (12, false));
        assert_eq!(record.response_length, sent.len() as u64);
        assert!(machine.io().read, "the connection persists");
    }
}

#[test]
fn without_a_length_a_piece_is_one_chunk() {
    let mut machine = begin(GET);
    let _ = machine.exchange().send_external(300).expect("there is room");
    assert_eq!(machine.exchange().finish(), Err(SendError::Full));
    machine.flush();
    machine.exchange().finish().expect("everything was transmitted");
    let sent = machine.take_sent();
    assert!(sent.ends_with(&format!("\r\n\r\n12c\r\n{}\r\n0\r\n\r\n", "e".repeat(300))), "{sent}");
    assert_eq!(machine.record().body_length, 300);
}

#[test]
fn blocks_that_wait_to_be_joined_are_sent_before_the_piece() {
    let mut machine = begin_with(Config::default().minimum_chunk_size(100), GET);
    let _ = machine.exchange().send("joined").expect("it waits");
    let _ = machine.exchange().send_external(3).expect("there is room");
    let _ = machine.exchange().send("later").expect("it waits");
    machine.flush();
    machine.exchange().finish().expect("everything was transmitted");
    assert!(machine.take_sent().ends_with("\r\n\r\n6\r\njoined\r\n3\r\neee\r\n5\r\nlater\r\n0\r\n\r\n"));
}

#[test]
fn a_response_without_body_takes_none_of_it() {
    for (request, status) in [(HEAD, "200 OK"), (GET, "204 No Content"), (GET, "304 Not Modified")] {
        let mut machine = Machine::new(Config::default());
        machine.open(request);
        machine.exchange().respond(status, NO_HEADERS).expect("a valid head");
        machine.exchange().announce_length(GIB);
        assert_eq!(machine.exchange().send_external(GIB), Ok(Flow::Ready), "{status}");
        machine.flush();
        assert_eq!(machine.connection.external(), 0);
        machine.exchange().finish().expect("nothing is missing");
        assert!(machine.take_sent().ends_with("\r\n\r\n"));
        let record = machine.record();
        assert_eq!((record.body_length, record.cut), (0, false), "{status}");
        assert!(machine.io().read, "the connection persists");
    }
}

#[test]
fn a_piece_matches_its_content_length() {
    // Longer: the part that fits is sent, and the connection closes.
    let mut machine = Machine::new(Config::default());
    machine.open(GET);
    machine.exchange().respond("200 OK", [("Content-Length", "5")]).expect("a valid head");
    assert_eq!(machine.exchange().send_external(6), Err(SendError::TooLong(5)));
    machine.flush();
    machine.exchange().abort();
    assert!(machine.take_sent().ends_with("\r\n\r\neeeee"));
    assert!(machine.record().cut);
    // Shorter: the response is cut at its end.
    let mut machine = Machine::new(Config::default());
    machine.open(GET);
    machine.exchange().respond("200 OK", [("Content-Length", "5")]).expect("a valid head");
    let _ = machine.exchange().send_external(4).expect("it fits");
    machine.flush();
    assert_eq!(machine.exchange().finish(), Err(SendError::TooShort(1)));
    assert!(machine.record().cut);
    assert_eq!(machine.end(), CloseReason::Cut);
    // Longer than any file.
    let mut machine = begin(GET);
    assert!(matches!(machine.exchange().send_external(u64::MAX), Err(SendError::TooLong(_))));
}

#[test]
fn one_piece_waits_at_a_time_and_counts_for_the_outbox() {
    const PIECE: u64 = 200_000;
    let mut machine = begin(GET);
    machine.exchange().announce_length(PIECE + 5);
    assert_eq!(machine.exchange().send_external(PIECE), Ok(Flow::Full));
    assert_eq!(machine.exchange().send_external(5), Err(SendError::Full));
    assert_eq!(machine.exchange().send("12345"), Err(SendError::Full));
    assert!(machine.exchange().is_full() && !machine.exchange().is_flushed());
    assert_eq!(machine.exchange().respond("200 OK", NO_HEADERS), Err(StartError::AlreadyStarted));
    machine.connection.take_notice();
    while machine.exchange().is_full() {
        machine.transmit(1000);
    }
    assert!(machine.connection.take_notice(), "there is room again");
    assert_eq!(machine.exchange().send("12345"), Ok(Flow::Ready), "a block may follow a piece that waits");
    assert_eq!(machine.exchange().send_external(5), Err(SendError::Full));
    assert_eq!(machine.exchange().finish(), Err(SendError::Full));
    machine.flush();
    assert!(machine.connection.take_notice(), "everything was transmitted");
    machine.exchange().finish().expect("as long as announced");
    assert_eq!(machine.record().body_length, PIECE + 5);
}

#[test]
fn a_piece_holds_no_memory() {
    let mut machine = begin(GET);
    machine.exchange().announce_length(u64::from(u32::MAX) * 1024);
    let _ = machine.exchange().send_external(u64::from(u32::MAX) * 1024).expect("there is room");
    let slices: usize = machine.connection.transmit().slices().iter().map(|slice| slice.len()).sum();
    assert!(slices < 200, "{slices}");
}

#[test]
fn bytes_that_the_driver_cannot_send_can_be_supplied() {
    for (first, most) in [(1, 1), (4, 1000), (299, 7), (300, 1), (5000, 1000)] {
        let mut machine = begin(GET);
        let _ = machine.exchange().send_external(300).expect("there is room");
        let _ = machine.exchange().send("next").expect("there is room");
        machine.exchange().supply_external(vec![b'e'; first]);
        machine.exchange().supply_external("");
        assert_eq!(machine.exchange().external_left(), 300_u64.saturating_sub(first as u64));
        while machine.connection.external() == 0 && machine.transmit(most) > 0 {}
        machine.exchange().supply_external(vec![b'e'; 1000]);
        machine.exchange().supply_external("surplus");
        assert_eq!((machine.connection.external(), machine.exchange().external_left()), (0, 0));
        machine.exchange().finish().expect("nothing is missing");
        let sent = machine.take_sent();
        let body = format!("\r\n\r\n12c\r\n{}\r\n4\r\nnext\r\n0\r\n\r\n", "e".repeat(300));
        assert!(sent.ends_with(&body), "{sent}");
        assert_eq!(machine.record().body_length, 304);
    }
}

#[test]
fn a_piece_that_turns_out_to_be_shorter_cuts_the_response() {
    // The length is in the head: the missing bytes show that it is incomplete.
    for sent in [0, 1, 4999] {
        let mut machine = begin(GET);
        machine.exchange().announce_length(5010);
        let _ = machine.exchange().send("0123456789").expect("there is room");
        let _ = machine.exchange().send_external(5000).expect("there is room");
        while machine.connection.external() == 0 {
            machine.transmit(1);
        }
        machine.transmit(sent);
        machine.exchange().abort();
        assert!(machine.connection.exchange().is_none());
        assert_eq!(machine.connection.external(), 0);
        let record = machine.record();
        assert_eq!((record.cut, record.body_length), (true, 10 + sent as u64));
        assert_eq!(record.response_length, machine.sent().len() as u64);
        assert_eq!(machine.poll(), Event::ShutdownWrite);
        assert_eq!(machine.end(), CloseReason::Cut);
    }
    // Chunked: the last chunk is missing, and so are blocks behind the piece.
    let mut machine = begin(GET);
    let _ = machine.exchange().send("first").expect("there is room");
    let _ = machine.exchange().send_external(500).expect("there is room");
    let _ = machine.exchange().send("second").expect("there is room");
    while machine.connection.external() == 0 {
        machine.transmit(1);
    }
    machine.transmit(3);
    machine.exchange().abort();
    let record = machine.record();
    assert_eq!((record.cut, record.body_length), (true, 8));
    assert!(machine.take_sent().ends_with("\r\n\r\n5\r\nfirst\r\n1f4\r\neee"));
    assert_eq!(machine.poll(), Event::ShutdownWrite);
    // The end of the connection would end it: the connection is reset.
    let mut machine = begin(OLD);
    let _ = machine.exchange().send_external(500).expect("there is room");
    while machine.connection.external() == 0 {
        machine.transmit(1000);
    }
    machine.transmit(3);
    machine.exchange().abort();
    assert!(machine.record().cut);
    assert_eq!(machine.poll(), Event::Abort);
}

#[test]
fn what_was_sent_before_the_piece_leaves_before_the_cut() {
    let mut machine = begin(GET);
    machine.exchange().announce_length(13);
    let _ = machine.exchange().send("12345").expect("there is room");
    let _ = machine.exchange().send_external(8).expect("there is room");
    machine.exchange().fail("not for the client");
    let record = machine.record();
    assert_eq!((record.cut, record.body_length), (true, 5));
    assert!(machine.take_sent().ends_with("\r\n\r\n12345"));
    assert_eq!(machine.poll(), Event::ShutdownWrite);
}

#[test]
fn a_loss_counts_the_bytes_that_were_transmitted() {
    for (request, piece) in [(GET, 700), (GET, 70_000), (OLD, 700)] {
        let mut machine = begin(request);
        let _ = machine.exchange().send("12345").expect("there is room");
        let _ = machine.exchange().send_external(piece).expect("there is room");
        while machine.connection.external() == 0 {
            machine.transmit(1);
        }
        machine.transmit(600);
        machine.connection.lost(Lost::Reset);
        assert!(machine.connection.take_notice());
        assert_eq!((machine.connection.external(), machine.exchange().external_left()), (0, 0));
        assert_eq!(machine.exchange().send_external(1), Err(SendError::Lost(Lost::Reset)));
        assert_eq!(machine.exchange().finish(), Err(SendError::Lost(Lost::Reset)));
        let record = machine.record();
        assert_eq!((record.lost, record.body_length), (Some(Lost::Reset), 605));
    }
}

#[test]
fn a_peer_that_does_not_read_the_piece_times_out() {
    let time = Duration::from_secs(60);
    let mut machine = begin_with(Config::default().socket_timeout(Some(time)), GET);
    let _ = machine.exchange().send_external(GIB).expect("there is room");
    machine.transmit(1000);
    for _ in 0..3 {
        assert!(matches!(machine.io(), Io { write: true, deadline: Some((_, Reason::Write)), .. }));
        machine.advance(time - Duration::from_nanos(1));
        assert_eq!(machine.transmit(1), 1, "a byte in time is progress");
    }
    machine.io();
    machine.advance(time);
    machine.io();
    assert!(machine.connection.is_lost());
    assert_eq!(machine.exchange().finish(), Err(SendError::Lost(Lost::TimedOut)));
}

#[test]
fn the_rate_of_the_response_counts_the_piece() {
    for (step, is_lost) in [(100, true), (400, false)] {
        let config = Config::default().min_response_rate(Some(240)).rate_grace(Duration::from_secs(10));
        let mut machine = begin_with(config, GET);
        let _ = machine.exchange().send_external(GIB).expect("there is room");
        machine.transmit(1000);
        for _ in 0..60 {
            machine.io();
            machine.advance(Duration::from_secs(1));
            machine.transmit(step);
        }
        machine.io();
        assert_eq!(machine.connection.is_lost(), is_lost, "{step} bytes per second");
    }
}

#[test]
fn pipelined_requests_are_answered_after_the_piece() {
    let mut machine = begin(GET);
    machine.exchange().announce_length(100_000);
    let _ = machine.exchange().send_external(100_000).expect("there is room");
    assert_eq!(machine.receive(GET.as_bytes()), GET.len());
    assert!(matches!(machine.io(), Io { write: true, .. }));
    machine.flush();
    machine.exchange().finish().expect("as long as announced");
    machine.record();
    assert_eq!(machine.poll(), Event::Request);
    machine.connection.take_request();
    assert_eq!(machine.exchange().external_left(), 0);
    machine.answer("second");
    let sent = machine.take_sent();
    assert_eq!(sent.matches("HTTP/1.1 200 OK\r\n").count(), 2);
    assert!(sent.ends_with("second"));
}

#[test]
fn misuse_is_harmless() {
    let mut machine = Machine::new(Config::default().limits(Limits::new().outbox(0)));
    assert_eq!(machine.connection.external(), 0);
    machine.open(GET);
    assert_eq!(machine.exchange().send_external(5), Err(SendError::NotStarted));
    machine.exchange().supply_external("nothing waits");
    machine.exchange().respond("101 S", [("Upgrade", "x")]).expect("a valid head");
    let taken = machine.exchange().send_external(5);
    assert!(taken.is_ok(), "{taken:?}");
    machine.connection.transmitted(usize::MAX);
    assert_eq!(machine.connection.external(), 0);
    machine.exchange().supply_external("too late");
    assert!(machine.connection.transmit().slices().is_empty());
    let _ = machine.exchange().finish();
    machine.end();
}
