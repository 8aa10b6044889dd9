//! `100 Continue`: lazy, with headers, several times, not at all.

use wsgi_tokio::{Body, Environ, Result, StartResponse, application_fn};

use super::talk::{END, PLAIN, converse};

/// Refuses large bodies unread, and reads smaller ones.
async fn choosy(environ: Environ, start_response: StartResponse) -> Result<Body> {
    let length: u64 = environ.get("CONTENT_LENGTH").unwrap_or_default().parse()?;
    if length > 1024 {
        start_response.start("417 Expectation Failed", [("Content-Length", "7")])?;
        return Ok("failure".into());
    }
    let body = environ.input().read_to_end().await?;
    start_response.start("200 OK", [("Content-Length", body.len().to_string())])?;
    Ok(body.into())
}

fn put(length: usize, expectation: &str) -> String {
    format!("PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\nExpect: {expectation}\r\n\r\n")
}

#[test]
pub(crate) fn test_024_expect_100_continue() {
    let refused = ["HTTP/1.1 417 Expectation Failed\r\n", "Connection: close", "\r\n\r\nfailure"];
    converse(choosy, &[(&put(1025, "100-continue"), &refused), ("", END)]);
    for expectation in ["100-continue", "100-Continue"] {
        let turns: [(&str, &[&str]); 3] = [
            (&put(7, expectation), &["HTTP/1.1 100 Continue"]),
            ("testing", &["HTTP/1.1 200 OK", "\r\n\r\ntesting"]),
            // The connection stays open.
            ("PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nab", &["200 OK", "\r\n\r\nab"]),
        ];
        converse(choosy, &turns);
    }
}

#[test]
pub(crate) fn test_024a_expect_100_continue_with_headers() {
    let application = |environ: Environ, start: StartResponse| async move {
        let headers = [("Hundred-Continue-Header-1", "H1"), ("Hundred-Continue-Header-k", "Hk")];
        environ.input().set_hundred_continue_response_headers(headers)?;
        choosy(environ, start).await
    };
    let hinted =
        ["HTTP/1.1 100 Continue\r\nHundred-Continue-Header-1: H1\r\nHundred-Continue-Header-K: Hk\r\n\r\n"];
    for _ in 0..2 {
        converse(application, &[(&put(7, "100-continue"), &hinted), ("testing", &["200 OK", "testing"])]);
    }
    let refused = ["417 Expectation Failed", "!Hundred"];
    converse(application, &[(&put(1025, "100-continue"), &refused), ("", END)]);
}

/// Reads `size` bytes after a 100 with `H1`, and the remaining bytes after one with `H2`; answers with both.
async fn in_two_stages(environ: Environ, start_response: StartResponse, size: usize) -> Result<Body> {
    let input = environ.input();
    input.set_hundred_continue_response_headers([("Hundred-Continue-Header-1", "H1")])?;
    input.send_hundred_continue_response()?;
    let first = input.read(size).await?;
    input.set_hundred_continue_response_headers([("Hundred-Continue-Header-2", "H2")])?;
    input.send_hundred_continue_response()?;
    let second = input.read_to_end().await?;
    start_response.start("200 OK", PLAIN)?;
    Ok([&first[..], b"|", &second[..]].concat().into())
}

const FIRST: &[&str] = &["HTTP/1.1 100 Continue\r\nHundred-Continue-Header-1: H1\r\n\r\n", "!Header-2"];
const SECOND: &[&str] = &["HTTP/1.1 100 Continue\r\nHundred-Continue-Header-2: H2\r\n\r\n", "!Header-1"];

#[test]
pub(crate) fn test_024b_expect_100_continue_with_headers_multiple_chunked() {
    let head =
        "PUT / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n";
    let whole = |environ, start| in_two_stages(environ, start, usize::MAX);
    // The last chunk ends the body, whatever 100 follows; the next bytes would have to be a request, and are not one.
    converse(
        whole,
        &[
            (head, FIRST),
            ("a\r\n0123456789\r\n0\r\n\r\n", SECOND),
            ("", &["200 OK", "\r\n\r\n0123456789|"]),
            ("3\r\nabc\r\n0\r\n\r\n", &[" 400 "]),
            ("", END),
        ],
    );
    // Within the body both 100s are allowed.
    let parted = |environ, start| in_two_stages(environ, start, 10);
    converse(
        parted,
        &[
            (head, FIRST),
            ("a\r\n0123456789\r\n", SECOND),
            ("3\r\nabc\r\n0\r\n\r\n", &["\r\n\r\n0123456789|abc"]),
        ],
    );
}

#[test]
pub(crate) fn test_024c_expect_100_continue_with_headers_multiple_nonchunked() {
    let application = |environ, start| in_two_stages(environ, start, 4);
    converse(
        application,
        &[
            (&put(10, "100-continue"), FIRST),
            ("0123", SECOND),
            ("456789", &["200 OK", "\r\n\r\n0123|456789"]),
            ("PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nabcde", FIRST),
            ("", SECOND),
            ("", &["\r\n\r\nabcd|e"]),
        ],
    );
}

#[test]
pub(crate) fn test_024d_expect_100_continue_with_eager_app_chunked() {
    let eager = application_fn(|environ, start| async move {
        let write = start.start("202 Accepted", PLAIN)?;
        write.write("thanks").await?;
        let body = environ.input().read_to_end().await?;
        Ok(body.into())
    });
    let post = "PUT / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n\
                a\r\n0123456789\r\n0\r\n\r\n";
    let answer = ["HTTP/1.1 202 Accepted", "!100 Continue", "\r\n\r\nthanks0123456789"];
    converse(eager, &[(post, &answer), (post, &answer)]);
}
