//! Raw applications on `wsgi-std`: they send their response by calls of the machine.
#![cfg(unix)]

use std::io::{BufRead as _, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use wsgi_app::adapter::raw::{AnswerError, Flow, Raw, RawRequest};
use wsgi_std::{Application, Body, Environ, InputError, Listener, Options, Report, Result};
use wsgi_std::{Record, SendError, Server, ServerHandle, StartResponse};
use wsgi_tests::caller::Caller;
use wsgi_tests::live::{Journal, Kind, eventually};
use wsgi_tests::secure::{Stream, trust};

const PLAIN: [(&str, &str); 1] = [("Content-Type", "text/plain")];

struct Site {
    address: SocketAddr,
    handle: ServerHandle,
    journal: Arc<Journal>,
    serving: thread::JoinHandle<std::io::Result<Report>>,
}

impl Site {
    /// Serves on one thread, so that an application that waits needs no other.
    fn with(options: Options, application: impl Application) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        Self::on(listener.into(), address, options, application)
    }

    fn on(listener: Listener, address: SocketAddr, options: Options, application: impl Application) -> Self {
        let (options, journal) = Journal::keep(options);
        let server = Server::new(listener, application).options(options).pool(1);
        let handle = server.handle();
        Self { address, handle, journal, serving: thread::spawn(move || server.serve()) }
    }

    fn raw(application: impl Fn(&RawRequest) -> Result<Body> + Send + Sync + 'static) -> Self {
        Self::with(Options::default(), Raw::new(application))
    }

    fn connect(&self) -> Caller {
        Caller::connect(self.address)
    }

    /// Stops the server, and returns all that it has logged.
    fn stop(self) -> Arc<Journal> {
        self.handle.shutdown();
        self.serving.join().expect("no panic").expect("the listener is sound");
        self.journal
    }
}

/// Starts the response and sends a block of its body.
fn send(request: &RawRequest, block: &str) -> Result<Flow> {
    let sent = request.with(|mut exchange| {
        if !exchange.is_started() {
            exchange.respond("200 OK", PLAIN)?;
        }
        exchange.send(block).map_err(AnswerError::from)
    });
    Ok(sent.ok_or(InputError::Over)??)
}

/// Sends `text` as the whole response.
fn answer(request: &RawRequest, text: &str) -> Result<Body> {
    request.with(|mut exchange| exchange.answer("200 OK", PLAIN, text)).ok_or(InputError::Over)??;
    Ok(Body::empty())
}

#[test]
fn a_raw_application_sees_its_request_and_sends_the_whole_response() {
    let site = Site::raw(|request| {
        let (head, variables) = (request.head(), request.variables());
        let text = format!(
            "{} {} {:?} {:?} {:?}",
            head.method(),
            String::from_utf8_lossy(head.path()),
            variables.get("HTTP_X_A"),
            variables.get("REMOTE_ADDR"),
            request.endpoints().scheme
        );
        assert_eq!(request.config().minimum_chunk_size, 0);
        answer(request, &text)
    });
    let mut client = site.connect();
    // The second request is pipelined.
    client.send("GET /a%20b HTTP/1.1\r\nHost: h\r\nX-A: 1\r\n\r\nGET /c HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.answer().text(), "GET /a%20b Some(\"1\") Some(\"127.0.0.1\") Http");
    assert_eq!(client.answer().text(), "GET /c None Some(\"127.0.0.1\") Http");
    assert_eq!(client.get("/d").text(), "GET /d None Some(\"127.0.0.1\") Http");
    let records = site.journal.accesses(3);
    assert_eq!(records.iter().map(|record| record.status).collect::<Vec<_>>(), [200; 3]);
    site.stop();
}

#[test]
fn the_end_of_the_call_ends_the_response() {
    let site = Site::raw(|request| {
        let _ = send(request, "one ")?;
        let _ = send(request, "two")?;
        Ok(Body::empty())
    });
    let mut client = site.connect();
    for _ in 0..2 {
        let answer = client.get("/");
        assert_eq!(answer.field("Transfer-Encoding"), Some("chunked"));
        assert_eq!(answer.text(), "one two");
    }
    site.stop();
}

#[test]
fn what_is_returned_is_the_rest_of_the_body() {
    let site = Site::raw(|request| {
        let head = request.with(|mut exchange| exchange.respond("200 OK", PLAIN));
        head.ok_or(InputError::Over)??;
        match request.head().path() {
            b"/file" => Ok(Body::file(std::fs::File::open("Cargo.toml")?, ..)?),
            _ => Ok(Body::iterator(["a", "b"].map(|block| Ok(block.into())))),
        }
    });
    let mut client = site.connect();
    let file = std::fs::read("Cargo.toml").expect("cargo runs the tests in this folder");
    let answer = client.get("/file");
    assert_eq!(answer.field("Content-Length"), Some(&*file.len().to_string()));
    assert_eq!(answer.body, file);
    assert_eq!(client.get("/blocks").text(), "ab");
    site.stop();
}

#[test]
fn a_flush_sends_what_was_sent_before_the_application_continues() {
    let (first, go_on) = (Mutex::new(None), channel());
    *first.lock().expect("no panic") = Some(go_on.1);
    let site = Site::raw(move |request| {
        let _ = send(request, "first\n")?;
        request.flush();
        let go_on = first.lock().expect("no panic").take().expect("one request");
        go_on.recv()?;
        let _ = send(request, "second\n")?;
        Ok(Body::empty())
    });
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut received = Vec::new();
    while !received.ends_with(b"6\r\nfirst\n\r\n") {
        received.extend(client.bytes(1));
    }
    go_on.0.send(()).expect("the application waits");
    assert_eq!(client.bytes(17), b"7\r\nsecond\n\r\n0\r\n\r\n");
    site.stop();
}

#[test]
fn a_full_outbox_has_room_again_after_a_wait() {
    const BLOCKS: usize = 200;
    let site = Site::raw(|request| {
        request.with(|mut exchange| exchange.respond("200 OK", PLAIN)).ok_or(InputError::Over)??;
        for number in 0..BLOCKS {
            let block = vec![b'a' + (number % 26) as u8; 50_000];
            match request.with(|mut exchange| exchange.send(block)).ok_or(InputError::Over)?? {
                Flow::Ready => {}
                Flow::Full => request.wait_for_room(),
            }
        }
        Ok(Body::empty())
    });
    let answer = site.connect().get("/");
    assert_eq!(answer.body.len(), BLOCKS * 50_000);
    assert!(
        answer
            .body
            .chunks(50_000)
            .enumerate()
            .all(|(number, block)| { block.iter().all(|&byte| byte == b'a' + (number % 26) as u8) })
    );
    site.stop();
}

#[test]
fn a_body_is_read_into_the_applications_buffer() {
    let site = Site::raw(|request| {
        let announced = request.remaining();
        // Bytes that were looked at, and not consumed, remain.
        let mut input = request.input();
        let mut sum = u64::from(input.fill_buf()?[0]);
        assert_eq!(request.remaining(), announced);
        input.consume(1);
        let (mut space, mut length) = (vec![0; 64 * 1024], 1);
        while let count @ 1.. = request.read_into(&mut space)? {
            length += count;
            assert_eq!(request.remaining(), announced.map(|announced| announced - length as u64));
            sum += space[..count].iter().map(|&byte| u64::from(byte)).sum::<u64>();
        }
        assert_eq!(request.remaining(), Some(0));
        let trailer = request.input().trailers().unwrap_or_default().fields().next().is_some();
        answer(request, &format!("{announced:?} {length} {sum} {trailer}"))
    });
    let mut client = site.connect();
    let body: Vec<u8> = (0..1_000_003_u32).map(|number| number as u8).collect();
    let sum: u64 = body.iter().map(|&byte| u64::from(byte)).sum();
    client.send(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body.len()));
    client.send(&body);
    assert_eq!(client.answer().text(), format!("Some({0}) {0} {sum} false", body.len()));
    let head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send(format!("{head}3\r\n\x01\x02\x03\r\n0\r\nX-A: 1\r\n\r\n"));
    assert_eq!(client.answer().text(), "None 3 6 true");
    site.stop();
}

const TRACEBACK: &str =
    "Traceback (most recent call last):\n  File \"a.py\", line 1\nValueError: \u{1b}[31m\n";

#[test]
fn the_text_of_a_failure_is_logged_line_by_line_and_shown_only_with_debug() {
    for debug in [true, false] {
        let site =
            Site::with(Options::default().debug(debug), Raw::new(|_: &RawRequest| Err(TRACEBACK.into())));
        let answer = site.connect().get("/a");
        assert_eq!(
            (answer.status, answer.text()),
            (500, if debug { TRACEBACK.into() } else { String::new() })
        );
        let logged = [
            "the application failed \"GET /a HTTP/1.1\"",
            "Traceback (most recent call last):",
            "  File \"a.py\", line 1",
            "ValueError: \\u{1b}[31m",
        ];
        assert_eq!(site.stop().texts(Kind::Error), logged);
    }
}

#[test]
fn failures_are_answered_and_logged_as_those_of_other_applications() {
    let site = Site::raw(|request| match request.head().path() {
        b"/line" => Err("no stock left".into()),
        b"/nothing" => Ok(Body::empty()),
        b"/panic" => panic!("at the disco"),
        b"/body" => {
            let mut space = [0; 10];
            while request.read_into(&mut space)? > 0 {}
            answer(request, "whole")
        }
        _ => {
            let _ = send(request, "begun")?;
            Err("too late".into())
        }
    });
    for (path, text) in [
        ("/line", "the application failed: no stock left"),
        ("/nothing", "the application failed: "),
        ("/panic", "the application panicked at "),
    ] {
        let answer = site.connect().get(path);
        assert_eq!(answer.status, 500, "{path}");
        assert!(answer.text().starts_with(text), "{}", answer.text());
        let logged = site.journal.error(&format!("\"GET {path} HTTP/1.1\""));
        assert!(logged.starts_with(text), "{logged}");
    }
    let cut = site.connect().get("/cut");
    assert_eq!((cut.status, cut.whole, &*cut.text()), (200, false, "begun"));
    site.journal.error("the application failed: too late");
    // The client's fault is not logged as an error.
    let mut client = site.connect();
    client.send("POST /body HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\ncats\r\n");
    assert_eq!(client.answer().status, 400);
    assert_eq!(site.journal.of(Kind::Error).len(), 4);
    site.stop();
}

/// Adds a hook that notes the record, and one behind it that panics or notes its name.
fn with_hooks(request: &RawRequest, notes: &Arc<Mutex<Vec<String>>>) -> Result<Body> {
    let (first, second) = (Arc::clone(notes), Arc::clone(notes));
    assert!(request.add_post_hook(move |record: &Record| {
        let text = format!("{} {} {:?}", record.status, record.body_length, record.lost.is_some());
        first.lock().expect("no panic").push(text);
        assert!(record.status != 500, "of the first hook");
    }));
    request.add_post_hook(move |_| second.lock().expect("no panic").push("second".into()));
    if request.head().path() == b"/fails" {
        return Err("it failed".into());
    }
    answer(request, "hooked")
}

#[test]
fn post_hooks_see_what_was_sent_whatever_wraps_the_application() {
    for (is_wrapped, logs) in [(false, true), (false, false), (true, true), (true, false)] {
        let notes: Arc<Mutex<Vec<String>>> = Arc::default();
        let hooks = Arc::clone(&notes);
        let raw = Raw::new(move |request: &RawRequest| with_hooks(request, &hooks));
        let options = Options::default().debug(false).log_output(logs);
        let site = if is_wrapped {
            let middleware =
                move |environ: Environ, start: StartResponse| -> Result<Body> { raw.call(environ, start) };
            Site::with(options, middleware)
        } else {
            Site::with(options, raw)
        };
        let mut client = site.connect();
        assert_eq!(client.get("/").text(), "hooked");
        assert_eq!(client.get("/fails").status, 500);
        eventually("the hooks have run", || notes.lock().expect("no panic").len() == 4);
        assert_eq!(*notes.lock().expect("no panic"), ["200 6 false", "second", "500 0 false", "second"]);
        if logs {
            site.journal.error("a post hook panicked at ");
        }
        site.stop();
    }
}

#[test]
fn a_value_belongs_to_one_connection_and_is_dropped_with_it() {
    /// Counts how many values there are.
    struct Value(usize, Arc<AtomicUsize>);

    impl Drop for Value {
        fn drop(&mut self) {
            self.1.fetch_sub(1, Ordering::SeqCst);
        }
    }

    let (alive, made) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
    let count = Arc::clone(&alive);
    let site = Site::raw(move |request| {
        let make = || {
            count.fetch_add(1, Ordering::SeqCst);
            Value(made.fetch_add(1, Ordering::SeqCst), Arc::clone(&count))
        };
        if request.head().path() == b"/none" {
            return answer(request, "none");
        }
        let value = request.connection_value(make).expect("its type is right");
        assert!(request.connection_value(|| 1_u8).is_none(), "it has another type");
        answer(request, &value.0.to_string())
    });
    let (mut one, mut two) = (site.connect(), site.connect());
    assert_eq!([one.get("/none").text(), one.get("/").text(), two.get("/").text()], ["none", "0", "1"]);
    assert_eq!([one.get("/").text(), two.get("/").text(), one.get("/").text()], ["0", "1", "0"]);
    drop(one);
    eventually("one value is dropped", || alive.load(Ordering::SeqCst) == 1);
    assert_eq!(two.get("/").text(), "1");
    site.stop();
    assert_eq!(alive.load(Ordering::SeqCst), 0);
}

#[test]
fn a_hook_after_the_exchange_is_refused_and_calls_are_harmless() {
    let kept: Arc<Mutex<Option<RawRequest>>> = Arc::default();
    let keep = Arc::clone(&kept);
    let site = Site::raw(move |request| {
        *keep.lock().expect("no panic") = Some(request.clone());
        answer(request, "kept")
    });
    let mut client = site.connect();
    assert_eq!(client.get("/first").text(), "kept");
    let request = kept.lock().expect("no panic").take().expect("it was kept");
    assert_eq!(client.get("/second").text(), "kept");
    assert_eq!(request.head().path(), b"/first");
    assert!(request.with(|_| ()).is_none());
    assert!(!request.add_post_hook(|_| unreachable!("it is refused")));
    assert_eq!(request.read_into(&mut [0; 8]), Err(InputError::Over));
    assert_eq!(request.remaining(), None);
    assert!(matches!(request.take_over(), Err(SendError::Finished)));
    assert!(request.is_client_gone());
    request.flush();
    request.wait_for_room();
    request.client_gone();
    site.stop();
}

#[test]
fn a_client_that_disconnects_is_noticed_without_waiting_and_on_the_only_thread() {
    let (began, noticed) = (channel(), channel());
    let (began_sender, noticed_sender) = (Mutex::new(began.0), Mutex::new(noticed.0));
    let site = Site::raw(move |request| {
        let gone = request.is_client_gone();
        began_sender.lock().expect("no panic").send(gone)?;
        eventually("the client is gone", || request.is_client_gone());
        noticed_sender.lock().expect("no panic").send(())?;
        Err(SendError::Lost(wsgi_std::Lost::Transport).into())
    });
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(!began.1.recv().expect("it is called"), "the client is still there");
    client.stream().shutdown(Shutdown::Both).expect("it is open");
    noticed.1.recv_timeout(Duration::from_secs(30)).expect("it is noticed");
    assert_eq!(site.stop().texts(Kind::Error), [""; 0]);
}

#[test]
fn a_raw_application_takes_over_the_connection() {
    let site = Site::raw(|request| {
        let switching =
            request.with(|mut exchange| exchange.respond("101 Switching Protocols", [("Upgrade", "echo")]));
        switching.ok_or(InputError::Over)??;
        let mut stream = request.take_over()?;
        let mut space = [0; 5];
        stream.read_exact(&mut space)?;
        stream.write_all(&space)?;
        Ok(Body::empty())
    });
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\nhel");
    assert_eq!(client.answer().status, 101);
    client.send("lo");
    assert_eq!(client.bytes(5), b"hello");
    assert!(client.ends());
    assert_eq!(site.journal.accesses(1)[0].status, 101);
    site.stop();
}

const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\n";

#[test]
fn a_raw_application_sends_its_own_response_on_the_stream() {
    let site = Site::raw(|request| {
        let mut stream = request.take_over_unanswered()?;
        assert!(request.with(|_| ()).is_none());
        stream.write_all(SWITCHED.as_bytes())?;
        let mut space = [0; 3];
        stream.read_exact(&mut space)?;
        for timeout in [Duration::ZERO, Duration::from_millis(10)] {
            stream.set_read_timeout(Some(timeout));
            assert_eq!(stream.read(&mut space).unwrap_err().kind(), ErrorKind::TimedOut);
        }
        stream.write_all(b"timed out")?;
        stream.set_read_timeout(None);
        stream.read_exact(&mut space[..2])?;
        stream.write_all(&space[..2])?;
        Err("it is not answered".into())
    });
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\nhel");
    assert_eq!(client.bytes(SWITCHED.len()), SWITCHED.as_bytes());
    assert_eq!(client.bytes(9), b"timed out");
    client.send("lo");
    assert_eq!(client.bytes(2), b"lo");
    assert!(client.ends());
    let record = &site.journal.accesses(1)[0];
    assert_eq!((record.status, record.response_length, record.cut), (0, 0, false));
    site.journal.error("it is not answered");
    site.stop();
}

#[test]
fn a_duplicate_of_the_descriptor_outlives_the_stream() {
    let site = Site::raw(|request| {
        let stream = request.take_over_unanswered()?;
        let descriptor = stream.descriptor().expect("it is plain TCP").try_clone_to_owned()?;
        let unread = stream.take_unread();
        assert!(stream.take_unread().is_empty());
        drop(stream);
        thread::spawn(move || {
            let mut socket = TcpStream::from(descriptor);
            socket.set_nonblocking(false).expect("a socket");
            socket.write_all(&unread).expect("there is room");
            std::io::copy(&mut socket.try_clone().expect("there are descriptors"), &mut socket)
        });
        Ok(Body::empty())
    });
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\nhel");
    assert_eq!(client.bytes(3), b"hel");
    eventually("the server has forgotten it", || site.handle.connections() == 0);
    client.send("lo");
    assert_eq!(client.bytes(2), b"lo");
    client.half_close();
    assert!(client.ends());
    site.stop();
}

#[test]
fn over_tls_a_stream_has_timeouts_and_no_descriptor() {
    let application = Raw::new(|request: &RawRequest| -> Result<Body> {
        let mut stream = request.take_over_unanswered()?;
        assert!(stream.descriptor().is_none(), "the bytes of the socket are encrypted");
        stream.set_read_timeout(Some(Duration::from_millis(10)));
        assert_eq!(stream.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::TimedOut);
        stream.write_all(b"timed out")?;
        stream.shutdown()?;
        Ok(Body::empty())
    });
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let listener = Listener::from(listener).tls(Arc::clone(&trust().server));
    let site = Site::on(listener, address, Options::default(), application);
    let mut client = Caller::<Stream>::secure(address);
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.bytes(9), b"timed out");
    assert!(client.ends());
    drop(client);
    assert_eq!(site.stop().texts(Kind::Error), [""; 0]);
}

#[test]
fn bodies_that_arrive_slowly_occupy_no_thread() {
    let raw = Raw::new(|request: &RawRequest| -> Result<Body> {
        let body = request.input().read_to_end()?;
        answer(request, std::str::from_utf8(&body)?)
    });
    let usual = |environ: Environ, start: StartResponse| -> Result<Body> {
        let body = environ.input().read_to_end()?;
        start.start("200 OK", PLAIN)?;
        Ok(body.into())
    };
    for application in [raw.boxed(), usual.boxed()] {
        let site = Site::with(Options::default().receive_before_call(16), application);
        let request = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n";
        let mut slow: Vec<_> = (0..5).map(|_| site.connect()).collect();
        slow.iter_mut().for_each(|client| client.send(format!("{request}hello")));
        eventually("all of them have arrived", || site.handle.requests() == 5);
        let mut honest = site.connect();
        honest.send(format!("{request}0123456789"));
        assert_eq!(honest.answer().text(), "0123456789");
        for client in &mut slow {
            client.send("world");
            assert_eq!(client.answer().text(), "helloworld");
        }
        site.stop();
    }
}
