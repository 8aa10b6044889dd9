//! The calls of handles, and how requests end.

use std::io::{BufRead, Read, Write as _};
use std::pin::Pin;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use futures_core::Stream;
use wsgi_std::{
    Body, Bytes, Environ, Error, Input, LogEntry, Options, Result, StartResponse, application_fn,
};
use wsgi_tests::live::{NOT_HELD_UP, PATIENCE, SOON, eventually};
use wsgi_tests::runtimes::on_each_blocking;
use wsgi_tests::uninterrupted::uninterrupted;

use super::{GET, PLAIN, Site, fine, gate, quiet};

/// A block that arrives when the test sends it.
struct Mailbox(Arc<Mutex<(Option<Bytes>, Option<Waker>)>>);

impl Stream for Mailbox {
    type Item = Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut mailbox = self.0.lock().expect("no panic");
        match mailbox.0.take() {
            Some(block) if block.is_empty() => Poll::Ready(None),
            Some(block) => Poll::Ready(Some(Ok(block))),
            None => {
                mailbox.1 = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[test]
fn two_threads_share_the_lines_of_one_body() {
    on_each_blocking("two threads share the lines of one body", |runtime| {
        let site = Site::new(runtime, |environ: Environ, start: StartResponse| {
            let input = environ.input();
            let count =
                || Input::lines(&input).map(|line| line.map(|line| line.len())).sum::<Result<usize, _>>();
            let sums = thread::scope(|scope| {
                let threads = [scope.spawn(count), scope.spawn(count)];
                threads.map(|thread| thread.join().expect("no panic"))
            });
            let [one, two] = sums;
            fine(&start, (one? + two?).to_string())
        });
        let mut client = site.connect();
        let lines = "0123456789\n".repeat(10_000);
        let head = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", lines.len());
        client.send(head);
        for part in lines.as_bytes().chunks(997) {
            client.send(part);
        }
        assert_eq!(client.answer().text(), "110000");
    });
}

#[test]
fn a_body_is_a_reader_and_a_buffered_reader_at_will() {
    on_each_blocking("a body is a reader and a buffered reader at will", |runtime| {
        let site = Site::new(runtime, |environ: Environ, start: StartResponse| {
            let mut input = environ.input();
            let mut line = String::new();
            BufRead::read_line(&mut input, &mut line)?;
            // Bytes that were shown but not consumed are still available to all handles.
            let shown = input.fill_buf()?.first().copied();
            let named = environ.input().read(4)?;
            let mut rest = Vec::new();
            Read::read_to_end(&mut input.clone(), &mut rest)?;
            let rest = String::from_utf8(rest)?;
            fine(&start, format!("{line:?} {shown:?} {named:?} {rest:?} {:?}", input.fill_buf()?))
        });
        let mut client = site.connect();
        client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.send("5\r\none\nt\r\n6\r\nwo\nthr\r\n2\r\nee\r\n0\r\n\r\n");
        assert_eq!(client.answer().text(), r#""one\n" Some(116) b"two\n" "three" []"#);
    });
}

#[test]
fn each_block_is_with_the_client_before_the_next_is_made() {
    on_each_blocking("each block is with the client before the next is made", |runtime| {
        let (open, gate) = gate();
        let site = Site::new(
            runtime,
            application_fn(move |environ, start| {
                let gate = Arc::clone(&gate);
                if &*environ.path() == "/write" {
                    let mut write = start.start("200 OK", PLAIN)?;
                    write.write("one")?;
                    gate.pass();
                    write!(write, "two")?;
                    return Ok(Body::empty());
                }
                start.start("200 OK", PLAIN)?;
                let second = std::iter::once_with(move || {
                    gate.pass();
                    Ok("two".into())
                });
                Ok(Body::iterator(std::iter::once(Ok("one".into())).chain(second)))
            }),
        );
        for path in ["/write", "/iterator"] {
            let mut client = site.connect();
            client.send(format!("GET {path} HTTP/1.0\r\n\r\n"));
            let mut seen = Vec::new();
            while !seen.ends_with(b"\r\n\r\none") {
                seen.extend(client.bytes(1));
            }
            open.send(()).expect("the server runs");
            assert_eq!(client.bytes(3), b"two");
            assert!(client.ends());
        }
    });
}

#[test]
fn a_stream_is_polled_when_its_waker_is_woken_from_anywhere() {
    on_each_blocking("a stream is polled when its waker is woken from anywhere", |runtime| {
        let mailbox: Arc<Mutex<(Option<Bytes>, Option<Waker>)>> = Arc::default();
        let sent = Arc::clone(&mailbox);
        let site = Site::new(
            runtime,
            application_fn(move |_, start| {
                start.start("200 OK", PLAIN)?;
                Ok(Body::stream(Mailbox(Arc::clone(&sent))))
            }),
        );
        let mut client = site.connect();
        client.send("GET / HTTP/1.0\r\n\r\n");
        for block in ["first", "second", ""] {
            let mut waker = None;
            eventually("the stream waits", || {
                waker = mailbox.lock().unwrap().1.take();
                waker.is_some()
            });
            mailbox.lock().unwrap().0 = Some(block.into());
            waker.unwrap().wake();
        }
        assert_eq!(client.answer().text(), "firstsecond");
    });
}

#[test]
fn a_panic_stays_in_its_request() {
    on_each_blocking("a panic stays in its request", |runtime| {
        let site =
            Site::with(
                runtime,
                quiet().max_size(4),
                |environ: Environ, start: StartResponse| match &*environ.path() {
                    "/before" => panic!("before the head"),
                    "/after" => {
                        let write = start.start("200 OK", PLAIN)?;
                        write.write("part")?;
                        panic!("after the head")
                    }
                    "/iterator" => {
                        start.start("200 OK", PLAIN)?;
                        Ok(Body::iterator(std::iter::once_with(|| panic!("in the body"))))
                    }
                    _ => fine(&start, "fine"),
                },
            );
        // More requests than concurrent connections.
        for _ in 0..4 {
            assert_eq!(site.connect().get("/before").status, 500);
            let cut = site.connect().get("/after");
            assert_eq!((cut.status, cut.whole), (200, false));
            assert_eq!(site.connect().get("/iterator").status, 500);
            assert_eq!(site.connect().get("/").text(), "fine");
        }
        assert_eq!(site.stop().1, 0);
    });
}

#[test]
fn a_stop_cuts_who_is_idle_and_finishes_what_has_begun() {
    on_each_blocking("a stop cuts who is idle and finishes what has begun", |runtime| {
        let (open, gate) = gate();
        let site = Site::new(runtime, move |environ: Environ, start: StartResponse| {
            if &*environ.path() == "/wait" {
                gate.pass();
            }
            fine(&start, "fine")
        });
        let (mut idle, mut used, mut half, mut busy) =
            (site.connect(), site.connect(), site.connect(), site.connect());
        assert_eq!(used.get("/").text(), "fine");
        half.send("GET / HTTP/1.1\r\nHo");
        busy.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
        let handle = site.0.handle.clone();
        eventually("all are connected", || handle.connections() == 4 && handle.requests() == 1);
        // The half head has arrived, unless the machine is very slow; a new connection is served after it.
        assert_eq!(site.connect().get("/").text(), "fine");
        handle.shutdown();
        assert!(idle.ends() && used.ends());
        half.send("st: h\r\n\r\n");
        let answer = half.answer();
        assert!(answer.closes() && answer.text() == "fine" && half.ends());
        open.send(()).unwrap();
        let answer = busy.answer();
        assert!(answer.closes() && answer.text() == "fine" && busy.ends());
        assert_eq!(site.stop().1, 0);
    });
}

#[test]
fn at_the_deadline_waiting_threads_are_cut_and_those_that_never_return_are_left_behind() {
    on_each_blocking(
        "at the deadline waiting threads are cut and those that never return are left behind",
        |runtime| {
            let (open, gate) = gate();
            let (tell, heard) = channel();
            let options = quiet().graceful_timeout(Duration::from_millis(100));
            let tell = Mutex::new(tell);
            let site = Site::with(runtime, options, move |environ: Environ, start: StartResponse| {
                if &*environ.path() == "/stuck" {
                    gate.pass();
                    return fine(&start, "too late");
                }
                let read = environ.input().read_to_end();
                tell.lock().unwrap().send(read.is_err())?;
                Err(Error::from("cut"))
            });
            let (mut stuck, mut reading) = (site.connect(), site.connect());
            stuck.send("GET /stuck HTTP/1.1\r\nHost: h\r\n\r\n");
            reading.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n123");
            let handle = site.0.handle.clone();
            eventually("the application has both", || handle.requests() == 2);
            let began = Instant::now();
            assert_eq!(site.stop(), (0, 2));
            assert!(began.elapsed() < NOT_HELD_UP);
            assert_eq!(heard.recv_timeout(PATIENCE), Ok(true), "the read fails");
            for client in [&mut stuck, &mut reading] {
                let mut byte = [0];
                let read = uninterrupted(|| client.stream().read(&mut byte));
                assert!(matches!(read, Ok(0) | Err(_)), "nothing is answered");
            }
            drop(open);
        },
    );
}

#[test]
fn a_read_that_waits_ends_at_the_socket_timeout() {
    on_each_blocking("a read that waits ends at the socket timeout", |runtime| {
        let options = quiet().socket_timeout(SOON);
        let site = Site::with(runtime, options, |environ: Environ, start: StartResponse| {
            let error = environ.input().read(10).expect_err("the body does not arrive");
            fine(&start, error.to_string())
        });
        let mut client = site.connect();
        client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n");
        assert!(client.answer().text().ends_with("did not arrive in time"));
    });
}

#[test]
fn a_connection_that_was_taken_over_serves_two_threads_and_closes_when_it_is_dropped() {
    on_each_blocking(
        "a connection that was taken over serves two threads and closes when it is dropped",
        |runtime| {
            let site = Site::new(
                runtime,
                application_fn(|environ, start| {
                    start
                        .start("101 Switching Protocols", [("Upgrade", "echo"), ("Connection", "upgrade")])?;
                    let stream = environ.input().take_over()?;
                    thread::scope(|scope| {
                        let (tell, heard) = channel();
                        scope.spawn(|| {
                            let (tell, mut space) = (tell, [0; 4]);
                            while let Ok(1..) = (&stream).read(&mut space) {
                                let _ = tell.send(space);
                            }
                        });
                        heard.into_iter().try_for_each(|bytes| (&stream).write_all(&bytes))
                    })?;
                    Ok(Body::empty())
                }),
            );
            let mut client = site.connect();
            client.send("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\nabcd");
            assert_eq!(client.answer().status, 101);
            assert_eq!(client.bytes(4), b"abcd");
            client.send("efgh");
            assert_eq!(client.bytes(4), b"efgh");
            client.half_close();
            assert!(client.ends());
            assert_eq!(site.stop().1, 0);
        },
    );
}

#[test]
fn handles_that_are_kept_hold_no_connection_open() {
    on_each_blocking("handles that are kept hold no connection open", |runtime| {
        let kept: Arc<Mutex<Vec<Environ>>> = Arc::default();
        let keep = Arc::clone(&kept);
        let site = Site::new(runtime, move |environ: Environ, start: StartResponse| {
            keep.lock().unwrap().push(environ);
            fine(&start, "fine")
        });
        let mut client = site.connect();
        client.send("GET / HTTP/1.0\r\n\r\n");
        assert_eq!(client.answer().text(), "fine");
        assert!(client.ends());
        let environ = kept.lock().unwrap().pop().unwrap();
        assert_eq!((&*environ.path(), environ.input().read(1).is_err()), ("/", true));
    });
}

#[test]
fn a_thread_that_outlives_its_request_finds_it_over() {
    on_each_blocking("a thread that outlives its request finds it over", |runtime| {
        let (tell, heard) = channel();
        let tell = Mutex::new(tell);
        let site = Site::new(runtime, move |environ: Environ, start: StartResponse| {
            if environ.method() == "POST" {
                let (input, tell) = (environ.input(), tell.lock().unwrap().clone());
                thread::spawn(move || {
                    tell.send(input.read(10).map(|_| ()).map_err(|error| error.to_string()))
                });
                // It most likely waits by now.
                thread::park_timeout(Duration::from_millis(20));
            }
            fine(&start, "fine")
        });
        let mut client = site.connect();
        client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n");
        assert_eq!(client.answer().text(), "fine");
        let said = heard.recv_timeout(PATIENCE).expect("it does not wait indefinitely");
        assert!(said.is_err(), "{said:?}");
        // The remaining body is drained, and the connection stays open.
        client.send("0123456789");
        assert_eq!(client.get("/").text(), "fine");
    });
}

#[test]
fn hooks_see_the_environ_and_what_was_sent() {
    on_each_blocking("hooks see the environ and what was sent", |runtime| {
        let (tell, heard) = channel();
        let tell = Mutex::new(tell);
        let log = |entry: &LogEntry<'_>| assert!(!matches!(entry, LogEntry::Error(_)), "{}", entry.text());
        let options = Options::default().debug(false).log(log);
        let site = Site::with(runtime, options, move |environ: Environ, start: StartResponse| {
            let tell = tell.lock().unwrap().clone();
            environ.add_post_hook(move |environ, record| {
                let _ = tell.send((environ.path().into_owned(), record.status, record.body_length));
            });
            fine(&start, "fine")
        });
        let mut client = site.connect();
        client.send(GET);
        assert_eq!(client.answer().text(), "fine");
        assert_eq!(heard.recv_timeout(PATIENCE), Ok(("/".into(), 200, 4)));
    });
}

#[test]
fn an_application_can_wait_for_its_client_to_disconnect() {
    on_each_blocking("an application can wait for its client to disconnect", |runtime| {
        let (tell, heard) = channel();
        let tell = Mutex::new(tell);
        let site = Site::new(runtime, move |environ: Environ, start: StartResponse| {
            environ.input().client_gone();
            tell.lock().unwrap().send(())?;
            fine(&start, "fine")
        });
        let mut client = site.connect();
        client.send(GET);
        let handle = site.0.handle.clone();
        eventually("the application has it", || handle.requests() == 1);
        client.half_close();
        heard.recv_timeout(PATIENCE).expect("it is noticed");
        // A client that half-closes is served.
        assert_eq!(client.answer().text(), "fine");
    });
}
