//! Generated request heads with the variables that the core makes of them.
//!
//! Knows what clients send, also unusual ones. `test_environ.py` sends the heads and compares.

use std::fmt::Write;
use std::net::SocketAddr;

use wsgi_proto::{Config, Endpoints, Head, Limits, Variables};

/// The ports in the variables; those of the test's connection take their place.
const REMOTE: &str = "127.0.0.1:1";
const LOCAL: &str = "127.0.0.1:2";

const NAMES: &[&str] = &[
    "Accept",
    "accept-language",
    "ACCEPT-ENCODING",
    "User-Agent",
    "Cookie",
    "cookie",
    "Referer",
    "Content-Type",
    "content-type",
    "X-Forwarded-For",
    "x-forwarded-for",
    "Cache-Control",
    "Origin",
    "Proxy",
    "If-None-Match",
    "DNT",
    "Sec-Fetch-Site",
    "X_Under_Score",
    "X-A",
    "x-a",
    "X-B",
    "Authorization",
    "!#$%&'*+.^`|~",
    "1",
    "Range",
    "Via",
];

const PATHS: &[&str] = &[
    "/",
    "/a",
    "/a/b/c.html",
    "/%20",
    "/a%2Fb%2f",
    "/%C3%A9",
    "/%e9%zz%",
    "/a;b=c",
    "//double",
    "/%00",
    "/~x",
    "/a+b",
    "*",
    "http://other.example",
    "http://other.example/x",
    "HTTP://[::1]:80/y",
];

const QUERIES: &[&str] = &["", "", "?", "?a=b", "?a=b&c=%20d", "??", "?a/b?c", "?%E9=%"];

/// One JSON object per line: `head` and `body` to send, and the `variables`.
pub(crate) fn lines(count: usize) -> String {
    let mut choices = Choices(12);
    let (mut text, mut found) = (String::new(), 0);
    while found < count {
        let (head, body) = request(&mut choices);
        let Ok(parsed) = Head::parse(&head, &Limits::default()) else { continue };
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address").into();
        let endpoints = Endpoints::new(address(REMOTE), address(LOCAL));
        let config = Config::default();
        let _ = write!(text, "{{\"head\": ");
        string(&latin1(&head), &mut text);
        text.push_str(", \"body\": ");
        string(body, &mut text);
        text.push_str(", \"variables\": {");
        for (number, (name, value)) in Variables::new(&parsed, &endpoints, &config).iter().enumerate() {
            text.push_str(if number > 0 { ", " } else { "" });
            string(&name, &mut text);
            text.push_str(": ");
            string(&value, &mut text);
        }
        text.push_str("}}\n");
        found += 1;
    }
    text
}

/// A head after which the connection stays open, and its body.
fn request(choices: &mut Choices) -> (Vec<u8>, &'static str) {
    let (framing, body) = [
        ("", ""),
        ("Content-Length: 0\r\n", ""),
        ("content-length: 3\r\n", "abc"),
        ("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
    ][choices.below(4)];
    let method =
        if body.is_empty() { choices.of(&["GET", "GET", "DELETE", "OPTIONS", "get"]) } else { "POST" };
    let mut head = format!("{method} {}{} HTTP/1.1\r\n", choices.of(PATHS), choices.of(QUERIES)).into_bytes();
    let mut fields = vec![b"Host: example.org:8000\r\n".to_vec(), framing.as_bytes().to_vec()];
    let most = if choices.below(20) == 0 { 60 } else { 12 };
    for _ in 0..choices.below(most) {
        fields.push([choices.of(NAMES).as_bytes(), b":", &value(choices), b"\r\n"].concat());
    }
    while !fields.is_empty() {
        let at = choices.below(fields.len());
        head.extend(fields.swap_remove(at));
    }
    head.extend(b"\r\n");
    (head, body)
}

fn value(choices: &mut Choices) -> Vec<u8> {
    let length = choices.below(12);
    let byte = |choices: &mut Choices| match choices.below(8) {
        0 => 0x80 + choices.below(0x80) as u8,
        1 => b" \t,;="[choices.below(5)],
        _ => b'!' + choices.below(94) as u8,
    };
    (0..length).map(|_| byte(choices)).collect()
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

fn string(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            ' '..='~' => out.push(character),
            _ => _ = write!(out, "\\u{:04x}", u32::from(character)),
        }
    }
    out.push('"');
}

/// Numbers from a seed: SplitMix64.
struct Choices(u64);

impl Choices {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) as usize % bound
    }

    fn of<'i>(&mut self, items: &[&'i str]) -> &'i str {
        items[self.below(items.len())]
    }
}
