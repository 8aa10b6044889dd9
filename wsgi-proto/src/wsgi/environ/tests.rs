//! Tests of the source of each variable, and of what overrides what.

use super::*;
use crate::config::Limits;
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;
use core::cell::Cell;
use core::net::SocketAddr;

std::thread_local! {
    /// The number of field names that were looked at.
    pub(super) static NAMES: Cell<usize> = const { Cell::new(0) };
}

const REMOTE: &str = "192.0.2.7:1234";

struct Request {
    head: Head,
    endpoints: Endpoints,
    config: Config,
}

impl Request {
    fn new(head: &[u8]) -> Self {
        let remote: SocketAddr = REMOTE.parse().unwrap();
        let local: SocketAddr = "[::1]:80".parse().unwrap();
        Self {
            head: Head::parse(head, &Limits::default()).unwrap(),
            endpoints: Endpoints::new(remote.into(), local.into()),
            config: Config::default(),
        }
    }

    fn with_fields(fields: &str) -> Self {
        Self::new(format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n").as_bytes())
    }

    fn configured(mut self, environ: &[(&str, &str)]) -> Self {
        self.config.environ =
            environ.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        self
    }

    fn variables(&self) -> Variables<'_> {
        Variables::new(&self.head, &self.endpoints, &self.config)
    }

    /// Returns a variable, and checks that all ways to read it agree.
    fn get(&self, name: &str) -> Option<String> {
        let value = self.variables().get(name).map(Cow::into_owned);
        let listed: Vec<_> = self.variables().iter().filter(|(listed, _)| listed == name).collect();
        assert!(listed.len() <= 1, "{name} is listed more than once");
        assert_eq!(listed.first().map(|(_, value)| value.as_ref()), value.as_deref(), "{name}");
        assert_eq!(self.variables().contains(name), value.is_some(), "{name}");
        value
    }

    #[track_caller]
    fn has(&self, name: &str, expected: impl Into<Option<&'static str>>) {
        assert_eq!(self.get(name).as_deref(), expected.into(), "{name}");
    }
}

#[test]
fn the_request_line_and_the_connection_make_variables() {
    let request =
        Request::new(b"PoST /a%2Fb?c=%20?d HTTP/1.0\r\nContent-Type: text/a\r\nContent-Length: 007\r\n\r\n");
    for (name, expected) in [
        ("REQUEST_METHOD", "PoST"),
        ("SCRIPT_NAME", ""),
        ("RAW_PATH_INFO", "/a%2Fb"),
        ("PATH_INFO", "/a/b"),
        ("QUERY_STRING", "c=%20?d"),
        ("CONTENT_TYPE", "text/a"),
        ("CONTENT_LENGTH", "007"),
        ("SERVER_PROTOCOL", "HTTP/1.0"),
        ("SERVER_NAME", "[::1]"),
        ("SERVER_PORT", "80"),
        ("REMOTE_ADDR", "192.0.2.7"),
        ("REMOTE_PORT", "1234"),
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("wsgi.url_scheme", "http"),
        ("wsgi.version", "1.0"),
        ("wsgi.input_terminated", "true"),
        ("wsgi.multithread", "true"),
        ("wsgi.multiprocess", "false"),
        ("wsgi.run_once", "false"),
    ] {
        request.has(name, expected);
    }
    assert_eq!(request.variables().iter().count(), 19);
}

#[test]
fn only_the_query_is_there_without_being_sent() {
    let request = Request::with_fields("");
    request.has("QUERY_STRING", "");
    for name in ["CONTENT_TYPE", "CONTENT_LENGTH", "HTTPS", "HTTP_X", "HTTP_", "X", "", "wsgi.input"] {
        request.has(name, None);
    }
    request.has("SERVER_PROTOCOL", "HTTP/1.1");
}

#[test]
fn transports_without_addresses_are_called_unix() {
    let mut request = Request::with_fields("");
    request.endpoints = Endpoints::new(Address::Local, Address::Local);
    for (name, expected) in
        [("SERVER_NAME", "unix"), ("SERVER_PORT", ""), ("REMOTE_ADDR", "unix"), ("REMOTE_PORT", "")]
    {
        request.has(name, expected);
    }
    let request =
        request.configured(&[("SERVER_NAME", "a.example"), ("SERVER_PORT", "80"), ("REMOTE_ADDR", "x")]);
    request.has("SERVER_NAME", "a.example");
    request.has("SERVER_PORT", "80");
    request.has("REMOTE_ADDR", "unix");
}

#[test]
fn only_an_ipv6_address_of_the_server_is_in_brackets() {
    let mut request = Request::with_fields("");
    for (address, host) in [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8::7", "[2001:db8::7]"),
        ("::", "[::]"),
        ("::ffff:192.0.2.7", "[::ffff:192.0.2.7]"),
    ] {
        let endpoint = Address::Ip(SocketAddr::new(address.parse().unwrap(), 80));
        request.endpoints = Endpoints::new(endpoint, endpoint);
        request.has("SERVER_NAME", host);
        request.has("REMOTE_ADDR", address);
    }
}

#[test]
fn tls_is_shown_by_two_variables() {
    let mut request = Request::with_fields("");
    request.endpoints.scheme = Scheme::Https;
    request.has("wsgi.url_scheme", "https");
    request.has("HTTPS", "on");
}

#[test]
fn fields_become_variables() {
    let request = Request::with_fields(
        "x-lower: 1\r\nX-UPPER-A: 2\r\nX.Y: 3\r\nAccept: a\r\nCookie: a=1\r\nACCEPT:  b, c \r\ncookie: b=2\r\n\
         accept: \r\nX-lower: 4\r\n",
    );
    for (name, expected) in [
        ("HTTP_HOST", "h"),
        ("HTTP_X_LOWER", "1,4"),
        ("HTTP_X_UPPER_A", "2"),
        ("HTTP_X.Y", "3"),
        ("HTTP_ACCEPT", "a,b, c,"),
        ("HTTP_COOKIE", "a=1; b=2"),
    ] {
        request.has(name, expected);
    }
    for name in ["HTTP_X-UPPER-A", "HTTP_x_lower", "http_accept", "ACCEPT", "HTTP_ACCEP", "HTTP_ACCEPTS"] {
        request.has(name, None);
    }
}

#[test]
fn some_fields_are_not_variables() {
    let request = Request::with_fields(
        "X_Under: 1\r\nX-Half_Under: 2\r\nPROXY: evil\r\nContent-Type: a\r\ncontent-type: b\r\nContent-Length: 0\r\n\
         X-Kept: 3\r\nX_Kept: 4\r\n",
    );
    for name in
        ["HTTP_X_UNDER", "HTTP_X_HALF_UNDER", "HTTP_PROXY", "HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"]
    {
        request.has(name, None);
    }
    request.has("CONTENT_TYPE", "a");
    request.has("HTTP_X_KEPT", "3");
    assert!(request.variables().iter().all(|(_, value)| value != "evil"));
}

#[test]
fn the_authority_of_an_absolute_target_is_the_host() {
    let request = Request::new(b"GET http://a.example:81/p HTTP/1.1\r\nHost: b.example\r\n\r\n");
    request.has("HTTP_HOST", "a.example:81");
    request.has("PATH_INFO", "/p");
    Request::new(b"GET http://a.example?q HTTP/1.0\r\n\r\n").has("HTTP_HOST", "a.example");
    Request::new(b"GET / HTTP/1.0\r\n\r\n").has("HTTP_HOST", None);
    Request::new(b"GET / HTTP/1.0\r\n\r\n").configured(&[("HTTP_HOST", "c")]).has("HTTP_HOST", "c");
}

#[test]
fn the_configuration_overrides_assumptions_and_not_the_request() {
    let everything: Vec<(&str, &str)> = FIXED
        .into_iter()
        .map(|(name, _)| name)
        .chain(["HTTP_X", "HTTP_Y", "HTTP_HOST", "HTTP_PROXY", "any"])
        .map(|name| (name, "c"))
        .collect();
    let request = Request::with_fields("X: 1\r\nProxy: evil\r\n").configured(&everything);
    for (name, expected) in [
        ("REQUEST_METHOD", "GET"),
        ("SCRIPT_NAME", ""),
        ("RAW_PATH_INFO", "/"),
        ("PATH_INFO", "/"),
        ("QUERY_STRING", "c"),
        ("CONTENT_TYPE", "c"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("SERVER_NAME", "[::1]"),
        ("SERVER_PORT", "80"),
        ("REMOTE_ADDR", "192.0.2.7"),
        ("REMOTE_PORT", "1234"),
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("wsgi.url_scheme", "c"),
        ("HTTPS", "c"),
        ("wsgi.version", "c"),
        ("wsgi.input_terminated", "c"),
        ("wsgi.multithread", "c"),
        ("wsgi.multiprocess", "c"),
        ("wsgi.run_once", "c"),
        ("HTTP_X", "1"),
        ("HTTP_Y", "c"),
        ("HTTP_HOST", "h"),
        ("HTTP_PROXY", "c"),
        ("any", "c"),
    ] {
        request.has(name, expected);
    }
    request.has("CONTENT_LENGTH", None);

    let request = Request::new(b"GET /?q HTTP/1.0\r\nContent-Type: t\r\n\r\n").configured(&everything);
    request.has("QUERY_STRING", "q");
    request.has("CONTENT_TYPE", "t");
    Request::new(b"GET /? HTTP/1.0\r\n\r\n").configured(&everything).has("QUERY_STRING", "");
}

#[test]
fn the_last_of_equal_configured_names_counts() {
    let request = Request::with_fields("").configured(&[
        ("a", "1"),
        ("e", ""),
        ("b", "2"),
        ("a", "3"),
        ("e", ""),
        ("HTTPS", "4"),
    ]);
    request.has("a", "3");
    request.has("e", "");
    request.has("HTTPS", "4");
    let names: Vec<_> = request.variables().iter().map(|(name, _)| name).skip(FIXED.len() - 2).collect();
    assert_eq!(names, ["HTTP_HOST", "b", "a", "e"]);
}

#[test]
fn every_variable_is_listed_once_in_a_stable_order() {
    let request = Request::with_fields("B: 1\r\nA: 2\r\nb: 3\r\nContent-Type: t\r\nA_B: x\r\nA-B: 4\r\n")
        .configured(&[("HTTP_B", "c"), ("HTTP_C", "c"), ("SCRIPT_NAME", "c"), ("z", "c"), ("a", "c")]);
    let listed: Vec<_> = request.variables().iter().collect();
    let unique: BTreeMap<_, _> = listed.iter().cloned().collect();
    assert_eq!(unique.len(), listed.len());
    for (name, value) in &listed {
        assert_eq!(request.variables().get(name).as_ref(), Some(value), "{name}");
    }
    let names: Vec<_> = listed.iter().map(|(name, _)| name.as_ref()).collect();
    let own =
        FIXED.into_iter().map(|(name, _)| name).filter(|name| !["CONTENT_LENGTH", "HTTPS"].contains(name));
    let expected: Vec<_> =
        own.chain(["HTTP_HOST", "HTTP_B", "HTTP_A", "HTTP_A_B", "HTTP_C", "z", "a"]).collect();
    assert_eq!(names, expected);
}

#[test]
fn bytes_become_the_characters_of_the_same_number() {
    let request =
        Request::new(b"GET /%c3%a9?%c3%bf HTTP/1.1\r\nHost: h\r\nX: caf\xc3\xa9\r\nX: \x80\r\n\r\n");
    request.has("PATH_INFO", "/Ã©");
    request.has("RAW_PATH_INFO", "/%c3%a9");
    request.has("QUERY_STRING", "%c3%bf");
    request.has("HTTP_X", "cafÃ©,\u{80}");
}

#[test]
fn ascii_is_borrowed() {
    let request = Request::with_fields("X: 1\r\n");
    for name in ["REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "SERVER_PROTOCOL", "HTTP_HOST", "HTTP_X"] {
        assert!(matches!(request.variables().get(name), Some(Cow::Borrowed(_))), "{name}");
    }
}

#[test]
fn the_time_to_list_all_variables_is_nearly_proportional_to_the_number_of_fields() {
    /// Lists the variables of `count` fields with `names` different names. Returns the names looked at.
    fn looked_at(count: usize, names: usize) -> usize {
        let fields: String = (0..count).map(|at| format!("X-{}: {at}\r\n", at % names)).collect();
        let limits = Limits::default().fields(count + 1).fields_size(1 << 24);
        let head = format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        let head = Head::parse(head.as_bytes(), &limits).unwrap();
        let request = Request { head, ..Request::with_fields("") };
        NAMES.set(0);
        let listed: Vec<_> =
            request.variables().iter().filter(|(name, _)| name.starts_with("HTTP_X_")).collect();
        let looked_at = NAMES.get();
        assert_eq!(listed.len(), names);
        for (at, (name, value)) in listed.iter().enumerate() {
            let values: Vec<_> = (at..count).step_by(names).map(|value| format!("{value}")).collect();
            assert_eq!((name.as_ref(), value.as_ref()), (&*format!("HTTP_X_{at}"), &*values.join(",")));
        }
        looked_at
    }
    for names in [1, 10, 1000] {
        let (few, many) = (looked_at(1000, names), looked_at(10_000, names));
        assert!(many < 20 * few, "{few} names of 1,000 fields, {many} of 10,000 ({names} different ones)");
    }
    assert!(looked_at(10_000, 10_000) < 100 * 10_000);
}

#[test]
fn each_variable_is_visited_as_it_is_listed() {
    let repeated =
        "X-A: 1\r\nCookie: a=b\r\nx-a: 2\r\nX_A: 3\r\nProxy: p\r\ncookie: c=d\r\nX-B: \u{e9}\r\nX-A:\r\n";
    let many: String = (0..40).map(|number| format!("X-{}: {number}\r\n", number % 13)).collect();
    // Names of the same key, repeated ones among them.
    let similar: String =
        (0..26_u8).map(|at| format!("X-{}-Same: {at}\r\n", char::from(b'a' + at % 20))).collect();
    let long = format!("{}: 1\r\n{0}: 2\r\nX-Z: 3\r\n", "Long-Name".repeat(20));
    let usual = "user-agent: a\r\nACCEPT: b\r\ncontent-type: c\r\nContent-Length: 0\r\nCONTENT-TYPE: d\r\n\
                 accept: e\r\nAccept_: f\r\nTE: g\r\nDNT: 1\r\nA: h\r\na: i\r\nte: j\r\n";
    let cases = ["", "Accept: */*\r\n", "Z:\r\n", repeated, &similar, &long, usual, &many];
    for fields in cases.into_iter().map(str::to_owned).chain([many.clone() + repeated]) {
        for target in ["/", "/a?b", "/a%20%c3%a9?%c3", "http://x.example", "http://x.example/%41?"] {
            for remote in ["192.0.2.7:1234", "[2001:db8::7]:80", ""] {
                let head = format!("GET {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
                let mut request = Request::new(head.as_bytes());
                let address = remote.parse().map_or(Address::Local, Address::Ip);
                request.endpoints = Endpoints::new(address, address);
                request.config = request.config.environ("HTTP_X_A", "configured").environ("OTHER", "1");
                check_visits(&request);
            }
        }
    }
}

/// Checks that the variables visited are those listed, and those that are found by name.
fn check_visits(request: &Request) {
    let mut visited = Vec::new();
    request.variables().for_each(|name, value| visited.push((name.to_owned(), value.to_owned())));
    let listed: Vec<_> =
        request.variables().iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    assert_eq!(visited, listed, "{}", request.head.bytes.escape_ascii());
    assert!(visited.len() >= 19);
    for (name, value) in &visited {
        assert_eq!(request.variables().get(name).as_deref(), Some(&**value), "{name}");
    }
}
