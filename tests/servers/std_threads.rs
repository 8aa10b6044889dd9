//! How `wsgi-std` uses threads.
#![cfg(unix)]

use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use wsgi_std::{Application, BoxApplication, application_fn};
use wsgi_std::{Body, Environ, Options, Report, Result, Server, ServerHandle, StartResponse};
use wsgi_tests::caller::Caller;
use wsgi_tests::live::{PATIENCE, eventually};

const PLAIN: [(&str, &str); 1] = [("Content-Type", "text/plain")];

struct Site {
    address: SocketAddr,
    handle: ServerHandle,
    serving: thread::JoinHandle<std::io::Result<Report>>,
}

fn serve(application: impl wsgi_std::Application) -> Site {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let server = Server::new(listener, application).debug(false).log_output(false).max_size(5000);
    let handle = server.handle();
    let serving = thread::spawn(move || server.serve());
    Site { address, handle, serving }
}

impl Site {
    fn stop(self) -> Report {
        self.handle.shutdown();
        self.serving.join().expect("no panic").expect("the listener is sound")
    }
}

fn connect(address: SocketAddr, bytes: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("the server accepts");
    stream.write_all(bytes.as_bytes()).expect("there is room");
    stream
}

#[test]
fn an_interim_response_is_sent_while_the_application_works() {
    let (arrived, has_arrived) = channel();
    let has_arrived = Mutex::new(has_arrived);
    let site = serve(wsgi_std::site(move |environ: Environ| -> Result<&'static str> {
        environ.inform("103 Early Hints", [("Link", "</style.css>")])?;
        has_arrived.lock().expect("no panic").recv_timeout(PATIENCE)?;
        Ok("done")
    }));
    let mut client = Caller::connect(site.address);
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut interim = Vec::new();
    while !interim.ends_with(b"\r\n\r\n") {
        interim.extend(client.bytes(1));
    }
    assert!(interim.starts_with(b"HTTP/1.1 103 Early Hints\r\n"));
    arrived.send(()).expect("the application waits");
    assert_eq!(client.answer().text(), "done");
    site.stop();
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the test is about an application that blocks its thread")]
fn applications_that_block_run_side_by_side() {
    let site = serve(|_: Environ, start: StartResponse| -> Result<Body> {
        thread::sleep(Duration::from_millis(100));
        start.start("200 OK", PLAIN)?;
        Ok("slept".into())
    });
    let began = Instant::now();
    let clients: Vec<_> = (0..64)
        .map(|_| {
            let address = site.address;
            thread::spawn(move || Caller::connect(address).get("/").text())
        })
        .collect();
    for client in clients {
        assert_eq!(client.join().expect("it is answered"), "slept");
    }
    // Sequentially they would take 6.4 s.
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    site.stop();
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the application blocks its thread: that is what is looked at")]
fn requests_that_wait_get_threads_although_others_are_taken_meanwhile() {
    const CLIENTS: usize = 50;
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (running, peak) = (Arc::clone(&now), Arc::clone(&most));
    let site = serve(move |_: Environ, start: StartResponse| -> Result<Body> {
        peak.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(5));
        running.fetch_sub(1, Ordering::SeqCst);
        start.start("200 OK", PLAIN)?;
        Ok("slept".into())
    });
    let enough = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (address, enough) = (site.address, Arc::clone(&enough));
            thread::spawn(move || {
                let mut client = Caller::connect(address);
                while !enough.load(Ordering::SeqCst) {
                    assert_eq!(client.get("/").text(), "slept");
                }
            })
        })
        .collect();
    eventually("nearly all are served at the same time", || most.load(Ordering::SeqCst) > CLIENTS * 4 / 5);
    enough.store(true, Ordering::SeqCst);
    clients.into_iter().for_each(|client| client.join().expect("it is answered"));
    site.stop();
}

#[test]
fn a_client_that_always_has_a_request_ready_leaves_the_only_thread_to_others() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let server = Server::new(listener, |_: Environ, start: StartResponse| -> Result<Body> {
        start.start("200 OK", PLAIN)?;
        Ok("fine".into())
    });
    let server = server.debug(false).log_output(false).pool(1);
    let handle = server.handle();
    let serving = thread::spawn(move || server.serve());
    let enough = Arc::new(AtomicBool::new(false));
    let mut sending = connect(address, "");
    let mut receiving = sending.try_clone().expect("there are descriptors");
    let receiver = thread::spawn(move || std::io::copy(&mut receiving, &mut std::io::sink()));
    let (until, began) = (Arc::clone(&enough), Instant::now());
    let sender = thread::spawn(move || {
        let requests = "GET / HTTP/1.1\r\nHost: h\r\n\r\n".repeat(1000);
        while !until.load(Ordering::SeqCst) && began.elapsed() < Duration::from_secs(3) {
            let _ = sending.write_all(requests.as_bytes());
        }
        let _ = sending.shutdown(std::net::Shutdown::Both);
    });
    thread::park_timeout(Duration::from_millis(100));
    for _ in 0..3 {
        assert_eq!(Caller::connect(address).get("/").text(), "fine");
    }
    assert!(began.elapsed() < Duration::from_secs(3), "they were served after the first client");
    enough.store(true, Ordering::SeqCst);
    sender.join().expect("no panic");
    let _ = receiver.join().expect("no panic");
    handle.shutdown();
    serving.join().expect("no panic").expect("the listener is sound");
}

#[test]
fn reading_and_writing_from_two_threads_wait_for_each_other_never() {
    const SIZE: usize = 4 << 20;
    // A second thread writes back the received bytes, more than all buffers in between can hold.
    let site = serve(|environ: Environ, start: StartResponse| -> Result<Body> {
        let write = start.start("200 OK", [("Content-Length", SIZE.to_string())])?;
        let (send, receive) = std::sync::mpsc::sync_channel::<Vec<u8>>(1);
        let writer = thread::spawn(move || {
            receive.iter().try_for_each(|block| write.write(block)).map_err(|error| error.to_string())
        });
        let input = environ.input();
        loop {
            let block = input.read_some(10_000)?;
            if block.is_empty() {
                break;
            }
            send.send(block.to_vec())?;
        }
        drop(send);
        writer.join().map_err(|_| "the writer panicked")??;
        Ok(Body::empty())
    });
    let mut stream = connect(site.address, "");
    let mut sending = stream.try_clone().expect("descriptors are available");
    let sender = thread::spawn(move || {
        write!(sending, "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {SIZE}\r\n\r\n")?;
        sending.write_all(&vec![b'x'; SIZE])
    });
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the whole answer");
    sender.join().expect("no panic").expect("everything was sent");
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
    assert!(answer.len() > SIZE && answer.ends_with(b"xxxx"), "{} bytes", answer.len());
    site.stop();
}

#[test]
fn another_thread_may_flush_what_waits_to_be_joined() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (received, wait) = channel();
    let wait = Mutex::new(Some(wait));
    let application = application_fn(move |_, start| {
        let (write, wait) = (start.start("200 OK", PLAIN)?, wait.lock().expect("no panic").take());
        let second = std::iter::once_with(move || {
            // The first block is held back for joining. Another thread knows that no block follows soon, and flushes
            // it.
            thread::spawn(move || write.flush());
            let wait = wait.expect("there is one request");
            wait.recv_timeout(PATIENCE).expect("the client has the first block before it gets the second");
            Ok("cd".into())
        });
        Ok(Body::iterator(std::iter::once(Ok("ab".into())).chain(second)))
    });
    let options = Options::default().log_output(false).minimum_chunk_size(100);
    let server = Server::new(listener, application).options(options);
    let handle = server.handle();
    let serving = thread::spawn(move || server.serve());
    let mut client = Caller::connect(address);
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(client.bytes(1));
    }
    assert_eq!(client.bytes(7), b"2\r\nab\r\n");
    received.send(()).expect("it waits");
    assert_eq!(client.bytes(12), b"2\r\ncd\r\n0\r\n\r\n"[..12]);
    handle.shutdown();
    serving.join().expect("no panic").expect("the listener is sound");
}

/// Another thread keeps examining the body while the application returns and the next request arrives. It never sees
/// bytes of another request's body, and never takes any from it.
#[test]
fn what_another_thread_looks_at_stays_in_its_own_request() {
    use std::io::BufRead as _;
    const REQUESTS: usize = 4000;
    let (look, looks) = channel::<wsgi_std::Input>();
    let looking = thread::spawn(move || {
        for mut input in looks {
            // It ends with an error when the exchange ends.
            while input.fill_buf().is_ok_and(|shown| !shown.is_empty()) {}
        }
    });
    let look = Mutex::new(look);
    let site = serve(move |environ: Environ, start: StartResponse| -> Result<Body> {
        let answer = match &*environ.path() {
            "/look" => {
                let look = look.lock().expect("no panic").clone();
                look.send(environ.input()).expect("it looks");
                "looked at".into()
            }
            _ => String::from_utf8_lossy(&environ.input().read_to_end()?).into_owned(),
        };
        start.start("200 OK", PLAIN)?;
        Ok(answer.into())
    });
    let (wrong, right) = ("x".repeat(3000), "right");
    let mut client = Caller::connect(site.address);
    for _ in 0..REQUESTS {
        client.send(format!("POST /look HTTP/1.1\r\nHost: h\r\nContent-Length: 3000\r\n\r\n{wrong}"));
        client.send("POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nright");
        assert_eq!(client.answer().text(), "looked at");
        assert_eq!(client.answer().text(), right);
    }
    drop(client);
    site.stop();
    looking.join().expect("no panic");
}

/// Like the test above, with reads that go from the socket straight into a buffer of the other thread.
#[test]
fn a_large_read_of_another_thread_stays_in_its_own_request() {
    const REQUESTS: usize = 500;
    const LENGTH: usize = 40_000;
    let (look, looks) = channel::<wsgi_std::Input>();
    let looking = thread::spawn(move || {
        let mut space = vec![0; 64 * 1024];
        for input in looks {
            while let Ok(count @ 1..) = input.read_into(&mut space) {
                assert!(space[..count].iter().all(|byte| *byte == b'x'));
            }
        }
    });
    let look = Mutex::new(look);
    let site = serve(move |environ: Environ, start: StartResponse| -> Result<Body> {
        let answer = match &*environ.path() {
            "/look" => {
                look.lock().expect("no panic").send(environ.input()).expect("it looks");
                // Both read at the same time, and this one stops in the middle.
                environ.input().read_some(20_000)?;
                "looked at".into()
            }
            _ => String::from_utf8_lossy(&environ.input().read_to_end()?).into_owned(),
        };
        start.start("200 OK", PLAIN)?;
        Ok(answer.into())
    });
    let (wrong, right) = ("x".repeat(LENGTH), "r".repeat(LENGTH));
    let mut client = Caller::connect(site.address);
    for _ in 0..REQUESTS {
        client.send(format!("POST /look HTTP/1.1\r\nHost: h\r\nContent-Length: {LENGTH}\r\n\r\n"));
        client.send(&wrong[..17_000]);
        client.send(&wrong[17_000..]);
        client.send(format!("POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: {LENGTH}\r\n\r\n{right}"));
        assert_eq!(client.answer().text(), "looked at");
        assert!(client.answer().text() == right);
    }
    drop(client);
    site.stop();
    looking.join().expect("no panic");
}

/// Another thread takes over the connection while its own task flushes the 101 and passes on the stream: `take_over`
/// returns the stream or an error, and no thread hangs. A stop at any moment ends the wait as well.
#[test]
fn a_take_over_from_another_thread_never_hangs() {
    const ROUNDS: usize = 400;
    let (take, takes) = channel::<(wsgi_std::Input, std::sync::mpsc::Sender<bool>)>();
    let taking = thread::spawn(move || {
        for (input, tell) in takes {
            let _ = tell.send(input.take_over().is_ok());
        }
    });
    let take = Mutex::new(take);
    let site = serve(move |environ: Environ, start: StartResponse| -> Result<Body> {
        start.start("101 Switching Protocols", [("Upgrade", "x")])?;
        let (tell, heard) = channel();
        take.lock().expect("no panic").send((environ.input(), tell)).expect("it takes");
        if &*environ.path() == "/wait" {
            // The application stays until the other thread has the stream.
            assert!(heard.recv_timeout(PATIENCE).expect("it does not hang"), "there is a stream");
        }
        Ok(Body::empty())
    });
    for round in 0..ROUNDS {
        let path = if round % 2 == 0 { "/wait" } else { "/return" };
        let mut client = Caller::connect(site.address);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"));
        // If the application returns, the exchange may end before the other thread takes it over.
        let answer = client.try_answer();
        assert!(answer.is_ok() || path == "/return", "{answer:?}");
    }
    site.stop();
    taking.join().expect("no panic");
}

#[test]
fn blocking_applications_are_boxed_and_shared_and_have_errors_of_their_own() {
    fn page(_: Environ, start: StartResponse) -> Result<Body> {
        start.start("200 OK", PLAIN)?;
        Ok("page".into())
    }
    fn file(environ: Environ, start: StartResponse) -> std::io::Result<Body> {
        let text = std::fs::read_to_string(&*environ.path())?;
        start.start("200 OK", PLAIN).map_err(std::io::Error::other)?;
        Ok(text.into())
    }
    struct Pages([(&'static str, BoxApplication); 2]);
    impl Application for Pages {
        fn call(&self, environ: Environ, start: StartResponse) -> Result<Body> {
            let page = self.0.iter().find(|(path, _)| environ.path() == *path);
            page.ok_or("no such page")?.1.call(environ, start)
        }
    }
    let pages = Pages([("/page", page.boxed()), ("/no/such/file", Box::new(file))]);
    let shared: Arc<dyn Application> = Arc::new(pages.boxed());
    let site = serve(shared);
    for (path, status) in [("/page", 200), ("/no/such/file", 500), ("/else", 500)] {
        assert_eq!(Caller::connect(site.address).get(path).status, status, "{path}");
    }
    site.stop();
}
