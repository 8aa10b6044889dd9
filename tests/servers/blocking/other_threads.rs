//! Other threads that use the handles of a request.

use std::io::{Read, Write as _};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use wsgi_std::{Body, Environ, Input, Result, StartResponse, application_fn};
use wsgi_tests::live::PATIENCE;
use wsgi_tests::runtimes::on_each_blocking;

use super::{PLAIN, Site, quiet};

#[test]
fn an_interim_response_is_sent_while_the_application_works() {
    on_each_blocking("an interim response is sent while the application works", |runtime| {
        let (arrived, has_arrived) = channel();
        let has_arrived = Mutex::new(has_arrived);
        let site = Site::new(
            runtime,
            wsgi_std::site(move |environ: Environ| -> Result<&'static str> {
                environ.inform("103 Early Hints", [("Link", "</style.css>")])?;
                has_arrived.lock().expect("no panic").recv_timeout(PATIENCE)?;
                Ok("done")
            }),
        );
        let mut client = site.connect();
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        let mut interim = Vec::new();
        while !interim.ends_with(b"\r\n\r\n") {
            interim.extend(client.bytes(1));
        }
        assert!(interim.starts_with(b"HTTP/1.1 103 Early Hints\r\n"));
        arrived.send(()).expect("the application waits");
        assert_eq!(client.answer().text(), "done");
        site.stop();
    });
}

#[test]
fn reading_and_writing_from_two_threads_wait_for_each_other_never() {
    on_each_blocking("reading and writing from two threads wait for each other never", |runtime| {
        const SIZE: usize = 4 << 20;
        // A second thread writes back the received bytes, more than all buffers in between can hold.
        let site = Site::new(runtime, |environ: Environ, start: StartResponse| -> Result<Body> {
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
        let mut stream = site.connect().clone_stream();
        let mut sending = stream.try_clone().expect("descriptors are available");
        let sender = thread::spawn(move || {
            write!(
                sending,
                "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {SIZE}\r\n\r\n"
            )?;
            sending.write_all(&vec![b'x'; SIZE])
        });
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the whole answer");
        sender.join().expect("no panic").expect("everything was sent");
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
        assert!(answer.len() > SIZE && answer.ends_with(b"xxxx"), "{} bytes", answer.len());
        site.stop();
    });
}

#[test]
fn another_thread_may_flush_what_waits_to_be_joined() {
    on_each_blocking("another thread may flush what waits to be joined", |runtime| {
        let (received, wait) = channel();
        let wait = Mutex::new(Some(wait));
        let application = application_fn(move |_, start| {
            let (write, wait) = (start.start("200 OK", PLAIN)?, wait.lock().expect("no panic").take());
            let second = std::iter::once_with(move || {
                // The first block is held back for joining. Another thread knows that no block follows soon, and flushes
                // it.
                thread::spawn(move || write.flush());
                let wait = wait.expect("there is one request");
                wait.recv_timeout(PATIENCE)
                    .expect("the client has the first block before it gets the second");
                Ok("cd".into())
            });
            Ok(Body::iterator(std::iter::once(Ok("ab".into())).chain(second)))
        });
        let site = Site::with(runtime, quiet().minimum_chunk_size(100), application);
        let mut client = site.connect();
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(client.bytes(1));
        }
        assert_eq!(client.bytes(7), b"2\r\nab\r\n");
        received.send(()).expect("it waits");
        assert_eq!(client.bytes(12), b"2\r\ncd\r\n0\r\n\r\n"[..12]);
    });
}

/// Another thread keeps examining the body while the application returns and the next request arrives. It never sees
/// bytes of another request's body, and never takes any from it.
#[test]
fn what_another_thread_looks_at_stays_in_its_own_request() {
    on_each_blocking("what another thread looks at stays in its own request", |runtime| {
        use std::io::BufRead as _;
        const REQUESTS: usize = 4000;
        let (look, looks) = channel::<Input>();
        let looking = thread::spawn(move || {
            for mut input in looks {
                // It ends with an error when the exchange ends.
                while input.fill_buf().is_ok_and(|shown| !shown.is_empty()) {}
            }
        });
        let look = Mutex::new(look);
        let site = Site::new(runtime, move |environ: Environ, start: StartResponse| -> Result<Body> {
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
        let mut client = site.connect();
        for _ in 0..REQUESTS {
            client.send(format!("POST /look HTTP/1.1\r\nHost: h\r\nContent-Length: 3000\r\n\r\n{wrong}"));
            client.send("POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nright");
            assert_eq!(client.answer().text(), "looked at");
            assert_eq!(client.answer().text(), right);
        }
        drop(client);
        site.stop();
        looking.join().expect("no panic");
    });
}

/// Like the test above, with reads that go from the socket straight into a buffer of the other thread.
#[test]
fn a_large_read_of_another_thread_stays_in_its_own_request() {
    on_each_blocking("a large read of another thread stays in its own request", |runtime| {
        const REQUESTS: usize = 500;
        const LENGTH: usize = 40_000;
        let (look, looks) = channel::<Input>();
        let looking = thread::spawn(move || {
            let mut space = vec![0; 64 * 1024];
            for input in looks {
                while let Ok(count @ 1..) = input.read_into(&mut space) {
                    assert!(space[..count].iter().all(|byte| *byte == b'x'));
                }
            }
        });
        let look = Mutex::new(look);
        let site = Site::new(runtime, move |environ: Environ, start: StartResponse| -> Result<Body> {
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
        let mut client = site.connect();
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
    });
}

/// Another thread takes over the connection while its own task flushes the 101 and passes on the stream: `take_over`
/// returns the stream or an error, and no thread hangs. A stop at any moment ends the wait as well.
#[test]
fn a_take_over_from_another_thread_never_hangs() {
    on_each_blocking("a take over from another thread never hangs", |runtime| {
        const ROUNDS: usize = 400;
        let (take, takes) = channel::<(Input, std::sync::mpsc::Sender<bool>)>();
        let taking = thread::spawn(move || {
            for (input, tell) in takes {
                let _ = tell.send(input.take_over().is_ok());
            }
        });
        let take = Mutex::new(take);
        let site = Site::new(runtime, move |environ: Environ, start: StartResponse| -> Result<Body> {
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
            let mut client = site.connect();
            client
                .send(format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"));
            // If the application returns, the exchange may end before the other thread takes it over.
            let answer = client.try_answer();
            assert!(answer.is_ok() || path == "/return", "{answer:?}");
        }
        site.stop();
        taking.join().expect("no panic");
    });
}
