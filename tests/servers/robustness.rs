//! A server is not affected by a hostile client, a careless application or a broken log.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use wsgi_tests::caller::Caller;
use wsgi_tests::live::{Kind, NOT_HELD_UP, PATIENCE, SOON, Site, eventually};
use wsgi_tokio::{Body, Bytes, Options, Result, Server, application_fn};

const PLAIN: [(&str, &str); 1] = [("Content-Type", "text/plain")];

fn quiet() -> Options {
    Options::default().debug(false).log_output(false)
}

/// Reads up to the end of a head.
fn head_of(client: &mut Caller) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(client.bytes(1));
    }
    String::from_utf8(head).expect("a head is text")
}

#[test]
fn a_read_that_waits_in_another_task_ends_at_the_socket_timeout() {
    let options = quiet().socket_timeout(SOON);
    let application = application_fn(|environ, start| async move {
        let input = environ.input();
        let read = tokio::spawn(async move { input.read(10).await });
        let error = read.await?.expect_err("the body does not arrive");
        start.start("200 OK", PLAIN)?;
        Ok(Body::from(error.to_string()))
    });
    let site = Site::with(options, application);
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n");
    assert!(client.answer().text().ends_with("did not arrive in time"));
    eventually("the request is over", || site.handle().requests() == 0);
}

/// Blocks that are always ready.
struct Endless;

impl Stream for Endless {
    type Item = Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(Some(Ok(Bytes::from_static(b"block"))))
    }
}

#[test]
fn an_endless_body_is_not_asked_for_when_there_is_none() {
    let site = Site::new(application_fn(|_, start| async move {
        start.start("200 OK", PLAIN)?;
        Ok(Body::stream(Endless))
    }));
    let mut client = site.connect();
    client.send("HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let head = head_of(&mut client);
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert!(client.ends());
}

#[test]
fn headers_that_look_into_their_own_request_lock_nothing() {
    let site = Site::new(application_fn(|environ, start| async move {
        let input = environ.input();
        let looks = std::iter::once_with(|| ("X-Waits", input.should_send_hundred_continue().to_string()));
        start.start("200 OK", looks)?;
        Ok("fine".into())
    }));
    let answer = site.connect().get("/");
    assert_eq!((answer.field("X-Waits"), answer.text().as_str()), (Some("false"), "fine"));
}

#[test]
fn what_was_written_counts_in_the_length_of_a_joined_body() {
    let options = quiet().minimum_chunk_size(4096);
    let application = application_fn(|environ, start| async move {
        let write = start.start("200 OK", PLAIN)?;
        if environ.path() == "/write" {
            write.write("hello ").await?;
        }
        Ok("0123456789".into())
    });
    let site = Site::with(options, application);
    let mut client = site.connect();
    assert_eq!(client.get("/write").text(), "hello 0123456789");
    assert_eq!(client.get("/").text(), "0123456789");
}

#[test]
fn a_written_block_is_sent_though_blocks_are_joined() {
    let options = quiet().minimum_chunk_size(4096);
    let application = application_fn(|_, start| async move {
        let write = start.start("200 OK", PLAIN)?;
        write.write("event").await?;
        write.flush().await;
        poll_fn(|_| Poll::<Infallible>::Pending).await;
        Ok(Body::empty())
    });
    let site = Site::with(options, application);
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut seen = Vec::new();
    while !seen.ends_with(b"5\r\nevent\r\n") {
        seen.extend(client.bytes(1));
    }
}

#[test]
fn a_log_that_panics_takes_nothing_along() {
    let runtime = tokio::runtime::Runtime::new().expect("threads are available");
    let address = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let application = application_fn(|_, start| async move {
            start.start("200 OK", PLAIN)?;
            Ok("fine".into())
        });
        let server = Server::new(listener, application).log(|_| panic!("no log today"));
        tokio::spawn(server.serve());
        address
    });
    for _ in 0..3 {
        assert_eq!(Caller::connect(address).get("/").text(), "fine");
    }
}

#[test]
fn reading_zero_bytes_does_not_wait() {
    let site = Site::new(application_fn(|environ, start| async move {
        let input = environ.input();
        let nothing = (input.read(0).await?, input.read_line(0).await?, input.read_some(0).await?);
        assert!(nothing.0.is_empty() && nothing.1.is_empty() && nothing.2.is_empty());
        assert!(input.should_send_hundred_continue(), "the client is still waiting");
        start.start("200 OK", PLAIN)?;
        Ok("fine".into())
    }));
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.answer().text(), "fine");
}

#[test]
fn middleware_can_move_an_application_to_another_path() {
    let site = Site::new(application_fn(|environ, start| async move {
        environ.set("PATH_INFO", "/inner");
        environ.set("REQUEST_METHOD", "PUT");
        start.start("200 OK", PLAIN)?;
        Ok(Body::from(format!("{} {}", environ.method(), environ.path())))
    }));
    assert_eq!(site.connect().get("/outer").text(), "PUT /inner");
}

#[test]
fn a_connection_that_was_taken_over_and_cut_still_has_its_access_line() {
    let options = Options::default().debug(false).graceful_timeout(Duration::from_millis(200));
    let application = application_fn(|environ, start| async move {
        start.start("101 Switching Protocols", [("Upgrade", "x")])?;
        let _stream = environ.input().take_over().await?;
        poll_fn(|_| Poll::<Infallible>::Pending).await;
        Ok(Body::empty())
    });
    let site = Site::with(options, application);
    let mut client = site.connect();
    client.send("GET /x HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    head_of(&mut client);
    let journal = std::sync::Arc::clone(site.journal());
    assert_eq!(site.stop().cut, 1);
    assert_eq!(journal.texts(Kind::Access).len(), 1);
}

#[test]
fn slow_heads_make_room_one_after_the_other_without_lingering() {
    let options = quiet().max_size(4).linger_timeout(PATIENCE);
    let application = application_fn(|_, start| async move {
        start.start("200 OK", PLAIN)?;
        Ok("fine".into())
    });
    let site = Site::with(options, application);
    let mut slow: Vec<_> = (0..4).map(|_| site.connect()).collect();
    slow.iter_mut().for_each(|client| client.send("GET / HT"));
    eventually("they are connected", || site.handle().connections() == 4);
    let began = std::time::Instant::now();
    for _ in 0..4 {
        assert_eq!(site.connect().get("/").text(), "fine");
    }
    // A regression made each linger, one after the other.
    assert!(began.elapsed() < NOT_HELD_UP, "{:?}", began.elapsed());
}
