//! Every edit of one byte in a few requests is read alike, whether it arrives whole, in two parts or byte by byte.

use std::sync::Arc;

use wsgi_proto::{Config, Limits};
use wsgi_tests::machine::heads::compare;

/// Requests that together have every feature of a head. Most of the heads are usual ones.
const SEEDS: [&str; 14] = [
    "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "GET /a?b=c HTTP/1.1\r\nhost: h:80\r\nConnection: keep-alive\r\nAccept: */*\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nX: 0123456789012345678901234567890123456789\r\n\r\n",
    "GET / HTTP/1.1\r\nHost:h\r\nA-Long-Name: a  b \r\nX1_y:\t\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nConnection: a, Close\r\nEmpty: \r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nA: \u{e9}\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n",
    "HEAD / HTTP/1.0\r\n\r\nGET /2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\nhello worldGET /2 HTTP/1.1\r\nHost: h\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\nHost: h\r\n\r\nabc",
    "OPTIONS http://h:80/a HTTP/1.1\r\nHost: [::1]\r\nhost-x: h\r\n\r\n",
    "\r\nOPTIONS * HTTP/1.9\r\nHost: h%20\r\nKeep-Alive: 1\r\n\r\n",
];

/// The bytes that have a meaning in a head, and one of each class of other bytes.
const BYTES: [u8; 18] = [
    b'\r', b'\n', b'\t', b' ', b':', b',', b'-', b'.', b'0', b'1', b'a', b'S', b'/', b'#', b'(', 0, 0x7f,
    0x80,
];

/// Every edit of one byte of `seed`: replace, insert, delete, truncate. The last one is `seed` itself.
fn edits(seed: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let with = |at: usize, removed: usize, added: &[u8]| [&seed[..at], added, &seed[at + removed..]].concat();
    let each = move |at| {
        let replaced = BYTES.iter().map(move |&byte| with(at, 1, &[byte]));
        let inserted = BYTES.iter().map(move |&byte| with(at, 0, &[byte]));
        let other_case = with(at, 1, &[seed[at] ^ 0x20]);
        replaced.chain(inserted).chain([with(at, 1, &[]), other_case, seed[..at].to_vec()])
    };
    (0..seed.len()).flat_map(each).chain([seed.to_vec()])
}

fn check(limits: Limits) {
    let config = Arc::new(Config::default().limits(limits));
    let (mut inputs, mut accepted) = (0, 0);
    for seed in SEEDS {
        for input in edits(seed.as_bytes()) {
            inputs += 1;
            accepted += usize::from(compare(&config, &input));
        }
    }
    assert!(inputs > 30_000 && accepted > inputs / 10, "{accepted} of {inputs}");
}

#[test]
fn an_edited_head_is_read_in_one_way() {
    check(Limits::default());
}

#[test]
fn an_edited_head_near_a_limit_is_read_in_one_way() {
    check(Limits::default().target(20).method(7).field_line(40).fields_size(60).fields(3));
}
