//! Record boundaries have no meaning: neither for segments nor for requests.

use std::io::Write;

use wsgi_tests::caller::Caller;
use wsgi_tests::secure::{Stream, trust};

use super::application::pattern;
use super::on_every_runtime;
use super::site::{GET, Runtime, Site, options};

on_every_runtime! {
    ciphertext_in_single_bytes_is_understood
    requests_in_separate_records_of_one_segment_are_all_answered
    one_record_with_many_requests_answers_all
    a_body_may_be_spread_over_records
    records_of_a_large_body_stay_in_the_session_until_they_are_read
    records_that_hold_nothing_are_passed_over
    keys_may_change_at_any_time
}

fn send(client: &Caller<Stream>, records: &[u8]) {
    { client.stream().socket() }.write_all(records).expect("there is room");
}

/// A server with default options, and one that reads so little at a time that most of a record remains in the session,
/// where the socket does not report it.
fn sites(runtime: Runtime) -> [Site; 2] {
    let small = options().limits(|limits| {
        (limits.inbox, limits.target, limits.fields_size) = (1024, 100, 500);
    });
    [Site::new(runtime), Site::with(runtime, small)]
}

fn ciphertext_in_single_bytes_is_understood(runtime: Runtime) {
    let site = Site::new(runtime);
    let stream = Stream::shake_hands(site.plain().clone_stream(), &trust().client, 1);
    let mut client = Caller::new(stream.expect("it shakes hands"));
    let body = pattern(0, 500);
    for _ in 0..2 {
        client.send([b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 500\r\n\r\n", &*body].concat());
        assert_eq!(client.answer().body, body);
    }
    client.stream().close_notify().expect("there is room");
    assert!(client.ends());
}

fn requests_in_separate_records_of_one_segment_are_all_answered(runtime: Runtime) {
    for site in sites(runtime) {
        for requests in [2, 7, 100, 500] {
            let mut client = site.connect();
            let post = |number: usize| {
                let body = format!("{number:03}");
                format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n{body}")
            };
            let records: Vec<_> =
                (0..requests).flat_map(|number| client.stream().seal(post(number))).collect();
            send(&client, &records);
            for number in 0..requests {
                assert_eq!(client.answer().text(), format!("{number:03}"), "of {requests}");
            }
            // The connection stays open.
            assert_eq!(client.get("/").status, 200);
        }
    }
}

fn one_record_with_many_requests_answers_all(runtime: Runtime) {
    for site in sites(runtime) {
        let mut client = site.connect();
        // More than one read can return, and the last record is incomplete.
        let requests = GET.repeat(500);
        let (most, rest) = requests.split_at(requests.len() - 3);
        send(&client, &client.stream().seal(most));
        for _ in 0..499 {
            assert_eq!(client.answer().status, 200);
        }
        client.send(rest);
        assert_eq!(client.answer().status, 200);
    }
}

fn a_body_may_be_spread_over_records(runtime: Runtime) {
    for site in sites(runtime) {
        let mut client = site.connect();
        for sizes in [vec![1; 300], (1..100).collect(), vec![16_384, 1, 16_384, 7], vec![40_000, 40_000, 3]] {
            let length = sizes.iter().sum();
            let head = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n");
            let mut records = client.stream().seal(head);
            let mut at = 0;
            for size in sizes {
                records.extend(client.stream().seal(pattern(at, size)));
                at += size;
            }
            send(&client, &records);
            assert_eq!(client.answer().body, pattern(0, length), "{length} bytes");
        }
    }
}

fn records_of_a_large_body_stay_in_the_session_until_they_are_read(runtime: Runtime) {
    const LENGTH: usize = 60_000;
    // The application reads nothing before it is released; then all pending bytes are drained, and the next request is
    // found after them.
    for site in sites(runtime) {
        let mut client = site.connect();
        let head = format!("POST /wait HTTP/1.1\r\nHost: h\r\nContent-Length: {LENGTH}\r\n\r\n");
        let mut records = client.stream().seal(head);
        for from in (0..LENGTH).step_by(1000) {
            records.extend(client.stream().seal(pattern(from, 1000)));
        }
        records.extend(client.stream().seal(GET));
        send(&client, &records);
        site.runs(1);
        site.common.gate.add_permits(1);
        assert_eq!(client.answer().text(), "waited");
        assert_eq!(client.answer().status, 200);
    }
}

fn records_that_hold_nothing_are_passed_over(runtime: Runtime) {
    let site = Site::new(runtime);
    let mut client = site.connect();
    // Key updates carry no plaintext: the server reads bytes, but gets no data.
    for _ in 0..3 {
        client.stream().change_keys();
        send(&client, &client.stream().seal(""));
        let record = client.stream().seal(GET);
        for part in record.chunks(5) {
            send(&client, part);
        }
        assert_eq!(client.answer().status, 200);
    }
}

fn keys_may_change_at_any_time(runtime: Runtime) {
    const LENGTH: usize = 2_000_000;
    let site = Site::new(runtime);
    let mut client = site.connect();
    let mut sending = client.stream().clone();
    let body = pattern(0, LENGTH);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let head = format!("POST /back/{LENGTH} HTTP/1.1\r\nHost: h\r\nContent-Length: {LENGTH}\r\n\r\n");
            sending.write_all(head.as_bytes()).expect("it reads");
            for part in body.chunks(50_000) {
                // The reply to this is sent between the records of the response.
                sending.change_keys();
                sending.write_all(part).expect("it reads");
            }
        });
        assert!(client.answer().body == body);
    });
    assert_eq!(client.get("/").status, 200);
}
