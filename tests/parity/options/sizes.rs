//! Options that are sizes: the largest size that is served.
//!
//! A limit is tested with a smaller value, which refuses sizes that are normally served, and with a larger one, which
//! serves sizes that are normally refused. The effect of every field of `Limits` is observable from outside.

use wsgi_proto::Limits;
use wsgi_tests::caller::Caller;
use wsgi_tests::live::{Journal, Kind, eventually};
use wsgi_tokio::Options;

use super::site::{ECHO, HELLO, MEBIBYTE, MUCH, Program, Serve as _, Site, busy, on_each};

/// The status of the answer to `request` with the option, and without it.
fn statuses(option: &str, change: fn(Options) -> Options, request: &str, [with, without]: [u16; 2]) {
    on_each(option, |runtime| {
        let [changed, usual] = runtime.pair(change, ECHO);
        let said: String = request.chars().take(60).collect();
        for (site, wanted, which) in [(&changed, with, "with"), (&usual, without, "without")] {
            let answer = site.ask(request);
            assert_eq!(answer.status, wanted, "{which} the option, to {said:?}: {answer:?}");
            // A refusal is the last answer of a connection.
            assert_eq!(answer.closes(), wanted != 200, "{which} the option, to {said:?}: {answer:?}");
        }
    });
}

/// A request with these fields.
fn get(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n")
}

/// A field line of `size` bytes, including CRLF.
fn field(size: usize) -> String {
    format!("A: {}\r\n", "b".repeat(size - 5))
}

fn sized(body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn chunked(chunks: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")
}

#[test]
fn url_length_limit_is_the_longest_target() {
    let target = |size: usize| get(&format!("/{}", "a".repeat(size - 1)), "");
    statuses("url_length_limit", |options| options.url_length_limit(20), &target(20), [200, 200]);
    statuses("url_length_limit", |options| options.url_length_limit(20), &target(21), [414, 200]);
    statuses("url_length_limit", |options| options.url_length_limit(9000), &target(9000), [200, 414]);
}

#[test]
fn limits_target_is_the_same_as_url_length_limit() {
    let change = |options: Options| options.limits(|limits| limits.target = 20);
    statuses("limits.target", change, &get("/aaaaaaaaaaaaaaaaaaaa", ""), [414, 200]);
    // The later call counts.
    let change = |options: Options| options.limits(|limits| limits.target = 20).url_length_limit(21);
    statuses("limits.target", change, &get("/aaaaaaaaaaaaaaaaaaaa", ""), [200, 200]);
}

#[test]
fn max_body_size_is_the_largest_body() {
    let four = |options: Options| options.max_body_size(4);
    statuses("max_body_size", four, &sized("hell"), [200, 200]);
    statuses("max_body_size", four, &sized("hello"), [413, 200]);
    statuses("max_body_size", four, &chunked("3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"), [413, 200]);
    let none = |options: Options| options.max_body_size(4).max_body_size(None);
    statuses("max_body_size", none, &sized("hello"), [200, 200]);
}

#[test]
fn receive_before_call_is_the_part_of_a_body_that_arrives_before_the_call() {
    on_each("receive_before_call", |runtime| {
        let [with, without] = runtime.pair(|options| options.receive_before_call(10), HELLO);
        let half = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 20\r\n\r\nhello";
        let mut waits = with.connect();
        waits.send(half);
        // Asynchronous applications hold no thread while they wait.
        if runtime.blocks() {
            eventually("its request has begun", || with.handle().requests() == 1);
            assert_eq!(with.ask("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").status, 200);
            assert_eq!(with.handle().requests(), 1, "it was answered");
            waits.send("world");
        }
        assert_eq!(waits.answer().text(), "hello");
        assert_eq!(without.ask(half).text(), "hello");
    });
}

#[test]
fn limits_body_is_the_same_as_max_body_size() {
    let change = |options: Options| options.limits(|limits| limits.body = Some(4));
    statuses("limits.body", change, &sized("hello"), [413, 200]);
}

#[test]
fn limits_method_is_the_longest_method() {
    let method = |size: usize| get("/", "").replacen("GET", &"A".repeat(size), 1);
    let short = |options: Options| options.limits(|limits| limits.method = 3);
    statuses("limits.method", short, &method(3), [200, 200]);
    statuses("limits.method", short, &method(4), [501, 200]);
    let long = |options: Options| options.limits(|limits| limits.method = 40);
    statuses("limits.method", long, &method(40), [200, 501]);
}

#[test]
fn limits_field_line_is_the_longest_header_line() {
    let short = |options: Options| options.limits(|limits| limits.field_line = 40);
    statuses("limits.field_line", short, &get("/", &field(40)), [200, 200]);
    statuses("limits.field_line", short, &get("/", &field(41)), [431, 200]);
    let long = |options: Options| options.limits(|limits| limits.field_line = 20_000);
    statuses("limits.field_line", long, &get("/", &field(20_000)), [200, 431]);
    // A trailer has no separate status.
    let trailer = |size| chunked(&format!("0\r\n{}\r\n", field(size)));
    statuses("limits.field_line", short, &trailer(40), [200, 200]);
    statuses("limits.field_line", short, &trailer(41), [400, 200]);
}

#[test]
fn limits_fields_size_is_the_size_of_all_header_lines() {
    // The `Host` line has 9 bytes, and the empty line 2.
    let short = |options: Options| options.limits(|limits| limits.fields_size = 100);
    statuses("limits.fields_size", short, &get("/", &(field(45) + &field(44))), [200, 200]);
    statuses("limits.fields_size", short, &get("/", &(field(45) + &field(45))), [431, 200]);
    let large = |options: Options| options.limits(|limits| limits.fields_size = 100_000);
    statuses("limits.fields_size", large, &get("/", &field(8000).repeat(12)), [200, 431]);
}

#[test]
fn limits_fields_is_the_number_of_header_lines() {
    let few = |options: Options| options.limits(|limits| limits.fields = 3);
    statuses("limits.fields", few, &get("/", &field(10).repeat(2)), [200, 200]);
    statuses("limits.fields", few, &get("/", &field(10).repeat(3)), [431, 200]);
    let many = |options: Options| options.limits(|limits| limits.fields = 300);
    statuses("limits.fields", many, &get("/", &field(10).repeat(299)), [200, 431]);
}

#[test]
fn limits_chunk_line_is_the_longest_chunk_size_line() {
    let chunk = |size: usize| chunked(&format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(size - 4)));
    let short = |options: Options| options.limits(|limits| limits.chunk_line = 10);
    statuses("limits.chunk_line", short, &chunk(10), [200, 200]);
    statuses("limits.chunk_line", short, &chunk(11), [400, 200]);
    let long = |options: Options| options.limits(|limits| limits.chunk_line = 5000);
    statuses("limits.chunk_line", long, &chunk(5000), [200, 400]);
}

#[test]
fn limits_chunk_extensions_is_the_size_of_all_chunk_extensions() {
    // The semicolons count.
    let chunks = |sizes: [usize; 2]| {
        let chunks = sizes.map(|size| format!("1;{}\r\na\r\n", "e".repeat(size - 1)));
        chunked(&(chunks.concat() + "0\r\n\r\n"))
    };
    let few = |options: Options| options.limits(|limits| limits.chunk_extensions = 12);
    statuses("limits.chunk_extensions", few, &chunks([5, 7]), [200, 200]);
    statuses("limits.chunk_extensions", few, &chunks([5, 8]), [400, 200]);
    let many = |options: Options| {
        options.limits(|limits| (limits.chunk_extensions, limits.chunk_line) = (100_000, 100_000))
    };
    statuses("limits.chunk_extensions", many, &chunks([40_000, 40_000]), [200, 400]);
}

#[test]
fn limits_drain_is_how_much_of_an_unread_body_is_dropped() {
    on_each("limits.drain", |runtime| {
        let [with, without] = runtime.pair(|options| options.limits(|limits| limits.drain = 4), HELLO);
        for (site, body, kept) in [(&with, "hell", true), (&with, "hello", false), (&without, "hello", true)]
        {
            let mut client = site.connect();
            client.send(sized(body));
            let answer = client.answer();
            assert_eq!((answer.status, answer.closes()), (200, !kept), "{body}: {answer:?}");
            if kept {
                assert_eq!(client.get("/").text(), "hello");
            } else {
                assert!(client.ends());
            }
        }
    });
}

/// Requests a large answer, sends another request immediately, and reads nothing.
fn greedy(site: &Site) -> Caller {
    let mut client = site.connect_narrowly();
    client.send(sized(&"x".repeat(MEBIBYTE)) + &get("/again", ""));
    client
}

#[test]
fn limits_outbox_is_how_much_of_an_answer_waits_before_the_next_request() {
    on_each("limits.outbox", |runtime| {
        let site = |change: fn(&mut Limits)| {
            let (options, entries) = Journal::keep(Options::default().limits(change));
            (runtime.serve(options, MUCH), entries)
        };
        let (with, without) = (site(|limits| limits.outbox = 1 << 30), site(|_| ()));
        let (mut usual, mut ahead) = (greedy(&without.0), greedy(&with.0));
        let answers = |entries: &Journal| entries.of(Kind::Access).len();
        eventually("the next request is answered though nothing is read", || answers(&with.1) == 2);
        eventually("the first request is answered", || answers(&without.1) == 1);
        assert_eq!(answers(&without.1), 1, "the next one waits until the answer is read");
        for client in [&mut usual, &mut ahead] {
            assert_eq!(client.answer().body.len(), 16 * MEBIBYTE);
            assert_eq!(client.answer().body.len(), 0);
        }
    });
}

#[test]
fn limits_inbox_is_how_much_of_a_body_is_received_at_a_time() {
    on_each("limits.inbox", |runtime| {
        let change = |options: Options| options.limits(|limits| limits.inbox = 1024);
        let [with, without] = runtime.pair(change, Program::LargestPart);
        let largest = |site: &Site| {
            // The body arrives after the head, which has its own buffer size.
            let mut client = busy(site, MEBIBYTE);
            client.send(vec![b'x'; MEBIBYTE]);
            client.answer().text().parse::<usize>().expect("a number")
        };
        assert!(largest(&with) <= 1024);
        assert!(largest(&without) > 1024);
    });
}
