//! Requests: which are served, which are refused, how long the connection lasts, and what the application receives.

use std::time::Duration;

use wsgi_tests::live::{Kind, Site};
use wsgi_tokio::{Body, Environ, Result, StartResponse, application_fn};

use super::talk::{END, PLAIN, converse, converse_with, echo, hello, quiet, showing, until_end};

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const GET_OLD: &str = "GET / HTTP/1.0\r\nHost: localhost\r\n\r\n";
const GET_OLD_KEPT: &str = "GET / HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n";

#[test]
pub(crate) fn test_001_server() {
    let text = until_end(&Site::new(hello), GET_OLD);
    assert!(text.starts_with("HTTP") && text.ends_with("hello world"), "{text}");
}

#[test]
pub(crate) fn test_002_keepalive() {
    converse(hello, &[(GET, &["200 OK", "hello world"]), (GET, &["200 OK", "!Connection"])]);
}

#[test]
pub(crate) fn test_004_close_keepalive() {
    let last = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    converse(hello, &[(GET, &["200 OK", "!close"]), (last, &["200 OK", "Connection: close"]), ("", END)]);
}

#[test]
pub(crate) fn test_006_reject_long_urls() {
    let request = format!("GET /{}/hello HTTP/1.0\r\nHost: localhost\r\n\r\n", "path".repeat(3750));
    converse(hello, &[(&request, &[" 414 ", "Connection: close"]), ("", END)]);
}

#[test]
pub(crate) fn test_007_get_arg() {
    let post = "POST / HTTP/1.0\r\nHost: localhost\r\nContent-Length: 3\r\n\r\na=a01234567890123456789";
    let text = until_end(&Site::new(echo), post);
    assert!(text.ends_with("\r\n\r\na=a"), "{text}");
}

#[test]
pub(crate) fn test_008_correctresponse() {
    let application = application_fn(|environ, start| async move {
        let status = if environ.path() == "/notexist" { "404 Not Found" } else { "200 OK" };
        start.start(status, PLAIN)?;
        Ok("hello world".into())
    });
    let other = "GET /notexist HTTP/1.1\r\nHost: localhost\r\n\r\n";
    converse(application, &[(GET, &[" 200 OK"]), (other, &[" 404 Not Found"]), (GET, &[" 200 OK"])]);
}

#[test]
pub(crate) fn test_018_http_10_keepalive() {
    let kept = ["200 OK", "Connection: keep-alive"];
    converse(hello, &[(GET_OLD_KEPT, &kept), (GET_OLD_KEPT, &kept), (GET_OLD, &["Connection: close"])]);
}

#[test]
pub(crate) fn test_018b_http_10_keepalive_framing() {
    let put = |path: &str, version: &str, more: &str| {
        format!(
            "PUT {path} HTTP/{version}\r\nHost: localhost\r\nConnection: keep-alive\r\nContent-Length: 23\r\n{more}\r\n\
             GET /tricksy HTTP/1.1\r\n"
        )
    };
    let never_reads = showing(&["PATH_INFO"]);
    converse(
        never_reads,
        &[
            (&put("/1", "1.0", ""), &["PATH_INFO=Some(\"/1\")", "Connection: keep-alive"]),
            (&put("/2", "1.0", "Expect: 100-continue\r\n"), &["(\"/2\")", "Connection: keep-alive"]),
            (&put("/3", "1.1", "Expect: 100-continue\r\n"), &["(\"/3\")", "Connection: close"]),
            ("", END),
        ],
    );
}

#[test]
pub(crate) fn test_021_environ_clobbering() {
    let clobbering = application_fn(|environ, start| async move {
        for name in ["wsgi.input", "REQUEST_METHOD", "SERVER_PROTOCOL", "CONTENT_LENGTH", "HTTP_CONNECTION"] {
            environ.remove(name);
            assert_eq!(environ.get(name), None);
        }
        environ.set("PATH_INFO", "clobbered");
        start.start("200 OK", PLAIN)?;
        Ok(environ.get("PATH_INFO").unwrap_or_default().into())
    });
    let request = "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc";
    let site = Site::new(clobbering);
    let mut client = site.connect();
    for _ in 0..2 {
        client.send(request);
        assert_eq!(client.answer().text(), "clobbered");
    }
    let records = site.journal().accesses(2);
    assert!(records.iter().all(|record| record.head.as_ref().is_some_and(|head| head.path() == b"/a")));
}

#[test]
pub(crate) fn test_023_bad_content_length() {
    for value in ["argh", "", "   ", "-10"] {
        let request = format!("POST / HTTP/1.0\r\nHost: localhost\r\nContent-Length:{value}\r\n\r\nabc");
        converse(echo, &[(&request, &[" 400 Bad Request", "Connection: close"]), ("", END)]);
    }
}

#[test]
pub(crate) fn test_026_http_10_nokeepalive() {
    let off = [(GET_OLD_KEPT, &["200 OK", "Connection: close"][..]), ("", END)];
    converse_with(quiet().keepalive(false), hello, &off);
    converse_with(quiet().keepalive(false), hello, &[(GET, &["200 OK", "Connection: close"]), ("", END)]);
}

#[test]
pub(crate) fn test_026b_http_10_zero_keepalive() {
    let off = [(GET_OLD_KEPT, &["200 OK", "Connection: close"][..]), ("", END)];
    converse_with(quiet().keepalive(Duration::ZERO), hello, &off);
}

#[test]
pub(crate) fn test_030_reject_long_header_lines() {
    let request = format!("GET / HTTP/1.0\r\nHost: localhost\r\nLong: {}\r\n\r\n", "a".repeat(10_000));
    converse(
        hello,
        &[(&request, &["HTTP/1.1 431 Request Header Fields Too Large", "limit: 8192 bytes"]), ("", END)],
    );
}

#[test]
pub(crate) fn test_031_reject_large_headers() {
    let fields: String = (0..70).map(|index| format!("H{index}: {}\r\n", "a".repeat(2000))).collect();
    let request = format!("GET / HTTP/1.0\r\nHost: localhost\r\n{fields}\r\n");
    converse(
        hello,
        &[(&request, &["HTTP/1.1 431 Request Header Fields Too Large", "limit: 65536 bytes"]), ("", END)],
    );
}

#[test]
pub(crate) fn test_configurable_url_length_limit() {
    let request = format!("GET /{}/hello HTTP/1.0\r\nHost: localhost\r\n\r\n", "path".repeat(3750));
    converse_with(quiet().url_length_limit(20_000), hello, &[(&request, &["200 OK"])]);
}

#[test]
pub(crate) fn test_path_info_decoding() {
    let request = "GET /a*b@%40%233?x=%40 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let names = &["PATH_INFO", "RAW_PATH_INFO", "QUERY_STRING"];
    let wanted = [
        "\nPATH_INFO=Some(\"/a*b@@#3\")",
        "RAW_PATH_INFO=Some(\"/a*b@%40%233\")",
        "QUERY_STRING=Some(\"x=%40\")",
    ];
    converse(showing(names), &[(request, &wanted)]);
}

#[test]
pub(crate) fn test_path_info_latin1() {
    let request = "GET /%E4%BD%A0 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    converse(
        showing(&["PATH_INFO"]),
        &[(request, &[&format!("PATH_INFO={:?}", Some("/\u{e4}\u{bd}\u{a0}"))])],
    );
}

/// Answers with the fields exactly as sent.
async fn raw_fields(environ: Environ, start_response: StartResponse) -> Result<Body> {
    start_response.start("200 OK", PLAIN)?;
    let fields = environ.head().fields();
    let lines: Vec<_> = fields.map(|(name, value)| format!("{name}={}\n", value.escape_ascii())).collect();
    Ok(lines.concat().into())
}

const MIXED_FIELDS: &str =
    "GET / HTTP/1.0\r\nHost: localhost\r\npath: foo\r\nx-ANY_k: one\r\nX-y: 1\r\nx-Y: 2\r\n\r\n";

#[test]
pub(crate) fn test_headers_raw() {
    converse(raw_fields, &[(MIXED_FIELDS, &["\nHost=localhost\npath=foo\nx-ANY_k=one\nX-y=1\nx-Y=2\n"])]);
}

#[test]
pub(crate) fn test_env_headers() {
    let names = &["HTTP_HOST", "HTTP_PATH", "HTTP_X_ANY_K", "HTTP_X_Y"];
    let wanted = [
        "HTTP_HOST=Some(\"localhost\")",
        "HTTP_PATH=Some(\"foo\")",
        "HTTP_X_ANY_K=None",
        "HTTP_X_Y=Some(\"1,2\")",
    ];
    converse(showing(names), &[(MIXED_FIELDS, &wanted)]);
}

#[test]
pub(crate) fn test_env_header_stripping() {
    let site = Site::new(showing(&["HTTP_SPACES", "HTTP_TABS", "HTTP_NBSP", "HTTP_LATIN1"]));
    let text = until_end(
        &site,
        b"GET / HTTP/1.0\r\nHost: localhost\r\nSpaces:   ab c \r\nTabs:\tx\ty\t\r\nNbsp: \xa0z\xa0 \r\n\
          Latin1: \xdf\xff\r\n\r\n",
    );
    for (name, value) in
        [("SPACES", "ab c"), ("TABS", "x\ty"), ("NBSP", "\u{a0}z\u{a0}"), ("LATIN1", "\u{df}\u{ff}")]
    {
        assert!(text.contains(&format!("HTTP_{name}={:?}", Some(value))), "{name}: {text}");
    }
}

const TWO_LENGTHS: &str = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\
                           Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n";

#[test]
pub(crate) fn test_rfc9112_reject_bad_request() {
    let smuggled = format!("{TWO_LENGTHS}{GET}");
    converse(
        hello,
        &[(&smuggled, &[" 400 Bad Request", "Connection: close", "together are not allowed"]), ("", END)],
    );
}

#[test]
pub(crate) fn test_rfc9112_content_length_and_transfer_encoding_escape_hatch() {
    for coding in ["chunked", "Chunked", "identity", "gzip"] {
        let site = Site::new(hello);
        let text = until_end(&site, TWO_LENGTHS.replace("chunked", coding));
        assert!(text.starts_with("HTTP/1.1 400 ") || text.starts_with("HTTP/1.1 501 "), "{coding}: {text}");
        assert_eq!(site.journal().texts(Kind::Error), [""; 0]);
    }
}

#[test]
pub(crate) fn test_no_content_length_or_transfer_encoding() {
    let application = application_fn(|environ, start| async move {
        let body = environ.input().read(1024).await?;
        start.start("200 OK", PLAIN)?;
        Ok(format!("read {}", body.len()).into())
    });
    let post = "POST / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    converse(application, &[(post, &["200 OK", "read 0", "!Connection"]), (post, &["200 OK", "read 0"])]);
}
