//! `receive_before_call`: a blocking application is called when the first part of the body has arrived. Transport and clock
//! are simulated.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use wsgi_app::adapter::raw::{Raw, RawRequest};
use wsgi_app::adapter::{Blocking, BlockingTransport, Clock, Runtime, Server, serve_blocking};
use wsgi_app::blocking::{Application, Environ, StartResponse, application_fn};
use wsgi_app::{Address, Body, Endpoints, LogEntry, NO_HEADERS, Options, Result, SendError, ServerHandle};

const LIMIT: usize = 100;

/// The client's end of a connection.
#[derive(Clone, Default)]
struct Pipe(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Each is one read.
    sent: VecDeque<Vec<u8>>,
    /// What follows the last of them; nothing yet if it is `None`.
    end: Option<ErrorKind>,
    /// What arrives when a thread waits.
    later: VecDeque<Vec<u8>>,
    written: Vec<u8>,
    cut: bool,
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlockingTransport for Pipe {
    fn read(&self, space: &mut [u8]) -> io::Result<usize> {
        let mut state = self.lock();
        match (state.sent.pop_front(), state.end) {
            (Some(mut piece), _) => {
                let count = piece.len().min(space.len());
                space[..count].copy_from_slice(&piece[..count]);
                if piece.len() > count {
                    state.sent.push_front(piece.split_off(count));
                }
                Ok(count)
            }
            (None, Some(ErrorKind::UnexpectedEof)) => Ok(0),
            (None, end) => Err(end.unwrap_or(ErrorKind::WouldBlock).into()),
        }
    }

    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.lock();
        slices.iter().for_each(|slice| state.written.extend_from_slice(slice));
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }

    fn shutdown(&self) -> io::Result<()> {
        Ok(())
    }

    fn cut(&self) {
        self.lock().cut = true;
    }

    fn leave(&self) {}

    fn remind(&self, _: Instant) {}

    fn wait(&self, _: bool, _: bool, _: Option<Instant>) -> io::Result<()> {
        let mut state = self.lock();
        let next = state.later.pop_front().expect("no thread waits for a body that is not there");
        state.sent.push_back(next);
        Ok(())
    }

    fn waker(&self) -> Waker {
        Waker::noop().clone()
    }
}

/// A clock that the test moves on.
#[derive(Clone, Debug)]
struct Time(Arc<Mutex<Instant>>);

impl Clock for Time {
    fn now(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server with one connection.
struct Site {
    pipe: Pipe,
    time: Time,
    handle: ServerHandle,
    connection: Pin<Box<dyn Future<Output = ()>>>,
    /// The bodies that the application has read.
    calls: Arc<Mutex<Vec<String>>>,
    /// The access lines.
    accesses: Arc<Mutex<Vec<String>>>,
}

impl Site {
    /// An application that answers with the body.
    fn echo(options: Options) -> Self {
        Self::with(options, |calls| {
            application_fn(move |environ: Environ, start: StartResponse| {
                let body = environ.input().read_to_end();
                calls.lock().expect("no panic").push(format!("{body:?}"));
                start.start("200 OK", NO_HEADERS)?;
                Ok(body?.into())
            })
        })
    }

    fn with<A: Application>(
        options: Options,
        application: impl FnOnce(Arc<Mutex<Vec<String>>>) -> A,
    ) -> Self {
        let (calls, accesses) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<Mutex<Vec<_>>>::default());
        let lines = Arc::clone(&accesses);
        let options = options.receive_before_call(LIMIT).log(move |entry| {
            if let LogEntry::Access { record, .. } = entry {
                lines.lock().expect("no panic").push(format!("{} {:?}", record.status, record.lost));
            }
        });
        let time = Time(Arc::new(Mutex::new(Instant::now())));
        let (handle, application) = (ServerHandle::new(), Blocking(application(Arc::clone(&calls))));
        let runtime = Runtime::default().clock(time.clone()).block_in_place();
        let server = Server::with_runtime(options, &handle, application, runtime).expect("they are allowed");
        let guard = server.admit(Endpoints::new(Address::Local, Address::Local));
        let pipe = Pipe::default();
        let connection = Box::pin(serve_blocking(server, guard, pipe.clone()));
        Self { pipe, time, handle, connection, calls, accesses }
    }

    /// Serves until the connection waits.
    fn run(&mut self) {
        // The task does not wake itself: a wait and a turn that is over look the same.
        for _ in 0..20 {
            if self.connection.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                return;
            }
        }
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.pipe.lock().sent.push_back(bytes.to_vec());
        self.run();
    }

    fn end(&mut self, kind: ErrorKind) {
        self.pipe.lock().end = Some(kind);
        self.run();
    }

    fn pass(&mut self, seconds: u64) {
        *self.time.0.lock().expect("no panic") += Duration::from_secs(seconds);
        self.run();
    }

    fn calls(&self) -> Vec<String> {
        self.calls.lock().expect("no panic").clone()
    }

    fn written(&self) -> String {
        String::from_utf8(self.pipe.lock().written.clone()).expect("text")
    }

    fn accesses(&self) -> Vec<String> {
        self.accesses.lock().expect("no panic").clone()
    }
}

fn sized(length: usize) -> String {
    format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n")
}

const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn an_application_is_called_once_its_body_has_arrived() {
    let one_zero = "POST / HTTP/1.0\r\nContent-Length: 10\r\n\r\n0123456789";
    let trailers = format!("{CHUNKED}3\r\n012\r\n7;a=b\r\n3456789\r\n0\r\nX-T: v\r\n\r\n");
    let requests = [sized(10) + "0123456789", one_zero.to_owned(), trailers];
    for request in requests {
        for piece in [1, 2, 7, request.len()] {
            let mut site = Site::echo(Options::default());
            let parts: Vec<_> = request.as_bytes().chunks(piece).collect();
            for part in &parts[..parts.len() - 1] {
                site.receive(part);
                assert!(site.calls().is_empty(), "{request:?} in pieces of {piece}");
            }
            site.receive(parts[parts.len() - 1]);
            assert_eq!(site.calls(), ["Ok(b\"0123456789\")"], "{request:?} in pieces of {piece}");
            assert!(site.written().ends_with("\r\n\r\n0123456789"), "{}", site.written());
        }
    }
}

#[test]
fn a_request_without_a_body_is_served_at_once() {
    let mut site = Site::echo(Options::default());
    site.receive(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    site.receive(sized(0).as_bytes());
    assert_eq!(site.calls(), ["Ok(b\"\")"; 2]);
}

#[test]
fn an_application_is_called_once_the_limit_has_arrived() {
    let body: String = ('a'..='z').cycle().take(3 * LIMIT).collect();
    for (head, framed) in
        [(sized(3 * LIMIT), body.clone()), (CHUNKED.into(), format!("12c\r\n{body}\r\n0\r\n\r\n"))]
    {
        let (first, rest) = framed.split_at(framed.find('a').expect("data") + LIMIT);
        let mut site = Site::echo(Options::default());
        site.pipe.lock().later = rest.as_bytes().chunks(50).map(Vec::from).collect();
        site.receive(head.as_bytes());
        for part in first.as_bytes()[..first.len() - 1].chunks(9) {
            site.receive(part);
        }
        assert_eq!((site.calls().len(), site.pipe.lock().later.len()), (0, rest.len().div_ceil(50)));
        site.receive(&first.as_bytes()[first.len() - 1..]);
        assert_eq!(site.calls(), [format!("Ok(b{body:?})")]);
        assert!(site.written().ends_with(&body), "{}", site.written());
    }
}

#[test]
fn a_client_that_waits_for_the_application_is_not_waited_for() {
    let mut site = Site::echo(Options::default());
    site.pipe.lock().later = [b"hello".to_vec()].into();
    site.receive(b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(site.calls(), ["Ok(b\"hello\")"]);
    assert!(site.written().starts_with("HTTP/1.1 100 "), "{}", site.written());
}

#[test]
fn a_body_that_is_announced_above_the_limit_of_its_reader_is_not_asked_for() {
    for (limit, answer) in [(4, "413"), (5, "100")] {
        let mut site = Site::with(Options::default(), |_| {
            application_fn(move |environ: Environ, start: StartResponse| {
                let body = environ.input().read_all(limit)?;
                start.start("200 OK", NO_HEADERS)?;
                Ok(body.into())
            })
        });
        site.pipe.lock().later = [b"hello".to_vec()].into();
        site.receive(b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
        assert!(site.written().starts_with(&format!("HTTP/1.1 {answer} ")), "{}", site.written());
        assert_eq!(site.pipe.lock().later.len(), usize::from(limit < 5));
    }
}

#[test]
fn a_request_for_another_protocol_sends_its_body_first() {
    for fields in ["Upgrade: x", "Connection: upgrade\r\nUpgrade: echo"] {
        let mut site = Site::echo(Options::default());
        site.receive(
            format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\nContent-Length: 5\r\n\r\n").as_bytes(),
        );
        site.receive(b"hell");
        assert!(site.calls().is_empty(), "{fields}");
        site.receive(b"o");
        assert_eq!(site.calls(), ["Ok(b\"hello\")"], "{fields}");
    }
}

#[test]
fn requests_behind_a_body_are_served_in_order() {
    let mut site = Site::echo(Options::default());
    let all = format!("{}hello{CHUNKED}5\r\nworld\r\n0\r\n\r\n{}", sized(5), sized(2));
    for part in all.as_bytes().chunks(20) {
        site.receive(part);
    }
    assert_eq!(site.calls(), ["Ok(b\"hello\")", "Ok(b\"world\")"]);
    site.receive(b"ok");
    assert_eq!(site.calls()[2..], ["Ok(b\"ok\")"]);
    assert_eq!(site.accesses(), ["200 None"; 3]);
}

#[test]
fn a_body_that_fails_is_an_error_for_the_application_in_time() {
    let late: fn(&mut Site) = |site| (0..3).for_each(|_| site.pass(4));
    let drips: fn(&mut Site) = |site| {
        for _ in 0..40 {
            site.receive(b"x");
            site.pass(1);
        }
    };
    let ends: fn(&mut Site) = |site| site.end(ErrorKind::UnexpectedEof);
    let breaks: fn(&mut Site) = |site| site.receive(b"zz\r\n");
    let too_much: fn(&mut Site) = |site| site.receive(b"3e9\r\n");
    let chunk = format!("{CHUNKED}5\r\nhello\r\n");
    let cases = [
        (sized(10) + "hello", late, "408", "Timeout"),
        (sized(90) + "hello", drips, "408", "Timeout"),
        (sized(10) + "hello", ends, "400", "Incomplete"),
        (chunk.clone(), late, "408", "Timeout"),
        (chunk.clone(), ends, "400", "Incomplete"),
        (chunk.clone(), breaks, "400", "ChunkSize"),
        (chunk, too_much, "413", "BodyTooLarge(1000)"),
    ];
    for (request, fail, status, error) in cases {
        let options = Options::default()
            .socket_timeout(Duration::from_secs(10))
            .min_request_rate(10)
            .rate_grace(Duration::from_secs(5))
            .max_body_size(1000);
        let mut site = Site::with(options, |calls| {
            application_fn(move |environ: Environ, _: StartResponse| {
                let input = environ.input();
                let begin = input.read(5)?;
                let end = input.read_to_end();
                calls.lock().expect("no panic").push(format!("{begin:?} {end:?}"));
                Ok(end?.into())
            })
        });
        site.receive(request.as_bytes());
        assert_eq!((site.calls().len(), site.written().as_str()), (0, ""));
        fail(&mut site);
        assert!(
            site.written().starts_with(&format!("HTTP/1.1 {status} ")),
            "{request:?}: {}",
            site.written()
        );
        assert!(site.written().contains("Connection: close"), "{}", site.written());
        assert_eq!(site.calls(), [format!("b\"hello\" Err(Body(Request({error})))")], "{request:?}");
        assert_eq!(site.accesses(), [format!("{status} None")]);
    }
}

#[test]
fn the_application_is_not_called_for_a_client_that_is_lost() {
    let mut site = Site::echo(Options::default());
    site.receive(sized(10).as_bytes());
    site.receive(b"hello");
    site.end(ErrorKind::ConnectionReset);
    assert_eq!((site.calls().len(), site.written().as_str()), (0, ""));
    assert_eq!(site.accesses(), ["0 Some(Reset)"]);
}

#[test]
fn a_stop_serves_a_request_whose_body_is_arriving() {
    let mut site = Site::echo(Options::default());
    site.receive(sized(10).as_bytes());
    site.receive(b"hello");
    site.handle.shutdown();
    site.run();
    assert!(site.calls().is_empty());
    site.receive(b"world");
    assert_eq!(site.calls(), ["Ok(b\"helloworld\")"]);
    assert!(site.written().contains("\r\nConnection: close\r\n"), "{}", site.written());
}

#[test]
fn a_body_that_was_received_and_not_read_is_not_taken_for_another_protocol() {
    let mut site = Site::with(Options::default(), |calls| {
        Raw::new(move |request: &RawRequest| -> Result<Body> {
            let call = |text: String| calls.lock().expect("no panic").push(text);
            let input = request.input();
            call(format!(
                "{:?} {:?}",
                request.remaining(),
                input.trailers().map(|trailers| trailers.fields().count())
            ));
            let refused = request.take_over_unanswered().expect_err("the body was not read");
            assert_eq!(refused, SendError::BodyUnread);
            let mut space = [0; 4];
            let count = request.read_into(&mut space)?;
            let rest = input.read_to_end()?;
            call(format!(
                "{:?} {rest:?} {:?}",
                &space[..count],
                input.trailers().map(|trailers| trailers.fields().count())
            ));
            request.with(|mut exchange| exchange.answer("204 No Content", NO_HEADERS, ""));
            Ok(Body::empty())
        })
    });
    site.receive(CHUNKED.as_bytes());
    site.receive(b"2\r\nab\r\n");
    site.receive(b"3\r\ncde\r\n0\r\nX-T: v\r\n\r\n");
    assert_eq!(site.calls(), ["Some(5) None", "[97, 98, 99, 100] b\"e\" Some(1)"]);
}
