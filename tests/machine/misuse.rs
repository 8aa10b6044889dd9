//! Calls in states where they make no sense: they return an error or have no effect, and never panic.

use std::sync::Arc;

use wsgi_proto::{
    BodyError, BodyEvent, Buffers, CloseReason, Config, Connection, Event, Io, Limits, Lost, NO_HEADERS,
    RequestError, SendError, StartError,
};
use wsgi_tests::machine::Machine;

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n";

fn opened(request: &str) -> Machine {
    let mut machine = Machine::new(Config::default());
    machine.open(request);
    machine
}

/// An exchange whose response has begun, with `length` as its length if given.
fn sending(request: &str, length: Option<u64>) -> Machine {
    let mut machine = opened(request);
    let mut exchange = machine.exchange();
    exchange.respond("200 OK", NO_HEADERS).expect("nothing was started");
    if let Some(length) = length {
        exchange.announce_length(length);
    }
    let _ = exchange.send("").expect("it was started");
    machine
}

#[test]
fn a_response_is_started_once_and_replaced_until_it_is_sent() {
    let mut machine = opened(GET);
    let mut exchange = machine.exchange();
    exchange.respond("200 OK", NO_HEADERS).unwrap();
    assert_eq!(exchange.respond("200 OK", NO_HEADERS), Err(StartError::AlreadyStarted));
    exchange.replace("404 Not Found", NO_HEADERS).unwrap();
    let _ = exchange.send("").unwrap();
    assert_eq!(exchange.replace("500 Oh", NO_HEADERS), Err(StartError::HeadSent));
    assert_eq!(exchange.respond("500 Oh", NO_HEADERS), Err(StartError::AlreadyStarted));
    exchange.finish().unwrap();
    assert!(machine.take_sent().starts_with("HTTP/1.1 404 Not Found\r\n"));
}

#[test]
fn a_replacement_that_is_refused_leaves_nothing_started() {
    let mut machine = opened(GET);
    let mut exchange = machine.exchange();
    exchange.respond("200 OK", NO_HEADERS).unwrap();
    assert!(matches!(exchange.replace("500\r\n", NO_HEADERS), Err(StartError::Status(_))));
    assert!(!exchange.is_started());
    assert_eq!(exchange.send("x"), Err(SendError::NotStarted));
    assert_eq!(exchange.finish(), Err(SendError::NotStarted));
    machine.answer("");
    assert!(machine.take_sent().starts_with("HTTP/1.1 200 OK\r\n"));
}

#[test]
fn a_head_that_http_does_not_allow_is_refused_and_nothing_is_sent() {
    for (status, name, value, message) in [
        ("100 Continue", "A", "b", "status \""),
        ("103 Early Hints", "A", "b", "status \""),
        ("199 X", "A", "b", "status \""),
        ("600 X", "A", "b", "status \""),
        ("", "A", "b", "status \""),
        ("200OK", "A", "b", "status \""),
        ("200 O\nK", "A", "b", "status \""),
        ("\u{e9}00", "A", "b", "status \""),
        ("200 OK", "", "b", "header name \""),
        ("200 OK", "A:", "b", "header name \""),
        ("200 OK", "A", "b\r\nc: d", "header `A` has a value with "),
        ("200 OK", "A", "b\0", "header `A` has a value with "),
        ("200 OK", "Transfer-Encoding", "chunked", "header `Transfer-Encoding` is not allowed"),
        ("200 OK", "Content-Length", "-1", "header `Content-Length` is malformed"),
        ("200 OK", "Content-Length", "18446744073709551616", "header `Content-Length` is malformed"),
    ] {
        let mut machine = opened(GET);
        let error = machine.exchange().respond(status, [(name, value)]).unwrap_err().to_string();
        assert!(error.starts_with(message), "{status:?} {name:?} {value:?}: {error}");
        assert_eq!(machine.take_sent(), "");
        machine.answer("still well");
        assert!(machine.take_sent().ends_with("\r\n\r\nstill well"));
    }
}

#[test]
fn a_status_that_is_not_interim_does_not_inform() {
    for status in ["101 Switching Protocols", "200 OK", "099 X", "x", "1000 X", "100 \r\n"] {
        let mut machine = opened(GET);
        let error = machine.exchange().inform(status, NO_HEADERS).unwrap_err();
        assert!(matches!(error, StartError::NotInterim(_)), "{status:?} {error:?}");
        assert_eq!(machine.take_sent(), "");
    }
    let mut machine = opened(GET);
    let informed = machine.exchange().inform("103 E", [("A", "\n")]);
    assert!(matches!(informed, Err(StartError::FieldValue(_))), "{informed:?}");
    let kept = machine.exchange().continue_headers([("A", "b"), ("\n", "")]);
    assert!(matches!(kept, Err(StartError::FieldName(_))), "{kept:?}");
    assert_eq!(machine.take_sent(), "");
}

#[test]
fn interim_responses_after_the_head_are_dropped() {
    let mut machine = sending(GET, Some(0));
    machine.take_sent();
    machine.exchange().inform("103 Early Hints", NO_HEADERS).unwrap();
    assert_eq!(machine.take_sent(), "");
}

#[test]
fn nothing_is_sent_before_a_response_is_started() {
    let mut machine = opened(GET);
    assert_eq!(machine.exchange().send("x"), Err(SendError::NotStarted));
    assert_eq!(machine.exchange().finish(), Err(SendError::NotStarted));
    assert_eq!(machine.exchange().take_over(), Err(SendError::NotStarted));
    assert_eq!(machine.take_sent(), "");
    assert_eq!(machine.io(), Io::default());
}

#[test]
fn after_the_end_of_a_response_there_is_no_exchange() {
    for request in [GET, POST] {
        let mut machine = opened(request);
        machine.answer("x");
        assert!(machine.connection.exchange().is_none());
        machine.poll();
        assert!(machine.connection.exchange().is_none());
        assert!(machine.connection.take_request().is_none());
    }
}

#[test]
fn more_than_the_length_is_refused_and_what_fits_is_sent() {
    let mut machine = sending(GET, Some(3));
    assert_eq!(machine.exchange().send("abcdef"), Err(SendError::TooLong(3)));
    assert_eq!(machine.exchange().send("g"), Err(SendError::TooLong(3)));
    machine.exchange().finish().unwrap();
    assert!(machine.take_sent().ends_with("\r\n\r\nabc"));
    assert_eq!(machine.record().body_length, 3);
    assert!(matches!(machine.io(), Io { read: true, .. }));
}

#[test]
fn less_than_the_length_cuts_the_response_and_closes() {
    let mut machine = sending(GET, Some(3));
    let _ = machine.exchange().send("a").unwrap();
    assert_eq!(machine.exchange().finish(), Err(SendError::TooShort(2)));
    assert!(machine.connection.exchange().is_none());
    let record = machine.record();
    assert!(record.cut);
    assert_eq!(machine.end(), CloseReason::Cut);
}

#[test]
fn a_full_outbox_takes_nothing_until_it_is_flushed() {
    let limits = Limits::default().outbox(300);
    let mut machine = Machine::new(Config::default().limits(limits));
    machine.open(GET);
    let mut exchange = machine.exchange();
    exchange.respond("200 OK", NO_HEADERS).unwrap();
    assert_eq!(exchange.send(&[b'a'; 400]), Ok(wsgi_proto::Flow::Full));
    assert!(exchange.is_full());
    assert_eq!(exchange.send("bbb"), Err(SendError::Full));
    assert_eq!(exchange.send(""), Ok(wsgi_proto::Flow::Full));
    assert!(!machine.take_sent().contains("bbb"));
    let _ = machine.exchange().send("bbb").unwrap();
    machine.exchange().finish().unwrap();
    assert_eq!(machine.take_sent(), "3\r\nbbb\r\n0\r\n\r\n");
}

#[test]
fn a_trailer_that_is_none_is_refused() {
    for (name, value) in [
        ("Content-Length", "1"),
        ("transfer-encoding", "x"),
        ("HOST", "h"),
        ("a b", ""),
        ("A", "\r\n"),
        ("", ""),
    ] {
        let mut machine = sending(GET, None);
        assert_eq!(machine.exchange().finish_with([(name, value)]), Err(SendError::Trailer), "{name:?}");
        assert!(!machine.take_sent().ends_with("\r\n0\r\n\r\n"), "it is not over");
        assert_eq!(machine.exchange().finish(), Ok(()));
        assert!(!machine.record().cut);
    }
}

#[test]
fn trailers_that_are_refused_are_not_kept() {
    let mut machine = sending(GET, None);
    machine.take_sent();
    machine.exchange().set_trailers([("A", "1")]).unwrap();
    assert_eq!(machine.exchange().set_trailers([("B", "2"), ("Host", "h")]), Err(SendError::Trailer));
    machine.exchange().finish().unwrap();
    assert_eq!(machine.take_sent(), "0\r\n\r\n");
}

#[test]
fn trailers_of_a_response_that_cannot_carry_them_are_left_out() {
    let mut machine = sending(GET, Some(0));
    machine.exchange().finish_with([("X-Sum", "1")]).unwrap();
    assert!(!machine.take_sent().contains("Sum"));
}

#[test]
fn reading_behind_the_end_of_a_body_gives_the_end_again() {
    let mut machine = opened(&(POST.to_owned() + "hello"));
    let now = machine.now();
    let mut exchange = machine.exchange();
    assert!(matches!(exchange.body(now), Ok(BodyEvent::Data(b"hello"))));
    exchange.consume(usize::MAX);
    for _ in 0..3 {
        assert!(matches!(exchange.body(now), Ok(BodyEvent::End(_))));
        exchange.consume(1);
    }
}

#[test]
fn no_more_is_consumed_than_there_is() {
    let chunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    for request in [POST.to_owned() + "helloGET / HTTP/1.1\r\nHost: h\r\n\r\n", chunked.to_owned() + GET] {
        let mut machine = opened(&request);
        let now = machine.now();
        machine.exchange().consume(0);
        assert!(matches!(machine.exchange().body(now), Ok(BodyEvent::Data(b"hello" | b"abc"))));
        machine.exchange().consume(usize::MAX);
        machine.exchange().consume(usize::MAX);
        assert!(matches!(machine.exchange().body(now), Ok(BodyEvent::End(_))));
        machine.answer("");
        machine.record();
        assert_eq!(machine.poll(), Event::Request, "the next request is whole");
    }
    // Nothing has arrived, or the bytes were not examined.
    let mut machine = opened(POST);
    machine.exchange().consume(3);
    let mut machine = opened(chunked);
    machine.exchange().consume(3);
}

#[test]
fn nothing_is_taken_where_nothing_can_be_consumed() {
    let mut machine = opened(POST);
    assert!(machine.exchange().take_data(3).is_empty(), "nothing has arrived");
    machine.receive(b"helloGET");
    let now = machine.now();
    assert!(machine.exchange().take_data(0).is_empty());
    assert!(matches!(machine.exchange().body(now), Ok(BodyEvent::Data(b"hello"))));
    assert_eq!(machine.exchange().take_data(usize::MAX), "hello");
    assert!(machine.exchange().take_data(1).is_empty(), "the next request is not part of the body");
    assert!(matches!(machine.exchange().body(now), Ok(BodyEvent::End(_))));
    let mut machine = opened(&(POST.to_owned() + "hello"));
    let mut exchange = machine.exchange();
    exchange.answer("200 OK", NO_HEADERS, "").unwrap();
    assert!(exchange.take_data(1).is_empty(), "the exchange is over");
}

#[test]
fn only_bytes_of_the_body_are_received_by_the_application_itself() {
    let mut machine = opened(POST);
    assert_eq!(machine.exchange().direct_room(), 5);
    machine.exchange().recv_direct(0);
    machine.receive(b"h");
    assert_eq!(machine.exchange().direct_room(), 0, "a byte has arrived");
    machine.exchange().recv_direct(3);
    let now = machine.now();
    assert!(matches!(machine.exchange().body(now), Ok(BodyEvent::Data(b"h"))));
    machine.exchange().consume(1);
    machine.exchange().recv_direct(usize::MAX);
    assert!(matches!(machine.exchange().body(now), Ok(BodyEvent::End(_))));
    assert_eq!(machine.exchange().direct_room(), 0);
    machine.exchange().recv_direct(1);
    let mut exchange = machine.exchange();
    exchange.answer("200 OK", NO_HEADERS, "").unwrap();
    assert_eq!(exchange.direct_room(), 0, "the exchange is over");
    exchange.recv_direct(1);
    machine.record();
    machine.receive(GET.as_bytes());
    assert_eq!(machine.poll(), Event::Request, "the next request is whole");

    // Of a chunked body, only the rest of a chunk.
    let mut machine = opened("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(machine.exchange().direct_room(), 0);
    machine.receive(b"8\r\nab");
    assert!(matches!(machine.exchange().body(now), Ok(BodyEvent::Data(b"ab"))));
    machine.exchange().consume(2);
    assert_eq!(machine.exchange().direct_room(), 6);
    machine.exchange().recv_direct(6);
    machine.receive(b"\r\n0\r\n\r\n");
    assert!(matches!(machine.exchange().body(now), Ok(BodyEvent::End(_))));

    // Nothing is received after the end of the input or a loss.
    let mut machine = opened(POST);
    machine.connection.recv_eof();
    assert_eq!(machine.exchange().direct_room(), 0);
    let mut machine = opened(POST);
    machine.connection.lost(Lost::Reset);
    assert_eq!(machine.exchange().direct_room(), 0);
}

#[test]
fn the_error_of_a_bad_body_stays() {
    let mut machine = opened("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx");
    let now = machine.now();
    for _ in 0..3 {
        assert_eq!(machine.exchange().body(now).unwrap_err(), BodyError::Request(RequestError::ChunkSize));
        machine.exchange().consume(1);
    }
    machine.answer("");
    assert!(machine.take_sent().contains("Connection: close\r\n"));
    assert_eq!(machine.end(), CloseReason::Finished);
}

#[test]
fn only_a_started_101_with_its_request_read_is_taken_over() {
    let mut machine = opened(GET);
    machine.exchange().respond("200 OK", NO_HEADERS).unwrap();
    assert_eq!(machine.exchange().take_over(), Err(SendError::NotSwitching));

    let mut machine = opened(POST);
    machine.exchange().respond("101 S", NO_HEADERS).unwrap();
    assert_eq!(machine.exchange().take_over(), Err(SendError::BodyUnread));

    let mut machine = opened(GET);
    machine.exchange().respond("101 S", NO_HEADERS).unwrap();
    let _ = machine.exchange().send("").unwrap();
    assert_eq!(machine.exchange().take_over(), Err(SendError::NotSwitching), "after the head was sent");
    machine.exchange().finish().unwrap();

    let mut machine = opened(&(GET.to_owned() + "rest"));
    machine.exchange().respond("101 S", [("Upgrade", "x")]).unwrap();
    assert_eq!(machine.exchange().take_over().unwrap(), b"rest");
    assert!(machine.connection.exchange().is_none());
    machine.flush();
    assert_eq!(machine.poll(), Event::TakenOver);
    assert_eq!(machine.connection.take_record().map(|record| record.status), Some(101));
    assert!(machine.connection.take_record().is_none());
    machine.connection.shutdown();
    machine.connection.write_closed();
    machine.connection.recv_eof();
    assert_eq!(machine.poll(), Event::TakenOver);
}

#[test]
fn only_a_request_that_was_read_and_has_no_response_is_taken_over_unanswered() {
    let mut machine = opened(POST);
    assert_eq!(machine.exchange().take_over_unanswered(), Err(SendError::BodyUnread));

    let mut machine = opened(GET);
    machine.exchange().respond("200 OK", NO_HEADERS).unwrap();
    let _ = machine.exchange().send("").unwrap();
    assert_eq!(machine.exchange().take_over_unanswered(), Err(SendError::NotSwitching));
    machine.exchange().finish().unwrap();

    // The answer to an earlier request is sent first; a response that was started is not.
    let mut machine = opened(&(GET.to_owned() + GET + "rest"));
    machine.answer("first");
    machine.record();
    machine.poll();
    machine.connection.take_request().unwrap();
    machine.exchange().respond("200 OK", NO_HEADERS).unwrap();
    machine.exchange().inform("103 Early Hints", NO_HEADERS).unwrap();
    assert_eq!(machine.exchange().take_over_unanswered().unwrap(), b"rest");
    assert!(machine.connection.exchange().is_none());
    assert!(matches!(machine.poll(), Event::Io(Io { read: false, write: true, .. })));
    assert!(machine.take_sent().ends_with("\r\n\r\nfirstHTTP/1.1 103 Early Hints\r\n\r\n"));
    assert_eq!(machine.poll(), Event::TakenOver);
    let record = machine.connection.take_record().unwrap();
    assert_eq!((record.status, record.response_length, record.cut, record.lost), (0, 0, false, None));
    assert!(record.head.is_some() && record.response_head.is_empty());
    assert!(machine.connection.take_record().is_none());
}

#[test]
fn calls_of_a_lost_exchange_fail_and_end_it() {
    let mut machine = sending(POST, None);
    machine.connection.lost(Lost::Reset);
    machine.connection.lost(Lost::BrokenPipe);
    let now = machine.now();
    let gone = SendError::Lost(Lost::Reset);
    assert_eq!(machine.exchange().body(now).unwrap_err(), BodyError::Lost(Lost::Reset));
    assert_eq!(machine.exchange().wait(now).unwrap_err(), Lost::Reset);
    assert_eq!(machine.exchange().send("x"), Err(gone));
    machine.exchange().inform("103 E", NO_HEADERS).unwrap();
    machine.exchange().consume(1);
    assert_eq!(machine.exchange().take_over(), Err(gone));
    assert_eq!(machine.exchange().take_over_unanswered(), Err(gone));
    assert_eq!(machine.io(), Io::default(), "only the application is left to wait for");
    assert_eq!(machine.exchange().finish(), Err(gone));
    assert!(machine.connection.exchange().is_none());
    assert_eq!(machine.end(), CloseReason::Lost(Lost::Reset));
    let mut machine = opened(GET);
    machine.connection.lost(Lost::Reset);
    machine.exchange().fail("oh");
    assert_eq!(machine.record().status, 0);
}

#[test]
fn acknowledgements_that_nothing_announced_have_no_effect() {
    let mut machine = Machine::new(Config::default());
    for request in ["", "GET /", " HTTP/1.1\r\nHost: h\r\n\r\n"] {
        assert!(machine.connection.take_request().is_none());
        assert!(machine.connection.open_exchange().is_none());
        assert!(machine.connection.take_record().is_none());
        machine.connection.write_closed();
        machine.connection.transmitted(0);
        machine.receive(request.as_bytes());
        machine.poll();
    }
    assert!(machine.connection.take_record().is_none());
    machine.connection.write_closed();
    assert!(machine.connection.take_request().is_some());
    assert!(machine.connection.take_request().is_none());
    assert!(machine.connection.open_exchange().is_none());
    assert!(machine.connection.take_record().is_none());
    machine.answer("x");
    assert!(machine.connection.take_record().is_some());
    assert!(machine.connection.take_record().is_none());
    machine.connection.write_closed();
    assert!(matches!(machine.io(), Io { read: true, write: true, .. }));
}

#[test]
fn a_record_that_waits_for_the_flush_is_not_given_before_it() {
    let mut machine = opened(GET);
    machine.exchange().flush_before_record();
    machine.answer("x");
    while !machine.connection.transmit().slices().is_empty() {
        assert!(matches!(machine.io(), Io { read: false, write: true, .. }));
        assert!(machine.connection.take_record().is_none());
        machine.transmit(50);
    }
    assert_eq!(machine.record().status, 200);
}

#[test]
fn a_sending_half_that_is_closed_too_early_is_still_flushed() {
    let mut machine = Machine::new(Config::default());
    machine.receive(b"\0");
    machine.record();
    machine.connection.write_closed();
    machine.connection.recv_eof();
    assert!(matches!(machine.io(), Io { write: true, .. }));
    machine.flush();
    assert_eq!(machine.poll(), Event::ShutdownWrite);
}

#[test]
fn more_than_there_was_room_for_counts_as_all_of_it() {
    for count in [16 * 1024 + 1, usize::MAX] {
        let mut machine = Machine::new(Config::default());
        machine.receive(b"G");
        machine.connection.recv_commit(count);
        machine.poll();
    }
    let mut connection =
        Connection::new(Arc::default(), *Machine::new(Config::default()).connection.endpoints());
    connection.recv_commit(1);
    assert!(!connection.is_busy(), "there was no buffer");
}

#[test]
fn no_more_is_transmitted_than_there_is() {
    let mut machine = opened(GET);
    machine.answer("x");
    machine.connection.transmitted(usize::MAX);
    assert!(machine.connection.transmit().slices().is_empty());
    machine.record();
    assert!(matches!(machine.io(), Io { read: true, write: false, .. }));
}

#[test]
fn buffers_that_are_lent_twice_replace_nothing() {
    let mut machine = Machine::new(Config::default());
    machine.receive(b"GET / HT");
    machine.connection.provide_buffers(Buffers::new());
    machine.receive(b"TP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(machine.poll(), Event::Request);
    assert!(machine.connection.take_buffers().is_none(), "the request is in them");
}

#[test]
fn an_empty_loan_keeps_no_real_one_out() {
    let mut machine = Machine::new(Config::default());
    machine.connection.provide_buffers(Buffers::default());
    machine.connection.provide_buffers(Buffers::new());
    assert!(machine.connection.recv_space().is_some());
}

#[test]
fn a_replaced_response_forgets_the_announced_length() {
    let mut machine = opened(GET);
    let mut exchange = machine.exchange();
    exchange.respond("200 OK", NO_HEADERS).unwrap();
    exchange.announce_length(5);
    exchange.replace("500 Oh", NO_HEADERS).unwrap();
    assert_eq!(exchange.send("0123456789").map(drop), Ok(()));
    assert_eq!(exchange.finish(), Ok(()));
}

#[test]
fn interim_responses_are_refused_while_the_client_takes_none() {
    let mut machine = opened(GET);
    let sent = (0..100_000)
        .map(|_| machine.exchange().inform("103 Early Hints", [("Link", "</a>")]))
        .take_while(Result::is_ok)
        .count();
    assert!((100..10_000).contains(&sent), "{sent}");
    assert_eq!(machine.exchange().send_continue(), Err(StartError::Full));
}

#[test]
fn a_bad_trailer_leaves_the_response_open() {
    let mut machine = opened(GET);
    machine.exchange().respond("200 OK", NO_HEADERS).unwrap();
    assert_eq!(machine.exchange().finish_with([("Content-Length", "5")]), Err(SendError::Trailer));
    assert_eq!(machine.exchange().finish(), Ok(()));
}

#[test]
fn a_loss_during_a_shutdown_is_reported() {
    let mut machine = opened(GET);
    machine.connection.shutdown();
    machine.connection.lost(Lost::Reset);
    machine.exchange().abort();
    machine.record();
    assert_eq!(machine.poll(), Event::Closed(CloseReason::Lost(Lost::Reset)));
}

#[test]
fn looking_at_a_body_changes_no_answer() {
    let config = || Config::default().limits(Limits::default().drain(24));
    let head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answers = [&b""[..], b"28\r\nabc"].map(|arrived| {
        let mut machine = Machine::new(config());
        machine.receive(&[head, arrived].concat());
        machine.poll();
        machine.connection.take_request();
        let _ = machine.exchange().body(wsgi_proto::Now::default());
        machine.answer("x");
        machine.connection.transmit().slices().concat()
    });
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn a_length_that_no_body_can_have_is_announced_as_it_is() {
    let mut machine = opened(GET);
    let mut exchange = machine.exchange();
    exchange.set_minimum_chunk_size(10);
    exchange.respond("200 OK", NO_HEADERS).unwrap();
    let _ = exchange.send("joined").unwrap();
    exchange.announce_length(u64::MAX);
    let _ = exchange.send_now("more").unwrap();
    assert!(machine.take_sent().contains("\r\nContent-Length: 18446744073709551615\r\n"));
    assert_eq!(machine.exchange().finish(), Err(SendError::TooShort(u64::MAX - 10)));
}

#[test]
fn blocks_are_joined_within_the_limit_of_the_outbox() {
    let limits = Limits::default().outbox(300);
    for minimum_chunk_size in [0, usize::MAX] {
        let mut machine =
            Machine::new(Config::default().limits(limits).minimum_chunk_size(minimum_chunk_size));
        machine.open(GET);
        let mut exchange = machine.exchange();
        exchange.set_minimum_chunk_size(usize::MAX);
        exchange.respond("200 OK", NO_HEADERS).unwrap();
        let taken = (0..1000).take_while(|_| exchange.send(&[b'a'; 100]).is_ok()).count();
        assert!(taken <= 6, "{taken} blocks of 100 bytes");
    }
}

#[test]
fn a_failure_is_answered_even_if_the_outbox_is_full() {
    let limits = Limits::default().outbox(1);
    let mut machine = Machine::new(Config::default().limits(limits).minimum_chunk_size(100));
    machine.open(GET);
    let mut exchange = machine.exchange();
    exchange.inform("103 Early Hints", NO_HEADERS).unwrap();
    assert!(exchange.is_full());
    exchange.announce_length(7);
    exchange.set_trailers([("a", "b")]).unwrap();
    exchange.fail("oh");
    let record = machine.record();
    assert_eq!((record.status, record.body_length, record.cut), (500, 2, false));
    let sent = machine.take_sent();
    let (interim, failure) = sent.split_once("\r\n\r\n").unwrap();
    assert_eq!(interim, "HTTP/1.1 103 Early Hints");
    assert!(failure.starts_with("HTTP/1.1 500 ") && failure.ends_with("\r\n\r\noh"), "{failure}");
    assert!(failure.contains("\r\nContent-Length: 2\r\n"), "{failure}");
    assert_eq!(record.response_length, failure.len() as u64);
}

#[test]
fn a_failure_can_have_another_head() {
    // Without a body that waits, the connection persists after a failure, and never after a refusal.
    for (refused, post, persists) in
        [(false, false, true), (false, true, false), (true, false, false), (true, true, false)]
    {
        let mut machine = opened(&if post { POST.to_owned() + "he" } else { GET.to_owned() });
        let mut exchange = machine.exchange();
        exchange.respond("200 OK", [("X-A", "never")]).unwrap();
        exchange.set_trailers([("a", "b")]).unwrap();
        let head = exchange.draft().write("418 Teapot", [("X-B", "sent")]).unwrap();
        let text = match refused {
            false => {
                exchange.fail_with(head, "oh").unwrap();
                "oh".to_owned()
            }
            true => {
                exchange.refuse_with(RequestError::Timeout, head).unwrap();
                format!("{}\n", RequestError::Timeout)
            }
        };
        let record = machine.record();
        assert_eq!((record.status, record.body_length, record.cut), (418, text.len() as u64, false));
        assert_eq!(record.refused, refused.then_some(RequestError::Timeout));
        let sent = machine.take_sent();
        assert!(sent.starts_with("HTTP/1.1 418 Teapot\r\nX-B: sent\r\n"), "{sent}");
        assert!(sent.contains(&format!("\r\nContent-Length: {}\r\n", text.len())), "{sent}");
        assert!(sent.ends_with(&format!("\r\n\r\n{text}")), "{sent}");
        assert_eq!(!sent.contains("\r\nConnection: close\r\n"), persists, "{sent}");
    }
}

#[test]
fn a_failure_whose_head_does_not_fit_is_cut_or_stays_open() {
    let mut machine = opened(GET);
    let mut exchange = machine.exchange();
    let head = exchange.draft().write("500 Oh", [("Content-Length", "5")]).unwrap();
    exchange.fail_with(head, "oh").unwrap();
    assert!(machine.record().cut);

    let mut machine = opened("GET / HTTP/1.0\r\n\r\n");
    let mut exchange = machine.exchange();
    let head = exchange.draft().write("101 Switching", NO_HEADERS).unwrap();
    assert_eq!(exchange.fail_with(&head, "oh"), Err(StartError::CannotSwitch));
    assert_eq!(exchange.refuse_with(RequestError::Timeout, &head), Err(StartError::CannotSwitch));
    exchange.fail("oh");
    let record = machine.record();
    assert_eq!((record.status, record.refused), (500, None));
}

#[test]
fn every_call_after_the_end_of_a_response_returns_an_error() {
    let end: [fn(&mut wsgi_proto::Exchange<'_>); 6] = [
        |exchange| exchange.finish().expect("it was started"),
        |exchange| exchange.abort(),
        |exchange| exchange.fail("oh"),
        |exchange| exchange.refuse(RequestError::ChunkData),
        |exchange| {
            let head = exchange.draft().write("503 Later", NO_HEADERS).unwrap();
            exchange.fail_with(head, "oh").unwrap();
        },
        |exchange| {
            let head = exchange.draft().write("499 Oh", NO_HEADERS).unwrap();
            exchange.refuse_with(RequestError::ChunkData, head).unwrap();
        },
    ];
    for end in end {
        let mut machine = opened(&(POST.to_owned() + "he"));
        let now = machine.now();
        let mut exchange = machine.exchange();
        exchange.respond("200 OK", NO_HEADERS).unwrap();
        let head = exchange.draft().write("200 OK", NO_HEADERS).unwrap();
        let other = exchange.draft().write("200 OK", NO_HEADERS).unwrap();
        end(&mut exchange);
        assert_eq!(exchange.finish(), Err(SendError::Finished));
        assert_eq!(exchange.finish_with(NO_HEADERS), Err(SendError::Finished));
        assert_eq!(exchange.send("x"), Err(SendError::Finished));
        assert_eq!(exchange.send_now("x"), Err(SendError::Finished));
        assert_eq!(exchange.send_joined(), Err(SendError::Finished));
        assert_eq!(exchange.take_over(), Err(SendError::Finished));
        assert_eq!(exchange.take_over_unanswered(), Err(SendError::Finished));
        assert_eq!(exchange.remaining(), None);
        assert_eq!(exchange.respond("200 OK", NO_HEADERS), Err(StartError::Over));
        assert_eq!(exchange.replace("200 OK", NO_HEADERS), Err(StartError::Over));
        assert_eq!(exchange.respond_with(head), Err(StartError::Over));
        assert_eq!(exchange.replace_with(other), Err(StartError::Over));
        assert_eq!(exchange.inform("103 Early Hints", NO_HEADERS), Err(StartError::Over));
        assert_eq!(exchange.send_continue(), Err(StartError::Over));
        assert_eq!(exchange.continue_headers(NO_HEADERS), Err(StartError::Over));
        assert_eq!(exchange.body(now).unwrap_err(), BodyError::Finished);
        exchange.consume(usize::MAX);
        exchange.announce_length(7);
        exchange.leave_length_open();
        exchange.set_minimum_chunk_size(7);
        exchange.watch_peer();
        exchange.abort();
        exchange.fail("again");
        exchange.refuse(RequestError::ChunkSize);
        let head = exchange.draft().write("500 Again", NO_HEADERS).unwrap();
        assert_eq!(exchange.fail_with(&head, "again"), Ok(()));
        assert_eq!(exchange.refuse_with(RequestError::ChunkSize, &head), Ok(()));
        let _ = exchange.wait(now);
        let sent = machine.take_sent();
        assert_eq!(sent.matches("HTTP/1.1 ").count(), sent.len().min(1), "{sent}");
    }
}

#[test]
fn nothing_set_after_the_end_of_a_response_has_an_effect() {
    let mut machine = opened(GET);
    let mut exchange = machine.exchange();
    exchange.answer("200 OK", NO_HEADERS, "x").unwrap();
    assert_eq!(exchange.set_trailers([("a", "b")]), Err(SendError::Finished));
    exchange.watch_peer();
    exchange.set_minimum_chunk_size(1000);
    machine.record();
    machine.flush();
    assert!(matches!(machine.io(), Io { read: true, .. }));
    machine.open(GET);
    assert!(!machine.io().read, "the peer is not watched");
}

#[test]
fn an_answer_that_fails_after_its_head_ends_the_exchange() {
    for (headers, lost, error, sent) in [
        (vec![("Content-Length", "3")], false, SendError::TooLong(3), "abc"),
        (vec![("Content-Length", "6")], false, SendError::TooShort(1), "abcde"),
        (vec![], true, SendError::Lost(Lost::Reset), ""),
    ] {
        let mut machine = opened(GET);
        if lost {
            machine.connection.lost(Lost::Reset);
        }
        let answered = machine.exchange().answer("200 OK", &headers, "abcde");
        assert_eq!(answered, Err(error.into()), "{headers:?}");
        assert!(
            machine.connection.exchange().is_none(),
            "an error that is dropped must not hold the connection"
        );
        assert!(machine.record().cut);
        assert!(machine.take_sent().ends_with(sent));
        machine.end();
    }
    // Before that, nothing has happened.
    let mut machine = opened(GET);
    assert!(machine.exchange().answer("oh", NO_HEADERS, "abcde").is_err());
    machine.exchange().answer("200 OK", NO_HEADERS, "abcde").unwrap();
}

#[test]
fn trailers_and_a_length_may_be_set_before_the_response_is_started() {
    let mut machine = opened(GET);
    let mut exchange = machine.exchange();
    exchange.set_trailers([("X-Sum", "1")]).unwrap();
    exchange.respond("200 OK", NO_HEADERS).unwrap();
    let _ = exchange.send("abc").unwrap();
    exchange.finish().unwrap();
    assert!(machine.take_sent().ends_with("3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"));
    let mut machine = opened(GET);
    let mut exchange = machine.exchange();
    exchange.announce_length(3);
    assert!(exchange.respond("oh", NO_HEADERS).is_err());
    exchange.respond("200 OK", NO_HEADERS).unwrap();
    let _ = exchange.send("abc").unwrap();
    exchange.finish().unwrap();
    let sent = machine.take_sent();
    assert!(sent.contains("Content-Length: 3\r\n") && sent.ends_with("\r\n\r\nabc"), "{sent}");
    // Another response has another length and other trailers.
    let mut machine = opened(GET);
    let mut exchange = machine.exchange();
    exchange.respond("200 OK", NO_HEADERS).unwrap();
    exchange.announce_length(30);
    exchange.set_trailers([("X-Sum", "1")]).unwrap();
    exchange.replace("404 Not Found", NO_HEADERS).unwrap();
    let _ = exchange.send("abc").unwrap();
    exchange.finish().unwrap();
    assert!(machine.take_sent().ends_with("3\r\nabc\r\n0\r\n\r\n"));
}

#[test]
fn a_config_without_room_still_serves() {
    let limits = Limits::default().inbox(0).outbox(0);
    let mut machine = Machine::new(Config::default().limits(limits));
    machine.open(POST);
    for byte in b"hello" {
        machine.receive(&[*byte]);
        let now = machine.now();
        let mut exchange = machine.exchange();
        assert!(matches!(exchange.body(now), Ok(BodyEvent::Data(_))));
        exchange.consume(1);
    }
    machine.connection.shutdown();
    machine.answer("x");
    assert!(machine.take_sent().ends_with("\r\n\r\nx"));
    machine.record();
    assert_eq!(machine.poll(), Event::ShutdownWrite);
    machine.connection.write_closed();
    assert!(machine.receive(b"GET / HTTP/1.1\r\n") > 0, "late bytes are dropped");
    machine.connection.recv_eof();
    assert!(matches!(machine.poll(), Event::Closed(_)));
}

#[test]
fn nothing_moved_moves_no_deadline() {
    let timeout = std::time::Duration::from_secs(10);
    let mut machine = Machine::new(Config::default().socket_timeout(Some(timeout)));
    machine.open(POST);
    let now = machine.now();
    let _ = machine.exchange().body(now);
    let deadline = machine.io().deadline;
    machine.pass(timeout / 2);
    machine.connection.recv_commit(0);
    machine.connection.transmitted(0);
    assert_eq!(machine.io().deadline, deadline);
    machine.pass(timeout / 2);
    assert!(machine.io().last_read);
    machine.connection.recv_commit(0);
    assert!(machine.io().last_read, "it has not been answered");
}

#[test]
fn bytes_of_an_earlier_connection_are_never_committed() {
    let mut machine = Machine::new(Config::default());
    machine.open(&(GET.to_owned() + "GET /secret HTTP/1.1\r\nHost: h\r\n\r\n"));
    machine.connection.lost(Lost::Reset);
    machine.exchange().abort();
    machine.record();
    let buffers = machine.connection.take_buffers().expect("it is closed");
    let limits = Limits::default().inbox(20).target(1).method(8).fields_size(16);
    let mut connection =
        Connection::new(Config::default().limits(limits).into(), *machine.connection.endpoints());
    connection.provide_buffers(buffers);
    let room = connection.recv_space().expect("there is room").len();
    assert!(room < 200, "{room}");
    connection.recv_commit(usize::MAX);
    assert!(connection.recv_space().is_none(), "all of the room is used, and nothing beyond it");
}
