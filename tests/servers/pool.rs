//! `pool` and `custom_pool`: the threads that run connections, and whether `max_size` applies, on every runtime.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime;
use wsgi_tests::caller::Caller;
use wsgi_tests::live::{PATIENCE, eventually};
use wsgi_tokio::{Body, Environ, Report, Result, ServerHandle, StartResponse};

const PLAIN: [(&str, &str); 1] = [("Content-Type", "text/plain")];

/// The name of the pool's threads.
const NAME: &str = "the pool";

/// Answers with the name of its thread.
async fn whereabouts(_: Environ, start: StartResponse) -> Result<Body> {
    start.start("200 OK", PLAIN)?;
    Ok(thread::current().name().unwrap_or_default().to_owned().into())
}

fn listener() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    listener
}

/// The rule of the manual, for servers with a pool and `max_size` 1.
fn max_size_is_ignored_if(custom: bool, address: SocketAddr) {
    let (mut first, mut second) = (Caller::connect(address), Caller::connect(address));
    first.get("/");
    second.get("/");
    if custom {
        // The second did not have to wait, and the first is still open.
        first.get("/");
    } else {
        assert!(first.ends(), "the first had to make room");
    }
}

fn stop(handle: &ServerHandle, ended: impl FnOnce() -> io::Result<Report>) {
    handle.shutdown();
    ended().expect("the listener is sound");
}

#[test]
fn on_tokio_connections_run_on_the_runtime_that_was_given() {
    let build = |name: &str| {
        let mut builder = runtime::Builder::new_multi_thread();
        builder.worker_threads(1).thread_name(name).enable_all().build().expect("a runtime")
    };
    let (pool, accepting) = (build(NAME), build("accepting"));
    for custom in [false, true] {
        let _inside = accepting.enter();
        let listener = tokio::net::TcpListener::from_std(listener()).expect("a socket");
        let address = listener.local_addr().expect("a port");
        let server = wsgi_tokio::Server::new(listener, whereabouts).max_size(1).log_output(false);
        let server = match custom {
            true => server.custom_pool(pool.handle().clone()),
            false => server.pool(pool.handle().clone()),
        };
        let handle = server.handle();
        let serving = accepting.spawn(server.serve());
        assert_eq!(Caller::connect(address).get("/").text(), NAME);
        max_size_is_ignored_if(custom, address);
        stop(&handle, || accepting.block_on(serving).expect("no panic"));
    }
}

/// On an executor that one thread runs.
fn on_an_executor(listener: impl Fn() -> (wsgi_smol::Listener, SocketAddr)) {
    let executor: Arc<smol::Executor<'static>> = Arc::default();
    let (stop_running, stopped) = smol::channel::bounded::<()>(1);
    let pool = Arc::clone(&executor);
    let running = thread::Builder::new().name(NAME.into());
    let running = running.spawn(move || smol::block_on(pool.run(stopped.recv()))).expect("a thread");
    for custom in [false, true] {
        let (listener, address) = listener();
        let server = wsgi_smol::Server::new(listener, whereabouts).max_size(1).log_output(false);
        let server = match custom {
            true => server.custom_pool(Arc::clone(&executor)),
            false => server.pool(Arc::clone(&executor)),
        };
        let handle = server.handle();
        let serving = smol::spawn(server.serve());
        assert_eq!(Caller::connect(address).get("/").text(), NAME);
        max_size_is_ignored_if(custom, address);
        stop(&handle, || smol::block_on(serving));
    }
    drop(stop_running);
    let _ = running.join();
}

#[test]
fn on_smol_connections_run_on_the_executor_that_was_given() {
    on_an_executor(|| {
        let listener = smol::Async::new(listener()).expect("a socket");
        let address = listener.get_ref().local_addr().expect("a port");
        (listener.into(), address)
    });
}

#[test]
fn on_async_std_connections_run_on_the_executor_that_was_given() {
    on_an_executor(|| {
        let listener = async_std::net::TcpListener::from(listener());
        let address = listener.local_addr().expect("a port");
        (listener.into(), address)
    });
}

/// A time in which more requests would begin, if there were no limit.
#[cfg(unix)]
const WHILE: Duration = Duration::from_millis(40);

/// The largest number of concurrent requests in the application, out of eight. Each takes the time of `hold`, unless
/// there have been three of them.
#[cfg(unix)]
fn at_a_time(hold: Duration, limit: impl Fn(StdServer) -> StdServer) -> usize {
    let busy = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let seen = Arc::clone(&busy);
    let application: StdApplication = Box::new(move |_, start| {
        let (now, most) = &*seen;
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let end = Instant::now() + hold;
        while most.load(Ordering::SeqCst) <= 2 && Instant::now() < end {
            thread::park_timeout(Duration::from_millis(1));
        }
        now.fetch_sub(1, Ordering::SeqCst);
        start.start("200 OK", PLAIN)?;
        Ok("done".into())
    });
    let listener = listener();
    let address = listener.local_addr().expect("a port");
    let server = limit(wsgi_std::Server::new(listener, application).log_output(false));
    let handle = server.handle();
    let serving = thread::spawn(move || server.serve());
    let mut clients: Vec<_> = (0..8).map(|_| Caller::connect(address)).collect();
    clients.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
    for client in &mut clients {
        assert_eq!(client.answer().text(), "done");
    }
    stop(&handle, || serving.join().expect("no panic"));
    busy.1.load(Ordering::SeqCst)
}

#[cfg(unix)]
type StdApplication = Box<dyn Fn(wsgi_std::Environ, wsgi_std::StartResponse) -> Result<Body> + Send + Sync>;

#[cfg(unix)]
type StdServer = wsgi_std::Server<StdApplication>;

#[cfg(unix)]
#[test]
fn on_std_there_are_as_many_threads_as_were_given() {
    assert_eq!(at_a_time(WHILE, |server| server.pool(1)), 1);
    assert!(at_a_time(WHILE, |server| server.custom_pool(2)) <= 2);
    assert!(at_a_time(PATIENCE, |server| server) > 2, "without a limit they run concurrently");
    // A `max_size` of 1 also limits the threads, but not with a custom pool.
    assert_eq!(at_a_time(WHILE, |server| server.max_size(1)), 1);
    assert!(at_a_time(PATIENCE, |server| server.max_size(1).custom_pool(8)) > 2);
}

#[cfg(unix)]
#[test]
fn on_std_max_size_is_ignored_with_a_custom_pool_alone() {
    let whereabouts = wsgi_std::application_fn(|_, start| {
        start.start("200 OK", PLAIN)?;
        Ok("here".into())
    });
    for custom in [false, true] {
        let listener = listener();
        let address = listener.local_addr().expect("a port");
        let server = wsgi_std::Server::new(listener, whereabouts).max_size(1).log_output(false);
        let server = if custom { server.custom_pool(4) } else { server.pool(4) };
        let handle = server.handle();
        let serving = thread::spawn(move || server.serve());
        max_size_is_ignored_if(custom, address);
        stop(&handle, || serving.join().expect("no panic"));
    }
}

#[cfg(unix)]
#[test]
fn on_std_no_threads_are_refused() {
    let application = wsgi_std::application_fn(|_, _| Ok(Body::empty()));
    let server = || wsgi_std::Server::new(listener(), application).log_output(false);
    for (server, option) in [
        (server().pool(0), "pool"),
        (server().custom_pool(0), "custom_pool"),
        (server().max_size(0).custom_pool(2), "max_size"),
    ] {
        let error = server.serve().expect_err("the option is invalid");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), format!("option {option} cannot be 0 (allowed: 1 or more)"));
    }
}

#[test]
fn options_may_come_after_the_pool() {
    let pool = runtime::Runtime::new().expect("a runtime");
    let _inside = pool.enter();
    let listener = tokio::net::TcpListener::from_std(listener()).expect("a socket");
    let address = listener.local_addr().expect("a port");
    let server = wsgi_tokio::Server::new(listener, whereabouts).custom_pool(pool.handle().clone());
    let server = server.options(wsgi_tokio::Options::default().max_size(1)).log_output(false);
    let handle = server.handle();
    let serving = pool.spawn(server.serve());
    max_size_is_ignored_if(true, address);
    stop(&handle, || {
        eventually("it stops", || serving.is_finished());
        pool.block_on(async {
            tokio::time::timeout(PATIENCE, serving).await.expect("it stops").expect("no panic")
        })
    });
}
