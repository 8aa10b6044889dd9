//! Request bodies: with a length, chunked, read in lines, and cut off.

use wsgi_tests::live::Site;
use wsgi_tokio::{Body, Environ, InputError, Result, StartResponse, application_fn};
use wsgi_tokio::{BodyError, RequestError};

use super::talk::{PLAIN, converse, echo, has};

/// Reads in the way that the path selects, and answers with the data, separated by `|`.
async fn reading(environ: Environ, start_response: StartResponse) -> Result<Body> {
    let (input, mut parts) = (environ.input(), Vec::new());
    match &*environ.path() {
        "/all" => parts.push(input.read_to_end().await?),
        "/lines" => {
            let mut lines = input.lines();
            while let Some(line) = lines.next().await? {
                parts.push(line);
            }
        }
        "/line" => loop {
            match input.read_line(usize::MAX).await? {
                line if line.is_empty() => break,
                line => parts.push(line),
            }
        },
        path => {
            // `/10` reads ten bytes once, `/10*` until the end.
            let size = path.trim_start_matches('/').trim_end_matches('*').parse()?;
            loop {
                let part = input.read(size).await?;
                let more = path.ends_with('*') && !part.is_empty();
                if !part.is_empty() {
                    parts.push(part);
                }
                if !more {
                    break;
                }
            }
        }
    }
    start_response.start("200 OK", PLAIN)?;
    Ok(parts.join(&b"|"[..]).into())
}

/// A chunked request, with one chunk per part.
fn chunked(path: &str, parts: &[&str]) -> String {
    let chunks: String = parts.iter().map(|part| format!("{:x}\r\n{part}\r\n", part.len())).collect();
    format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n")
}

/// Checks the answer of `reading`.
fn reads(request: &str, wanted: &str) {
    let next = chunked("/all", &["next"]);
    converse(reading, &[(request, &[&format!("\r\n\r\n{wanted}")]), (&next, &["\r\n\r\nnext"])]);
}

#[test]
pub(crate) fn test_014_chunked_post() {
    reads(&chunked("/all", &["oh", " hai"]), "oh hai");
    reads(&chunked("/4096*", &["oh", " hai"]), "oh hai");
    reads(&chunked("/1*", &["oh", " hai"]), "o|h| |h|a|i");
}

#[test]
pub(crate) fn test_027_keepalive_chunked() {
    converse(
        reading,
        &[
            (&chunked("/all", &["hello ", "world"]), &["\r\n\r\nhello world"]),
            (&chunked("/4096*", &["hello ", "world"]), &["\r\n\r\nhello world"]),
            (&chunked("/1*", &["oh"]), &["\r\n\r\no|h"]),
            (&chunked("/1", &["hello ", "world"]), &["\r\n\r\nh"]),
        ],
    );
}

#[test]
pub(crate) fn test_032_wsgi_input_as_iterable() {
    let (one, two) = ("a".repeat(999), "b".repeat(500));
    let post = format!("POST /lines HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1500\r\n\r\n{one}\n{two}");
    reads(&post, &format!("{one}\n|{two}"));
}

#[test]
pub(crate) fn test_short_read() {
    reads(&chunked("/10", &["this is ", "chunked\nline"]), "this is ch");
}

/// The field that is not allowed together with another one is not added; the test is about the unread body.
#[test]
pub(crate) fn test_short_read_with_content_length() {
    let post = "POST /10 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n";
    reads(&format!("{post}{}", "0123456789".repeat(100)), "0123456789");
}

#[test]
pub(crate) fn test_short_read_with_zero_content_length() {
    reads("POST /10 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", "");
    reads(&chunked("/10", &["this is chunked"]).replace("chunked\r\n\r\n", "Chunked\r\n\r\n"), "this is ch");
}

#[test]
pub(crate) fn test_dirt() {
    let clean = chunked("/all", &["this is ", "chunked"]);
    reads(&clean.replace("8\r\n", "8;  a = b ; c=\"d\"\r\n"), "this is chunked");
    converse(reading, &[(&clean.replace("8\r\n", "8; \0dirt\r\n"), &[" 400 ", "chunk extensions"])]);
}

const LINES: &[&str] = &["this is chunked\nline", "\nand ", "another one", "\nthe end"];

#[test]
pub(crate) fn test_chunked_readline() {
    converse(echo, &[(&chunked("/", LINES), &[&format!("\r\n\r\n{}", LINES.concat())])]);
}

#[test]
pub(crate) fn test_chunked_readline_from_input() {
    reads(&chunked("/line", LINES), "this is chunked\n|line\n|and another one\n|the end");
}

#[test]
pub(crate) fn test_chunked_readlines_from_input() {
    reads(&chunked("/lines", LINES), "this is chunked\n|line\n|and another one\n|the end");
}

/// The errors of an application whose client sends this and then closes its half.
fn aborted(sent: &str, error: RequestError) {
    let (tell, heard) = std::sync::mpsc::channel();
    let site = Site::new(application_fn(move |environ, start| {
        let tell = tell.clone();
        async move {
            let read = environ.input().read_to_end().await;
            let as_io = read.map_err(std::io::Error::from).map_err(|error| error.kind());
            let again = environ.input().read(1).await.expect_err("the error is permanent");
            tell.send((as_io.expect_err("it breaks off"), again)).expect("the test waits");
            start.start("200 OK", PLAIN)?;
            Ok("gave up".into())
        }
    }));
    let mut client = site.connect();
    client.send(format!("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{sent}"));
    client.half_close();
    // An application that continues is answered, and then the connection ends.
    has(&client.answer(), &["200 OK", "gave up", "Connection: close"]);
    assert!(client.ends());
    let kind = match error {
        RequestError::Incomplete => std::io::ErrorKind::UnexpectedEof,
        _ => std::io::ErrorKind::InvalidData,
    };
    let expected = (kind, InputError::Body(BodyError::Request(error)));
    assert_eq!(heard.recv().expect("the application has read"), expected);
}

#[test]
pub(crate) fn test_aborted_chunked_post() {
    aborted("10\r\n012345", RequestError::Incomplete);
}

#[test]
pub(crate) fn test_aborted_chunked_post_between_chunks() {
    aborted("2\r\n01\r\n", RequestError::Incomplete);
}

#[test]
pub(crate) fn test_aborted_chunked_post_bad_chunks() {
    aborted("2\r\n01\r\ncats\r\n", RequestError::ChunkSize);
}

#[test]
pub(crate) fn test_close_before_finished() {
    let site = Site::new(reading);
    let mut client = site.connect();
    let whole = chunked("/all", LINES);
    client.send(&whole[..whole.len() - "1\r\n\r\nthe end\r\n0\r\n\r\n".len()]);
    drop(client);
    site.journal().accesses(1);
    assert_eq!(site.connect().get("/all").status, 200);
}
