//! The application of the example `hello_world`, and its responses to `curl`.

use wsgi_tests::live::Site;
use wsgi_tokio::{Body, Environ, Result, StartResponse};

async fn hello_world(_environ: Environ, start_response: StartResponse) -> Result<Body> {
    start_response.start("200 OK", [("Content-Type", "text/plain")])?;
    Ok("Hello, World!\r\n".into())
}

#[test]
fn the_application_is_that_of_the_example() {
    let function = |source: &str| {
        let begin = source.find("async fn hello_world").expect("it is there");
        let end = source[begin..].find("\n}\n").expect("it ends");
        source[begin..begin + end].to_owned()
    };
    let example = function(include_str!("../../wsgi-tokio/examples/hello_world.rs"));
    assert_eq!(function(include_str!("hello_world.rs")), example);
}

#[test]
fn two_requests_on_one_connection_are_answered_with_date_and_length() {
    let site = Site::new(hello_world);
    let mut client = site.connect();
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n");
        let answer = client.answer();
        assert!(answer.head.starts_with("HTTP/1.1 200 OK\r\n"), "{}", answer.head);
        assert_eq!(answer.text(), "Hello, World!\r\n");
        assert_eq!(answer.field("Content-Length"), Some("15"));
        assert_eq!(answer.field("Content-Type"), Some("text/plain"));
        assert_eq!((answer.field("Connection"), answer.field("Transfer-Encoding")), (None, None));
        // For example: Sun, 06 Nov 1994 08:49:37 GMT.
        let date = answer.field("Date").expect("RFC 9110, 6.6.1").to_owned();
        assert!(date.len() == 29 && date.ends_with(" GMT") && date.contains(" 20"), "{date}");
    }
    assert_eq!(site.handle().connections(), 1);
}

#[test]
fn over_http_1_0_each_request_closes() {
    let site = Site::new(hello_world);
    for _ in 0..2 {
        let mut client = site.connect();
        client.send("GET / HTTP/1.0\r\nHost: 127.0.0.1\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n");
        let answer = client.answer();
        assert_eq!((answer.status, answer.text().as_str()), (200, "Hello, World!\r\n"));
        assert_eq!(answer.field("Content-Length"), Some("15"));
        assert!(client.ends());
    }
}

#[test]
fn a_head_request_gets_the_same_head_and_no_body() {
    let site = Site::new(hello_world);
    let mut client = site.connect();
    client.send("HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let mut text = String::new();
    std::io::Read::read_to_string(&mut client.stream(), &mut text).expect("text");
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\n"), "{text}");
    assert!(text.contains("\r\nContent-Length: 15\r\n"), "{text}");
}
