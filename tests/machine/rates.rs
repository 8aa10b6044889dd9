//! Minimum transfer rates: who is too slow, what counts as waiting for the peer, and what does not. Nothing here sleeps.

use std::time::Duration;

use wsgi_proto::{
    BodyError, BodyEvent, CloseReason, Config, Event, Io, Lost, NO_HEADERS, Reason, RequestError, SendError,
};
use wsgi_tests::machine::Machine;

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n";

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn config() -> Config {
    let config = Config::default().min_request_rate(Some(240)).min_response_rate(Some(240));
    config.rate_grace(seconds(10)).linger_timeout(seconds(3600))
}

/// Lets time pass as a driver does that polls at each deadline. Returns false if the machine has given up the peer.
fn pass(machine: &mut Machine, time: Duration) -> bool {
    let until = machine.now().instant.after(time);
    loop {
        let Event::Io(io) = machine.poll() else { return false };
        let failed = machine.connection.exchange().is_some_and(|exchange| exchange.body_error().is_some());
        if failed || machine.connection.is_lost() {
            return false;
        }
        let now = machine.now().instant;
        let at = io.deadline.map_or(until, |(at, _)| at.min(until));
        if at >= until {
            machine.advance(until.since(now));
            return true;
        }
        machine.advance(at.since(now));
    }
}

/// Reads all body bytes that have arrived. Returns false if the body failed.
fn read(machine: &mut Machine) -> bool {
    let now = machine.now();
    loop {
        match machine.exchange().body(now) {
            Ok(BodyEvent::Data(data)) => {
                let count = data.len();
                machine.exchange().consume(count);
            }
            Ok(_) => return true,
            Err(_) => return false,
        }
    }
}

/// Uploads `bytes` every `pause` to an application that reads, and returns when the upload was given up.
fn upload(config: Config, bytes: usize, pause: Duration, most: Duration) -> Option<Duration> {
    let mut machine = Machine::new(config);
    machine.open(POST);
    let began = machine.now().instant;
    while machine.now().instant.since(began) < most {
        assert!(read(&mut machine));
        pass(&mut machine, pause);
        let now = machine.now();
        if let Err(error) = machine.exchange().body(now) {
            assert_eq!(error, BodyError::Request(RequestError::Timeout));
            return Some(now.instant.since(began));
        }
        assert_eq!(machine.receive(&vec![b'x'; bytes]), bytes);
        machine.poll();
    }
    None
}

#[test]
fn an_upload_that_drips_is_given_up_after_the_grace_and_a_steady_one_never() {
    for (bytes, pause, is_cut) in [
        (1, millis(1000), true),
        (1, millis(4000), true),
        (1000, millis(1000), false),
        (100, millis(100), false),
        (1500, millis(5000), false),
        (240, millis(1000), false),
    ] {
        let cut = upload(config(), bytes, pause, seconds(600));
        assert_eq!(cut.is_some(), is_cut, "{bytes} bytes every {pause:?}: {cut:?}");
        assert!(cut.is_none_or(|cut| (10..=15).contains(&cut.as_secs())), "{cut:?}");
        assert_eq!(upload(config().min_request_rate(None), bytes, pause, seconds(100)), None);
    }
}

#[test]
fn bytes_that_the_application_receives_itself_count_for_the_rate() {
    for (bytes, is_cut) in [(1, true), (1000, false)] {
        let mut machine = Machine::new(config());
        machine.open(POST);
        let cut = (0..60).find(|_| {
            assert!(read(&mut machine));
            pass(&mut machine, seconds(1));
            let now = machine.now();
            machine.exchange().recv_direct(bytes);
            machine.poll();
            machine.exchange().body(now).is_err()
        });
        assert_eq!(cut.is_some(), is_cut, "{bytes} bytes every second: {cut:?}");
    }
}

#[test]
fn an_upload_that_is_too_slow_is_answered_408() {
    let mut machine = Machine::new(config());
    machine.open(POST);
    assert!(read(&mut machine));
    assert!(!pass(&mut machine, seconds(100)));
    let now = machine.now();
    assert_eq!(machine.exchange().body(now).unwrap_err(), BodyError::Request(RequestError::Timeout));
    machine.exchange().refuse(RequestError::Timeout);
    assert_eq!(machine.record().refused, Some(RequestError::Timeout));
    assert!(machine.take_sent().starts_with("HTTP/1.1 408 Request Timeout\r\n"));
}

#[test]
fn bytes_that_arrived_in_time_count_before_the_rate_is_judged() {
    let mut machine = Machine::new(config());
    machine.open(POST);
    assert!(read(&mut machine));
    loop {
        let io = machine.io();
        let (at, reason) = io.deadline.expect("the rate is checked");
        assert_eq!(reason, Reason::RequestRate);
        if io.last_read {
            break;
        }
        machine.pass(at.since(machine.now().instant));
    }
    machine.receive(&[b'x'; 2400]);
    assert!(read(&mut machine));
    assert!(matches!(machine.io(), Io { last_read: false, .. }), "it is fast enough after all");
}

#[test]
fn a_drip_that_is_found_at_the_last_read_changes_nothing() {
    let mut machine = Machine::new(config());
    machine.open(POST);
    assert!(read(&mut machine));
    while !machine.io().last_read {
        let (at, _) = machine.io().deadline.expect("the rate is checked");
        machine.pass(at.since(machine.now().instant));
    }
    machine.receive(b"x");
    assert!(read(&mut machine));
    assert!(machine.io().last_read);
    machine.connection.recv_nothing();
    assert!(!read(&mut machine));
}

#[test]
fn the_applications_own_time_does_not_count() {
    let mut machine = Machine::new(config());
    machine.open(POST);
    for _ in 0..100 {
        assert!(read(&mut machine));
        assert!(pass(&mut machine, seconds(1)));
        machine.receive(&[b'x'; 300]);
        machine.poll();
        // It works with what it has read.
        assert!(pass(&mut machine, seconds(100)));
        assert!(read(&mut machine));
        // It blocks the driver: what arrives meanwhile cannot be read.
        machine.poll();
        machine.pass(seconds(100));
        machine.receive(&[b'x'; 3000]);
        machine.poll();
    }
    assert!(read(&mut machine));
}

#[test]
fn a_client_that_waits_for_its_100_is_not_slow() {
    let mut machine = Machine::new(config().min_response_rate(None));
    machine.open("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert!(pass(&mut machine, seconds(100)), "the application does not read");
    assert!(read(&mut machine));
    assert!(pass(&mut machine, seconds(100)), "the 100 was not sent");
    machine.flush();
    assert!(pass(&mut machine, seconds(10)));
    assert!(!pass(&mut machine, seconds(5)), "it was sent");
}

/// Reads `bytes` of an endless response every `pause`, and returns when the connection was lost.
fn download(config: Config, bytes: usize, pause: Duration, most: Duration) -> Option<Duration> {
    let mut machine = Machine::new(config);
    machine.open(GET);
    machine.exchange().respond("200 OK", NO_HEADERS).expect("it is legal");
    let began = machine.now().instant;
    while machine.now().instant.since(began) < most {
        while machine.exchange().send(vec![b'x'; 5000]) != Err(SendError::Full) {
            if let Err(error) = machine.exchange().send("") {
                assert_eq!(error, SendError::Lost(Lost::TimedOut));
                machine.exchange().abort();
                assert_eq!(machine.record().lost, Some(Lost::TimedOut));
                assert_eq!(machine.end(), CloseReason::Lost(Lost::TimedOut));
                return Some(machine.now().instant.since(began));
            }
        }
        pass(&mut machine, pause);
        machine.transmit(bytes);
    }
    None
}

#[test]
fn a_reader_that_drips_is_lost_after_the_grace_and_a_steady_one_never() {
    for (bytes, pause, is_cut) in [
        (1, millis(1000), true),
        (100, millis(9000), true),
        (1000, millis(1000), false),
        (1500, millis(5000), false),
        (100_000, millis(11_000), false),
    ] {
        let cut = download(config(), bytes, pause, seconds(600));
        assert_eq!(cut.is_some(), is_cut, "{bytes} bytes every {pause:?}: {cut:?}");
        assert!(cut.is_none_or(|cut| (10..=20).contains(&cut.as_secs())), "{cut:?}");
        assert_eq!(download(config().min_response_rate(None), bytes, pause, seconds(100)), None);
    }
}

#[test]
fn a_reader_that_was_fast_and_drips_then_is_lost() {
    let mut machine = Machine::new(config());
    machine.open(GET);
    machine.exchange().respond("200 OK", NO_HEADERS).unwrap();
    for _ in 0..100 {
        while machine.exchange().send(vec![b'x'; 5000]).is_ok() {}
        assert!(pass(&mut machine, millis(100)));
        machine.transmit(50_000);
    }
    let mut waited = 0;
    while pass(&mut machine, seconds(1)) {
        machine.transmit(1);
        waited += 1;
    }
    assert!((10..=15).contains(&waited), "{waited} s");
    assert_eq!(machine.exchange().send("x"), Err(SendError::Lost(Lost::TimedOut)));
}

#[test]
fn pauses_between_the_blocks_of_a_response_do_not_count() {
    let mut machine = Machine::new(config());
    machine.open(GET);
    machine.exchange().respond("200 OK", [("Content-Type", "text/event-stream")]).unwrap();
    for _ in 0..1000 {
        let _ = machine.exchange().send("data: x\n\n").unwrap();
        assert!(pass(&mut machine, millis(10)));
        machine.flush();
        assert!(pass(&mut machine, seconds(60)));
    }
}

#[test]
fn an_answer_that_nobody_reads_is_given_up_while_the_next_request_is_awaited() {
    let mut machine = Machine::new(config());
    machine.open(GET);
    machine.answer(&"x".repeat(50_000));
    machine.record();
    assert!(pass(&mut machine, seconds(10)));
    assert!(!pass(&mut machine, seconds(5)));
    assert_eq!(machine.end(), CloseReason::Lost(Lost::TimedOut));
}

#[test]
fn an_unread_body_that_drips_is_not_drained_for_long() {
    let config = config().limits(wsgi_proto::Limits::default().drain(u64::MAX));
    let mut machine = Machine::new(config);
    machine.open(POST);
    machine.answer("x");
    machine.flush();
    let mut waited = 0;
    while pass(&mut machine, seconds(1)) {
        machine.receive(b"x");
        waited += 1;
    }
    assert!((10..=15).contains(&waited), "{waited} s");
    machine.record();
    assert_eq!(machine.end(), CloseReason::BodyUnread);
}

#[test]
fn nothing_else_is_bounded_by_a_rate() {
    let mut machine = Machine::new(config().header_timeout(None));
    assert_eq!(machine.io().deadline, None, "idle");
    machine.receive(b"GET / HTTP/1.1\r\n");
    assert!(pass(&mut machine, seconds(1000)), "in a head");
    machine.open("Host: h\r\nUpgrade: x\r\n\r\n");
    machine.exchange().watch_peer();
    assert!(pass(&mut machine, seconds(1000)), "the peer is only watched");
    machine.exchange().respond("101 S", [("Upgrade", "x")]).unwrap();
    machine.exchange().take_over().unwrap();
    machine.flush();
    machine.pass(seconds(1000));
    assert_eq!(machine.poll(), Event::TakenOver);
}

#[test]
fn one_connection_inherits_nothing_from_another_with_the_same_buffers() {
    let mut machine = Machine::new(config());
    for _ in 0..3 {
        machine.open("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n");
        assert!(read(&mut machine));
        assert!(pass(&mut machine, seconds(10)));
        machine.receive(b"x");
        assert!(read(&mut machine));
        machine.answer("");
        machine.flush();
        machine.record();
        assert!(machine.take_buffers());
    }
}
