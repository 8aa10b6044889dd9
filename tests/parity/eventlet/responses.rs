//! Responses: their framing, their heads, and the answer to a failed application.

use std::io::Read;

use socket2::{Domain, SockRef, Socket, Type};
use tokio::net::TcpListener;
use wsgi_tests::echo::stream::ready_blocks;
use wsgi_tests::live::{Kind, PATIENCE, Site, Threads};
use wsgi_tokio::{Body, Bytes, Environ, Server, StartError, StartResponse, application_fn};

use super::talk::{END, PLAIN, converse, converse_with, quiet, until_end};

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const GET_LAST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const GET_OLD_KEPT: &str = "GET / HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n";

/// A body of unknown length with these blocks.
fn blocks(blocks: &'static [&'static str]) -> impl wsgi_tokio::Application {
    application_fn(move |_, start| async move {
        start.start("200 OK", PLAIN)?;
        Ok(Body::iterator(blocks.iter().map(|block| Ok(Bytes::from_static(block.as_bytes())))))
    })
}

#[test]
pub(crate) fn test_009_chunked_response() {
    let text = until_end(&Site::new(blocks(&["this", "is", "chunked"])), GET_LAST);
    assert!(text.contains("\r\nTransfer-Encoding: chunked\r\n"), "{text}");
    assert!(text.ends_with("\r\n\r\n4\r\nthis\r\n2\r\nis\r\n7\r\nchunked\r\n0\r\n\r\n"), "{text}");
}

#[test]
pub(crate) fn test_010_no_chunked_http_1_0() {
    let text = until_end(
        &Site::new(blocks(&["this", "is", "chunked"])),
        "GET / HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    );
    assert!(!text.contains("Transfer-Encoding") && text.ends_with("\r\n\r\nthisischunked"), "{text}");
}

#[test]
pub(crate) fn test_011_multiple_chunks() {
    let application = application_fn(|_, start| async move {
        start.start("200 OK", PLAIN)?;
        Ok(Body::iterator((0..10).map(|_| Ok(Bytes::from(vec![b'x'; 8192])))))
    });
    let text = until_end(&Site::new(application), GET_LAST);
    assert!(text.contains("\r\nTransfer-Encoding: chunked\r\n"));
    assert_eq!(text.matches("2000\r\nxxx").count(), 10);
    assert!(text.ends_with("x\r\n0\r\n\r\n"));
}

/// A response far larger than the buffers of either side, so that no write succeeds as a whole.
#[test]
pub(crate) fn test_partial_writes_are_handled() {
    const LENGTH: usize = 512 * 1024;
    let site = Site::run(Threads::One, quiet(), || async {
        // Accepted sockets inherit the buffer sizes of their listener.
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        listener.set_send_buffer_size(1)?;
        listener.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
        listener.listen(16)?;
        listener.set_nonblocking(true)?;
        let application = application_fn(|_, start| async move {
            start.start("200 OK", [("Content-length", LENGTH.to_string())])?;
            Ok(ready_blocks((0..LENGTH / 1024).map(|index| Bytes::from(vec![index as u8; 1024]))))
        });
        Ok(Server::new(TcpListener::from_std(listener.into())?, application))
    });
    let client = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    SockRef::from(&client).set_recv_buffer_size(1).expect("a small buffer");
    client.connect_timeout(&site.address().into(), PATIENCE).expect("the server accepts");
    let mut client = wsgi_tests::caller::Caller::over(client.into());
    let answer = client.get("/");
    let expected: Vec<u8> = (0..LENGTH).map(|index| (index / 1024) as u8).collect();
    assert!(answer.body == expected, "{} bytes", answer.body.len());
}

#[test]
pub(crate) fn test_015_write() {
    let writing = application_fn(|environ, start| async move {
        let write = match &*environ.path() {
            "/a" => start.start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "9")])?,
            _ => start.start("200 OK", PLAIN)?,
        };
        write.write("testing").await?;
        write.write("ab").await?;
        Ok(Body::empty())
    });
    converse(
        writing,
        &[
            (&GET.replace("/ ", "/a "), &["Content-Length: 9", "!chunked", "\r\n\r\ntestingab"]),
            (&GET.replace("/ ", "/b "), &["Transfer-Encoding: chunked", "!Length", "\r\n\r\ntestingab"]),
        ],
    );
}

#[test]
pub(crate) fn test_016_repeated_content_length() {
    for name in ["Content-Length", "content-length"] {
        let application = application_fn(move |_, start| async move {
            start.start("200 OK", [(name, "7")])?;
            Ok("testing".into())
        });
        let text = until_end(&Site::new(application), GET_LAST);
        assert_eq!(text.to_ascii_lowercase().matches("content-length").count(), 1, "{text}");
    }
}

#[test]
pub(crate) fn test_close_chunked_with_1_0_client() {
    let text = until_end(&Site::new(blocks(&["hello", "!"])), GET_OLD_KEPT);
    assert!(text.contains("\r\nConnection: close\r\n") && text.ends_with("\r\n\r\nhello!"), "{text}");
}

#[test]
pub(crate) fn test_chunked_response_when_app_yields_empty_string() {
    let text = until_end(&Site::new(blocks(&["stuff", "", "", "more"])), GET_LAST);
    assert!(text.ends_with("\r\n\r\n5\r\nstuff\r\n4\r\nmore\r\n0\r\n\r\n"), "{text}");
}

#[test]
pub(crate) fn test_zero_length_chunked_response() {
    let text = until_end(&Site::new(blocks(&[""])), GET_LAST);
    assert!(text.contains("\r\nContent-Length: 0\r\n") && text.ends_with("\r\n\r\n"), "{text}");
    assert!(!text.contains("chunked"), "{text}");
}

#[test]
pub(crate) fn test_exceptions_close_connection() {
    let site = Site::new(application_fn(|_, start| async move {
        start.start("200 OK", PLAIN)?;
        Err("intentional crash".into())
    }));
    let mut client = site.connect();
    for (request, options) in [(GET, None), (GET, None), (GET_LAST, Some("close"))] {
        let wanted = ["HTTP/1.1 500 Internal Server Error\r\n", "Content-Length: 0", "!Transfer-Encoding"];
        let answer = super::talk::take(&mut client, (request, &wanted)).expect("an answer");
        assert_eq!(answer.field("Connection"), options);
    }
    assert!(client.ends());
    site.journal().error("intentional crash");
}

#[test]
pub(crate) fn test_unicode_with_only_ascii_characters_works() {
    let application = application_fn(|_, start| async move {
        start.start("200 OK", PLAIN)?;
        Ok(Body::blocks(["xxx", "yyy"]))
    });
    converse(application, &[(GET, &["200 OK", "Content-Length: 6", "\r\n\r\nxxxyyy"])]);
}

#[test]
pub(crate) fn test_unicode_with_nonascii_characters_raises_error() {
    let application = application_fn(|_, start| async move {
        start.start("200 OK", PLAIN)?;
        Ok("\u{4f60}\u{597d}".into())
    });
    converse(application, &[(GET, &["200 OK", "Content-Length: 6", "\r\n\r\n\u{4f60}\u{597d}"])]);
}

#[test]
pub(crate) fn test_debug() {
    let crashing = |environ: Environ, _: StartResponse| async move {
        if environ.path() == "/panic" {
            panic!("intentional panic");
        }
        Err::<Body, _>(wsgi_tokio::Error::from("intentional crash"))
    };
    let clean = ["500 Internal Server Error", "Content-Length: 0", "!intentional"];
    converse_with(quiet(), crashing, &[(GET, &clean), (GET_LAST, &clean), ("", END)]);
    let shown = ["500 Internal Server Error", "Content-Type: text/plain", "intentional crash"];
    converse_with(quiet().debug(true), crashing, &[(GET_LAST, &shown), ("", END)]);
    let placed = ["500 Internal Server Error", "intentional panic", file!()];
    converse_with(quiet().debug(true), crashing, &[(&GET_LAST.replace("/ ", "/panic "), &placed), ("", END)]);
}

#[test]
pub(crate) fn test_header_name_capitalization() {
    let application = application_fn(|environ, start| async move {
        match &*environ.path() {
            "/latin1" => {
                let refused =
                    start.start("200 OK", [(&b"wiTH-\xdf-LATIN1"[..], "chars")]).expect_err("no token");
                assert!(matches!(refused, StartError::FieldName(_)), "{refused}");
                start.start("200 oK", [("wiTH-LATIN1", &b"\xdf-\xff"[..])])?
            }
            _ => start.start("200 oK", [("sOMe-WEirD", "cAsE"), ("x-FOO_bar", "1")])?,
        };
        Ok(Body::empty())
    });
    converse(
        application,
        &[
            (GET, &["HTTP/1.1 200 oK\r\n", "\r\nSome-Weird: cAsE\r\n", "\r\nX-Foo_bar: 1\r\n"]),
            (&GET.replace("/ ", "/latin1 "), &["HTTP/1.1 200 oK\r\n", "\r\nWith-Latin1: "]),
        ],
    );
}

#[test]
pub(crate) fn test_disable_header_name_capitalization() {
    let application = application_fn(|_, start| async move {
        start.start("200 oK", [("sOMe-WEirD", "cAsE"), ("content-length", "0")])?;
        Ok(Body::empty())
    });
    let wanted = ["\r\nsOMe-WEirD: cAsE\r\n", "\r\ncontent-length: 0\r\n", "!Content-Length"];
    converse_with(quiet().capitalize_response_headers(false), application, &[(GET, &wanted)]);
}

#[test]
pub(crate) fn test_no_transfer_encoding_in_empty_response() {
    let application = application_fn(|environ, start| async move {
        let write = match &*environ.path() {
            "/304" => start.start("304 Not Modified", [("Etag", "\"x\"")])?,
            _ => start.start("204 No Content", PLAIN)?,
        };
        write.write("").await?;
        Ok(Body::empty())
    });
    let site = Site::new(application);
    let mut client = site.connect();
    for (path, version, connection, wanted) in [
        ("/204", "1.1", "", None),
        ("/304", "1.1", "", None),
        ("/204", "1.1", "Connection: keep-alive\r\n", Some("keep-alive")),
        ("/304", "1.0", "Connection: keep-alive\r\n", Some("keep-alive")),
        ("/204", "1.0", "", Some("close")),
    ] {
        client.send(format!("GET {path} HTTP/{version}\r\nHost: localhost\r\n{connection}\r\n"));
        let answer = client.answer();
        assert_eq!(answer.status.to_string(), path[1..]);
        assert_eq!(answer.field("Connection"), wanted, "{path} {version} {connection}");
        assert_eq!((answer.field("Content-Length"), answer.field("Transfer-Encoding")), (None, None));
    }
    assert!(client.ends());
}

#[test]
pub(crate) fn test_iterable_app_keeps_socket_open_unless_connection_close_sent() {
    let application = application_fn(|_, start| async move {
        start.start("200 OK", PLAIN)?;
        Ok(().into())
    });
    let empty = ["200 OK", "Content-Length: 0"];
    let site = Site::new(application);
    let mut client = site.connect();
    for (request, closes) in [(GET, false), (GET, false), (GET_LAST, true)] {
        let answer = super::talk::take(&mut client, (request, &empty)).expect("an answer");
        assert_eq!(answer.closes(), closes);
    }
    let mut rest = Vec::new();
    client.stream().read_to_end(&mut rest).expect("an end");
    assert_eq!(rest, b"");
    assert_eq!(site.journal().texts(Kind::Error), [""; 0]);
}
