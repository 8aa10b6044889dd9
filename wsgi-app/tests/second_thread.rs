//! A blocking call on another thread may outlive its exchange: the bytes that it reads for the next exchange are not
//! lost. Also checks the `Debug` output of the handles.

use std::future::Future;
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use wsgi_app::adapter::{Blocking, BlockingTransport, Clock, Runtime, Server, serve_blocking};
use wsgi_app::blocking::{Environ, Input, StartResponse};
use wsgi_app::{Address, Body, Endpoints, Options, Result, ServerHandle};

/// The name of the thread that is held up.
const SECOND: &str = "second";

/// The bytes that the client has sent, those sent to it, and the address and length of each read.
type Transferred = (Vec<u8>, Vec<u8>, Vec<(usize, usize)>);

#[derive(Clone, Default)]
struct Pipe(Arc<Mutex<Transferred>>);

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, Transferred> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlockingTransport for Pipe {
    fn read(&self, space: &mut [u8]) -> io::Result<usize> {
        let mut transferred = self.lock();
        let (sent, _, reads) = &mut *transferred;
        if sent.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = sent.len().min(space.len());
        space[..count].copy_from_slice(&sent[..count]);
        sent.drain(..count);
        reads.push((space.as_ptr() as usize, count));
        Ok(count)
    }

    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.lock().1.extend(&*slices[0]);
        Ok(slices[0].len())
    }

    fn shutdown(&self) -> io::Result<()> {
        Ok(())
    }

    fn cut(&self) {}

    fn leave(&self) {}

    fn remind(&self, _: Instant) {}

    fn wait(&self, _: bool, _: bool, _: Option<Instant>) -> io::Result<()> {
        thread::yield_now();
        Ok(())
    }

    fn waker(&self) -> Waker {
        Waker::noop().clone()
    }
}

/// A clock that blocks the second thread at its first reading. Its call is then under way, and the connection is not
/// locked.
#[derive(Debug)]
struct Hold(Mutex<Option<(Sender<()>, Receiver<()>)>>);

impl Clock for Hold {
    fn now(&self) -> Instant {
        if thread::current().name() == Some(SECOND)
            && let Some((asked, go)) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            let _ = asked.send(());
            let _ = go.recv();
        }
        Instant::now()
    }
}

/// Counts how often a task is woken.
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn what_a_late_call_of_another_thread_reads_wakes_the_connections_own_task() {
    for (next, log) in
        [("GET /two HTTP/1.1\r\nHost: h\r\n\r\n", false), ("GET /two HTT", false), ("(\r\n", true)]
    {
        let (asked, wait) = channel();
        let (go, held) = channel();
        let (give, given) = channel::<Input>();
        let second = thread::Builder::new().name(SECOND.into());
        let second =
            second.spawn(move || given.recv().expect("the input is sent").client_gone()).expect("a thread");
        let first = Mutex::new(Some((give, wait)));
        let application = move |environ: Environ, start: StartResponse| -> Result<Body> {
            if let Some((give, wait)) = first.lock().expect("no panic").take() {
                give.send(environ.input()).expect("the second thread listens");
                wait.recv().expect("the second thread reads the clock");
            }
            start.start("200 OK", [("Content-Type", "text/plain")])?;
            Ok("answered".into())
        };
        let handle = ServerHandle::new();
        let options = Options::default().log_output(log).log_to(io::sink());
        let runtime = Runtime::default().clock(Hold(Mutex::new(Some((asked, held)))));
        let server =
            Server::with_runtime(options, &handle, Blocking(application), runtime).expect("defaults");
        let pipe = Pipe::default();
        let guard = server.admit(Endpoints::new(Address::Local, Address::Local));
        let mut connection = Box::pin(serve_blocking(Arc::clone(&server), guard, pipe.clone()));
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        pipe.lock().0.extend(b"GET /one HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(connection.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(pipe.lock().1.ends_with(b"answered"));
        // The connection sleeps. The next request arrives, and the second thread reads it.
        let before = count.0.load(Ordering::SeqCst);
        pipe.lock().0.extend(next.as_bytes());
        go.send(()).expect("the second thread is held");
        second.join().expect("no panic");
        assert!(pipe.lock().0.is_empty(), "{next:?} was not read");
        assert!(count.0.load(Ordering::SeqCst) > before, "no task was woken for {next:?}");
    }
}

/// A file whose next bytes are not read yet. Room in the socket changes nothing then, so a wait for it would end at once,
/// again and again.
#[test]
fn a_second_thread_does_not_wait_for_room_while_the_disk_is_read() {
    #[derive(Clone)]
    struct NoFiles(Pipe, Sender<(bool, Option<Instant>)>);

    impl BlockingTransport for NoFiles {
        fn read(&self, space: &mut [u8]) -> io::Result<usize> {
            self.0.read(space)
        }

        fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            self.0.write(slices)
        }

        fn shutdown(&self) -> io::Result<()> {
            Ok(())
        }

        fn cut(&self) {}

        fn leave(&self) {}

        fn remind(&self, _: Instant) {}

        fn wait(&self, _: bool, write: bool, deadline: Option<Instant>) -> io::Result<()> {
            let _ = self.1.send((write, deadline));
            thread::yield_now();
            Ok(())
        }

        fn waker(&self) -> Waker {
            Waker::noop().clone()
        }
    }

    let path = std::env::temp_dir().join(format!("wsgi-app-second-{}", std::process::id()));
    std::fs::write(&path, vec![b'x'; 300_000]).expect("there is a folder for temporary files");
    let file = Arc::new(std::fs::File::open(&path).expect("it exists"));
    let _ = std::fs::remove_file(&path);
    let (give, given) = channel::<Input>();
    let give = Mutex::new(give);
    let application = move |environ: Environ, start: StartResponse| -> Result<Body> {
        give.lock().expect("no panic").send(environ.input()).expect("the test listens");
        start.start("200 OK", [("Content-Type", "text/plain")])?;
        Ok(Body::file(Arc::clone(&file), ..)?)
    };
    let (pool, work) = channel();
    let pool = Mutex::new(pool);
    let runtime = Runtime::default()
        .blocking(move |work| pool.lock().expect("no panic").send(work).expect("the test listens"));
    let options = Options::default().log_output(false).socket_timeout(Duration::from_secs(3600));
    let server = Server::with_runtime(options, &ServerHandle::new(), Blocking(application), runtime)
        .expect("defaults");
    let (waits, waited) = channel();
    let pipe = Pipe::default();
    let guard = server.admit(Endpoints::new(Address::Local, Address::Local));
    let transport = NoFiles(pipe.clone(), waits);
    let mut connection = Box::pin(serve_blocking(Arc::clone(&server), guard, transport));
    pipe.lock().0.extend(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut poll = || connection.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending();
    assert!(poll());
    let input = given.recv().expect("the application has run");
    let second = thread::spawn(move || input.client_gone());
    assert_eq!(waited.recv().expect("the second thread waits"), (false, None));
    while !pipe.lock().1.ends_with(&[b'x'; 300_000]) {
        work.try_iter().for_each(|work: Box<dyn FnOnce() + Send>| work());
        assert!(poll());
    }
    second.join().expect("the exchange is over");
}

/// Large buffers are filled by the transport itself; smaller ones, and bytes behind a body, go through the receive
/// buffer.
#[test]
fn a_large_buffer_is_read_into_without_the_receive_buffer() {
    const LENGTH: usize = 200_000;
    for chunked in [false, true] {
        let (tell, heard) = channel();
        let tell = Mutex::new(tell);
        let application = move |environ: Environ, start: StartResponse| -> Result<Body> {
            let (input, mut space) = (environ.input(), vec![0; 50_000]);
            let mut body = Vec::new();
            loop {
                let count = input.read_into(&mut space)?;
                body.extend_from_slice(&space[..count]);
                if count == 0 {
                    break;
                }
                tell.lock().expect("no panic").send(space.as_ptr() as usize).expect("the test listens");
            }
            start.start("200 OK", [("Content-Type", "text/plain")])?;
            Ok(format!("{} {}", body.len(), body.iter().all(|byte| *byte == b'x')).into())
        };
        let handle = ServerHandle::new();
        let options = Options::default().log_output(false);
        let server = Server::new(options, &handle, Blocking(application)).expect("defaults");
        let pipe = Pipe::default();
        let guard = server.admit(Endpoints::new(Address::Local, Address::Local));
        let body = "x".repeat(LENGTH);
        let request = if chunked {
            format!("Transfer-Encoding: chunked\r\n\r\n{LENGTH:x}\r\n{body}\r\n0\r\n\r\n")
        } else {
            format!("Content-Length: {LENGTH}\r\n\r\n{body}")
        };
        let next = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
        pipe.lock().0.extend(format!("POST / HTTP/1.1\r\nHost: h\r\n{request}{next}").bytes());
        let mut connection = Box::pin(serve_blocking(Arc::clone(&server), guard, pipe.clone()));
        let _ = connection.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let answers = String::from_utf8(pipe.lock().1.clone()).expect("the answers are text");
        assert!(answers.contains("200000 true") && answers.ends_with("0 true"), "{answers}");
        let space = heard.try_iter().next().expect("the application read");
        let reads = pipe.lock().2.clone();
        let direct = reads.iter().filter(|(at, _)| *at == space).map(|(_, count)| *count);
        assert_eq!(direct.clone().max(), Some(50_000), "{reads:?}");
        // The first read takes the head, and the last one what follows the body.
        assert!(direct.sum::<usize>() > LENGTH - 2 * 16 * 1024, "{reads:?}");
    }
}

/// A client's bytes must not reach a log through the `Debug` output of a handle.
#[test]
fn debug_shows_no_bytes_of_a_client() {
    use std::io::BufRead as _;
    const SECRET: &str = "S3CRET";
    let (tell, heard) = channel();
    let application = move |environ: Environ, start: StartResponse| -> Result<Body> {
        let mut input = environ.input();
        let _ = input.fill_buf()?;
        let mut shown =
            format!("{environ:?} {input:?} {start:?} {:?} {:?}", Input::lines(&input), environ.errors());
        let write = start.start("200 OK", [("x", SECRET)])?;
        let body = Body::from(SECRET);
        shown += &format!("{write:?} {body:?} {:?}", environ.head());
        tell.send(shown).expect("the test listens");
        Ok(body)
    };
    let (print, printed) = channel();
    let print = Mutex::new(print);
    let log = move |entry: &wsgi_app::LogEntry<'_>| {
        let _ = print.lock().expect("no panic").send(format!("{entry:?}"));
    };
    let handle = ServerHandle::new();
    let server = Server::new(Options::default().log(log), &handle, Blocking(application)).expect("defaults");
    let pipe = Pipe::default();
    let guard = server.admit(Endpoints::new(Address::Local, Address::Local));
    let request = format!(
        "POST /{SECRET}?{SECRET} HTTP/1.1\r\nHost: {SECRET}\r\nX: {SECRET}\r\nContent-Length: 6\r\n\r\n{SECRET}"
    );
    pipe.lock().0.extend(request.as_bytes());
    let mut shown = format!("{guard:?} {handle:?}");
    let mut connection = Box::pin(serve_blocking(Arc::clone(&server), guard, pipe));
    assert!(connection.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    shown += &heard.try_recv().expect("the application was called");
    shown += &printed.try_iter().collect::<String>();
    let numbers = SECRET.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", ");
    assert!(shown.contains("Access(") && !shown.contains(SECRET) && !shown.contains(&numbers), "{shown}");
}
