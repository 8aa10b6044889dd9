//! Taking over a connection: the preconditions, the first bytes of the stream, and how long it can be held.

use std::future::Future;
use std::io::Read;
use std::time::Duration;

use tokio::sync::mpsc::unbounded_channel;
use wsgi_tests::caller::Caller;
use wsgi_tests::live::{Kind, PATIENCE, Site, eventually};
use wsgi_tokio::{
    Body, Environ, InputError, Result, SendError, StartError, StartResponse, Stream, application_fn,
};

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
const SWITCHES: [(&str, &str); 2] = [("Upgrade", "echo"), ("Connection", "upgrade")];
const SWITCHING: &str = "101 Switching Protocols";
const PLAIN: [(&str, &str); 1] = [("Content-Type", "text/plain")];

async fn in_time<T>(what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("timed out waiting for: {what}"))
}

/// Echoes the stream until the client closes its half.
async fn echo(mut stream: Stream) -> std::io::Result<()> {
    let mut space = [0; 1000];
    loop {
        match stream.read(&mut space).await? {
            0 => return stream.shutdown().await,
            count => stream.write_all(&space[..count]).await?,
        }
    }
}

/// Checks that the connection uses the other protocol, and ends it.
fn converse(client: &mut Caller, unread: &str) {
    let answer = client.answer();
    assert_eq!((answer.status, answer.field("Upgrade")), (101, Some("echo")), "{answer:?}");
    assert_eq!(client.bytes(unread.len()), unread.as_bytes());
    for line in ["one", "GET / HTTP/1.1\r\n\r\n", "\0\u{1}"] {
        client.send(line);
        assert_eq!(client.bytes(line.len()), line.as_bytes());
    }
    let long = "long ".repeat(100_000);
    let mut sending = client.clone_stream();
    std::thread::scope(|scope| {
        scope.spawn(|| std::io::Write::write_all(&mut sending, long.as_bytes()).expect("it reads"));
        assert_eq!(client.bytes(long.len()), long.as_bytes());
    });
    client.half_close();
    assert!(client.ends());
}

#[test]
fn the_stream_begins_with_what_was_sent_early_and_goes_both_ways() {
    let site = Site::new(application_fn(|environ, start| async move {
        start.start(SWITCHING, SWITCHES)?;
        let input = environ.input();
        let stream = in_time("the stream", input.take_over()).await?;
        assert_eq!(input.read(1).await, Err(InputError::Over), "the body is read from the stream");
        assert_eq!(input.take_over().await.expect_err("it is taken"), SendError::Finished);
        assert_eq!(start.start("200 OK", PLAIN).expect_err("it is taken"), StartError::Over);
        echo(stream).await?;
        Ok("no one sends this".into())
    }));
    for unread in ["", "early", "GET / HTTP/1.1\r\nHost: h\r\n\r\n"] {
        let mut client = site.connect();
        client.send(format!("{UPGRADE}{unread}"));
        converse(&mut client, unread);
    }
    for record in site.journal().accesses(3) {
        assert_eq!((record.status, record.body_length, record.lost), (101, 0, None));
    }
    assert_eq!(site.journal().texts(Kind::Error), [""; 0]);
    eventually("the connections are closed", || site.handle().connections() == 0);
}

#[test]
fn an_application_may_send_its_own_response_on_the_stream() {
    let site = Site::new(application_fn(|environ, start| async move {
        start.start("200 OK", PLAIN)?;
        let mut stream = in_time("the stream", environ.input().take_over_unanswered()).await?;
        assert_eq!(start.start("200 OK", PLAIN).expect_err("it is taken"), StartError::Over);
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\n").await?;
        echo(stream).await?;
        Ok("no one sends this".into())
    }));
    for unread in ["", "early"] {
        let mut client = site.connect();
        client.send(format!("{UPGRADE}{unread}"));
        converse(&mut client, unread);
    }
    for record in site.journal().accesses(2) {
        assert_eq!((record.status, record.response_length, record.cut, record.lost), (0, 0, false, None));
    }
    assert_eq!(site.journal().texts(Kind::Error), [""; 0]);
    eventually("the connections are closed", || site.handle().connections() == 0);
}

#[test]
fn another_task_may_take_over_and_outlive_the_application() {
    let site = Site::new(application_fn(|environ, start| async move {
        start.start(SWITCHING, SWITCHES)?;
        let input = environ.input();
        let taken = input.clone();
        let task =
            tokio::spawn(
                async move { echo(taken.take_over().await?).await.map_err(wsgi_tokio::Error::from) },
            );
        if environ.path() == "/wait" {
            task.await??;
        } else {
            // The application has no part in the connection from here on.
            while input.read(1).await.is_ok() {
                tokio::task::yield_now().await;
            }
        }
        Ok(Body::empty())
    }));
    for path in ["/wait", "/leave", "/leave"] {
        let mut client = site.connect();
        client.send(UPGRADE.replace("/chat", path) + "early");
        converse(&mut client, "early");
    }
    assert_eq!(site.journal().texts(Kind::Error), [""; 0]);
}

#[test]
fn a_stream_that_is_dropped_closes_the_connection() {
    let site = Site::new(application_fn(|environ, start| async move {
        start.start(SWITCHING, SWITCHES)?;
        match &*environ.path() {
            "/dropped" => drop(environ.input().take_over().await?),
            "/cancelled" => {
                let input = environ.input();
                let mut taking = std::pin::pin!(input.take_over());
                std::future::poll_fn(|context| {
                    let _ = taking.as_mut().poll(context);
                    std::task::Poll::Ready(())
                })
                .await;
            }
            _ => unreachable!("not requested"),
        }
        Ok(Body::empty())
    }));
    for path in ["/dropped", "/cancelled"] {
        let mut client = site.connect();
        client.send(UPGRADE.replace("/chat", path));
        assert_eq!(client.answer().status, 101, "{path}");
        assert!(client.ends(), "{path}");
    }
    assert_eq!(site.journal().accesses(2)[1].status, 101);
}

#[test]
fn nothing_is_taken_over_without_a_fresh_101() {
    let site = Site::new(application_fn(|environ, start| async move {
        let input = environ.input();
        assert_eq!(input.take_over().await.expect_err("nothing was started"), SendError::NotStarted);
        start.start("200 OK", PLAIN)?;
        assert_eq!(input.take_over().await.expect_err("no 101"), SendError::NotSwitching);
        let write = start.restart("200 OK", PLAIN, "no upgrade")?;
        write.write("still ").await?;
        assert_eq!(input.take_over().await.expect_err("it has begun"), SendError::NotSwitching);
        Ok("HTTP".into())
    }));
    let mut client = site.connect();
    for _ in 0..2 {
        client.send(UPGRADE);
        let answer = client.answer();
        assert_eq!((answer.status, answer.text().as_str(), answer.whole), (200, "still HTTP", true));
    }
}

#[test]
fn the_request_body_has_to_be_read_before() {
    let site = Site::new(application_fn(|environ, start| async move {
        start.start(SWITCHING, SWITCHES)?;
        let input = environ.input();
        assert_eq!(input.take_over().await.expect_err("a body is still expected"), SendError::BodyUnread);
        assert_eq!(input.read_to_end().await?, "body");
        echo(input.take_over().await?).await?;
        Ok(Body::empty())
    }));
    let mut client = site.connect();
    client.send(UPGRADE.replace("GET", "POST").replace("\r\n\r\n", "\r\nContent-Length: 4\r\n\r\nbodyearly"));
    converse(&mut client, "early");
}

#[test]
fn http_1_0_switches_to_nothing() {
    let site = Site::new(application_fn(|_, start| async move {
        assert_eq!(start.start(SWITCHING, SWITCHES).expect_err("not in HTTP/1.0"), StartError::CannotSwitch);
        start.start("200 OK", PLAIN)?;
        Ok("plain".into())
    }));
    let mut client = site.connect();
    client.send("GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    assert_eq!(client.answer().text(), "plain");
    assert!(client.ends());
}

#[test]
fn a_client_that_resets_ends_the_streams_calls() {
    let (tell, mut heard) = unbounded_channel();
    let site = Site::new(move |environ: Environ, start: StartResponse| {
        let tell = tell.clone();
        async move {
            start.start(SWITCHING, SWITCHES)?;
            let _ = tell.send(echo(environ.input().take_over().await?).await);
            Ok(Body::empty()) as Result<Body>
        }
    });
    let mut client = site.connect();
    client.send(format!("{UPGRADE}a"));
    client.answer();
    assert_eq!(client.bytes(1), b"a");
    socket2::SockRef::from(client.stream()).set_linger(Some(Duration::ZERO)).expect("a socket");
    drop(client);
    let ended = heard.blocking_recv().expect("the stream ended");
    assert_eq!(ended.expect_err("a reset").kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(site.journal().accesses(1)[0].status, 101);
}

#[test]
fn a_graceful_stop_cuts_a_stream_at_its_deadline() {
    let options = wsgi_tokio::Options::default().graceful_timeout(Duration::from_millis(100));
    let application = application_fn(|environ, start| async move {
        start.start(SWITCHING, SWITCHES)?;
        echo(environ.input().take_over().await?).await?;
        Ok(Body::empty())
    });
    let site = Site::with(options, application);
    let mut client = site.connect();
    client.send(format!("{UPGRADE}a"));
    client.answer();
    assert_eq!(client.bytes(1), b"a");
    site.handle().shutdown();
    let mut rest = Vec::new();
    let error = client.stream().read_to_end(&mut rest).expect_err("what is cut does not look complete");
    assert_eq!((error.kind(), rest), (std::io::ErrorKind::ConnectionReset, vec![]));
    assert_eq!(site.ended().expect("the listener is sound").cut, 1);
}
