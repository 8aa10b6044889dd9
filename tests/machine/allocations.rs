//! A small request allocates nothing once its connection is warm, and pieces of a body hold little memory.
//!
//! `allocation_counter` replaces the allocator of the whole process and counts per thread. So this file is a separate
//! process, and allocations of the test harness are not counted.

use std::time::Duration;

use bytes::Bytes;
use wsgi_proto::{
    Address, BodyEvent, Buffers, Config, Connection, Endpoints, Event, Exchange, Io, Now, ResponseHead,
};

const REQUEST: &[u8] = b"GET /hello?name=world HTTP/1.1\r\nHost: localhost:8090\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n";

/// One request and its answer, with a driver that returns its buffers between requests.
fn exchange(
    connection: &mut Connection,
    pool: &mut Option<Buffers>,
    now: Now,
    answer: impl Fn(&mut Exchange<'_>),
) {
    connection.provide_buffers(pool.take().expect("buffers are returned after each request"));
    connection.recv_space().expect("there is room")[..REQUEST.len()].copy_from_slice(REQUEST);
    connection.recv_commit(REQUEST.len());
    assert_eq!(connection.poll(now), Event::Request);
    let head = connection.take_request().expect("it was announced");
    assert_eq!(head.path(), b"/hello");
    answer(&mut connection.exchange().expect("it was taken"));
    drop(head);
    assert_eq!(connection.poll(now), Event::Done);
    assert_eq!(connection.take_record().expect("it was announced").status, 200);
    let Event::Io(Io { read: true, write: true, .. }) = connection.poll(now) else { panic!("it waits") };
    let count = connection.transmit().slices().iter().map(|slice| slice.len()).sum();
    connection.transmitted(count);
    *pool = connection.take_buffers();
}

#[test]
fn a_small_request_allocates_nothing_once_warm() {
    const FIELDS: [(&str, &str); 1] = [("Content-Type", "text/plain")];
    allocates_nothing(|exchange| {
        exchange.respond("200 OK", FIELDS).expect("nothing is wrong with it");
        exchange.announce_length(15);
        let _ = exchange.send("Hello, World!\r\n").expect("there is room");
        exchange.finish().expect("as long as announced");
    });
    allocates_nothing(|exchange| {
        exchange.answer("200 OK", FIELDS, "Hello, World!\r\n").expect("there is room")
    });
    let kept = ResponseHead::new(&Config::default(), "200 OK", FIELDS).expect("nothing is wrong with it");
    allocates_nothing(|exchange| exchange.answer_with(&kept, "Hello, World!\r\n").expect("there is room"));
    allocates_nothing(|exchange| {
        exchange.respond_with(&kept).expect("nothing was started");
        exchange.finish().expect("the body is empty");
    });
}

fn allocates_nothing(answer: impl Fn(&mut Exchange<'_>)) {
    let mut connection =
        Connection::new(Config::default().into(), Endpoints::new(Address::Local, Address::Local));
    let mut pool = Some(Buffers::new());
    // A new second each time, so that the date is formatted again too.
    let mut now = Now::default();
    for _ in 0..3 {
        exchange(&mut connection, &mut pool, now, &answer);
    }
    let counted = allocation_counter::measure(|| {
        for _ in 0..100 {
            now = Now::new(now.instant.after(Duration::from_secs(1)), now.unix + 1);
            exchange(&mut connection, &mut pool, now, &answer);
        }
    });
    assert_eq!(counted.count_total, 0, "{counted:?}");
}

/// Receives a body in reads of `size` bytes, and keeps what `take_data` returns for each.
fn kept_pieces(size: usize, count: usize) -> Vec<Bytes> {
    let mut connection =
        Connection::new(Config::default().into(), Endpoints::new(Address::Local, Address::Local));
    let head = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", size * count);
    connection.recv_space().expect("there is room")[..head.len()].copy_from_slice(head.as_bytes());
    connection.recv_commit(head.len());
    assert_eq!(connection.poll(Now::default()), Event::Request);
    connection.take_request().expect("it was announced");
    let mut pieces = Vec::with_capacity(count);
    for _ in 0..count {
        connection.recv_space().expect("there is room")[..size].fill(b'x');
        connection.recv_commit(size);
        let mut exchange = connection.exchange().expect("it was taken");
        assert!(matches!(exchange.body(Now::default()), Ok(BodyEvent::Data(data)) if data.len() == size));
        pieces.push(exchange.take_data(usize::MAX));
        assert_eq!(pieces.last().expect("it was just added").len(), size);
    }
    pieces
}

#[test]
fn pieces_of_a_body_that_are_kept_hold_at_most_four_times_their_length() {
    for (size, count) in [(1, 20_000), (100, 2000), (4095, 200), (4096, 200), (5000, 200), (16_384, 100)] {
        let mut pieces = Vec::new();
        let counted = allocation_counter::measure(|| pieces = kept_pieces(size, count));
        let held = counted.bytes_current - (count * size_of::<Bytes>()) as i64;
        // The reference count of a shared block takes some bytes, too.
        let bound = (4 * size + if size < 4096 { 0 } else { 64 }) * count;
        assert!((held as usize) <= bound, "{count} pieces of {size} bytes hold {held}");
        drop(pieces);
    }
}

#[test]
fn the_counter_counts() {
    let counted = allocation_counter::measure(|| drop(std::hint::black_box(vec![0_u8; 100])));
    assert_eq!(counted.count_total, 1);
}
