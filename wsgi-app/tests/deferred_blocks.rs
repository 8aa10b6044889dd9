//! Blocks of a blocking application's iterator wait for those that follow, unless the next one takes long: then another
//! thread of the transport writes them.

use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Instant;

use wsgi_app::adapter::raw::{Raw, RawRequest};
use wsgi_app::adapter::{Blocking, BlockingTransport, Flush, Server, serve_blocking};
use wsgi_app::blocking::{Application, Environ, StartResponse, application_fn};
use wsgi_app::{Address, Body, Bytes, Endpoints, Error, Options, Result, ServerHandle};

/// A transport whose other thread is the test.
#[derive(Clone, Default)]
struct Pipe(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    received: Vec<u8>,
    writes: Vec<Vec<u8>>,
    /// No write finds room.
    full: bool,
    flushes: Vec<Flush>,
    /// The transport has another thread.
    flushes_soon: bool,
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what the other thread does after a while. Returns what was written, and the number of flushes that have to be
    /// repeated.
    fn tick(&self) -> (String, usize) {
        let (flushes, before) = {
            let mut state = self.lock();
            (std::mem::take(&mut state.flushes), state.writes.len())
        };
        let left: Vec<_> = flushes.into_iter().filter(|flush| !flush()).collect();
        let mut state = self.lock();
        let count = left.len();
        state.flushes.extend(left);
        (String::from_utf8(state.writes[before..].concat()).expect("text"), count)
    }
}

impl BlockingTransport for Pipe {
    fn read(&self, space: &mut [u8]) -> io::Result<usize> {
        let received = std::mem::take(&mut self.lock().received);
        if received.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        space[..received.len()].copy_from_slice(&received);
        Ok(received.len())
    }

    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.lock();
        if state.full {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let count = bytes.len();
        state.writes.push(bytes);
        Ok(count)
    }

    fn shutdown(&self) -> io::Result<()> {
        Ok(())
    }

    fn cut(&self) {}

    fn leave(&self) {}

    fn remind(&self, _: Instant) {}

    fn flush_soon(&self, flush: Flush) -> bool {
        let mut state = self.lock();
        if state.flushes_soon {
            state.flushes.push(flush);
        }
        state.flushes_soon
    }

    fn wait(&self, _: bool, _: bool, _: Option<Instant>) -> io::Result<()> {
        Ok(())
    }

    fn waker(&self) -> Waker {
        Waker::noop().clone()
    }
}

/// Serves one response with the blocks of `next`, which is called until it returns none.
fn serve(pipe: &Pipe, next: impl Fn(usize) -> Option<Bytes> + Clone + Send + Sync + 'static) {
    serve_application(
        pipe,
        application_fn(move |_: Environ, start: StartResponse| -> Result<Body> {
            start.start("200 OK", [("Content-Type", "text/plain")])?;
            let next = next.clone();
            Ok(Body::iterator((0..).map_while(move |number| next(number).map(Ok::<_, Error>))))
        }),
    );
}

fn serve_application(pipe: &Pipe, application: impl Application) {
    serve_request(pipe, "GET", application);
}

fn serve_request(pipe: &Pipe, method: &str, application: impl Application) {
    let options = Options::default().log_output(false);
    let server =
        Server::new(options, &ServerHandle::new(), Blocking(application)).expect("the defaults are allowed");
    let guard = server.admit(Endpoints::new(Address::Local, Address::Local));
    let request = format!("{method} / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    pipe.lock().received.extend(request.into_bytes());
    let mut connection = Box::pin(serve_blocking(server, guard, pipe.clone()));
    for _ in 0..1000 {
        if connection.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            return;
        }
    }
}

#[test]
fn blocks_that_follow_each_other_are_written_together() {
    for (flushes_soon, most) in [(true, 2), (false, 102)] {
        let pipe = Pipe::default();
        pipe.lock().flushes_soon = flushes_soon;
        serve(&pipe, |number| (number < 100).then(|| format!("block {number}\n").into()));
        let state = pipe.lock();
        let text = String::from_utf8(state.writes.concat()).expect("text");
        assert!(text.contains("block 0\n") && text.contains("block 99\n"), "{text}");
        assert!(text.ends_with("\r\n0\r\n\r\n"), "{text}");
        assert!(state.writes.len() <= most && state.flushes.len() <= 1, "{} writes", state.writes.len());
        assert!(flushes_soon || state.writes.len() >= 100, "each block is written");
    }
}

#[test]
fn a_block_is_written_while_the_application_computes_the_next_one() {
    let pipe = Pipe::default();
    pipe.lock().flushes_soon = true;
    let other = pipe.clone();
    serve(&pipe, move |number| {
        let (written, left) = other.tick();
        let before = number.checked_sub(1).map(|number| format!("block {number}\n"));
        assert!(
            before.is_none_or(|block| written.ends_with(&format!("{block}\r\n"))),
            "{number}: {written:?}"
        );
        assert_eq!(left, 0, "everything was written");
        (number < 5).then(|| format!("block {number}\n").into())
    });
    let state = pipe.lock();
    assert!(state.writes.concat().ends_with(b"\r\n0\r\n\r\n"));
}

#[test]
fn a_flush_that_finds_no_room_is_repeated_until_there_is_room() {
    let pipe = Pipe::default();
    pipe.lock().flushes_soon = true;
    let other = pipe.clone();
    serve(&pipe, move |number| {
        if number == 1 {
            other.lock().full = true;
            assert_eq!(other.tick(), (String::new(), 1));
            assert_eq!(other.tick(), (String::new(), 1));
            other.lock().full = false;
            let (written, left) = other.tick();
            assert!(written.ends_with("block 0\n\r\n") && left == 0, "{written:?}");
            assert_eq!(other.tick(), (String::new(), 0));
        }
        (number < 2).then(|| format!("block {number}\n").into())
    });
    assert!(pipe.lock().writes.concat().ends_with(b"\r\n0\r\n\r\n"));
}

#[test]
fn many_bytes_are_written_immediately() {
    let pipe = Pipe::default();
    pipe.lock().flushes_soon = true;
    let other = pipe.clone();
    serve(&pipe, move |number| {
        let written: usize = other.lock().writes.iter().map(Vec::len).sum();
        assert!(1000 * number < written + 17 * 1024, "{written} bytes of {number} blocks");
        (number < 200).then(|| vec![b'x'; 1000].into())
    });
    assert!(pipe.lock().writes.len() < 20);
}

#[test]
fn a_raw_application_may_leave_blocks_to_be_written_soon() {
    for flushes_soon in [true, false] {
        let pipe = Pipe::default();
        pipe.lock().flushes_soon = flushes_soon;
        let other = pipe.clone();
        let application = Raw::new(move |request: &RawRequest| -> Result<Body> {
            request.with(|mut exchange| exchange.respond("200 OK", [("Content-Length", "9")]).map(drop));
            for block in ["one", "two"] {
                request.with(|mut exchange| exchange.send_now(block));
                request.flush_soon();
            }
            assert_eq!(other.lock().writes.concat().ends_with(b"onetwo"), !flushes_soon, "they wait");
            other.tick();
            assert!(other.lock().writes.concat().ends_with(b"onetwo"));
            request.with(|mut exchange| exchange.send_now("six"));
            Ok(Body::empty())
        });
        serve_application(&pipe, application);
        assert!(pipe.lock().writes.concat().ends_with(b"onetwosix"));
        assert_eq!(pipe.lock().writes.len(), if flushes_soon { 2 } else { 3 });
    }
}

#[test]
fn a_raw_application_sends_blocks_as_long_as_none_has_to_wait() {
    for (method, status, flushes_soon, sent) in [
        ("GET", "200 OK", true, 16),
        ("GET", "200 OK", false, 0),
        ("HEAD", "200 OK", true, 0),
        ("GET", "304 Not Modified", true, 0),
    ] {
        let pipe = Pipe::default();
        pipe.lock().flushes_soon = flushes_soon;
        // An assertion in the application would be an error of the application.
        let (counted, closed) = (Arc::new(AtomicUsize::new(usize::MAX)), Arc::new(AtomicBool::new(false)));
        let (counter, closing) = (Arc::clone(&counted), Arc::clone(&closed));
        let application = Raw::new(move |request: &RawRequest| -> Result<Body> {
            request.with(|mut exchange| exchange.respond(status, [("Content-Length", "20000")]).map(drop));
            let count = (0..20).take_while(|_| request.send_soon(&[b'x'; 1000]) == Ok(true)).count();
            counter.store(count, Ordering::Relaxed);
            let close = OnDrop(Arc::clone(&closing));
            Ok(Body::iterator((count..20).map(move |_| {
                let _ = &close;
                Ok(Bytes::from(vec![b'x'; 1000]))
            })))
        });
        serve_request(&pipe, method, application);
        assert_eq!(counted.load(Ordering::Relaxed), sent, "{method} {status}");
        assert!(closed.load(Ordering::Relaxed), "{method} {status}");
        let written = pipe.lock().writes.concat();
        let is_dropped = method == "HEAD" || status != "200 OK";
        assert_eq!(written.ends_with(b"\r\n\r\n"), is_dropped, "{method} {status}");
        assert_eq!(
            written.iter().filter(|byte| **byte == b'x').count(),
            if is_dropped { 0 } else { 20_000 },
            "{method} {status}"
        );
    }
}

struct OnDrop(Arc<AtomicBool>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
