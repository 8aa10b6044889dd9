//! An incomplete message must not look complete, on every runtime: a response that is delimited by the end of the
//! connection ends with a reset when it is cut off, and over TLS without `close_notify`. Also the limit of connections
//! by descriptors.
#![cfg(unix)]

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use wsgi_app::adapter::{Runtime as Offers, Server};
use wsgi_tests::adapters::Running;
use wsgi_tests::echo::listen::Bound;
use wsgi_tests::live::{Journal, Kind, PATIENCE, eventually};
use wsgi_tests::runtimes::{Runtime, on_each};
use wsgi_tests::secure::{Stream, narrow, trust};
use wsgi_tests::uninterrupted::uninterrupted;
use wsgi_tokio::{Body, Bytes, Options, Result, ServerHandle, application_fn};

const PLAIN: [(&str, &str); 1] = [("Content-Type", "text/plain")];
const OLD: &[u8] = b"GET / HTTP/1.0\r\n\r\n";

fn quiet() -> Options {
    Options::default().debug(false).log_output(false)
}

/// The second block is an error.
fn broken_off() -> Body {
    Body::iterator([Ok(Bytes::from("half of it")), Err("the other half is missing".into())])
}

/// A server whose responses are cut off.
fn breaking(runtime: Runtime, bound: Option<Bound>, encrypted: bool) -> Running {
    let application = application_fn(|_, start| async move {
        start.start("200 OK", PLAIN)?;
        Ok(broken_off())
    });
    let blocking = |_: wsgi_std::Environ, start: wsgi_std::StartResponse| -> Result<Body> {
        start.start("200 OK", PLAIN)?;
        Ok(broken_off())
    };
    let bound = bound.unwrap_or_else(|| wsgi_tests::adapters::bind().expect("there is a free port"));
    let tls = encrypted.then(|| &trust().server);
    runtime.begin_on(bound, tls, quiet(), application, blocking)
}

/// Reads until the stream ends, in either way.
fn ending(mut stream: impl Read) -> (Vec<u8>, Option<ErrorKind>) {
    let (mut all, mut space) = (Vec::new(), [0; 4096]);
    loop {
        match uninterrupted(|| stream.read(&mut space)) {
            Ok(0) => return (all, None),
            Ok(count) => all.extend_from_slice(&space[..count]),
            Err(error) => return (all, Some(error.kind())),
        }
    }
}

fn connect(running: &Running) -> TcpStream {
    let stream = TcpStream::connect(running.address).expect("it accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("it is not zero");
    stream
}

#[test]
fn a_response_that_ends_with_the_connection_ends_with_a_reset_when_it_is_broken_off() {
    on_each("a response that is broken off", |runtime| {
        let running = breaking(runtime, None, false);
        let mut client = connect(&running);
        client.write_all(OLD).expect("there is room");
        assert_eq!(ending(&client).1, Some(ErrorKind::ConnectionReset));
        // If the chunks show the cut, the connection ends as usual.
        let mut client = connect(&running);
        client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").expect("there is room");
        let (got, ended) = ending(&client);
        assert_eq!(ended, None);
        assert!(got.ends_with(b"half of it\r\n") && !got.ends_with(b"0\r\n\r\n"), "{}", got.escape_ascii());
        running.handle.shutdown();
    });
}

#[test]
fn what_was_answered_before_still_arrives() {
    on_each("an answer before one that is broken off", |runtime| {
        let application = application_fn(|environ, start| async move {
            start.start("200 OK", PLAIN)?;
            Ok(if environ.path() == "/whole" { "whole".into() } else { broken_off() })
        });
        let blocking = |environ: wsgi_std::Environ, start: wsgi_std::StartResponse| -> Result<Body> {
            start.start("200 OK", PLAIN)?;
            Ok(if environ.path() == "/whole" { "whole".into() } else { broken_off() })
        };
        let running = runtime.begin(None, quiet(), application, blocking);
        let mut client = connect(&running);
        client
            .write_all(b"GET /whole HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.0\r\n\r\n")
            .expect("there is room");
        // The client reads late, but within the second that the answer has.
        std::thread::park_timeout(Duration::from_millis(200));
        let (got, ended) = ending(&client);
        assert_eq!(ended, Some(ErrorKind::ConnectionReset));
        let text = String::from_utf8_lossy(&got);
        assert!(text.contains("\r\n\r\nwhole") && text.ends_with("half of it"), "{text}");
        running.handle.shutdown();
    });
}

#[test]
fn over_tls_it_ends_without_close_notify() {
    on_each("a response over TLS that is broken off", |runtime| {
        let running = breaking(runtime, None, true);
        let mut client = Stream::connect(running.address);
        client.write_all(OLD).expect("there is room");
        let ended = ending(client).1;
        assert!(
            matches!(ended, Some(ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof)),
            "it looks complete: {ended:?}"
        );
        running.handle.shutdown();
    });
}

#[test]
fn what_a_stop_cuts_does_not_look_complete() {
    on_each("a response that a stop cuts", |runtime| {
        let application = application_fn(|_, start| async move {
            let write = start.start("200 OK", PLAIN)?;
            write.write("half of it").await?;
            std::future::pending().await
        });
        let blocking = |_: wsgi_std::Environ, start: wsgi_std::StartResponse| -> Result<Body> {
            let write = start.start("200 OK", PLAIN)?;
            write.write("half of it")?;
            // The thread has run other requests, so a wake-up of theirs may end the first wait.
            let end = Instant::now() + PATIENCE;
            while Instant::now() < end {
                std::thread::park_timeout(PATIENCE);
            }
            Ok(Body::empty())
        };
        let options = quiet().graceful_timeout(Duration::from_millis(100));
        let running = runtime.begin(None, options, application, blocking);
        let mut client = connect(&running);
        client.write_all(OLD).expect("there is room");
        let mut space = [0; 4096];
        let mut got = Vec::new();
        while !got.ends_with(b"half of it") {
            let count = uninterrupted(|| client.read(&mut space)).expect("it sends");
            got.extend_from_slice(&space[..count]);
        }
        running.handle.shutdown();
        assert_eq!(ending(&client).1, Some(ErrorKind::ConnectionReset));
    });
}

/// The application may be in the call, or may have given the stream to a thread.
#[test]
fn a_stream_that_was_taken_over_does_not_look_complete_if_a_stop_cuts_it() {
    on_each("a stream that a stop cuts", |runtime| {
        let application = || {
            application_fn(|environ: wsgi_tokio::Environ, _| async move {
                let away = environ.path() == "/away";
                let mut stream = environ.input().take_over_unanswered().await?;
                let conversation = async move {
                    stream.write_all(b"half of it").await?;
                    stream.read(&mut [0]).await
                };
                if away {
                    std::thread::spawn(|| smol::block_on(conversation));
                } else {
                    conversation.await?;
                }
                Ok(Body::empty())
            })
        };
        let blocking = |environ: wsgi_std::Environ, _: wsgi_std::StartResponse| -> Result<Body> {
            let away = environ.path() == "/away";
            let mut stream = environ.input().take_over_unanswered()?;
            let mut conversation = move || {
                stream.write_all(b"half of it")?;
                stream.read(&mut [0])
            };
            if away {
                std::thread::spawn(conversation);
            } else {
                conversation()?;
            }
            Ok(Body::empty())
        };
        for (path, encrypted) in [("/here", false), ("/away", false), ("/here", true), ("/away", true)] {
            let options = quiet().graceful_timeout(Duration::from_millis(100));
            let tls = encrypted.then(|| &trust().server);
            let running = runtime.begin(tls, options, application(), blocking);
            let request = format!("GET {path} HTTP/1.0\r\n\r\n");
            let ended = if encrypted {
                cut_in_the_middle(Stream::connect(running.address), &request, &running)
            } else {
                cut_in_the_middle(connect(&running), &request, &running)
            };
            let is_cut = match ended {
                Some(ErrorKind::UnexpectedEof) => encrypted,
                ended => ended == Some(ErrorKind::ConnectionReset),
            };
            assert!(is_cut, "{path}, TLS {encrypted}: {ended:?}");
        }
    });
}

/// The stop ends the wait for the client, which reads late.
#[test]
fn a_stream_whose_sending_half_was_closed_is_not_reset_if_a_stop_cuts_it() {
    // Most of it waits in the socket of the server.
    const LENGTH: usize = 40_000;
    on_each("a finished stream that a stop cuts", |runtime| {
        for unix in [false, true] {
            let (tell, told) = channel();
            let tell_too = tell.clone();
            let application = application_fn(move |environ: wsgi_tokio::Environ, _| {
                let tell = tell.clone();
                async move {
                    let mut stream = environ.input().take_over_unanswered().await?;
                    let conversation = async move {
                        stream.write_all(&[b'x'; LENGTH]).await?;
                        stream.shutdown().await?;
                        tell.send(None).expect("it is awaited");
                        let read = stream.read(&mut [0]).await;
                        tell.send(Some(read.map_err(|error| error.kind()))).expect("it is awaited");
                        std::io::Result::Ok(())
                    };
                    std::thread::spawn(move || smol::block_on(conversation));
                    Ok(Body::empty())
                }
            });
            let blocking = move |environ: wsgi_std::Environ, _: wsgi_std::StartResponse| -> Result<Body> {
                let mut stream = environ.input().take_over_unanswered()?;
                let tell = tell_too.clone();
                std::thread::spawn(move || {
                    stream.write_all(&[b'x'; LENGTH])?;
                    stream.shutdown()?;
                    tell.send(None).expect("it is awaited");
                    tell.send(Some(stream.read(&mut [0]).map_err(|error| error.kind())))
                        .expect("it is awaited");
                    std::io::Result::Ok(())
                });
                Ok(Body::empty())
            };
            let path = std::env::temp_dir().join(format!("wsgi-finished-{}-{runtime:?}", std::process::id()));
            let bound = if unix {
                let _ = std::fs::remove_file(&path);
                let listener = UnixListener::bind(&path).expect("the folder can be written");
                listener.set_nonblocking(true).expect("it is a socket");
                Bound::Unix(listener)
            } else {
                wsgi_tests::adapters::bind().expect("there is a free port")
            };
            let options = quiet().graceful_timeout(Duration::from_millis(100));
            let running = runtime.begin_on(bound, None, options, application, blocking);
            let mut client: Box<dyn Both> = if unix {
                Box::new(UnixStream::connect(&path).expect("it accepts"))
            } else {
                Box::new(narrow(running.address, 4096))
            };
            client.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("there is room");
            assert_eq!(told.recv_timeout(PATIENCE), Ok(None));
            running.handle.shutdown();
            eventually("it is cut", || running.handle.connections() == 0);
            // Not the end of the client's half, which is still open.
            let read = told.recv_timeout(PATIENCE).expect("it ends");
            assert!(matches!(read, Some(Err(_))), "unix {unix}: {read:?}");
            let (got, ended) = ending(client);
            assert_eq!((got.len(), ended), (LENGTH, None), "unix {unix}");
            let _ = std::fs::remove_file(&path);
        }
    });
}

trait Both: Read + Write {}

impl<S: Read + Write> Both for S {}

/// Stops the server when half of the answer has arrived. Returns how the connection ended.
fn cut_in_the_middle(mut client: impl Read + Write, request: &str, running: &Running) -> Option<ErrorKind> {
    client.write_all(request.as_bytes()).expect("there is room");
    client.read_exact(&mut [0; 10]).expect("it sends");
    running.handle.shutdown();
    ending(client).1
}

#[test]
fn on_a_unix_socket_it_ends_with_its_end() {
    on_each("a response on a unix socket that is broken off", |runtime| {
        let path = std::env::temp_dir().join(format!("wsgi-resets-{}-{runtime:?}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).expect("the folder can be written");
        listener.set_nonblocking(true).expect("it is a socket");
        let running = breaking(runtime, Some(Bound::Unix(listener)), false);
        let mut client = UnixStream::connect(&path).expect("it accepts");
        client.write_all(OLD).expect("there is room");
        let (got, ended) = ending(&client);
        assert!(got.ends_with(b"half of it") && ended.is_none(), "{ended:?}");
        running.handle.shutdown();
        let _ = std::fs::remove_file(&path);
    });
}

#[test]
fn connections_are_bounded_by_descriptors_as_by_max_size() {
    for (limit, wanted, ignores, size, said) in [
        (None, 1024, false, 1024, false),
        (Some(2048), 1024, false, 1024, false),
        (Some(132), 1024, false, 100, true),
        (Some(132), 50, false, 50, false),
        (Some(10), 1024, false, 1, true),
        (Some(132), 50, true, 100, true),
        (None, 50, true, usize::MAX, false),
    ] {
        let (options, journal) = Journal::keep(Options::default().max_size(wanted));
        let offers = Offers::default().descriptor_limit(limit).ignore_max_size(ignores);
        let server = Server::with_runtime(options, &ServerHandle::new(), (), offers).expect("it is allowed");
        assert_eq!(server.max_size(), size, "{limit:?} {wanted}");
        let heard = journal.texts(Kind::Info).iter().any(|text| text.contains("ulimit -n"));
        assert_eq!(heard, said, "{limit:?} {wanted}: {:?}", journal.texts(Kind::Info));
    }
}
