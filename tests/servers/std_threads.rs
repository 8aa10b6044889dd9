//! How `wsgi-std` uses threads.
#![cfg(unix)]

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use wsgi_std::{Application, BoxApplication};
use wsgi_std::{Body, Environ, Report, Result, Server, ServerHandle, StartResponse};
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
        while !until.load(Ordering::SeqCst) && began.elapsed() < 2 * PATIENCE {
            let _ = sending.write_all(requests.as_bytes());
        }
        let _ = sending.shutdown(std::net::Shutdown::Both);
    });
    thread::park_timeout(Duration::from_millis(100));
    for _ in 0..3 {
        assert_eq!(Caller::connect(address).get("/").text(), "fine");
    }
    enough.store(true, Ordering::SeqCst);
    sender.join().expect("no panic");
    let _ = receiver.join().expect("no panic");
    handle.shutdown();
    serving.join().expect("no panic").expect("the listener is sound");
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
