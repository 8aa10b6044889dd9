//! Applications that notice a stop: they say goodbye, and the stop waits for that, also where they have taken over the connection.
#![cfg(unix)]

use std::future::{Future, poll_fn};
use std::io::{ErrorKind, Read, Write};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use wsgi_tests::adapters::Running;
use wsgi_tests::caller::Caller;
use wsgi_tests::live::{PATIENCE, eventually};
use wsgi_tests::runtimes::{Runtime, on_each};
use wsgi_tests::secure::{Stream as Encrypted, trust};
use wsgi_tokio::{Body, Options, Report};

/// Longer than any test may take: waiting this long fails.
const NEVER: Duration = Duration::from_secs(600);

const EVENTS: [(&str, &str); 1] = [("Content-Type", "text/event-stream")];
const SWITCHES: [(&str, &str); 2] = [("Upgrade", "x"), ("Connection", "upgrade")];

/// How the calls of streams have ended that no stop was announced to.
type Ends = Arc<Mutex<Vec<ErrorKind>>>;

/// Ready with `None` when the stop begins.
async fn unless<T>(stopping: impl Future<Output = ()>, call: impl Future<Output = T>) -> Option<T> {
    let (mut stopping, mut call) = (pin!(stopping), pin!(call));
    poll_fn(|context| match stopping.as_mut().poll(context) {
        Poll::Ready(()) => Poll::Ready(None),
        Poll::Pending => call.as_mut().poll(context).map(Some),
    })
    .await
}

/// Sends everything back, and says goodbye when the server stops.
async fn echo(mut stream: wsgi_tokio::Stream) -> std::io::Result<()> {
    let mut space = [0; 100];
    while let Some(count) = unless(stream.stopping(), stream.read(&mut space)).await {
        match count? {
            0 => return Ok(()),
            count => stream.write_all(&space[..count]).await?,
        }
    }
    stream.write_all(b"bye").await?;
    // The answer of the client.
    while stream.read(&mut space).await? > 0 {}
    stream.shutdown().await
}

fn futures(ends: Ends) -> impl wsgi_tokio::Application {
    wsgi_tokio::application_fn(move |environ, start| {
        let ends = Arc::clone(&ends);
        async move {
            let path = environ.path().into_owned();
            if path == "/events" {
                start.start("200 OK", EVENTS)?;
                let mut stopping = environ.stopping();
                let mut begun = false;
                let mut ended = false;
                let blocks = poll_fn(move |context| {
                    if !std::mem::replace(&mut begun, true) {
                        return Poll::Ready(Some(Ok("hello ".into())));
                    }
                    let stops = Pin::new(&mut stopping).poll(context).is_ready();
                    match stops && !std::mem::replace(&mut ended, true) {
                        true => Poll::Ready(Some(Ok("bye".into()))),
                        false if ended => Poll::Ready(None),
                        false => Poll::Pending,
                    }
                });
                return Ok(Body::stream(Blocks(blocks)));
            }
            start.start("101 Switching Protocols", SWITCHES)?;
            let mut stream = environ.take_over().await?;
            match &*path {
                "/here" => echo(stream).await?,
                // A thread, since each of the runtimes has one.
                "/away" => drop(thread::spawn(|| smol::block_on(echo(stream)))),
                _ => drop(thread::spawn(move || {
                    let end = smol::block_on(stream.read(&mut [0])).expect_err("the client sends nothing");
                    ends.lock().expect("no panic").push(end.kind());
                })),
            }
            Ok(Body::empty())
        }
    })
}

/// The blocks that a function returns when it is polled.
struct Blocks<F>(std::future::PollFn<F>);

impl<F, T> futures_core::Stream for Blocks<F>
where
    F: FnMut(&mut std::task::Context<'_>) -> Poll<Option<T>> + Unpin,
{
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.0).poll(context)
    }
}

fn blocking_echo(mut stream: &wsgi_std::Stream) -> std::io::Result<()> {
    let mut space = [0; 100];
    stream.set_stop_ends_reads(true);
    loop {
        match stream.read(&mut space) {
            Ok(0) => return Ok(()),
            Ok(count) => stream.write_all(&space[..count])?,
            Err(error) if error.kind() == ErrorKind::TimedOut && stream.is_stopping() => break,
            Err(error) => return Err(error),
        }
    }
    stream.write_all(b"bye")?;
    stream.set_stop_ends_reads(false);
    while stream.read(&mut space)? > 0 {}
    stream.shutdown()
}

fn blocking(ends: Ends) -> impl wsgi_std::Application {
    wsgi_std::application_fn(move |environ, start| {
        let ends = Arc::clone(&ends);
        let path = environ.path().into_owned();
        if path == "/events" {
            let write = start.start("200 OK", EVENTS)?;
            assert!(!environ.wait_stopping(Duration::from_millis(1)), "it does not stop yet");
            write.write("hello ")?;
            assert!(environ.wait_stopping(NEVER));
            write.write("bye")?;
            return Ok(Body::empty());
        }
        start.start("101 Switching Protocols", SWITCHES)?;
        let stream = environ.take_over()?;
        match &*path {
            "/here" => blocking_echo(&stream)?,
            "/away" => drop(thread::spawn(move || blocking_echo(&stream))),
            _ => drop(thread::spawn(move || {
                let end = (&stream).read(&mut [0]).expect_err("the client sends nothing");
                ends.lock().expect("no panic").push(end.kind());
            })),
        }
        Ok(Body::empty())
    })
}

fn begin(runtime: Runtime, encrypted: bool, patience: Duration) -> (Running, Ends) {
    let options = Options::default().debug(false).log_output(false).graceful_timeout(patience);
    let (tls, ends) = (encrypted.then_some(&trust().server), Ends::default());
    (runtime.begin(tls, options, futures(Arc::clone(&ends)), blocking(Arc::clone(&ends))), ends)
}

/// A client of each kind of connection, which has heard the greeting.
fn greeted<S: Read + Write>(mut client: Caller<S>, path: &str) -> Caller<S> {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"));
    if path != "/events" {
        client.send("hello ");
        client.answer();
        assert_eq!(client.bytes(6), b"hello ");
    }
    client
}

/// The end of a client's connection, in order.
fn hears_goodbye<S: Read + Write>(client: &mut Caller<S>, path: &str) {
    if path == "/events" {
        assert_eq!(client.answer().text(), "hello bye");
    } else {
        assert_eq!(client.bytes(3), b"bye", "{path}");
    }
}

fn report(running: &Running) -> Report {
    running.ended.recv_timeout(PATIENCE).expect("the server ends").expect("the listener is sound")
}

#[test]
fn applications_say_goodbye_and_the_stop_waits_for_the_answer() {
    on_each("a goodbye", |runtime| {
        for path in ["/events", "/here", "/away"] {
            let (running, _) = begin(runtime, false, NEVER);
            let mut client = greeted(Caller::connect(running.address), path);
            if path == "/events" {
                client.peek(&mut [0]).expect("it begins");
            } else if path == "/away" {
                eventually("the application has returned", || running.handle.requests() == 0);
            }
            assert_eq!(running.handle.connections(), 1, "{path}");
            running.handle.shutdown();
            hears_goodbye(&mut client, path);
            if path != "/events" {
                assert_eq!(running.handle.connections(), 1, "{path}: it waits for the client");
                client.half_close();
            }
            assert!(client.ends(), "{path}");
            drop(client);
            assert_eq!(report(&running), Report { finished: 1, cut: 0 }, "{path}");
        }
    });
}

#[test]
fn the_same_over_tls() {
    on_each("a goodbye over TLS", |runtime| {
        for path in ["/here", "/away"] {
            let (running, _) = begin(runtime, true, NEVER);
            let mut client = greeted(Caller::<Encrypted>::secure(running.address), path);
            running.handle.shutdown();
            hears_goodbye(&mut client, path);
            client.stream().close_notify().expect("the connection is open");
            assert!(client.ends(), "{path}");
            drop(client);
            assert_eq!(report(&running), Report { finished: 1, cut: 0 }, "{path}");
        }
    });
}

#[test]
fn a_stream_that_another_task_keeps_is_cut_at_the_deadline() {
    on_each("a cut", |runtime| {
        for encrypted in [false, true] {
            let (running, ends) = begin(runtime, encrypted, Duration::from_millis(50));
            let request = "GET /stuck HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
            let mut client = encrypted.then(|| Caller::<Encrypted>::secure(running.address));
            let mut plain = Caller::connect(running.address);
            match &mut client {
                Some(client) => {
                    client.send(request);
                    assert_eq!(client.answer().status, 101);
                }
                None => {
                    plain.send(request);
                    assert_eq!(plain.answer().status, 101);
                }
            }
            eventually("the application has returned", || running.handle.requests() == 0);
            running.handle.shutdown();
            assert_eq!(report(&running).cut, 1);
            eventually("its call fails", || ends.lock().expect("no panic").len() == 1);
        }
    });
}
