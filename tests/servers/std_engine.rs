//! `wsgi-std` on sockets: pending work, its causes, and how it ends.
#![cfg(unix)]

use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::{Duration, Instant};

use wsgi_std::{Body, Bytes, Environ, Options, Result, StartResponse};
use wsgi_tests::adapters::{Running, start_std};
use wsgi_tests::caller::Caller;
use wsgi_tests::live::{NOT_HELD_UP, SOON, eventually};

const PLAIN: [(&str, &str); 1] = [("Content-Type", "text/plain")];

fn quiet() -> Options {
    Options::default().debug(false).log_output(false)
}

/// A server for one test.
struct Site(Running);

impl Site {
    fn with(options: Options, application: impl wsgi_std::Application) -> Self {
        Self(start_std(options, application).expect("there is a port"))
    }

    fn connect(&self) -> Caller {
        Caller::connect(self.0.address)
    }
}

fn fine(start: &StartResponse, body: impl Into<Body>) -> Result<Body> {
    start.start("200 OK", PLAIN)?;
    Ok(body.into())
}

#[test]
fn a_client_that_takes_nothing_holds_no_thread() {
    let block = Bytes::from(vec![b'x'; 1 << 20]);
    let server = wsgi_std::Server::new(
        std::net::TcpListener::bind("127.0.0.1:0").unwrap(),
        move |environ: Environ, start: StartResponse| {
            let block = block.clone();
            match &*environ.path() {
                "/bytes" => fine(&start, Bytes::from(vec![b'x'; 64 << 20])),
                "/iterator" => fine(&start, Body::iterator((0..64).map(move |_| Ok(block.clone())))),
                _ => fine(&start, "fine"),
            }
        },
    );
    let server = server.options(quiet()).pool(1);
    let handle = server.handle();
    let ended = thread::spawn(|| server.serve());
    eventually("it accepts", || !handle.addresses().is_empty());
    let address = handle.addresses()[0];
    let mut slow: Vec<_> = ["/bytes", "/iterator"]
        .into_iter()
        .map(|path| {
            let mut client = Caller::connect(address);
            client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
            client
        })
        .collect();
    assert_eq!(Caller::connect(address).get("/").text(), "fine");
    for client in &mut slow {
        let answer = client.answer();
        assert_eq!((answer.body.len(), answer.whole), (64 << 20, true));
    }
    handle.shutdown();
    assert_eq!(ended.join().unwrap().unwrap().cut, 0);
}

#[test]
fn deadlines_of_parked_connections_are_kept() {
    let options = quiet().keepalive(SOON).header_timeout(2 * SOON).socket_timeout(Duration::from_secs(20));
    let site = Site::with(options, |_: Environ, start: StartResponse| fine(&start, "fine"));
    let began = Instant::now();
    let (mut idle, mut half) = (site.connect(), site.connect());
    assert_eq!(idle.get("/").text(), "fine");
    half.send("GET / HTTP/1.1\r\n");
    assert!(idle.ends());
    assert!(began.elapsed() >= SOON);
    assert_eq!(half.answer().status, 408);
    assert!(began.elapsed() >= 2 * SOON && began.elapsed() < NOT_HELD_UP);
}

#[test]
fn at_max_size_the_one_that_waits_longest_makes_room() {
    let site = Site::with(quiet().max_size(2), |_: Environ, start: StartResponse| fine(&start, "fine"));
    let mut first = site.connect();
    assert_eq!(first.get("/").text(), "fine");
    let mut second = site.connect();
    assert_eq!(second.get("/").text(), "fine");
    assert_eq!(site.connect().get("/").text(), "fine");
    assert!(first.ends());
}

#[test]
fn several_listeners_and_unix_sockets_are_served() {
    let path = std::env::temp_dir().join(format!("wsgi-std-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let server = wsgi_std::Server::new(tcp, |environ: Environ, start: StartResponse| {
        fine(&start, environ.get("REMOTE_ADDR").unwrap_or_default())
    });
    let server = server.listener(UnixListener::bind(&path).unwrap()).options(quiet());
    let handle = server.handle();
    let ended = thread::spawn(|| server.serve());
    assert_eq!(Caller::connect(address).get("/").text(), "127.0.0.1");
    let mut unix = Caller::new(UnixStream::connect(&path).unwrap());
    assert_eq!(unix.get("/").text(), "unix");
    handle.shutdown();
    assert_eq!(ended.join().unwrap().unwrap().cut, 0);
    std::fs::remove_file(&path).unwrap();
}

/// A listener that shares its port with others.
fn sharing(address: std::net::SocketAddr) -> std::net::TcpListener {
    let socket =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a free port");
    socket.set_reuse_port(true).expect("a free port");
    socket.bind(&address.into()).expect("a free port");
    socket.listen(128).expect("a free port");
    socket.into()
}

#[test]
fn listeners_of_one_port_have_a_thread_each_and_a_stop_empties_all_queues() {
    let application = |_: Environ, start: StartResponse| fine(&start, "fine");
    let first = sharing(([127, 0, 0, 1], 0).into());
    let address = first.local_addr().unwrap();
    let mut server = wsgi_std::Server::new(first, application).options(quiet());
    for _ in 0..3 {
        server = server.listener(sharing(address));
    }
    let handle = server.handle();
    // They wait in the queues of all listeners, since nothing accepts yet.
    let mut waiting: Vec<_> = (0..32).map(|_| Caller::connect(address)).collect();
    waiting.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
    handle.shutdown();
    let ended = thread::spawn(|| server.serve());
    waiting.iter_mut().for_each(|client| assert_eq!(client.answer().text(), "fine"));
    assert_eq!(ended.join().unwrap().unwrap().cut, 0);
    assert_eq!(handle.addresses(), [address; 4]);

    let server = wsgi_std::Server::new(sharing(address), application).listener(sharing(address));
    let server = server.options(quiet());
    let handle = server.handle();
    let ended = thread::spawn(|| server.serve());
    for _ in 0..32 {
        assert_eq!(Caller::connect(address).get("/").text(), "fine");
    }
    #[cfg(target_os = "linux")]
    assert!(threads().contains(&"wsgi-std-accept".to_owned()), "{:?}", threads());
    handle.shutdown();
    assert_eq!(ended.join().unwrap().unwrap().cut, 0);
}

/// The names of this process's threads.
#[cfg(target_os = "linux")]
fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux has it");
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.expect("a thread").path().join("comm")).ok());
    names.map(|name| name.trim_end().to_owned()).collect()
}

#[test]
fn a_listener_that_fails_ends_the_server_whichever_it_is() {
    for number in 0..3 {
        let listener = |broken: bool| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
            // A socket that does not listen cannot accept.
            if !broken {
                socket.listen(8).unwrap();
            }
            socket
        };
        let server = wsgi_std::Server::new(listener(number == 0), |_: Environ, start: StartResponse| {
            fine(&start, "fine")
        });
        let server = server.listener(listener(number == 1)).listener(listener(number == 2)).options(quiet());
        let ended = thread::spawn(|| server.serve());
        let error = ended.join().unwrap().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(22), "listener {number}: {error}");
    }
}

#[test]
fn a_listener_that_was_duplicated_is_closed_and_not_shut_down() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let twin = listener.try_clone().unwrap();
    let server = wsgi_std::Server::new(listener, |_: Environ, start: StartResponse| fine(&start, "first"));
    let server = server.options(quiet());
    server.handle().shutdown();
    server.serve().unwrap();
    let site = wsgi_std::Server::new(twin, |_: Environ, start: StartResponse| fine(&start, "second"));
    let site = site.options(quiet());
    let handle = site.handle();
    let ended = thread::spawn(|| site.serve());
    eventually("it accepts", || !handle.addresses().is_empty());
    assert_eq!(Caller::connect(handle.addresses()[0]).get("/").text(), "second");
    handle.shutdown();
    ended.join().unwrap().unwrap();
}
