//! Threads that wait: for each other, for a client, and until a client has disconnected or the server stops.

use std::io::{ErrorKind, Read, Write as _};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

use wsgi_std::{Body, Bytes, Environ, Error, Options, Result, StartResponse};
use wsgi_tests::caller::Caller;
use wsgi_tests::live::{PATIENCE, eventually};
use wsgi_tests::runtimes::{Runtime, on_each_blocking};

use super::{GET, PLAIN, Site, fine, gate, quiet};

/// Each request waits until all have begun.
#[test]
fn applications_that_block_run_side_by_side() {
    const REQUESTS: usize = 64;
    on_each_blocking("requests side by side", |runtime| {
        let all = Arc::new((Barrier::new(REQUESTS), Barrier::new(REQUESTS)));
        let site = Site::new(runtime, move |_: Environ, start: StartResponse| {
            all.0.wait();
            let all = Arc::clone(&all);
            let blocks = std::iter::once_with(move || {
                all.1.wait();
                Ok("fine".into())
            });
            fine(&start, Body::iterator(blocks))
        });
        let mut clients: Vec<_> = (0..REQUESTS).map(|_| site.connect()).collect();
        clients.iter_mut().for_each(|client| client.send(GET));
        for client in &mut clients {
            assert_eq!(client.answer().text(), "fine");
        }
        drop(clients);
        assert_eq!(site.stop().1, 0);
    });
}

/// The ways in which a call waits for its client.
const WAITS: [&str; 6] = ["/read", "/write", "/reader", "/iterator", "/gone", "/stream"];

/// Waits for the client until that fails, and reports the end of the wait: when the body is dropped, if that waits.
fn wait_for_client(environ: &Environ, start: &StartResponse, ended: &Sender<()>) -> Result<Body> {
    struct Tells(Sender<()>);

    impl Drop for Tells {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }

    let tells = Tells(ended.clone());
    let input = environ.input();
    match &*environ.path() {
        "/read" => drop(input.read_to_end()?),
        "/write" => {
            let write = start.start("200 OK", PLAIN)?;
            while write.write(vec![b'x'; 100_000]).is_ok() {}
        }
        "/reader" => {
            let blocks = std::iter::from_fn(move || {
                let _kept = &tells;
                Some(input.read_some(1000).map_err(Error::from))
            });
            return fine(start, Body::iterator(blocks));
        }
        "/iterator" => {
            let blocks = std::iter::repeat_with(move || {
                let _kept = &tells;
                Ok(Bytes::from(vec![b'x'; 100_000]))
            });
            return fine(start, Body::iterator(blocks));
        }
        "/gone" => input.client_gone(),
        _ => {
            start.start("101 Switching Protocols", [("Upgrade", "x")])?;
            let mut stream = input.take_over()?;
            let mut space = [0; 10];
            while let Ok(1..) = stream.read(&mut space) {}
        }
    }
    Ok(Body::empty())
}

/// A server with such an application, and the ends of its waits.
fn waiting(runtime: Runtime, options: Options) -> (Site, Receiver<()>) {
    let (tell, ended) = channel();
    let tell = Mutex::new(tell);
    let site = Site::with(runtime, options, move |environ: Environ, start: StartResponse| {
        let tell = tell.lock().expect("no panic").clone();
        wait_for_client(&environ, &start, &tell)
    });
    (site, ended)
}

/// A client that lets the application wait.
fn let_wait(site: &Site, path: &str) -> Caller {
    let mut client = site.connect();
    let (method, fields) = match path {
        "/read" | "/reader" => ("POST", "Content-Length: 100000\r\n"),
        "/stream" => ("GET", "Connection: upgrade\r\nUpgrade: x\r\n"),
        _ => ("GET", ""),
    };
    client.send(format!("{method} {path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n"));
    if path == "/stream" {
        assert_eq!(client.answer().status, 101);
    }
    eventually("the application has it", || site.0.handle.requests() == 1 || path == "/reader");
    client
}

#[test]
fn a_stop_ends_every_wait_for_a_client() {
    on_each_blocking("waits at a stop", |runtime| {
        for path in WAITS {
            let (site, ended) = waiting(runtime, quiet().graceful_timeout(Duration::from_millis(100)));
            let _client = let_wait(&site, path);
            assert_eq!(site.stop(), (0, 1), "{path}");
            ended.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{path} waits on {runtime}"));
        }
    });
}

#[test]
fn a_client_that_disconnects_ends_every_wait_for_it() {
    on_each_blocking("waits for a client that disconnects", |runtime| {
        let (site, ended) = waiting(runtime, quiet());
        for path in WAITS {
            drop(let_wait(&site, path));
            ended.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{path} waits on {runtime}"));
            eventually("the connection is closed", || site.0.handle.connections() == 0);
        }
    });
}

#[test]
fn an_application_that_works_can_look_whether_its_client_has_disconnected() {
    on_each_blocking("looks at a client", |runtime| {
        let (tell, told) = channel();
        let (go_on, gate) = gate();
        let tell = Mutex::new(tell);
        let site = Site::new(runtime, move |environ: Environ, start: StartResponse| {
            let input = environ.input();
            tell.lock().expect("no panic").send(input.is_client_gone())?;
            gate.pass();
            // The system may report it later than the test knows it.
            eventually("it has disconnected", || input.is_client_gone());
            tell.lock().expect("no panic").send(true)?;
            fine(&start, "fine")
        });
        let mut client = site.connect();
        client.send(GET);
        assert_eq!(told.recv_timeout(PATIENCE), Ok(false));
        drop(client);
        go_on.send(()).expect("it waits");
        assert_eq!(told.recv_timeout(PATIENCE), Ok(true));
    });
}

/// A stream over which both sides send at the same time, more than all buffers in between can hold.
#[test]
fn two_threads_use_a_stream_in_both_directions() {
    const SIZE: usize = 20_000_000;
    on_each_blocking("a stream in both directions", |runtime| {
        let site = Site::new(runtime, |environ: Environ, start: StartResponse| {
            start.start("101 Switching Protocols", [("Upgrade", "x")])?;
            let stream = environ.input().take_over()?;
            stream.set_read_timeout(Some(Duration::ZERO));
            assert_eq!((&stream).read(&mut [0]).map_err(|error| error.kind()), Err(ErrorKind::TimedOut));
            stream.set_read_timeout(Some(PATIENCE));
            let read = thread::scope(|scope| {
                let read =
                    scope.spawn(|| std::io::copy(&mut (&stream).take(SIZE as u64), &mut std::io::sink()));
                (&stream).write_all(&vec![b'x'; SIZE])?;
                read.join().expect("no panic")
            });
            assert_eq!(read?, SIZE as u64);
            stream.shutdown()?;
            Ok::<_, Error>(Body::empty())
        });
        let mut client = site.connect();
        client.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
        assert_eq!(client.answer().status, 101);
        let mut sending = client.clone_stream();
        // The application first finds nothing to read.
        thread::park_timeout(Duration::from_millis(50));
        let sender = thread::spawn(move || sending.write_all(&vec![b'x'; SIZE]));
        assert_eq!(client.bytes(SIZE).len(), SIZE);
        sender.join().expect("no panic").expect("it was read");
        assert!(client.ends());
        assert_eq!(site.stop().1, 0);
    });
}
