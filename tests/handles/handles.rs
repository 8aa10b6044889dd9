//! The handles of an application: used wrongly, kept too long, or used by several tasks at the same time, they return
//! error values. They never panic and never wait forever.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, channel, unbounded_channel};
use tokio::sync::oneshot;
use wsgi_tests::live::{Kind, PATIENCE, Site, eventually};
use wsgi_tokio::{
    Body, Bytes, Environ, Error, InputError, Result, SendError, StartError, StartResponse, Write,
    application_fn,
};
use wsgi_tokio::{BodyError, Lost};

const PLAIN: [(&str, &str); 1] = [("Content-Type", "text/plain")];
const NOTHING: [(&str, &str); 0] = [];

/// The handles of one request.
type Handles = (Environ, StartResponse, Write);

/// Awaits `wait`, with a time limit.
async fn in_time<T>(what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("timed out waiting for: {what}"))
}

/// The next message of a channel, received on a thread other than the server's.
fn receive<T>(receiver: &mut UnboundedReceiver<T>) -> T {
    blocking(in_time("a message", receiver.recv())).expect("a message")
}

fn blocking<T>(wait: impl Future<Output = T>) -> T {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(wait)
}

#[test]
fn a_response_is_started_once_unless_an_error_is_given() {
    let site = Site::new(application_fn(|_, start| async move {
        start.start("200 OK", PLAIN)?;
        assert_eq!(start.start("201 Created", PLAIN).expect_err("again"), StartError::AlreadyStarted);
        let write = start.restart("503 Busy", [("X-Why", "too much")], "too much")?;
        assert_eq!(start.clone().start("201 Created", PLAIN).expect_err("again"), StartError::AlreadyStarted);
        write.write("come back").await?;
        // This error is too late for a response, so it is returned.
        let error = start.restart("500 Late", NOTHING, SendError::BodyUnread).expect_err("it is too late");
        assert_eq!(error.downcast_ref(), Some(&SendError::BodyUnread));
        Ok(" later".into())
    }));
    let mut client = site.connect();
    let answer = client.get("/");
    assert_eq!((answer.status, answer.text().as_str()), (503, "come back later"));
    assert_eq!((answer.field("X-Why"), answer.field("Content-Type")), (Some("too much"), None));
    assert_eq!(client.get("/").status, 503, "the connection stays open");
    assert_eq!(site.journal().texts(Kind::Error), [""; 0]);
}

#[test]
fn a_head_that_was_prepared_starts_many_responses() {
    let kept = std::sync::OnceLock::new();
    let site = Site::new(application_fn(move |environ: Environ, start: StartResponse| {
        let head = kept
            .get_or_init(|| {
                assert!(matches!(start.prepare("200", [("A", "\n")]), Err(StartError::FieldValue(_))));
                start.prepare("203 Kept", PLAIN).expect("it is allowed")
            })
            .clone();
        async move {
            start.start_with(&head)?;
            assert_eq!(start.start_with(&head).expect_err("again"), StartError::AlreadyStarted);
            Ok(environ.path().into_owned().into())
        }
    }));
    let mut client = site.connect();
    for path in ["/a", "/b"] {
        let answer = client.get(path);
        assert_eq!((answer.status, answer.text().as_str()), (203, path));
        assert_eq!(answer.field("Content-Type"), Some("text/plain"));
        assert_eq!(answer.field("Content-Length"), Some("2"));
    }
    assert_eq!(site.journal().texts(Kind::Error), [""; 0]);
}

#[test]
fn each_variable_is_visited_once_with_its_last_value() {
    let site = Site::new(application_fn(|environ: Environ, start: StartResponse| async move {
        let mut unchanged = Vec::new();
        environ.for_each(|name, value| {
            assert_eq!(environ.get(name).as_deref(), Some(value), "{name}");
            unchanged.push(name.to_owned());
        });
        assert!(unchanged.iter().any(|name| name == "HTTP_HOST"));
        assert_eq!(unchanged.len(), environ.to_map().len());
        environ.set("REMOTE_USER", "alice");
        environ.set("PATH_INFO", "/other");
        environ.remove("HTTP_HOST");
        let mut visited = Vec::new();
        environ.for_each(|name, value| {
            assert_eq!(environ.get(name).as_deref(), Some(value), "{name}");
            visited.push((name.to_owned(), value.to_owned()));
        });
        let map = environ.to_map();
        assert_eq!((map["PATH_INFO"].as_str(), map.contains_key("HTTP_HOST")), ("/other", false));
        assert_eq!(visited.len(), map.len());
        assert_eq!(visited.into_iter().collect::<std::collections::BTreeMap<_, _>>(), map);
        start.start("204 No Content", NOTHING)?;
        Ok(Body::empty())
    }));
    assert_eq!(site.connect().get("/path").status, 204);
}

#[test]
fn a_head_that_http_does_not_allow_starts_nothing() {
    let site = Site::new(application_fn(|_, start| async move {
        for (status, name, value, message) in [
            ("OK", "A", "b", "status \""),
            ("200 OK\r\nInjected: 1", "A", "b", "status \""),
            ("100 Continue", "A", "b", "status \""),
            ("200 OK", "A b", "c", "header name \"A b\""),
            ("200 OK", "A", "b\r\nInjected: 1", "header `A` has a value with a line feed: "),
            ("200 OK", "Content-Length", "-1", "header `Content-Length` is malformed"),
            ("200 OK", "Transfer-Encoding", "chunked", "header `Transfer-Encoding` is not allowed"),
        ] {
            let error = start.start(status, [(name, value)]).expect_err("it is malformed");
            assert!(error.to_string().starts_with(message), "{error}");
            let error_again = start.restart(status, [(name, value)], "why").expect_err("as before");
            assert_eq!(error_again.downcast_ref(), Some(&error));
        }
        assert!(matches!(start.inform("200 OK", PLAIN), Err(StartError::NotInterim(_))));
        let informed = start.inform("103 Early Hints", [("Link", "\n")]);
        assert!(matches!(informed, Err(StartError::FieldValue(_))));
        let write = start.start("200 OK", PLAIN)?;
        assert_eq!(write.set_trailers([("Content-Length", "1")]), Err(SendError::Trailer));
        write.write("fine").await?;
        assert_eq!(start.inform("103 Early Hints", PLAIN), Ok(()), "it is too late to be sent");
        Ok(Body::empty())
    }));
    let mut client = site.connect();
    let answer = client.get("/");
    assert_eq!((answer.status, answer.text().as_str()), (200, "fine"));
    assert!(!answer.head.contains("Injected"), "{}", answer.head);
}

/// Uses every handle of an exchange that is over.
async fn misuse((environ, start, write): Handles) {
    let input = environ.input();
    assert_eq!(input.read_some(1).await, Err(InputError::Over));
    assert_eq!(input.read(1).await, Err(InputError::Over));
    assert_eq!(input.read_line(9).await, Err(InputError::Over));
    assert_eq!(input.read_to_end().await, Err(InputError::Over));
    assert_eq!(input.lines().next().await, Err(InputError::Over));
    assert_eq!(input.send_hundred_continue_response(), Err(StartError::Over));
    assert_eq!(input.set_hundred_continue_response_headers(PLAIN), Err(StartError::Over));
    assert!(!input.should_send_hundred_continue() && input.trailers().is_none());
    assert_eq!(input.take_over().await.expect_err("there is nothing to take"), SendError::Finished);
    in_time("client_gone", input.client_gone()).await;
    assert_eq!(start.start("200 OK", PLAIN).expect_err("it is over"), StartError::Over);
    let error = start.restart("500 Late", PLAIN, "late").expect_err("it is over");
    assert_eq!(error.downcast_ref(), Some(&StartError::Over));
    assert_eq!(start.inform("103 Early Hints", PLAIN), Err(StartError::Over));
    assert_eq!(write.write("late").await, Err(SendError::Finished));
    assert_eq!(write.write("").await, Err(SendError::Finished));
    assert_eq!(write.set_trailers(PLAIN), Err(SendError::Finished));
    in_time("flush", write.flush()).await;
    environ.set_minimum_write_chunk_size(1_000_000);
    environ.set("X", "late");
    environ.add_post_hook(|_, _| panic!("a hook ran after the exchange"));
    // The data of the request remains available.
    assert_eq!((environ.path().as_ref(), environ.get("X").as_deref()), ("/kept", Some("late")));
}

#[test]
fn handles_that_are_kept_find_their_exchange_over_while_the_next_one_runs() {
    let kept: Arc<Mutex<Option<Handles>>> = Arc::default();
    let keeper = Arc::clone(&kept);
    let site = Site::new(application_fn(move |environ, start| {
        let kept = Arc::clone(&keeper);
        async move {
            let write = start.start("200 OK", PLAIN)?;
            if environ.path() == "/kept" {
                *kept.lock().expect("no panic") = Some((environ, start, write));
                return Ok("kept".into());
            }
            let handles = kept.lock().expect("no panic").take();
            if let Some(handles) = handles {
                tokio::spawn(misuse(handles.clone())).await?;
                misuse(handles).await;
            }
            assert_eq!(environ.get("X"), None);
            Ok(environ.input().read_to_end().await?.into())
        }
    }));
    let mut client = site.connect();
    for round in 0..3 {
        assert_eq!(client.get("/kept").text(), "kept");
        client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\nthe one");
        let answer = client.answer();
        assert_eq!((answer.status, answer.text().as_str()), (200, "the one"), "round {round}");
        assert_eq!(answer.field("Transfer-Encoding"), None);
    }
    assert_eq!(client.get("/kept").text(), "kept");
    drop(client);
    eventually("the connection is closed", || site.handle().connections() == 0);
    let handles = kept.lock().expect("no panic").take().expect("they were kept");
    blocking(misuse(handles));
    assert_eq!(site.journal().texts(Kind::Error), [""; 0]);
}

/// Runs `wait` in a separate task, which sends to `waits` when it is pending and the result to `ended`.
fn spawn<T: Send + 'static>(
    waits: &UnboundedSender<()>,
    ended: &UnboundedSender<T>,
    wait: impl Future<Output = T> + Send + 'static,
) {
    let (waits, ended) = (waits.clone(), ended.clone());
    tokio::spawn(async move {
        let mut wait = pin!(wait);
        let end = poll_fn(|context| {
            let polled = wait.as_mut().poll(context);
            if polled.is_pending() {
                let _ = waits.send(());
            }
            polled
        });
        let _ = ended.send(end.await);
    });
}

#[test]
fn a_call_that_waits_when_the_exchange_ends_is_woken() {
    let (tell, mut heard) = unbounded_channel();
    let site = Site::new(application_fn(move |environ, start| {
        let ended = tell.clone();
        async move {
            start.start("200 OK", PLAIN)?;
            let (waits, mut waiting) = unbounded_channel();
            let (one, two, three) = (environ.input(), environ.input(), environ.input());
            spawn(&waits, &ended, async move { one.read(1).await });
            spawn(&waits, &ended, async move { two.read_to_end().await });
            spawn(&waits, &ended, async move {
                three.client_gone().await;
                Err(InputError::Over)
            });
            for _ in 0..3 {
                in_time("a task waits", waiting.recv()).await;
            }
            Ok("they wait".into())
        }
    }));
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.answer().text(), "they wait");
    for _ in 0..3 {
        assert_eq!(receive(&mut heard), Err(InputError::Over));
    }
    assert_eq!(site.handle().connections(), 1, "the remaining body has not arrived");
}

#[test]
fn several_tasks_may_wait_for_the_same_thing() {
    let site = Site::new(application_fn(|environ, start| async move {
        let write = start.start("200 OK", PLAIN)?;
        write.write("").await?;
        let (one, two, three) = (environ.input(), environ.input(), environ.input());
        let readers = [one, two].map(|input| tokio::spawn(async move { input.read(3).await }));
        let watchers =
            [environ.input(), three].map(|input| tokio::spawn(async move { input.client_gone().await }));
        let mut read = Vec::new();
        for reader in readers {
            read.push(in_time("a reader", reader).await??.len());
        }
        for watcher in watchers {
            in_time("a watcher", watcher).await?;
        }
        Ok(format!("{read:?}").into())
    }));
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\n");
    for byte in "123456".bytes() {
        client.send([byte]);
    }
    client.half_close();
    assert_eq!(client.answer().text(), "[3, 3]");
}

/// Echoes the request body: one task reads while another one writes.
async fn echo(environ: Environ, start: StartResponse) -> Result<Body> {
    let write = start.start("200 OK", PLAIN)?;
    let (tell, mut heard) = channel::<Bytes>(2);
    let input = environ.input();
    let reader = tokio::spawn(async move {
        loop {
            let part = input.read_some(usize::MAX).await?;
            if part.is_empty() || tell.send(part).await.is_err() {
                return Ok::<_, Error>(());
            }
        }
    });
    let writer = tokio::spawn(async move {
        while let Some(part) = heard.recv().await {
            write.write(part).await?;
        }
        Ok::<_, Error>(())
    });
    reader.await??;
    writer.await??;
    Ok(Body::empty())
}

#[test]
fn one_task_reads_while_another_writes() {
    const LENGTH: usize = 8 * 1024 * 1024;
    let site = Site::new(echo);
    let mut client = site.connect();
    let body: Arc<[u8]> = (0..LENGTH).map(|at| (at % 251) as u8).collect();
    let (mut sending, sent) = (client.clone_stream(), Arc::clone(&body));
    let sender = std::thread::spawn(move || {
        use std::io::Write;
        sending.write_all(
            format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {LENGTH}\r\n\r\n").as_bytes(),
        )?;
        sending.write_all(&sent)
    });
    let answer = client.answer();
    sender.join().expect("no panic").expect("the server reads");
    assert!(answer.whole && answer.body == *body, "{} bytes were echoed", answer.body.len());
    assert_eq!(client.get("/").body, b"", "the connection stays open");
}

#[cfg(unix)]
#[test]
fn a_body_is_read_whole_up_to_a_limit_or_the_client_gets_413() {
    const LIMIT: usize = 100_000;
    let reads = |environ: Environ, start: StartResponse| async move {
        let body = environ.input().read_all(LIMIT).await?;
        start.start("200 OK", PLAIN)?;
        Ok::<Body, Error>(body.len().to_string().into())
    };
    let blocking = |environ: wsgi_std::Environ, start: wsgi_std::StartResponse| {
        let body = environ.input().read_all(LIMIT)?;
        start.start("200 OK", PLAIN)?;
        Ok::<Body, Error>(body.len().to_string().into())
    };
    let application = Site::new(application_fn(reads));
    let running = wsgi_tests::runtimes::Runtime::Std.begin(
        None,
        wsgi_tokio::Options::default().log_output(false),
        application_fn(reads),
        wsgi_std::application_fn(blocking),
    );
    for address in [application.address(), running.address] {
        for (length, status) in [(0, 200), (LIMIT, 200), (LIMIT + 1, 413), (50 * LIMIT, 413)] {
            let mut client = wsgi_tests::caller::Caller::connect(address);
            client.send(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n"));
            client.send(vec![b'x'; length]);
            let answer = client.answer();
            assert_eq!((answer.status, answer.whole), (status, true), "{length} bytes");
            let text = if status == 200 {
                length.to_string()
            } else {
                format!("request body too large (limit: {LIMIT} bytes)\n")
            };
            assert_eq!(answer.text(), text);
        }
    }
    running.handle.shutdown();
}

#[test]
fn a_line_that_does_not_end_is_returned_in_parts() {
    const PART: usize = 1024 * 1024;
    let site = Site::new(application_fn(|environ, start| async move {
        let (mut lines, mut lengths) = (environ.input().lines(), Vec::new());
        while let Some(line) = lines.next().await? {
            lengths.push(line.len());
        }
        start.start("200 OK", PLAIN)?;
        Ok(format!("{lengths:?}").into())
    }));
    let mut client = site.connect();
    let body = [b"short\n".to_vec(), vec![b'x'; 2 * PART + 5], b"\nend".to_vec()].concat();
    client.send(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body.len()));
    client.send(&body);
    assert_eq!(client.answer().text(), format!("{:?}", [6, PART, PART, 6, 3]));
}

#[test]
fn a_body_that_was_read_stays_at_its_end() {
    let site = Site::new(application_fn(|environ, start| async move {
        let input = environ.input();
        assert!(input.trailers().is_none(), "the end was not read");
        let body = tokio::spawn(async move { input.read_to_end().await }).await??;
        let input = environ.input();
        for _ in 0..3 {
            assert_eq!(input.read(5).await?, "");
            assert_eq!(input.read_line(5).await?, "");
            assert_eq!(input.lines().next().await?, None);
        }
        let trailers = input.trailers().map(|trailers| trailers.fields().len());
        start.start("200 OK", PLAIN)?;
        Ok(format!("{body:?} {trailers:?}").into())
    }));
    let mut client = site.connect();
    client
        .send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nA: b\r\n\r\n");
    assert_eq!(client.answer().text(), "b\"ok\" Some(1)");
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nyes");
    assert_eq!(client.answer().text(), "b\"yes\" Some(0)");
}

#[test]
fn an_application_is_notified_that_its_client_disconnected_and_may_still_answer() {
    let site = Site::new(application_fn(|environ, start| async move {
        in_time("client_gone", environ.input().client_gone()).await;
        start.start("200 OK", PLAIN)?;
        Ok("goodbye".into())
    }));
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    client.half_close();
    assert_eq!(client.answer().text(), "goodbye");
    assert!(client.ends());
}

#[test]
fn after_a_reset_the_calls_fail_and_the_application_runs_on() {
    let (tell, mut heard) = unbounded_channel();
    let site = Site::new(move |environ: Environ, start: StartResponse| {
        let tell = tell.clone();
        async move {
            let write = start.start("200 OK", PLAIN)?;
            write.write("begun").await?;
            write.flush().await;
            let read = environ.input().read_to_end().await;
            let written = loop {
                if let Err(error) = write.write(vec![0; 100_000]).await {
                    break error;
                }
            };
            tokio::task::yield_now().await;
            let _ = tell.send((read, written));
            Err("no one receives this".into()) as Result<Body>
        }
    });
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n");
    let mut begun = [0; 16];
    std::io::Read::read_exact(&mut client.stream(), &mut begun).expect("the response has begun");
    socket2::SockRef::from(client.stream()).set_linger(Some(Duration::ZERO)).expect("a socket");
    drop(client);
    let (read, written) = receive(&mut heard);
    assert_eq!(read, Err(InputError::Body(BodyError::Lost(Lost::Reset))));
    assert_eq!(written, SendError::Lost(Lost::Reset));
    assert_eq!(site.journal().accesses(1)[0].lost, Some(Lost::Reset));
}

#[test]
fn a_task_that_outlives_the_application_may_not_write_into_the_next_response() {
    let (go, gone) = oneshot::channel::<()>();
    let gate = Arc::new(Mutex::new(Some(gone)));
    let (tell, mut heard) = unbounded_channel();
    let site = Site::new(application_fn(move |_, start| {
        let (gone, tell) = (gate.lock().expect("no panic").take(), tell.clone());
        async move {
            let write = start.start("200 OK", PLAIN)?;
            if let Some(gone) = gone {
                tokio::spawn(async move {
                    let _ = gone.await;
                    let _ = tell.send(write.write("intruder").await);
                });
            }
            Ok("right".into())
        }
    }));
    let mut client = site.connect();
    assert_eq!(client.get("/").text(), "right");
    go.send(()).expect("it waits");
    assert_eq!(receive(&mut heard), Err(SendError::Finished));
    assert_eq!(client.get("/").text(), "right");
}
