//! Driver and application calls in any order, with any data and with extreme numbers: nothing panics and the invariants
//! hold. Every public call of the machine can occur.
//!
//! Input: one byte per choice, see `machine::choose::Given`; a received piece is a length followed by its bytes.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use wsgi_proto::{
    BodyEvent, Buffers, Config, Connection, Event, Exchange, Head, Instant, KeepAlive, LastExchange, Limits,
    LogFormat, Lost, Now, RequestError, ResponseHead, SendError, Variables, Version,
};

use machine::Machine;
use machine::choose::{Choose, Given};
use machine::generate::SMALL;

#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../../tests/src/machine/mod.rs"]
mod machine;

/// Requests that take a fuzzer far immediately, and pieces from which it can build its own.
const PIECES: [&str; 12] = [
    "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
    "HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "5\r\nhello\r\n",
    "0\r\nX-Sum: 1\r\n\r\n",
    "0\r\n\r\n",
    "ff\r\n",
    "\r\n",
    "123456789",
    "GET /",
];

const STATUSES: [&str; 8] =
    ["200 OK", "204 No Content", "304 N", "101 S", "100 Continue", "103 E", "99 X", "500 O\r\nops: 1"];
const NAMES: [&str; 9] = [
    "X-A",
    "Content-Length",
    "Transfer-Encoding",
    "Connection",
    "Date",
    "Trailer",
    "Bad Name",
    "Keep-Alive",
    "Upgrade",
];
const VALUES: [&str; 8] =
    ["3", "close", "upgrade", "chunked", "", "a\r\nb", "\u{e9}", "18446744073709551615"];

/// The extreme values of a number.
const SIZES: [usize; 8] = [0, 1, 2, 10, 299, 16 * 1024, usize::MAX - 1, usize::MAX];
const LENGTHS: [u64; 8] = [0, 1, 3, 10, 20, u32::MAX as u64, u64::MAX - 1, u64::MAX];
const TIMES: [Duration; 5] =
    [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(5), Duration::from_secs(10), Duration::MAX];

fuzz_target!(|data: &[u8]| {
    let mut choices = Given(data);
    let config = config(&mut choices);
    let mut machine = Machine::new(config);
    let mut kept = None;
    let mut closed = None;
    while !choices.0.is_empty() {
        if choices.once_in(3) || machine.connection.exchange().is_none() {
            drive(&mut machine, &mut choices);
        } else {
            apply(&mut machine, &mut choices, &mut kept);
        }
        check(&mut machine, &mut closed);
    }
});

/// Default settings, small limits, or arbitrary values: valid or not, no setting may break the machine.
fn config(choices: &mut Given<'_>) -> Config {
    let limits = match choices.below(4) {
        0 | 1 => Limits::default(),
        2 => SMALL,
        _ => Limits::new()
            .target(SIZES[choices.below(8)])
            .method(SIZES[choices.below(8)])
            .field_line(SIZES[choices.below(8)])
            .fields_size(SIZES[choices.below(8)])
            .fields(SIZES[choices.below(8)])
            .chunk_line(SIZES[choices.below(8)])
            .chunk_extensions(SIZES[choices.below(8)])
            .body([None, Some(LENGTHS[choices.below(8)])][choices.below(2)])
            .drain(LENGTHS[choices.below(8)])
            .outbox(SIZES[choices.below(8)])
            .inbox(SIZES[choices.below(8)]),
    };
    let config = Config::default()
        .limits(limits)
        .keepalive([KeepAlive::On, KeepAlive::Off, KeepAlive::For(TIMES[choices.below(5)])][choices.below(3)])
        .max_http_version(if choices.once_in(4) { Version::Http10 } else { Version::Http11 })
        .minimum_chunk_size(if choices.once_in(4) { SIZES[choices.below(8)] } else { 0 })
        .socket_timeout([None, Some(TIMES[choices.below(5)])][choices.below(2)])
        .header_timeout([None, Some(TIMES[choices.below(5)])][choices.below(2)])
        .min_request_rate([None, Some(LENGTHS[choices.below(8)])][choices.below(2)])
        .min_response_rate([None, Some(LENGTHS[choices.below(8)])][choices.below(2)])
        .rate_grace(TIMES[choices.below(5)])
        .linger_timeout(TIMES[choices.below(5)])
        .linger_limit(TIMES[choices.below(5)])
        .environ(["", "QUERY_STRING", "HTTP_X_OF_OPERATOR"][choices.below(3)], "1");
    if let Err(error) = config.check() {
        assert!(!error.setting().is_empty() && !error.allowed().is_empty() && !error.value().is_empty());
    }
    config
}

/// Checks the invariants that hold after any call.
fn check(machine: &mut Machine, closed: &mut Option<Event>) {
    let limits = machine.connection.config().limits;
    let room = limits
        .inbox
        .max(
            limits.target.saturating_add(limits.method).saturating_add(limits.fields_size).saturating_add(64),
        )
        .max(16 * 1024);
    if let Some(space) = machine.connection.recv_space() {
        assert!((1..=room).contains(&space.len()), "the inbox exceeds its limit");
    }
    let event = machine.poll();
    if let Some(closed) = closed {
        assert_eq!(*closed, event, "a closed connection changed its result");
    }
    if matches!(event, Event::Closed(_)) {
        *closed = Some(event);
        assert!(machine.connection.exchange().is_none(), "closed with an open exchange");
    }
    if machine.connection.exchange().is_some() {
        assert!(matches!(event, Event::Io(_)), "{event:?} during an exchange");
    }
    if let Event::Io(io) = event {
        let waits = io.read || io.write || io.deadline.is_some();
        assert!(waits || machine.connection.exchange().is_some(), "no wait and no open exchange");
        if io.last_write {
            assert!(io.write && io.deadline.is_some_and(|(at, _)| at <= machine.now().instant));
        }
        if io.read {
            // An adapter relies on this so that it never spins.
            assert!(!io.last_read || io.deadline.is_some_and(|(at, _)| at <= machine.now().instant));
            assert!(machine.connection.recv_space().is_some(), "a read without room");
        }
    }
    for slice in machine.connection.transmit().slices() {
        assert!(!slice.is_empty(), "an empty slice to write");
    }
    let left = machine.connection.exchange().map_or(0, |exchange| exchange.external_left());
    assert!(machine.connection.external() <= left, "bytes of the driver after their exchange");
}

/// One driver call, announced or not.
fn drive(machine: &mut Machine, choices: &mut Given<'_>) {
    let announced = machine.poll();
    match choices.below(18) {
        0..=2 => {
            machine.receive(PIECES[choices.below(PIECES.len())].as_bytes());
        }
        3 => {
            let length = choices.below(64).min(choices.0.len());
            let (piece, rest) = choices.0.split_at(length);
            choices.0 = rest;
            machine.receive(piece);
        }
        4 => obey(machine, announced),
        5 => {
            let taken = machine.connection.take_request();
            assert_eq!(taken.is_some(), announced == Event::Request);
            assert_eq!(
                machine.connection.exchange().is_some(),
                taken.is_some() || announced_open(announced, machine)
            );
        }
        6 => {
            let taken = machine.connection.take_record().is_some();
            // The record of a connection that was taken over is not announced.
            assert!(taken || announced != Event::Done);
        }
        7 => drop(machine.transmit(1 + choices.below(300))),
        8 => machine.flush(),
        9 => machine.advance(Duration::from_millis(1 << choices.below(16))),
        10 => machine.connection.write_closed(),
        11 => machine.connection.recv_eof(),
        12 => drop(machine.take_buffers()),
        13 => machine.connection.provide_buffers(Buffers::new().trimmed()),
        14 => match choices.below(4) {
            0 => machine.connection.shutdown(),
            1 => machine.connection.lost(
                [Lost::Reset, Lost::BrokenPipe, Lost::TimedOut, Lost::Aborted, Lost::Transport]
                    [choices.below(5)],
            ),
            2 => machine.connection.transmitted(SIZES[choices.below(8)]),
            _ => machine.connection.recv_commit(SIZES[choices.below(8)]),
        },
        15 => match choices.below(8) {
            0 => machine.connection.make_room(),
            1 => machine.connection.skip_records(),
            2 => machine.connection.flush_before_record(),
            3 => machine.connection.recv_nothing(),
            4 => drop(machine.connection.take_notice()),
            5 => machine.connection.last_exchange(
                [LastExchange::Crowded, LastExchange::Age, LastExchange::Requests][choices.below(3)],
            ),
            6 => machine.connection.end_at(Instant::from_nanos(LENGTHS[choices.below(8)])),
            _ => look(&mut machine.connection),
        },
        16 if choices.once_in(4) => any_time(&mut machine.connection, choices),
        _ => obey(machine, announced),
    }
}

/// Moves the clock to any moment, forwards or backwards.
fn any_time(connection: &mut Connection, choices: &mut Given<'_>) {
    let now = Now {
        instant: Instant::from_nanos(LENGTHS[choices.below(8)]),
        unix: [0, -1, i64::MIN, i64::MAX][choices.below(4)],
        zone_offset: [0, 3600, i32::MIN, i32::MAX][choices.below(4)],
    };
    connection.set_now(now);
    let _ = connection.poll(now);
    if let Some(mut exchange) = connection.exchange() {
        let _ = exchange.body(now);
        let _ = exchange.wait(now);
    }
}

/// Calls every query, and uses the results in every way.
fn look(connection: &mut Connection) {
    let _ = (
        connection.awaits_request(),
        connection.head_began(),
        connection.lingers(),
        connection.is_busy(),
        connection.is_lost(),
    );
    let _ = (connection.can_make_room(), connection.has_buffers(), connection.has_unread());
    let _ = format!("{connection:?}");
    let (peer, config) = (*connection.endpoints(), connection.config().clone());
    connection.set_endpoints(peer);
    if let Some(record) = connection.take_record() {
        let mut line = String::new();
        LogFormat::default().append(&record, true, &mut line);
        assert!(!line.contains(['\r', '\n']), "one entry is one line");
        if let Some(head) = &record.head {
            let variables = Variables::new(head, &peer, &config);
            assert!(variables.iter().all(|(name, value)| variables.get(&name).as_ref() == Some(&value)));
            let mut listed = variables.iter();
            variables.for_each(|name, value| assert_eq!(listed.next(), Some((name.into(), value.into()))));
            assert!(listed.next().is_none() && variables.contains("REQUEST_METHOD"));
            let _ = (head.target(), head.host(), head.query(), head.version(), head.value("x"));
            let _ = (head.values("x").count(), head.expects_continue(), head.body_length(), head.method());
            // A head that was accepted is accepted again.
            let mut again = head.request_line().to_vec();
            again.extend_from_slice(b"\r\n");
            for (name, value) in head.fields() {
                again.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
            }
            again.extend_from_slice(b"\r\n");
            let limits = Limits::default().body(None);
            if again.len() < 8000 && head.raw_fields().len() < 100 && head.method().len() <= 32 {
                assert!(Head::parse(&again, &limits).is_ok(), "{}", again.escape_ascii());
            }
        }
    }
    if let Some(exchange) = connection.exchange() {
        let _ =
            (exchange.trailers(), exchange.client_gone(), exchange.body_error(), exchange.expects_continue());
        let _ = (exchange.is_started(), exchange.head_is_sent(), exchange.drops_body());
        assert_eq!(exchange.is_full(), exchange.room() == 0);
        let _ = exchange.is_flushed();
        let _ = (exchange.head().path(), exchange.endpoints().remote, exchange.config().limits);
        let _ = format!("{exchange:?}");
    }
}

fn announced_open(announced: Event, machine: &mut Machine) -> bool {
    matches!(announced, Event::Io(_)) && machine.connection.exchange().is_some()
}

fn obey(machine: &mut Machine, event: Event) {
    let connection: &mut Connection = &mut machine.connection;
    match event {
        Event::Request => assert!(connection.open_exchange().is_some() && connection.exchange().is_some()),
        Event::Done => assert!(connection.take_record().is_some()),
        Event::ShutdownWrite | Event::Abort => connection.write_closed(),
        Event::Io(io) if io.last_read => connection.recv_nothing(),
        Event::Io(_) => machine.flush(),
        Event::TakenOver | Event::Closed(_) => {}
    }
}

/// An application call, on an exchange that is open or that an earlier call has just ended.
fn apply(machine: &mut Machine, choices: &mut Given<'_>, kept: &mut Option<ResponseHead>) {
    let now = machine.now();
    let Some(mut exchange) = machine.connection.exchange() else { return };
    for _ in 0..=choices.below(3) {
        call(&mut exchange, now, choices, kept);
    }
}

fn call(exchange: &mut Exchange<'_>, now: Now, choices: &mut Given<'_>, kept: &mut Option<ResponseHead>) {
    let status = STATUSES[choices.below(STATUSES.len())];
    let fields: Vec<_> = (0..choices.below(3))
        .map(|_| (NAMES[choices.below(NAMES.len())], VALUES[choices.below(VALUES.len())]))
        .collect();
    match choices.below(34) {
        28 if choices.once_in(2) => {
            if let Ok(BodyEvent::Data(data)) = exchange.body_at(|| now) {
                assert!(!data.is_empty(), "data without bytes");
            }
        }
        28 => {
            let (room, left) = (exchange.direct_room(), exchange.remaining());
            exchange.recv_direct(SIZES[choices.below(8)]);
            assert!(exchange.direct_room() <= room && exchange.remaining() <= left.or(exchange.remaining()));
        }
        0 | 1 => {
            if let Ok(BodyEvent::Data(data)) = exchange.body(now) {
                assert!(!data.is_empty(), "data without bytes");
            }
        }
        2 => exchange.consume(choices.below(40)),
        3 if choices.once_in(2) => drop(exchange.take_data(SIZES[choices.below(8)])),
        3 => exchange.consume(SIZES[choices.below(8)]),
        4 => drop(exchange.inform(status, fields)),
        5 => drop(exchange.continue_headers(fields)),
        6 | 7 => drop(exchange.respond(status, fields)),
        8 => drop(exchange.replace(status, fields)),
        9 => exchange.announce_length(LENGTHS[choices.below(8)]),
        10 if choices.once_in(4) => exchange.leave_length_open(),
        10 => exchange.set_minimum_chunk_size(SIZES[choices.below(8)]),
        11 | 12 => drop(exchange.send(&vec![b'x'; choices.below(40)][..])),
        13 => drop(exchange.send(vec![b'y'; choices.below(9000)])),
        14 => drop(exchange.wait(now)),
        15 => exchange.watch_peer(),
        16 => exchange.flush_before_record(),
        // Calls that end an exchange: if they succeed, it is over.
        17 => {
            let ended = exchange.finish().is_ok();
            assert!(!ended || exchange.finish() == Err(SendError::Finished));
        }
        18 => drop(exchange.finish_with(fields)),
        19 if choices.once_in(4) => {
            let ended = exchange.take_over_unanswered().is_ok();
            assert!(!ended || exchange.take_over_unanswered() == Err(SendError::Finished));
        }
        19 => {
            let ended = exchange.take_over().is_ok();
            assert!(!ended || exchange.take_over() == Err(SendError::Finished));
        }
        20 => match choices.below(5) {
            0 => exchange.abort(),
            1 => exchange.fail("oh"),
            2 => exchange.refuse(RequestError::ChunkData),
            own => {
                // The head may have the `Content-Length` of another body.
                let Ok(head) = exchange.draft().write("500 Oh", fields) else { return };
                let sent = match own {
                    3 => exchange.fail_with(head, "oh"),
                    _ => exchange.refuse_with(RequestError::ChunkData, head),
                };
                assert!(sent.is_err() || exchange.finish() == Err(SendError::Finished));
            }
        },
        21 => drop(exchange.set_trailers(fields)),
        22 => drop(exchange.send_continue()),
        23 => drop(exchange.send_joined()),
        24 => drop(exchange.send_now(&vec![b'z'; choices.below(400)][..])),
        // A head for this exchange or an earlier one.
        25 => match (kept.take(), choices.below(3)) {
            (Some(head), 0) => drop(exchange.respond_with(head)),
            (Some(head), 1) => drop(exchange.replace_with(head)),
            (head, _) => *kept = exchange.draft().write(status, fields).ok().or(head),
        },
        26 => {
            let answered = exchange.answer(status, fields, &vec![b'w'; choices.below(400)][..]);
            assert!(answered.is_err() || exchange.finish() == Err(SendError::Finished));
        }
        27 => match &*kept {
            Some(head) => drop(exchange.answer_with(head, vec![b'v'; choices.below(9000)])),
            None => {
                *kept = ResponseHead::new(exchange.config(), status, fields).ok();
                if let Some(head) = kept {
                    // Middleware writes a head that was read again.
                    let again = ResponseHead::new(exchange.config(), head.status(), head.fields());
                    let again = again.expect("it was allowed before");
                    assert!(again.status() == head.status() && again.fields().eq(head.fields()));
                }
            }
        },
        29 => drop(exchange.send_external(choices.below(9000) as u64)),
        30 => {
            let before = exchange.external_left();
            let sent = exchange.send_external(LENGTHS[choices.below(8)]);
            assert!(sent.is_err() || before == 0, "two pieces of the driver");
        }
        31 => exchange.supply_external(&vec![b'u'; choices.below(40)][..]),
        32 => {
            let ended = exchange.send_whole(vec![b'u'; choices.below(9000)]).is_ok();
            assert!(!ended || exchange.finish() == Err(SendError::Finished));
        }
        _ => {
            let _ = exchange.respond("200 OK", fields);
            let _ = exchange.finish();
        }
    }
}
