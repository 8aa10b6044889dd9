//! Blocking applications on an asynchronous adapter: nothing of theirs runs in the connection's task, and everything else is
//! as on other adapters.

use std::future::Future;
use std::io::{self, BufRead, IoSlice, Read, Write};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread, ThreadId};
use std::time::Instant;

use wsgi_app::adapter::{Runtime, Server, Transport, serve_connection};
use wsgi_app::blocking::{Environ, StartResponse};
use wsgi_app::test::{Request, call};
use wsgi_app::{
    Address, Application, Body, Bytes, Endpoints, LogEntry, NO_HEADERS, Options, Response, Result,
    ServerHandle, StartError, application_fn, blocking, site,
};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn run<R>(future: impl Future<Output = R>) -> R {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => return result,
            Poll::Pending => thread::park(),
        }
    }
}

fn ask(application: impl Application, request: Request) -> Response {
    run(call(application, request))
}

fn text(response: &Response) -> String {
    String::from_utf8(response.body().as_bytes().expect("it is in memory").to_vec()).expect("text")
}

/// A server with a log of errors, and the errors.
fn logged(request: Request) -> (Request, Receiver<String>) {
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let log = move |entry: &LogEntry<'_>| {
        if let LogEntry::Error(text) = entry {
            drop(tell.lock().expect("no panic").send((*text).to_owned()));
        }
    };
    (request.options(Options::default().debug(false).log(log)), told)
}

/// Reports the thread on which it is dropped.
struct Dropped(Sender<ThreadId>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(thread::current().id());
    }
}

/// An iterator of blocks, and how many of them were computed.
fn blocks(count: usize, dropped: Dropped) -> (Body, Arc<AtomicUsize>) {
    let computed: Arc<AtomicUsize> = Arc::default();
    let counter = Arc::clone(&computed);
    let here = thread::current().id();
    let blocks = (0..count).map(move |number| {
        let _used = &dropped;
        assert_ne!(thread::current().id(), here, "it runs in the task of the connection");
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(Bytes::from(format!("{number}\n")))
    });
    (Body::iterator(blocks), computed)
}

/// An application that returns such an iterator.
fn iterating(count: usize) -> (impl Application, Arc<AtomicUsize>, Receiver<ThreadId>) {
    let (tell, told) = channel();
    let (body, computed) = blocks(count, Dropped(tell));
    let body = Mutex::new(Some(body));
    let application = blocking(move |_: Environ, start: StartResponse| -> Result<Body> {
        start.start("200 OK", NO_HEADERS)?;
        Ok(body.lock().expect("no panic").take().expect("it is called once"))
    });
    (application, computed, told)
}

#[test]
fn an_application_reads_and_writes_on_another_thread() {
    let here = thread::current().id();
    let echo = blocking(move |environ: Environ, start: StartResponse| -> Result<Body> {
        assert_ne!(thread::current().id(), here);
        let mut input = environ.input();
        let mut first = String::new();
        BufRead::read_line(&mut input, &mut first)?;
        let mut rest = String::new();
        Read::read_to_string(&mut input, &mut rest)?;
        let mut write = start.start("200 OK", [("Content-Type", "text/plain")])?;
        write.write(first)?;
        write!(write, "{}", rest.len())?;
        Write::flush(&mut write)?;
        Ok("end".into())
    });
    let body = format!("line\n{}", "x".repeat(300_000));
    for request in [
        Request::post("/", body.clone()),
        Request::post("/", body.clone()).header("Transfer-Encoding", "chunked"),
    ] {
        assert_eq!(text(&ask(echo.clone(), request)), "line\n300000end");
    }
}

#[test]
fn an_iterator_is_computed_and_dropped_on_other_threads() {
    let (application, computed, dropped) = iterating(1000);
    let response = ask(application, Request::get("/"));
    let wanted: String = (0..1000).map(|number| format!("{number}\n")).collect();
    assert_eq!((text(&response), computed.load(Ordering::Relaxed)), (wanted, 1000));
    assert_ne!(dropped.recv().expect("it is dropped"), thread::current().id());
}

#[test]
fn a_head_request_computes_one_block_and_drops_the_iterator_on_another_thread() {
    let (application, computed, dropped) = iterating(1000);
    assert_eq!(ask(application, Request::new("HEAD", "/")).status().code(), 200);
    assert_ne!(dropped.recv().expect("it is dropped"), thread::current().id());
    assert_eq!(computed.load(Ordering::Relaxed), 1);
}

#[test]
fn an_iterator_that_was_not_computed_to_its_end_is_dropped_on_another_thread() {
    let (application, _, dropped) = iterating(usize::MAX);
    let application = Arc::new(application);
    let shortened = application_fn(move |environ, start: wsgi_app::StartResponse| {
        let inner = Arc::clone(&application);
        async move {
            drop(inner.call(environ, start.clone()).await?);
            start.restart("404 Not Found", NO_HEADERS, "not wanted")?;
            Ok("none".into())
        }
    });
    let response = ask(shortened, Request::get("/"));
    assert_eq!((response.status().code(), text(&response).as_str()), (404, "none"));
    assert_ne!(dropped.recv().expect("it is dropped"), thread::current().id());
}

#[test]
fn a_reader_may_wait_for_the_request_body() {
    let echo = blocking(|environ: Environ, start: StartResponse| -> Result<Body> {
        start.start("200 OK", NO_HEADERS)?;
        Ok(Body::reader(environ.input()))
    });
    let body = "x".repeat(1_000_000);
    assert_eq!(text(&ask(echo, Request::post("/", body.clone()))), body);
}

#[test]
fn one_block_is_one_chunk_and_empty_ones_are_skipped() {
    let site = blocking(|_: Environ, start: StartResponse| -> Result<Body> {
        start.start("200 OK", [("Content-Length", "4")])?;
        Ok(Body::iterator(["", "ab", "", "cd", ""].map(|block| Ok(block.into()))))
    });
    let response = ask(site, Request::get("/"));
    assert_eq!((text(&response).as_str(), response.error().is_none()), ("abcd", true));
}

#[test]
fn the_error_of_an_iterator_is_a_500_before_the_first_block_and_a_cut_after_it() {
    for (count, status) in [(0, 500), (1, 200), (5, 200)] {
        let site = blocking(move |_: Environ, start: StartResponse| -> Result<Body> {
            start.start("200 OK", NO_HEADERS)?;
            let blocks = (0..count).map(|_| Ok("block".into())).chain([Err("no more".into())]);
            Ok(Body::iterator(blocks))
        });
        let (request, errors) = logged(Request::get("/"));
        let response = ask(site, request);
        assert_eq!((response.status().code(), response.error().is_some()), (status, count > 0));
        assert!(errors.recv().expect("it is logged").contains("no more"));
    }
}

#[test]
fn a_panic_is_a_500_and_is_logged_with_its_place() {
    let panics: fn(u8) = |number| panic!("number {number}");
    let in_call = blocking(move |_: Environ, _: StartResponse| -> Result<Body> {
        panics(7);
        Ok(Body::empty())
    });
    let in_body = blocking(move |_: Environ, start: StartResponse| -> Result<Body> {
        start.start("200 OK", NO_HEADERS)?;
        Ok(Body::iterator(std::iter::from_fn(move || {
            panics(7);
            None
        })))
    });
    for application in [in_call.boxed(), in_body.boxed()] {
        let (request, errors) = logged(Request::get("/"));
        assert_eq!(ask(application, request).status().code(), 500);
        let error = errors.recv().expect("it is logged");
        assert!(error.contains("the application panicked at") && error.contains(": number 7"), "{error}");
        assert!(error.contains("on_threads.rs"), "{error}");
    }
}

/// Panics when it is dropped.
struct Trap;

impl Drop for Trap {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[test]
fn the_panic_of_an_iterator_that_is_dropped_is_logged_and_the_response_is_complete() {
    let site = blocking(|_: Environ, start: StartResponse| -> Result<Body> {
        start.start("200 OK", NO_HEADERS)?;
        let trap = Trap;
        Ok(Body::iterator((0..3).map(move |number: u8| {
            let _kept = &trap;
            Ok(number.to_string().into())
        })))
    });
    let (request, errors) = logged(Request::get("/"));
    let response = ask(site, request);
    assert_eq!((text(&response).as_str(), response.error().is_none()), ("012", true));
    let error = errors.recv().expect("it is logged");
    assert!(error.contains("the body of a response panicked at"), "{error}");
}

#[test]
fn what_an_application_returns_is_what_the_client_gets() {
    let site = blocking(wsgi_app::blocking::site(|environ| (201, environ.path().into_owned())));
    let response = ask(site, Request::get("/a"));
    assert_eq!((response.status().code(), text(&response).as_str()), (201, "/a"));
    let nothing = blocking(|_: Environ, _: StartResponse| -> Result<Body> { Ok(Body::empty()) });
    assert_eq!(ask(nothing, Request::get("/")).status().code(), 500);
    let fails =
        blocking(|_: Environ, _: StartResponse| -> Result<Body, StartError> { Err(StartError::Over) });
    assert_eq!(ask(fails, Request::get("/")).status().code(), 500);
    let late = blocking(|environ: Environ, _: StartResponse| -> Result<Body> {
        environ.input().read_all(3)?;
        Ok(Body::empty())
    });
    assert_eq!(ask(late, Request::post("/", "four")).status().code(), 413);
}

#[test]
fn it_is_an_application_among_others() {
    let slow = blocking(|_: Environ, start: StartResponse| -> Result<Body> {
        start.start("200 OK", NO_HEADERS)?;
        Ok("slow".into())
    });
    let pages = Arc::new([("/slow", slow.boxed()), ("/fast", site(async |_| "fast").boxed())]);
    let route = application_fn(move |environ: wsgi_app::Environ, start| {
        let pages = Arc::clone(&pages);
        async move {
            let page = pages.iter().find(|(path, _)| *path == environ.path()).expect("there is one");
            page.1.call(environ, start).await
        }
    });
    let route = Arc::new(route);
    for page in ["slow", "fast"] {
        assert_eq!(text(&ask(Arc::clone(&route), Request::get(format!("/{page}")))), page);
    }
}

/// A client that has sent one request and takes a number of bytes.
struct Client {
    sent: &'static [u8],
    takes: Arc<AtomicUsize>,
}

impl Transport for Client {
    fn poll_read(&mut self, _: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let count = self.sent.len().min(space.len());
        space[..count].copy_from_slice(&self.sent[..count]);
        self.sent = &self.sent[count..];
        if count == 0 { Poll::Pending } else { Poll::Ready(Ok(count)) }
    }

    fn poll_write(&mut self, _: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        let count = length.min(self.takes.load(Ordering::Relaxed));
        self.takes.fetch_sub(count, Ordering::Relaxed);
        if count == 0 { Poll::Pending } else { Poll::Ready(Ok(count)) }
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_deadline(&mut self, _: &mut Context<'_>, _: Instant) -> Poll<()> {
        Poll::Pending
    }
}

#[test]
fn blocks_are_computed_a_little_ahead_of_a_client_and_hold_no_thread_until_it_reads() {
    const BLOCK: usize = 1000;
    /// The outbox, what waits beside it, and what is taken together.
    const AHEAD: usize = 2 * 64 * 1024 + 20 * BLOCK;
    let computed: Arc<AtomicUsize> = Arc::default();
    let counter = Arc::clone(&computed);
    let endless = blocking(move |_: Environ, start: StartResponse| -> Result<Body> {
        start.start("200 OK", NO_HEADERS)?;
        let counter = Arc::clone(&counter);
        Ok(Body::iterator(std::iter::repeat_with(move || {
            counter.fetch_add(BLOCK, Ordering::Relaxed);
            Ok(Bytes::from(vec![b'x'; BLOCK]))
        })))
    });
    // The test decides when the work is done.
    let (add, work) = channel();
    let add = Mutex::new(add);
    let runtime = Runtime::default().blocking(move |work| drop(add.lock().expect("no panic").send(work)));
    let options = Options::default().log_output(false);
    let server = Server::with_runtime(options, &ServerHandle::new(), endless, runtime).expect("are allowed");
    let guard = server.admit(Endpoints::new(Address::Local, Address::Local));
    let takes: Arc<AtomicUsize> = Arc::default();
    let client = Client { sent: b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", takes: Arc::clone(&takes) };
    let mut connection = pin!(serve_connection(server, guard, client));
    let mut context = Context::from_waker(Waker::noop());
    let mut taken = 0;
    for more in [0, 1000, 100_000, 10_000_000] {
        takes.store(more, Ordering::Relaxed);
        taken += more;
        // Until nothing is left to do: a turn that is over looks like a wait.
        let mut idle = 0;
        while idle < 100 {
            assert!(connection.as_mut().poll(&mut context).is_pending());
            idle = work.try_recv().map_or(idle + 1, |work| {
                work();
                0
            });
        }
        assert_eq!(takes.load(Ordering::Relaxed), 0);
        // One hundredth is framing.
        let computed = computed.load(Ordering::Relaxed);
        assert!((taken - taken / 100..taken + AHEAD).contains(&computed), "{taken} {computed}");
    }
}
