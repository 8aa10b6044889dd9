//! How the driver and the application end a connection, and how its end looks to the peer.

use std::sync::Arc;
use std::time::Duration;

use wsgi_proto::{
    AnswerError, BodyEvent, CloseReason, Config, Event, Exchange, Io, LastExchange, Lost, NO_HEADERS, Reason,
    RequestError, ResponseHead, SendError, StartError, Version,
};
use wsgi_tests::machine::Machine;

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn the_head_after_a_requested_last_exchange_announces_close() {
    for reason in [LastExchange::Crowded, LastExchange::Age, LastExchange::Requests] {
        // Requested while the connection is idle, and while its application works.
        for early in [true, false] {
            let mut machine = Machine::new(Config::default());
            if early {
                machine.connection.last_exchange(reason);
                assert!(matches!(machine.io(), Io { read: true, last_read: false, .. }), "it keeps waiting");
            }
            machine.open(GET);
            machine.connection.last_exchange(reason);
            machine.answer("x");
            assert!(machine.take_sent().contains("Connection: close\r\n"));
            machine.record();
            assert_eq!(machine.end(), CloseReason::Limit(reason));
        }
    }
}

#[test]
fn a_failure_response_announces_close_like_any_other_response() {
    for asked in [false, true] {
        let mut machine = Machine::new(Config::default());
        machine.open(GET);
        if asked {
            machine.connection.last_exchange(LastExchange::Age);
        }
        machine.exchange().fail("oh");
        assert_eq!(machine.take_sent().contains("Connection: close\r\n"), asked);
        assert_eq!(machine.record().status, 500);
        if asked {
            assert_eq!(machine.end(), CloseReason::Limit(LastExchange::Age));
        } else {
            machine.open(GET);
            machine.answer("x");
            assert!(machine.take_sent().ends_with("\r\n\r\nx"));
        }
    }
}

#[test]
fn a_head_that_has_promised_to_go_on_is_followed_by_one_exchange() {
    let mut machine = Machine::new(Config::default());
    machine.open(GET);
    let mut exchange = machine.exchange();
    exchange.respond("200 OK", NO_HEADERS).unwrap();
    exchange.announce_length(1);
    let _ = exchange.send("").unwrap();
    machine.connection.last_exchange(LastExchange::Age);
    machine.connection.last_exchange(LastExchange::Crowded);
    let _ = machine.exchange().send("x").unwrap();
    machine.exchange().finish().unwrap();
    machine.record();
    assert!(!machine.take_sent().contains("close"));
    assert!(matches!(machine.io(), Io { read: true, last_read: false, .. }), "the promise is kept");
    machine.open(GET);
    machine.answer("y");
    machine.record();
    assert!(machine.take_sent().contains("Connection: close\r\n"));
    assert_eq!(machine.end(), CloseReason::Limit(LastExchange::Age), "the first reason counts");
}

/// The connection after the response to a request whose body was read to its end.
fn answered(request: &str) -> Machine {
    let mut machine = Machine::new(Config::default());
    machine.open(request);
    let now = machine.now();
    while let Ok(BodyEvent::Data(data)) = machine.exchange().body(now) {
        let count = data.len();
        machine.exchange().consume(count);
    }
    machine.answer("x");
    machine
}

#[test]
fn a_client_that_announced_its_last_request_is_not_waited_for() {
    for request in [
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello",
    ] {
        let mut machine = answered(request);
        machine.record();
        assert!(matches!(machine.io(), Io { write: true, read: false, .. }), "the response is flushed first");
        machine.flush();
        assert_eq!(machine.poll(), Event::ShutdownWrite);
        machine.connection.write_closed();
        assert_eq!(machine.poll(), Event::Closed(CloseReason::Finished), "{request:?}");
    }
}

#[test]
fn a_client_that_may_send_more_is_waited_for() {
    let unread = "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 50\r\n\r\nhello";
    for (request, more) in [
        // It has sent something after its last request.
        ("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "GET"),
        // It does not know that this is its last request.
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", ""),
        (unread, ""),
    ] {
        let mut machine = Machine::new(Config::default());
        machine.open(request);
        machine.receive(more.as_bytes());
        machine.connection.last_exchange(LastExchange::Age);
        machine.answer("x");
        machine.record();
        machine.flush();
        assert_eq!(machine.poll(), Event::ShutdownWrite);
        machine.connection.write_closed();
        assert!(matches!(machine.io().deadline, Some((_, Reason::Linger))), "{request:?}");
    }
}

/// An HTTP/1.0 response without a length, cut off.
fn broken_off(before: &str) -> Machine {
    let mut machine = Machine::new(Config::default());
    if !before.is_empty() {
        machine.open(before);
        machine.answer("first");
        machine.record();
    }
    machine.open("GET / HTTP/1.0\r\n\r\n");
    let mut exchange = machine.exchange();
    exchange.respond("200 OK", NO_HEADERS).expect("nothing was started");
    let _ = exchange.send("half of it").expect("it was started");
    exchange.abort();
    machine.record();
    machine
}

#[test]
fn what_ends_with_the_connection_and_is_broken_off_ends_with_a_reset() {
    let mut machine = broken_off("");
    assert!(machine.take_sent().ends_with("half of it"), "the accepted bytes are written");
    assert_eq!(machine.poll(), Event::Abort);
    machine.connection.write_closed();
    assert_eq!(machine.poll(), Event::Closed(CloseReason::Cut));
}

#[test]
fn earlier_answers_have_a_second_to_leave_before_a_reset() {
    let mut machine = broken_off(GET);
    machine.flush();
    let Io { read: false, deadline: Some((at, Reason::Abort)), .. } = machine.io() else {
        panic!("it waits")
    };
    assert_eq!(at.since(machine.now().instant), Duration::from_secs(1));
    // No call has enabled it yet.
    machine.connection.write_closed();
    machine.pass(Duration::from_millis(999));
    assert!(matches!(machine.io().deadline, Some((_, Reason::Abort))));
    machine.pass(Duration::from_millis(1));
    assert_eq!(machine.poll(), Event::Abort);
    machine.connection.write_closed();
    assert_eq!(machine.poll(), Event::Closed(CloseReason::Cut));
}

#[test]
fn what_shows_that_it_is_broken_off_ends_as_usual() {
    for length in [None, Some(20)] {
        let mut machine = Machine::new(Config::default());
        machine.open(GET);
        let mut exchange = machine.exchange();
        exchange.respond("200 OK", NO_HEADERS).unwrap();
        length.into_iter().for_each(|length| exchange.announce_length(length));
        let _ = exchange.send("half of it").unwrap();
        exchange.abort();
        machine.record();
        machine.flush();
        assert_eq!(machine.poll(), Event::ShutdownWrite);
    }
}

#[test]
fn a_response_is_given_in_one_call() {
    let mut machine = Machine::new(Config::default());
    machine.open(GET);
    let mut exchange = machine.exchange();
    assert_eq!(exchange.head().path(), b"/");
    assert_eq!(exchange.config().max_http_version, Version::Http11);
    let wrong = exchange.answer("2000", NO_HEADERS, "x");
    assert!(matches!(wrong, Err(AnswerError::Start(StartError::Status(_)))), "{wrong:?}");
    exchange.answer("200 OK", [("a", "b")], "hello").unwrap();
    assert_eq!(exchange.answer("200 OK", NO_HEADERS, "x"), Err(AnswerError::Start(StartError::Over)));
    let sent = machine.take_sent();
    assert!(
        sent.starts_with("HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 5\r\n")
            && sent.ends_with("\r\n\r\nhello")
    );
    machine.record();

    machine.open(GET);
    let mut exchange = machine.exchange();
    let wrong = exchange.answer("200 OK", [("Content-Length", "7")], "hello");
    assert_eq!(wrong, Err(AnswerError::Send(SendError::TooShort(2))));
    assert!(machine.record().cut);

    let mut machine = Machine::new(Config::default());
    machine.open(GET);
    machine.exchange().respond("200 OK", NO_HEADERS).unwrap();
    let started = machine.exchange().answer("200 OK", NO_HEADERS, "x");
    assert_eq!(started, Err(AnswerError::Start(StartError::AlreadyStarted)));
    machine.exchange().finish().unwrap();
}

#[test]
fn joined_blocks_are_not_the_length_of_a_body_whose_length_is_left_open() {
    type Calls<'a> = &'a dyn Fn(&mut Exchange<'_>);
    let send: Calls<'_> = &|exchange| {
        let _ = exchange.send("one ").unwrap();
        let _ = exchange.send("two").unwrap();
    };
    let open: Calls<'_> = &|exchange| exchange.leave_length_open();
    let start: Calls<'_> = &|exchange| exchange.respond("200 OK", NO_HEADERS).unwrap();
    let announce: Calls<'_> = &|exchange| exchange.announce_length(7);
    let replace: Calls<'_> = &|exchange| exchange.replace("200 OK", NO_HEADERS).unwrap();
    let with_length: Calls<'_> = &|exchange| exchange.respond("200 OK", [("Content-Length", "7")]).unwrap();
    let whole: Calls<'_> = &|exchange| exchange.send_whole("one two").unwrap();
    let chunked = "Transfer-Encoding: chunked\r\n\r\n7\r\none two\r\n0\r\n\r\n";
    let known = "Content-Length: 7\r\n";
    for (calls, wanted) in [
        (&[start, open, send][..], chunked),
        (&[open, start, send], chunked),
        (&[start, send, open], chunked),
        (&[start, open], "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (&[start, send], known),
        (&[start, open, announce, send], known),
        (&[with_length, open, send], known),
        (&[start, open, whole], known),
        (&[start, open, send, replace, send], known),
    ] {
        let mut machine = Machine::new(Config::default().minimum_chunk_size(100));
        machine.open(GET);
        let mut exchange = machine.exchange();
        calls.iter().for_each(|call| call(&mut exchange));
        let _ = exchange.finish();
        let sent = machine.take_sent();
        assert!(sent.contains(wanted), "{sent}");
        // The next exchange begins without it.
        machine.record();
        machine.open(GET);
        let mut exchange = machine.exchange();
        [start, send].into_iter().for_each(|call| call(&mut exchange));
        exchange.finish().unwrap();
        assert!(machine.take_sent().contains(known));
    }
    let mut machine = Machine::new(Config::default().minimum_chunk_size(100));
    machine.open("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let mut exchange = machine.exchange();
    [start, open, send].into_iter().for_each(|call| call(&mut exchange));
    exchange.finish().unwrap();
    let sent = machine.take_sent();
    assert!(sent.contains("Connection: close\r\n") && sent.ends_with("\r\n\r\none two"), "{sent}");
}

#[test]
fn a_head_that_is_kept_starts_any_number_of_responses_of_any_connection() {
    let kept = ResponseHead::new(&Config::default(), "200 OK", [("x-kept", "1")]).unwrap();
    for version in [Version::Http11, Version::Http10] {
        let mut machine = Machine::new(Arc::new(Config::default().max_http_version(version)));
        for _ in 0..if version == Version::Http11 { 3 } else { 1 } {
            machine.receive_all(GET.as_bytes());
            let mut exchange = machine.connection.open_exchange().expect("a request has arrived");
            assert_eq!(exchange.head().path(), b"/");
            exchange.answer_with(&kept, "hello").unwrap();
            let sent = machine.take_sent();
            let wanted = format!("{} 200 OK\r\nX-Kept: 1\r\nContent-Length: 5\r\n", version.as_str());
            assert!(sent.starts_with(&wanted) && sent.ends_with("\r\n\r\nhello"), "{sent}");
            machine.record();
        }
        if version == Version::Http11 {
            machine.open(GET);
            machine.exchange().respond_with(&kept).unwrap();
            machine.exchange().replace_with(&kept).unwrap();
            machine.exchange().finish().unwrap();
            assert!(machine.take_sent().starts_with("HTTP/1.1 200 OK\r\nX-Kept: 1\r\nContent-Length: 0\r\n"));
            machine.record();
        }
    }
    let interim = ResponseHead::new(&Config::default(), "100 Continue", NO_HEADERS);
    assert!(matches!(interim, Err(StartError::Status(_))), "{interim:?}");
}

#[test]
fn the_application_has_something_to_learn_when_its_wait_may_be_over() {
    let limits = wsgi_proto::Limits::default().outbox(300);
    let mut machine = Machine::new(Config::default().limits(limits));
    machine.open("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n");
    let now = machine.now();
    assert!(!machine.connection.take_notice(), "it has the request, and nothing else arrived");
    let _ = machine.exchange().body(now);
    assert!(!machine.connection.take_notice());
    machine.receive(b"he");
    assert!(machine.connection.take_notice() && !machine.connection.take_notice(), "bytes, reported once");
    machine.exchange().respond("200 OK", NO_HEADERS).unwrap();
    let _ = machine.exchange().send(&[b'x'; 500]).unwrap();
    machine.transmit(10);
    assert!(!machine.connection.take_notice(), "there is no room yet");
    machine.transmit(500);
    assert!(machine.connection.take_notice(), "room");
    machine.flush();
    assert!(machine.connection.take_notice(), "all of it is flushed");
    machine.connection.recv_eof();
    assert!(machine.connection.take_notice(), "the peer's end");
    machine.connection.lost(wsgi_proto::Lost::Reset);
    assert!(machine.connection.take_notice(), "the loss");
}

/// The peer's bytes do not appear in the debug output of a machine.
#[test]
fn debug_shows_no_bytes_of_a_peer_or_of_a_response() {
    const SECRET: &str = "S3CRET";
    let mut machine = Machine::new(Config::default());
    let mut shown = Vec::new();
    let request = format!(
        "POST /{SECRET}?{SECRET} HTTP/1.1\r\nHost: {SECRET}\r\nX: {SECRET}\r\nTransfer-Encoding: chunked\r\n\r\n\
         6\r\n{SECRET}\r\n0\r\nT: {SECRET}\r\n\r\nGET /{SECRET}"
    );
    shown.push(format!("{:?}", machine.connection));
    let head = machine.open(request.as_bytes());
    shown.push(format!("{:?} {head:?}", machine.connection));
    let now = machine.now();
    shown.push(format!("{:?}", machine.exchange().body(now)));
    machine.exchange().consume(6);
    shown.push(format!("{:?}", machine.exchange().body(now)));
    let peer = *machine.connection.endpoints();
    let config = Arc::clone(machine.connection.config());
    shown.push(format!("{:?}", wsgi_proto::Variables::new(&head, &peer, &config)));
    let mut exchange = machine.exchange();
    exchange.continue_headers([("x", SECRET)]).unwrap();
    let draft = exchange.draft();
    shown.push(format!("{draft:?}"));
    let written = draft.write("200 OK", [("x", SECRET)]).unwrap();
    shown.push(format!("{written:?}"));
    exchange.respond_with(written).unwrap();
    exchange.set_trailers([("x-t", SECRET)]).unwrap();
    exchange.set_minimum_chunk_size(20);
    let _ = exchange.send(SECRET).unwrap();
    shown.push(format!("{exchange:?} {:?} {:?}", exchange.trailers(), wsgi_proto::Piece::from(SECRET)));
    exchange.finish().unwrap();
    shown.push(format!("{:?} {:?}", machine.connection, machine.connection.transmit()));
    let record = machine.record();
    shown.push(format!("{record:?} {:?}", wsgi_proto::Buffers::new()));
    machine.flush();
    machine.connection.recv_eof();
    machine.poll();
    let record = machine.record();
    shown.push(format!("{:?} {record:?}", machine.connection));
    let numbers = SECRET.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", ");
    for text in shown {
        assert!(!text.contains(SECRET) && !text.contains(&numbers), "{text}");
    }
}

#[test]
fn the_actual_close_reason_replaces_the_planned_one() {
    for (end, wanted) in [
        (None, CloseReason::IdleTimeout),
        (Some(wsgi_proto::Lost::Reset), CloseReason::Lost(wsgi_proto::Lost::Reset)),
    ] {
        let keepalive = wsgi_proto::KeepAlive::For(Duration::from_secs(5));
        let mut machine = Machine::new(Config::default().keepalive(keepalive));
        machine.connection.last_exchange(LastExchange::Age);
        machine.io();
        match end {
            Some(lost) => machine.connection.lost(lost),
            None => machine.advance(Duration::from_secs(5)),
        }
        assert_eq!(machine.end(), wanted);
    }
}

#[test]
fn a_record_has_the_head_of_the_response_that_was_sent() {
    let config = || Config::default().record_response_head(true);
    // That of the application, with the server's own fields.
    let mut machine = Machine::new(config());
    machine.open(GET);
    machine.exchange().respond("200 OK", [("X-A", "1"), ("x-a", "2")]).unwrap();
    machine.exchange().finish().unwrap();
    let sent = machine.take_sent();
    let record = machine.record();
    assert_eq!(String::from_utf8_lossy(&record.response_head), sent);
    assert_eq!(record.response_field("x-a"), Some(&b"1"[..]));
    assert_eq!(record.response_field("content-length"), Some(&b"0"[..]));
    assert_eq!(record.response_field("X-B"), None);

    // That of the next response, not of the last one; and none if nothing is sent.
    machine.open(GET);
    machine.exchange().respond("204 No Content", NO_HEADERS).unwrap();
    machine.exchange().finish().unwrap();
    assert!(machine.record().response_head.starts_with(b"HTTP/1.1 204 "));
    machine.open(GET);
    machine.exchange().respond("200 OK", [("X-A", "1")]).unwrap();
    machine.exchange().abort();
    assert_eq!(machine.record().response_head, b"");

    // That of a refusal, which replaces a response that was only started.
    for started in [false, true] {
        let mut machine = Machine::new(config());
        machine.open("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx");
        if started {
            machine.exchange().respond("200 OK", [("X-A", "1")]).unwrap();
        }
        machine.exchange().refuse(RequestError::ChunkSize);
        let record = machine.record();
        assert!(record.response_head.starts_with(b"HTTP/1.1 400 "), "{record:?}");
        assert_eq!(record.response_field("Connection"), Some(&b"close"[..]));
    }

    // Only on request, since it costs an allocation.
    let mut machine = Machine::new(Config::default());
    machine.open(GET);
    machine.answer("x");
    assert_eq!(machine.record().response_head, b"");
}

/// A connection that reaches its maximum age ten seconds from now.
fn aging() -> Machine {
    let mut machine = Machine::new(Config::default());
    let at = machine.now().instant.after(Duration::from_secs(10));
    machine.connection.end_at(at);
    machine
}

#[test]
fn an_idle_connection_closes_at_its_age_after_a_last_read() {
    for used in [false, true] {
        let mut machine = aging();
        if used {
            machine.open(GET);
            machine.answer("x");
            machine.record();
            assert!(!machine.take_sent().contains("close"));
        }
        let (at, reason) = machine.io().deadline.expect("it has an age");
        assert_eq!((at.since(machine.now().instant), reason), (Duration::from_secs(10), Reason::Age));
        machine.pass(Duration::from_secs(10));
        assert!(machine.io().last_read);
        machine.connection.recv_nothing();
        assert_eq!(machine.end(), CloseReason::Limit(LastExchange::Age));
    }
}

#[test]
fn a_request_that_arrives_at_the_age_of_its_connection_is_served_and_is_the_last() {
    let mut machine = aging();
    machine.io();
    machine.pass(Duration::from_secs(10));
    assert!(machine.io().last_read);
    machine.open(GET);
    machine.answer("x");
    machine.record();
    assert!(machine.take_sent().contains("Connection: close\r\n"));
    assert_eq!(machine.end(), CloseReason::Limit(LastExchange::Age));
}

#[test]
fn a_response_that_is_started_after_the_age_says_close_and_one_before_it_goes_on() {
    let mut machine = aging();
    machine.open(GET);
    machine.exchange().respond("200 OK", NO_HEADERS).unwrap();
    let _ = machine.exchange().send("first").unwrap();
    machine.pass(Duration::from_secs(3600));
    machine.poll();
    let _ = machine.exchange().send("last").unwrap();
    machine.exchange().finish().unwrap();
    machine.record();
    assert!(!machine.take_sent().contains("close"));
    // It has promised to persist, so the client may be about to send its next request.
    let (at, reason) = machine.io().deadline.expect("it is too old");
    assert_eq!((at.since(machine.now().instant), reason), (Duration::from_secs(1), Reason::Age));
    machine.pass(Duration::from_secs(1));
    assert!(machine.io().last_read);
    machine.connection.recv_nothing();
    assert_eq!(machine.end(), CloseReason::Limit(LastExchange::Age));

    let mut machine = aging();
    machine.open(GET);
    machine.pass(Duration::from_secs(10));
    machine.poll();
    machine.answer("x");
    machine.record();
    assert!(machine.take_sent().contains("Connection: close\r\n"));
    assert_eq!(machine.end(), CloseReason::Limit(LastExchange::Age));
}

#[test]
fn a_connection_that_is_lost_before_its_last_response_is_out_is_reported_as_lost() {
    for lost in [Lost::Aborted, Lost::TimedOut, Lost::Reset] {
        // The application has answered, or has broken its response off.
        for cut in [false, true] {
            let mut machine = Machine::new(Config::default());
            machine.open("GET / HTTP/1.0\r\n\r\n");
            let mut exchange = machine.exchange();
            exchange.respond("200 OK", NO_HEADERS).unwrap();
            let _ = exchange.send_now("hello").unwrap();
            if cut {
                exchange.abort();
            } else {
                exchange.finish().unwrap();
            }
            machine.record();
            machine.transmit(10);
            machine.connection.lost(lost);
            assert_eq!(machine.poll(), Event::Closed(CloseReason::Lost(lost)), "cut: {cut}");
        }
    }
    // Once our half is closed, everything is out.
    let mut machine = Machine::new(Config::default().keepalive(false.into()));
    machine.open(GET);
    machine.answer("x");
    machine.record();
    machine.flush();
    assert_eq!(machine.poll(), Event::ShutdownWrite);
    machine.connection.write_closed();
    assert!(matches!(machine.io().deadline, Some((_, Reason::Linger))));
    machine.connection.lost(Lost::Reset);
    assert_eq!(machine.poll(), Event::Closed(CloseReason::Finished));
}
