//! An answer in one call is the same as one in single calls: the same bytes, record, error and end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use wsgi_proto::{
    AnswerError, Config, Event, Exchange, KeepAlive, Limits, Lost, NO_HEADERS, Piece, ResponseHead,
    StartError, Version,
};
use wsgi_tests::machine::Machine;

type Fields<'a> = &'a [(&'a str, &'a str)];

const REQUESTS: [&str; 9] = [
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.0\r\n\r\n",
    "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\nbo",
    "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
];

const STATUSES: [&str; 9] = [
    "200 OK",
    "200",
    "101 Switching Protocols",
    "204 No Content",
    "205 Reset Content",
    "304 Not Modified",
    "599 x",
    "100 Continue",
    "20 bad",
];

const FIELDS: [Fields<'static>; 18] = [
    &[],
    &[("Content-Type", "text/plain")],
    &[("content-type", " a "), ("x-frame-options", "DENY"), ("CONTENT-TYPE", "b")],
    &[("Content-Length", "5")],
    &[("Content-Length", "4")],
    &[("Content-Length", "6")],
    &[("Content-Length", "0")],
    &[("Content-Length", "5"), ("Content-Length", "5")],
    &[("Content-Length", "x")],
    &[("Date", "1"), ("X-Date", "2"), ("date", "3")],
    &[("Connection", "close"), ("Keep-Alive", "timeout=1")],
    &[("Connection", "upgrade"), ("Upgrade", "echo")],
    &[("Transfer-Encoding", "chunked")],
    &[("X-A", "1"), ("a b", "2")],
    &[("X-A", "1"), ("", "2")],
    &[("X-A", "1"), ("X-B", "2\n3")],
    &[("ETag", "\"1\""), ("eTAG", "W/\"2\""), ("www-authenticate", "Basic"), ("X-\u{e9}", "1")],
    &[
        ("Vary", "\u{e9}\t1"),
        ("a-very-long-name-of-a-field-2", "1"),
        ("-a--b-", ""),
        ("Sec-WebSocket-Accept", "a="),
    ],
];

fn configs() -> Vec<Config> {
    let on = Config::default();
    vec![
        on.clone(),
        on.clone().capitalize_response_headers(false),
        on.clone().max_http_version(Version::Http10),
        on.clone().minimum_chunk_size(3),
        on.clone().minimum_chunk_size(100),
        on.clone().record_response_head(true),
        on.clone().keepalive(KeepAlive::Off),
        on.clone().keepalive(KeepAlive::For(Duration::from_secs(7))).limits(Limits::new().outbox(1)),
    ]
}

/// How to answer with a status, fields and a body.
type Way = fn(&mut Exchange<'_>, &str, Fields<'_>, &[u8]) -> Result<(), AnswerError>;

/// The calls that `answer` stands for.
fn in_single_calls(
    exchange: &mut Exchange<'_>,
    status: &str,
    fields: Fields<'_>,
    body: &[u8],
) -> Result<(), AnswerError> {
    exchange.respond(status, fields)?;
    exchange.announce_length(body.len() as u64);
    if let Err(error) = exchange.send(body) {
        exchange.abort();
        return Err(error.into());
    }
    Ok(exchange.finish()?)
}

/// The calls for a head and a whole body.
fn with_whole_body<'p>(
    exchange: &mut Exchange<'_>,
    status: &str,
    fields: Fields<'_>,
    body: impl Into<Piece<'p>>,
) -> Result<(), AnswerError> {
    exchange.respond(status, fields)?;
    if let Err(error) = exchange.send_whole(body) {
        exchange.abort();
        return Err(error.into());
    }
    Ok(())
}

const WAYS: [(&str, Way); 6] = [
    ("answer", |exchange, status, fields, body| exchange.answer(status, fields, body)),
    ("answer, owned body", |exchange, status, fields, body| exchange.answer(status, fields, body.to_vec())),
    ("answer_with, kept head", |exchange, status, fields, body| {
        let kept = ResponseHead::new(exchange.config(), status, fields)?;
        exchange.answer_with(&kept, body)
    }),
    ("answer_with, draft", |exchange, status, fields, body| {
        let head = exchange.draft().write(status, fields)?;
        exchange.answer_with(head, body)
    }),
    ("send_whole", |exchange, status, fields, body| with_whole_body(exchange, status, fields, body)),
    ("send_whole, owned body", |exchange, status, fields, body| {
        with_whole_body(exchange, status, fields, body.to_vec())
    }),
];

/// Everything that can be observed of one answer. `lost_after`: the number of bytes that were transmitted before the
/// connection was lost.
fn outcome(
    config: &Config,
    request: &str,
    lost_after: Option<usize>,
    answer: impl FnOnce(&mut Exchange<'_>) -> Result<(), AnswerError>,
) -> String {
    let mut machine = Machine::new(config.clone());
    machine.receive(request.as_bytes());
    assert_eq!(machine.poll(), Event::Request);
    machine.connection.take_request();
    let mut exchange = machine.exchange();
    let answered = answer(&mut exchange);
    let (started, drops_body) = (exchange.is_started(), exchange.drops_body());
    let is_open = machine.connection.exchange().is_some();
    if let Some(count) = lost_after {
        machine.transmit(count);
        machine.connection.lost(Lost::Reset);
    }
    let event = machine.poll();
    let record = machine.connection.take_record().map(|record| {
        format!("{record:?} {:?}", String::from_utf8_lossy(&record.response_head).into_owned())
    });
    let sent = machine.take_sent();
    let next = machine.poll();
    format!("{answered:?} {started} {drops_body} {is_open} {event:?} {record:?} {sent:?} {next:?}")
}

#[test]
fn one_call_gives_what_single_calls_give() {
    let large = [b'x'; 5000];
    for config in configs() {
        for request in REQUESTS {
            for status in STATUSES {
                for fields in FIELDS {
                    for body in [&b""[..], b"hello", &large] {
                        let wanted = outcome(&config, request, None, |exchange| {
                            in_single_calls(exchange, status, fields, body)
                        });
                        for (name, way) in WAYS {
                            let got = outcome(&config, request, None, |exchange| {
                                way(exchange, status, fields, body)
                            });
                            assert_eq!(got, wanted, "{name}: {status} {fields:?} {request:?} {config:?}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_loss_leaves_the_same_record() {
    let (config, fields) = (Config::default().record_response_head(true), FIELDS[1]);
    for request in [REQUESTS[0], REQUESTS[5]] {
        for count in [0, 1, 50, 115, 116, 117, 120, 1000] {
            let wanted = outcome(&config, request, Some(count), |exchange| {
                in_single_calls(exchange, "200 OK", fields, b"hello")
            });
            for (name, way) in WAYS {
                let got = outcome(&config, request, Some(count), |exchange| {
                    way(exchange, "200 OK", fields, b"hello")
                });
                assert_eq!(got, wanted, "{name}: lost after {count} bytes");
            }
        }
    }
    for (name, way) in WAYS {
        let lost = |answer: Way| {
            let mut machine = Machine::new(config.clone());
            machine.open(REQUESTS[0]);
            machine.connection.lost(Lost::Reset);
            let answered = answer(&mut machine.exchange(), "200 OK", fields, b"hello");
            format!("{answered:?} {:?}", machine.record())
        };
        assert_eq!(lost(way), lost(in_single_calls), "{name}");
    }
}

/// Fields of which one is malformed, or whose iterator panics, add nothing to the outbox, in which an earlier
/// response may wait.
#[test]
fn a_head_that_is_not_completed_leaves_nothing_behind() {
    let requests = "GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n";
    let answered = |disturb: fn(&mut Exchange<'_>)| {
        let mut machine = Machine::new(Config::default());
        machine.receive(requests.as_bytes());
        for path in ["/a", "/b"] {
            assert_eq!(machine.poll(), Event::Request);
            machine.connection.take_request();
            let mut exchange = machine.exchange();
            disturb(&mut exchange);
            exchange.answer("200 OK", [("X-Path", path)], "hello").unwrap();
            machine.record();
        }
        machine.take_sent()
    };
    let wanted = answered(|_| {});
    let malformed = answered(|exchange| {
        let error = exchange.answer("200 OK", [("X-A", "1"), ("X-B", "\n")], "hello").unwrap_err();
        assert!(matches!(error, AnswerError::Start(StartError::FieldValue(_))), "{error}");
    });
    assert_eq!(malformed, wanted);
    let panicking = answered(|exchange| {
        let fields = ["X-A", "X-B"].iter().map(|name| {
            assert_ne!(*name, "X-B", "on purpose");
            (name, "1")
        });
        let panicked = catch_unwind(AssertUnwindSafe(|| exchange.answer("200 OK", fields, "hello")));
        assert!(panicked.is_err());
        assert!(!exchange.is_started());
    });
    assert_eq!(panicking, wanted);
    let switched = answered(|exchange| drop(exchange.answer("100 Continue", NO_HEADERS, "")));
    assert_eq!(switched, wanted);
}
