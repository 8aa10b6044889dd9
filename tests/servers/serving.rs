//! Many concurrent connections: their number, their order, the buffers of a slow one, and their addresses.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener as StdListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use wsgi_tests::caller::Caller;
use wsgi_tests::echo::stream::ready_blocks;
use wsgi_tests::live::{PATIENCE, Site, Threads, eventually};
use wsgi_tests::uninterrupted::uninterrupted;
use wsgi_tokio::{
    Application, Body, Bytes, Environ, OptionError, Options, Result, Server, StartResponse, application_fn,
};

const PLAIN: [(&str, &str); 1] = [("Content-Type", "text/plain")];

async fn hello(environ: Environ, start: StartResponse) -> Result<Body> {
    start.start("200 OK", PLAIN)?;
    Ok(environ.path().into_owned().into())
}

fn quiet() -> Options {
    Options::default().debug(false)
}

/// A site on one thread, so that a connection is idle before its client has the answer.
fn on_one_thread(options: Options, application: impl Application) -> Site {
    Site::run(Threads::One, options, || async {
        Ok(Server::new(TcpListener::bind("127.0.0.1:0").await?, application))
    })
}

/// An application that holds each request of `/wait` until a permit is available.
fn gated() -> (impl Application, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let closed = Arc::clone(&gate);
    let application = move |environ: Environ, start: StartResponse| {
        let gate = Arc::clone(&closed);
        async move {
            if environ.path() == "/wait" {
                gate.acquire().await?.forget();
            }
            hello(environ, start).await
        }
    };
    (application, gate)
}

#[test]
fn the_connection_that_is_idle_longest_makes_room_for_a_new_one() {
    // On a busy machine a connection may take too long to close, and then another one closes, too: so this may need several
    // tries.
    eventually("one connection makes room for one", || {
        let site = on_one_thread(quiet().max_size(3), hello);
        let [mut one, mut two, mut three] = [(); 3].map(|()| site.connect());
        for client in [&mut two, &mut one, &mut three] {
            assert_eq!(client.get("/first").text(), "/first");
        }
        let mut four = site.connect();
        assert_eq!(four.get("/new").text(), "/new");
        assert!(two.ends(), "it was idle longest");
        let again = [&mut one, &mut three, &mut four].map(|client| client.try_get("/again"));
        if again.iter().any(Option::is_none) {
            return false;
        }
        assert!(again.iter().flatten().all(|answer| answer.text() == "/again"));
        assert_eq!(site.handle().connections(), 3);
        let mut five = site.connect();
        assert_eq!(five.get("/new").text(), "/new");
        assert!(one.ends());
        assert_eq!(site.journal().accesses(8).iter().filter(|record| record.status != 200).count(), 0);
        true
    });
}

#[test]
fn no_connection_is_closed_before_a_new_one_arrives() {
    let site = Site::with(quiet().max_size(2), hello);
    let (mut one, mut two) = (site.connect(), site.connect());
    eventually("both are connected", || site.handle().connections() == 2);
    for path in ["/one", "/more"] {
        for client in [&mut one, &mut two] {
            // If one were closed, it would happen within this time.
            client.stream().set_read_timeout(Some(Duration::from_millis(100))).expect("a socket");
            let quiet = client.peek(&mut [0]).expect_err("no data, and no end");
            assert!(matches!(quiet.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{quiet}");
            client.stream().set_read_timeout(Some(PATIENCE)).expect("a socket");
            assert_eq!(client.get(path).text(), path);
        }
    }
}

#[test]
fn a_new_connection_waits_while_all_are_busy_and_nothing_is_lost() {
    let (application, gate) = gated();
    let site = Site::with(quiet().max_size(2), application);
    let mut busy = [(); 2].map(|()| site.connect());
    for client in &mut busy {
        client.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    eventually("both are busy", || site.handle().requests() == 2);
    let mut waiting = [(); 3].map(|()| site.connect());
    for client in &mut waiting {
        client.send("GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    let [first, _, _] = &waiting;
    first.stream().set_read_timeout(Some(Duration::from_millis(100))).expect("a socket");
    first.peek(&mut [0]).expect_err("there is no room for it yet");
    first.stream().set_read_timeout(Some(PATIENCE)).expect("a socket");
    assert_eq!(site.handle().connections(), 2);
    gate.add_permits(2);
    // The busy clients keep their connections open: each is closed when it becomes idle.
    for client in &mut busy {
        assert_eq!(client.answer().text(), "/wait");
    }
    for client in &mut waiting {
        assert_eq!(client.answer().text(), "/later");
    }
    assert!(site.handle().connections() <= 2);
}

#[test]
fn one_connection_at_a_time_serves_all_who_come_and_executes_nothing_twice() {
    const CLIENTS: usize = 8;
    let count: Arc<AtomicUsize> = Arc::default();
    let executed = Arc::clone(&count);
    let site = Site::with(quiet().max_size(1), move |environ: Environ, start: StartResponse| {
        executed.fetch_add(1, Ordering::SeqCst);
        hello(environ, start)
    });
    let address = site.address();
    let ask = move |path: String| {
        loop {
            let mut client = Caller::connect(address);
            // A client that has sent nothing yet may be closed for another one; a client whose request was read is
            // answered.
            let sent =
                client.stream().write_all(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
            if sent.is_ok()
                && let Ok(answer) = client.try_answer()
            {
                assert_eq!((answer.status, answer.text()), (200, path));
                return client;
            }
        }
    };
    let clients: Vec<_> =
        (0..CLIENTS).map(|number| thread::spawn(move || ask(format!("/{number}")))).collect();
    // No client disconnects: each is closed because the next one is waiting.
    let clients: Vec<_> = clients.into_iter().map(|client| client.join().expect("it is answered")).collect();
    assert_eq!(count.load(Ordering::SeqCst), CLIENTS);
    assert_eq!(site.handle().connections(), 1);
    drop(clients);
}

#[test]
fn the_handle_counts_connections_and_requests() {
    let (application, gate) = gated();
    let site = Site::with(quiet(), application);
    let handle = site.handle().clone();
    let address = site.address();
    assert_eq!(handle.addresses(), [address]);
    assert_eq!((handle.connections(), handle.requests(), handle.is_stopping()), (0, 0, false));
    let mut clients = [(); 3].map(|()| site.connect());
    eventually("three connections", || handle.connections() == 3);
    for client in &mut clients[..2] {
        client.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    eventually("two requests", || handle.requests() == 2);
    gate.add_permits(2);
    eventually("no request", || handle.requests() == 0);
    assert_eq!(handle.connections(), 3);
    drop(clients);
    eventually("no connection", || handle.connections() == 0);
}

#[cfg(unix)]
#[test]
fn a_unix_socket_is_served_like_any_other() {
    use std::os::unix::net::UnixStream;
    let path = std::env::temp_dir().join(format!("wsgi-tests-{}.sock", std::process::id()));
    let bound = path.clone();
    let site = Site::run(Threads::Several, quiet(), move || async move {
        let application = application_fn(|environ, start| async move {
            start.start("200 OK", PLAIN)?;
            let variables = ["SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR", "REMOTE_PORT", "wsgi.url_scheme"];
            Ok(format!("{:?}", variables.map(|name| environ.get(name).unwrap_or_default())).into())
        });
        Ok(Server::new(tokio::net::UnixListener::bind(bound)?, application))
    });
    let mut client = Caller::new(UnixStream::connect(&path).expect("it listens"));
    for _ in 0..2 {
        assert_eq!(client.get("/").text(), r#"["unix", "", "unix", "", "http"]"#);
    }
    assert!(site.handle().addresses().is_empty());
    let record = site.journal().accesses(2).remove(0);
    assert_eq!(record.endpoints.remote, wsgi_tokio::Address::Local);
    site.stop();
    // The server does not remove the socket file.
    std::fs::remove_file(&path).expect("the file is there");
}

#[test]
fn several_listeners_are_served_side_by_side() {
    let site = Site::run(Threads::Several, quiet(), || async {
        let server = Server::new(TcpListener::bind("127.0.0.1:0").await?, hello)
            .listener(TcpListener::bind("127.0.0.1:0").await?)
            .listener(TcpListener::bind("127.0.0.1:0").await?);
        // The machine may lack it.
        Ok(match TcpListener::bind("[::1]:0").await {
            Ok(listener) => server.listener(listener),
            Err(_) => server,
        })
    });
    eventually("it accepts everywhere", || site.handle().addresses().len() >= 3);
    let addresses = site.handle().addresses();
    let mut clients: Vec<_> = addresses.iter().map(|address| Caller::connect(*address)).collect();
    for round in ["/one", "/two"] {
        for client in &mut clients {
            assert_eq!(client.get(round).text(), round);
        }
    }
    site.stop();
    for address in addresses {
        assert!(std::net::TcpStream::connect(address).is_err(), "{address} is closed");
    }
}

#[test]
fn options_that_are_not_allowed_are_errors_before_anything_is_served() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    for (options, option, value, allowed) in [
        (quiet().max_size(0), "max_size", "0", "1 or more"),
        (quiet().url_length_limit(0), "url_length_limit", "0", "1 to 16777216"),
        (quiet().url_length_limit(1 << 25), "url_length_limit", "33554432", "1 to 16777216"),
        (quiet().socket_timeout(Duration::ZERO), "socket_timeout", "0 s", "more than zero"),
        (quiet().header_timeout(Duration::ZERO), "header_timeout", "0 s", "more than zero"),
        (quiet().limits(|limits| limits.fields = 0), "limits.fields", "0", "1 to 16777216"),
        (quiet().limits(|limits| limits.inbox = 1), "limits.inbox", "1", "1024 or more"),
        (quiet().environ("", "x"), "environ", "\"\"", "not empty"),
        (quiet().log_format("%(colour)s"), "log_format", "\"%(colour)s\"", "client_ip"),
    ] {
        let error = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            Server::new(listener, hello).options(options).serve().await
        });
        let error = error.expect_err(option);
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let inner = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<OptionError>())
            .expect("it is the error of an option");
        assert_eq!(inner.option(), option);
        let text = error.to_string();
        assert!([option, value, allowed].iter().all(|part| text.contains(part)), "{text}");
    }
}

/// A connection whose buffers are small on both sides, so that little is enough to fill them.
fn narrow(site: &Site) -> Caller {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(32 * 1024).expect("a socket");
    socket.connect(&site.address().into()).expect("the server accepts");
    Caller::over(socket.into())
}

#[test]
fn a_client_that_does_not_read_holds_its_application_back() {
    const BLOCK: usize = 32 * 1024;
    const BLOCKS: usize = 1000;
    static TAKEN: AtomicUsize = AtomicUsize::new(0);
    let site = Site::run(Threads::Several, quiet(), || async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        SockRef::from(&listener).set_send_buffer_size(32 * 1024)?;
        Ok(Server::new(
            listener,
            application_fn(|environ, start| async move {
                let write = start.start("200 OK", PLAIN)?;
                let blocks = (0..BLOCKS).map(|_| {
                    TAKEN.fetch_add(BLOCK, Ordering::SeqCst);
                    Bytes::from(vec![b'x'; BLOCK])
                });
                Ok(match &*environ.path() {
                    "/iterator" => Body::iterator(blocks.map(Ok)),
                    "/stream" => ready_blocks(blocks),
                    _ => {
                        for block in blocks {
                            write.write(block).await?;
                        }
                        Body::empty()
                    }
                })
            }),
        ))
    });
    for path in ["/iterator", "/stream", "/write"] {
        TAKEN.store(0, Ordering::SeqCst);
        let mut client = narrow(&site);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        client.peek(&mut [0; 16]).expect("the response begins");
        // Until no bytes have been accepted for a while.
        let (mut taken, mut since) = (0, Instant::now());
        eventually("the application waits", || {
            let now = TAKEN.load(Ordering::SeqCst);
            if now != taken {
                (taken, since) = (now, Instant::now());
            }
            since.elapsed() > Duration::from_millis(150)
        });
        assert!(taken < 2_000_000, "{path}: {taken} bytes were taken");
        let answer = client.answer();
        assert_eq!((answer.body.len(), answer.whole), (BLOCK * BLOCKS, true), "{path}");
        assert_eq!(TAKEN.load(Ordering::SeqCst), BLOCK * BLOCKS, "{path}");
    }
}

#[test]
fn answers_to_pipelined_requests_share_a_write() {
    const REQUESTS: usize = 40;
    let site = Site::new(hello);
    let mut client = site.connect();
    let one = client.get("/").head.len() + "\r\n\r\n/".len();
    let mut reads = 0;
    for _ in 0..10 {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n".repeat(REQUESTS));
        // One write is one segment, and a pending read receives all of it. A turn ends with a write, and by time.
        let (mut count, mut space) = (0, vec![0; 2 * REQUESTS * one]);
        while count < REQUESTS * one {
            count += uninterrupted(|| client.stream().read(&mut space[count..])).expect("the answers");
            reads += 1;
        }
        assert_eq!(count, REQUESTS * one, "{}", space[..count].escape_ascii());
    }
    assert!(reads < 10 * REQUESTS / 4, "{reads} reads");
}

#[test]
fn a_connection_that_always_has_a_next_request_leaves_time_for_others() {
    let count: Arc<AtomicUsize> = Arc::default();
    let served = Arc::clone(&count);
    let site = on_one_thread(quiet().log_output(false), move |environ: Environ, start: StartResponse| {
        served.fetch_add(1, Ordering::Relaxed);
        hello(environ, start)
    });
    let greedy = site.connect();
    let (mut sending, mut reading) = (greedy.clone_stream(), greedy.clone_stream());
    let enough: Arc<AtomicBool> = Arc::default();
    let stop = Arc::clone(&enough);
    let sender = thread::spawn(move || {
        let batch = "GET /greedy HTTP/1.1\r\nHost: h\r\n\r\n".repeat(1000);
        while !stop.load(Ordering::Relaxed) {
            sending.write_all(batch.as_bytes()).expect("the server reads");
        }
    });
    let reader = thread::spawn(move || {
        let mut space = vec![0; 1 << 20];
        while uninterrupted(|| reading.read(&mut space)).is_ok_and(|count| count > 0) {}
    });
    eventually("the greedy one is served", || count.load(Ordering::Relaxed) > 1000);
    let mut modest = site.connect();
    for _ in 0..5 {
        assert_eq!(modest.get("/modest").text(), "/modest");
    }
    assert!(!sender.is_finished(), "it is still sending");
    enough.store(true, Ordering::Relaxed);
    sender.join().expect("no panic");
    greedy.half_close();
    reader.join().expect("no panic");
}

#[test]
fn a_listener_that_fails_ends_the_server() {
    // A socket that does not listen.
    let deaf = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    deaf.set_nonblocking(true).expect("a socket");
    let deaf: Mutex<Option<StdListener>> = Mutex::new(Some(deaf.into()));
    let site = Site::run(Threads::Several, quiet(), move || async move {
        let listener = deaf.lock().expect("no panic").take().expect("it is built once");
        Ok(Server::new(TcpListener::from_std(listener)?, hello))
    });
    assert_eq!(site.ended().expect_err("it cannot accept").kind(), ErrorKind::InvalidInput);
    site.journal().error("cannot accept connections");
}
