//! `wsgi-std` on sockets: pending work, its causes, and how it ends.
#![cfg(unix)]

use std::io::{BufRead, Read, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::pin::Pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use futures_core::Stream;
use wsgi_std::{
    Body, Bytes, Environ, Error, Input, LogEntry, Options, Result, StartResponse, application_fn,
};
use wsgi_tests::adapters::{Running, start_std};
use wsgi_tests::caller::Caller;
use wsgi_tests::live::{PATIENCE, eventually};

const PLAIN: [(&str, &str); 1] = [("Content-Type", "text/plain")];
const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

fn quiet() -> Options {
    Options::default().debug(false).log_output(false)
}

/// A server for one test.
struct Site(Running);

impl Site {
    fn new(application: impl wsgi_std::Application) -> Self {
        Self::with(quiet(), application)
    }

    fn with(options: Options, application: impl wsgi_std::Application) -> Self {
        Self(start_std(options, application).expect("there is a port"))
    }

    fn connect(&self) -> Caller {
        Caller::connect(self.0.address)
    }

    /// Stops it, and returns how many connections finished and how many were cut.
    fn stop(self) -> (usize, usize) {
        self.0.handle.shutdown();
        let report = self.0.ended.recv_timeout(PATIENCE).expect("it ends").expect("it was sound");
        (report.finished, report.cut)
    }
}

fn fine(start: &StartResponse, body: impl Into<Body>) -> Result<Body> {
    start.start("200 OK", PLAIN)?;
    Ok(body.into())
}

/// A lock on which applications of a test wait.
struct Gate(Mutex<Receiver<()>>);

fn gate() -> (Sender<()>, Arc<Gate>) {
    let (open, waiting) = channel();
    (open, Arc::new(Gate(Mutex::new(waiting))))
}

impl Gate {
    /// Waits until the gate is opened, possibly forever.
    fn pass(&self) {
        let _ = self.0.lock().expect("no panic").recv();
    }
}

#[test]
fn two_threads_share_the_lines_of_one_body() {
    let site = Site::new(|environ: Environ, start: StartResponse| {
        let input = environ.input();
        let count = || Input::lines(&input).map(|line| line.map(|line| line.len())).sum::<Result<usize, _>>();
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
}

#[test]
fn a_body_is_a_reader_and_a_buffered_reader_at_will() {
    let site = Site::new(|environ: Environ, start: StartResponse| {
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
}

#[test]
fn each_block_is_with_the_client_before_the_next_is_made() {
    let (open, gate) = gate();
    let site = Site::new(application_fn(move |environ, start| {
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
    }));
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
}

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
fn a_stream_is_polled_when_its_waker_is_woken_from_anywhere() {
    let mailbox: Arc<Mutex<(Option<Bytes>, Option<Waker>)>> = Arc::default();
    let sent = Arc::clone(&mailbox);
    let site = Site::new(application_fn(move |_, start| {
        start.start("200 OK", PLAIN)?;
        Ok(Body::stream(Mailbox(Arc::clone(&sent))))
    }));
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
}

#[test]
fn a_panic_stays_in_its_request() {
    let site =
        Site::with(quiet().max_size(4), |environ: Environ, start: StartResponse| match &*environ.path() {
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
        });
    // More requests than concurrent connections.
    for _ in 0..4 {
        assert_eq!(site.connect().get("/before").status, 500);
        let cut = site.connect().get("/after");
        assert_eq!((cut.status, cut.whole), (200, false));
        assert_eq!(site.connect().get("/iterator").status, 500);
        assert_eq!(site.connect().get("/").text(), "fine");
    }
    assert_eq!(site.stop().1, 0);
}

#[test]
fn a_stop_cuts_who_is_idle_and_finishes_what_has_begun() {
    let (open, gate) = gate();
    let site = Site::new(move |environ: Environ, start: StartResponse| {
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
}

#[test]
fn at_the_deadline_waiting_threads_are_cut_and_those_that_never_return_are_left_behind() {
    let (open, gate) = gate();
    let (tell, heard) = channel();
    let options = quiet().graceful_timeout(Duration::from_millis(100));
    let tell = Mutex::new(tell);
    let site = Site::with(options, move |environ: Environ, start: StartResponse| {
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
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(heard.recv_timeout(PATIENCE), Ok(true), "the read fails");
    for client in [&mut stuck, &mut reading] {
        let mut byte = [0];
        assert!(matches!(client.stream().read(&mut byte), Ok(0) | Err(_)), "nothing is answered");
    }
    drop(open);
}

#[test]
fn a_client_that_takes_nothing_holds_no_thread() {
    let block = Bytes::from(vec![b'x'; 1 << 20]);
    let server = wsgi_std::Server::new(
        std::net::TcpListener::bind("127.0.0.1:0").unwrap(),
        move |environ: Environ, start: StartResponse| {
            let block = block.clone();
            match &*environ.path() {
                "/bytes" => fine(&start, Bytes::from(vec![b'x'; 64 << 20])),
                "/iterator" => fine(&start, Body::iterator((0..64).map(move |_| Ok(block.clone())))),
                _ => fine(&start, "fine"),
            }
        },
    );
    let server = server.options(quiet()).pool(1);
    let handle = server.handle();
    let ended = thread::spawn(|| server.serve());
    eventually("it accepts", || !handle.addresses().is_empty());
    let address = handle.addresses()[0];
    let mut slow: Vec<_> = ["/bytes", "/iterator"]
        .into_iter()
        .map(|path| {
            let mut client = Caller::connect(address);
            client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
            client
        })
        .collect();
    assert_eq!(Caller::connect(address).get("/").text(), "fine");
    for client in &mut slow {
        let answer = client.answer();
        assert_eq!((answer.body.len(), answer.whole), (64 << 20, true));
    }
    handle.shutdown();
    assert_eq!(ended.join().unwrap().unwrap().cut, 0);
}

#[test]
fn deadlines_of_parked_connections_are_kept() {
    let options = quiet()
        .keepalive(Duration::from_millis(150))
        .header_timeout(Duration::from_millis(300))
        .socket_timeout(Duration::from_secs(20));
    let site = Site::with(options, |_: Environ, start: StartResponse| fine(&start, "fine"));
    let began = Instant::now();
    let (mut idle, mut half) = (site.connect(), site.connect());
    assert_eq!(idle.get("/").text(), "fine");
    half.send("GET / HTTP/1.1\r\n");
    assert!(idle.ends());
    assert!(began.elapsed() >= Duration::from_millis(150));
    assert_eq!(half.answer().status, 408);
    assert!(began.elapsed() >= Duration::from_millis(300) && began.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_read_that_waits_ends_at_the_socket_timeout() {
    let options = quiet().socket_timeout(Duration::from_millis(200));
    let site = Site::with(options, |environ: Environ, start: StartResponse| {
        let error = environ.input().read(10).expect_err("the body does not arrive");
        fine(&start, error.to_string())
    });
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n");
    assert!(client.answer().text().ends_with("did not arrive in time"));
}

#[test]
fn a_connection_that_was_taken_over_serves_two_threads_and_closes_when_it_is_dropped() {
    let site = Site::new(application_fn(|environ, start| {
        start.start("101 Switching Protocols", [("Upgrade", "echo"), ("Connection", "upgrade")])?;
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
    }));
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\nabcd");
    assert_eq!(client.answer().status, 101);
    assert_eq!(client.bytes(4), b"abcd");
    client.send("efgh");
    assert_eq!(client.bytes(4), b"efgh");
    client.half_close();
    assert!(client.ends());
    assert_eq!(site.stop().1, 0);
}

#[test]
fn handles_that_are_kept_hold_no_connection_open() {
    let kept: Arc<Mutex<Vec<Environ>>> = Arc::default();
    let keep = Arc::clone(&kept);
    let site = Site::new(move |environ: Environ, start: StartResponse| {
        keep.lock().unwrap().push(environ);
        fine(&start, "fine")
    });
    let mut client = site.connect();
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer().text(), "fine");
    assert!(client.ends());
    let environ = kept.lock().unwrap().pop().unwrap();
    assert_eq!((&*environ.path(), environ.input().read(1).is_err()), ("/", true));
}

#[test]
fn a_thread_that_outlives_its_request_finds_it_over() {
    let (tell, heard) = channel();
    let tell = Mutex::new(tell);
    let site = Site::new(move |environ: Environ, start: StartResponse| {
        if environ.method() == "POST" {
            let (input, tell) = (environ.input(), tell.lock().unwrap().clone());
            thread::spawn(move || tell.send(input.read(10).map(|_| ()).map_err(|error| error.to_string())));
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
}

#[test]
fn at_max_size_the_one_that_waits_longest_makes_room() {
    let site = Site::with(quiet().max_size(2), |_: Environ, start: StartResponse| fine(&start, "fine"));
    let mut first = site.connect();
    assert_eq!(first.get("/").text(), "fine");
    let mut second = site.connect();
    assert_eq!(second.get("/").text(), "fine");
    assert_eq!(site.connect().get("/").text(), "fine");
    assert!(first.ends());
}

#[test]
fn several_listeners_and_unix_sockets_are_served() {
    let path = std::env::temp_dir().join(format!("wsgi-std-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let server = wsgi_std::Server::new(tcp, |environ: Environ, start: StartResponse| {
        fine(&start, environ.get("REMOTE_ADDR").unwrap_or_default())
    });
    let server = server.listener(UnixListener::bind(&path).unwrap()).options(quiet());
    let handle = server.handle();
    let ended = thread::spawn(|| server.serve());
    assert_eq!(Caller::connect(address).get("/").text(), "127.0.0.1");
    let mut unix = Caller::new(UnixStream::connect(&path).unwrap());
    assert_eq!(unix.get("/").text(), "unix");
    handle.shutdown();
    assert_eq!(ended.join().unwrap().unwrap().cut, 0);
    std::fs::remove_file(&path).unwrap();
}

/// A listener that shares its port with others.
fn sharing(address: std::net::SocketAddr) -> std::net::TcpListener {
    let socket =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a free port");
    socket.set_reuse_port(true).expect("a free port");
    socket.bind(&address.into()).expect("a free port");
    socket.listen(128).expect("a free port");
    socket.into()
}

#[test]
fn listeners_of_one_port_have_a_thread_each_and_a_stop_empties_all_queues() {
    let application = |_: Environ, start: StartResponse| fine(&start, "fine");
    let first = sharing(([127, 0, 0, 1], 0).into());
    let address = first.local_addr().unwrap();
    let mut server = wsgi_std::Server::new(first, application).options(quiet());
    for _ in 0..3 {
        server = server.listener(sharing(address));
    }
    let handle = server.handle();
    // They wait in the queues of all listeners, since nothing accepts yet.
    let mut waiting: Vec<_> = (0..32).map(|_| Caller::connect(address)).collect();
    waiting.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
    handle.shutdown();
    let ended = thread::spawn(|| server.serve());
    waiting.iter_mut().for_each(|client| assert_eq!(client.answer().text(), "fine"));
    assert_eq!(ended.join().unwrap().unwrap().cut, 0);
    assert_eq!(handle.addresses(), [address; 4]);

    let server = wsgi_std::Server::new(sharing(address), application).listener(sharing(address));
    let server = server.options(quiet());
    let handle = server.handle();
    let ended = thread::spawn(|| server.serve());
    for _ in 0..32 {
        assert_eq!(Caller::connect(address).get("/").text(), "fine");
    }
    #[cfg(target_os = "linux")]
    assert!(threads().contains(&"wsgi-std-accept".to_owned()), "{:?}", threads());
    handle.shutdown();
    assert_eq!(ended.join().unwrap().unwrap().cut, 0);
}

/// The names of this process's threads.
#[cfg(target_os = "linux")]
fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux has it");
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.expect("a thread").path().join("comm")).ok());
    names.map(|name| name.trim_end().to_owned()).collect()
}

#[test]
fn a_listener_that_fails_ends_the_server_whichever_it_is() {
    for number in 0..3 {
        let listener = |broken: bool| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
            // A socket that does not listen cannot accept.
            if !broken {
                socket.listen(8).unwrap();
            }
            socket
        };
        let server = wsgi_std::Server::new(listener(number == 0), |_: Environ, start: StartResponse| {
            fine(&start, "fine")
        });
        let server = server.listener(listener(number == 1)).listener(listener(number == 2)).options(quiet());
        let ended = thread::spawn(|| server.serve());
        let error = ended.join().unwrap().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(22), "listener {number}: {error}");
    }
}

#[test]
fn a_listener_that_was_duplicated_is_closed_and_not_shut_down() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let twin = listener.try_clone().unwrap();
    let server = wsgi_std::Server::new(listener, |_: Environ, start: StartResponse| fine(&start, "first"));
    let server = server.options(quiet());
    server.handle().shutdown();
    server.serve().unwrap();
    let site = wsgi_std::Server::new(twin, |_: Environ, start: StartResponse| fine(&start, "second"));
    let site = site.options(quiet());
    let handle = site.handle();
    let ended = thread::spawn(|| site.serve());
    eventually("it accepts", || !handle.addresses().is_empty());
    assert_eq!(Caller::connect(handle.addresses()[0]).get("/").text(), "second");
    handle.shutdown();
    ended.join().unwrap().unwrap();
}

#[test]
fn hooks_see_the_environ_and_what_was_sent() {
    let (tell, heard) = channel();
    let tell = Mutex::new(tell);
    let log = |entry: &LogEntry<'_>| assert!(!matches!(entry, LogEntry::Error(_)), "{}", entry.text());
    let options = Options::default().debug(false).log(log);
    let site = Site::with(options, move |environ: Environ, start: StartResponse| {
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
}

#[test]
fn an_application_can_wait_for_its_client_to_disconnect() {
    let (tell, heard) = channel();
    let tell = Mutex::new(tell);
    let site = Site::new(move |environ: Environ, start: StartResponse| {
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
}
