//! Options that change the application's environ or the response.

use wsgi_tokio::{Options, Version};

use super::site::{Program, Serve as _, on_each, quiet};

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// A request after which the connection ends, so that the complete answer can be read unparsed.
const LAST: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

/// Three blocks of two bytes each, in a body of unknown length.
const BLOCKS: Program = Program::Script(&["respond 200 OK", "send ab", "send cd", "send ef"]);

/// The body of an answer, still framed.
fn framed_body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("(no head)", |(_, body)| body)
}

#[test]
fn environ_is_what_every_request_starts_from() {
    on_each("environ", |runtime| {
        let change = |options: Options| options.environ("GREETING", "hello").environ("HTTP_X", "operator");
        let [with, without] = runtime.pair(change, Program::Variable("GREETING"));
        assert_eq!((with.ask(GET).text(), without.ask(GET).text()), ("hello".into(), "(none)".into()));
        // The request's own value wins.
        let [with, without] = runtime.pair(change, Program::Variable("HTTP_X"));
        assert_eq!((with.ask(GET).text(), without.ask(GET).text()), ("operator".into(), "(none)".into()));
        let named = "GET / HTTP/1.1\r\nHost: h\r\nX: client\r\n\r\n";
        assert_eq!((with.ask(named).text(), without.ask(named).text()), ("client".into(), "client".into()));
    });
}

#[test]
fn max_http_version_is_the_version_of_answers() {
    on_each("max_http_version", |runtime| {
        let [with, without] = runtime.pair(|options| options.max_http_version(Version::Http10), BLOCKS);
        // It ends the connection by itself.
        let answer = with.raw(GET);
        assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
        assert_eq!(framed_body(&answer), "abcdef", "nothing is chunked");
        let mut client = without.connect();
        for _ in 0..2 {
            client.send(GET);
            let answer = client.answer();
            assert!(answer.head.starts_with("HTTP/1.1 200 OK\r\n"), "{answer:?}");
            assert_eq!(answer.field("Transfer-Encoding"), Some("chunked"), "{answer:?}");
        }
    });
}

#[test]
fn max_http_version_has_no_100_sent() {
    on_each("max_http_version", |runtime| {
        let change = |options: Options| options.max_http_version(Version::Http10);
        let reads = Program::Script(&["read all", "respond 200 OK", "body [$body]"]);
        let [with, without] = runtime.pair(change, reads);
        let request = "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi";
        assert_eq!((with.ask(request).status, without.ask(request).status), (200, 100));
    });
}

#[test]
fn require_host_off_serves_requests_without_a_host() {
    on_each("require_host", |runtime| {
        let change = |options: Options| options.require_host(false);
        let [with, without] = runtime.pair(change, Program::Variable("SERVER_NAME"));
        let mut client = with.connect();
        for _ in 0..2 {
            client.send("GET / HTTP/1.1\r\n\r\n");
            assert_eq!(client.answer().text(), "127.0.0.1");
        }
        assert_eq!(without.ask("GET / HTTP/1.1\r\n\r\n").status, 400);
        let two = "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n";
        assert_eq!((with.ask(two).status, without.ask(two).status), (400, 400));
    });
}

/// `ab`, `cd` and `ef`, each in its own chunk.
const SEPARATE: &str = "2\r\nab\r\n2\r\ncd\r\n2\r\nef\r\n0\r\n\r\n";

/// Joined into blocks of at least four bytes.
const JOINED: &str = "4\r\nabcd\r\n2\r\nef\r\n0\r\n\r\n";

#[test]
fn minimum_chunk_size_joins_blocks() {
    on_each("minimum_chunk_size", |runtime| {
        let [with, without] = runtime.pair(|options| options.minimum_chunk_size(4), BLOCKS);
        assert_eq!(framed_body(&with.raw(LAST)), JOINED);
        assert_eq!(framed_body(&without.raw(LAST)), SEPARATE);
    });
}

#[test]
fn a_request_can_set_its_own_minimum_chunk_size() {
    on_each("environ.set_minimum_write_chunk_size", |runtime| {
        let four = &["minimum chunk size 4", "respond 200 OK", "send ab", "send cd", "send ef"];
        let none = &["minimum chunk size 0", "respond 200 OK", "send ab", "send cd", "send ef"];
        // The request's own value overrides the option, in either direction.
        for (program, wanted) in [(Program::Script(four), JOINED), (Program::Script(none), SEPARATE)] {
            for option in [0, 4, 100] {
                let site = runtime.serve(quiet().minimum_chunk_size(option), program);
                assert_eq!(framed_body(&site.raw(LAST)), wanted, "{program:?} and an option of {option}");
            }
        }
    });
}

#[test]
fn minimum_chunk_size_joins_nothing_that_is_written() {
    on_each("minimum_chunk_size", |runtime| {
        // The read after the blocks means that they are not a returned body: they go through `write`.
        let writes = &["respond 200 OK", "send ab", "send cd", "send ef", "read all"];
        let [with, without] = runtime.pair(|options| options.minimum_chunk_size(4), Program::Script(writes));
        assert_eq!((framed_body(&with.raw(LAST)), framed_body(&without.raw(LAST))), (SEPARATE, SEPARATE));
    });
}

#[test]
fn capitalize_response_headers_off_leaves_names_alone() {
    on_each("capitalize_response_headers", |runtime| {
        let odd = &["inform 103 Early Hints", "  liNK: a", "respond 200 OK", "  x-oDD: Value", "body x"];
        let [with, without] =
            runtime.pair(|options| options.capitalize_response_headers(false), Program::Script(odd));
        let (answer, usual) = (with.raw(LAST), without.raw(LAST));
        assert!(answer.contains("\r\nliNK: a\r\n") && answer.contains("\r\nx-oDD: Value\r\n"), "{answer}");
        assert!(usual.contains("\r\nLink: a\r\n") && usual.contains("\r\nX-Odd: Value\r\n"), "{usual}");
    });
}

#[test]
fn debug_off_hides_the_error_from_the_client() {
    on_each("debug", |runtime| {
        let fails = Program::Script(&["fail it broke"]);
        let [with, without] = runtime.pair(|options| options.debug(false), fails);
        let (answer, usual) = (with.ask(GET), without.ask(GET));
        assert_eq!((answer.status, answer.text()), (500, String::new()));
        assert_eq!((usual.status, usual.text()), (500, "the application failed: it broke\n".into()));
        let on = runtime.serve(quiet().debug(false).debug(true), fails);
        assert_eq!(on.ask(GET).text(), "the application failed: it broke\n", "when it is on again");
    });
}
