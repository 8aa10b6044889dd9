//! Post hooks: they run after the response, in order, however it ended.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socket2::SockRef;
use wsgi_tests::caller::Caller;
use wsgi_tests::echo::stream::ready_blocks;
use wsgi_tests::live::{Kind, Site, eventually};
use wsgi_tokio::{Body, Bytes, Environ, Options, Record, Result, StartResponse, application_fn};
use wsgi_tokio::{Lost, RequestError};

const PLAIN: [(&str, &str); 1] = [("Content-Type", "text/plain")];

/// Notes taken by the hooks of a site.
type Notes<T> = Arc<Mutex<Vec<T>>>;

fn note<T>(notes: &Notes<T>, what: T) {
    notes.lock().expect("no panic").push(what);
}

/// Waits for the first note, and checks that it is the only one.
fn noted<T: Clone>(notes: &Notes<T>) -> T {
    eventually("a hook runs", || !notes.lock().expect("no panic").is_empty());
    let notes = notes.lock().expect("no panic");
    assert_eq!(notes.len(), 1, "a hook runs once");
    notes[0].clone()
}

#[test]
fn hooks_run_in_order_and_see_the_changes_of_all_before_them() {
    let notes: Notes<String> = Arc::default();
    let hooks = Arc::clone(&notes);
    // The middleware's hook is added first; the application changes the environ afterwards.
    let site = Site::new(application_fn(move |environ, start| {
        let (one, two) = (Arc::clone(&hooks), Arc::clone(&hooks));
        environ.add_post_hook(move |environ, _| {
            note(&one, format!("{:?} {:?}", environ.get("by.application"), environ.extension::<u8>()));
            environ.set("by.hook", "3");
        });
        async move {
            environ.set("by.application", "1");
            environ.insert(2_u8);
            environ.remove("HTTP_REMOVED");
            environ.add_post_hook(move |environ, _| {
                let variables = ["by.hook", "HTTP_REMOVED", "PATH_INFO"].map(|name| environ.get(name));
                note(&two, format!("{variables:?}"));
            });
            start.start("200 OK", PLAIN)?;
            Ok("hooked".into())
        }
    }));
    let mut client = site.connect();
    client.send("GET /a HTTP/1.1\r\nHost: h\r\nRemoved: x\r\n\r\n");
    assert_eq!(client.answer().text(), "hooked");
    site.journal().accesses(1);
    let notes = notes.lock().expect("no panic");
    assert_eq!(*notes, ["Some(\"1\") Some(2)", "[Some(\"3\"), None, Some(\"/a\")]"]);
}

#[test]
fn hooks_that_hooks_add_run_after_the_others() {
    let notes: Notes<u8> = Arc::default();
    let hooks = Arc::clone(&notes);
    let site = Site::new(application_fn(move |environ, start| {
        let (one, two) = (Arc::clone(&hooks), Arc::clone(&hooks));
        environ.add_post_hook(move |environ, _| {
            note(&one, 1);
            environ.add_post_hook(move |environ, _| {
                note(&one, 3);
                environ.add_post_hook(move |_, _| note(&one, 4));
            });
        });
        environ.add_post_hook(move |_, _| note(&two, 2));
        async move {
            start.start("200 OK", PLAIN)?;
            Ok("hooked".into())
        }
    }));
    assert_eq!(site.connect().get("/").text(), "hooked");
    site.journal().accesses(1);
    assert_eq!(*notes.lock().expect("no panic"), [1, 2, 3, 4]);
}

#[test]
fn hooks_that_were_cleared_do_not_run() {
    let notes: Notes<&str> = Arc::default();
    let hooks = Arc::clone(&notes);
    let site = Site::new(application_fn(move |environ, start| {
        for mark in ["first", "second"] {
            let (hooks, kept) = (Arc::clone(&hooks), environ.clone());
            // The hook holds a handle of the same request, which is allowed.
            environ.add_post_hook(move |_, _| note(&hooks, if kept.path() == "/" { mark } else { "?" }));
        }
        environ.clear_post_hooks();
        let hooks = Arc::clone(&hooks);
        environ.add_post_hook(move |_, _| note(&hooks, "third"));
        async move {
            start.start("200 OK", PLAIN)?;
            Ok("hooked".into())
        }
    }));
    assert_eq!(site.connect().get("/").text(), "hooked");
    site.journal().accesses(1);
    assert_eq!(*notes.lock().expect("no panic"), ["third"]);
}

/// A site that notes each record passed to a hook.
fn recording<T: Future<Output = Result<Body>> + Send + 'static>(
    options: Options,
    application: impl Fn(Environ, StartResponse) -> T + Send + Sync + 'static,
) -> (Site, Notes<Record>) {
    let notes: Notes<Record> = Arc::default();
    let hooks = Arc::clone(&notes);
    let site = Site::with(options, move |environ: Environ, start: StartResponse| {
        let hooks = Arc::clone(&hooks);
        environ.add_post_hook(move |_, record| note(&hooks, record.clone()));
        application(environ, start)
    });
    (site, notes)
}

fn quiet() -> Options {
    Options::default().debug(false)
}

#[test]
fn the_record_counts_what_the_client_received() {
    let application = |environ: Environ, start: StartResponse| async move {
        start.inform("103 Early Hints", [("Link", "</a>")])?;
        start.start("201 Created", PLAIN)?;
        Ok(match &*environ.path() {
            "/length" => "12345".into(),
            "/chunks" => Body::iterator(["123", "45"].map(|block| Ok(block.into()))),
            _ => Body::empty(),
        })
    };
    for (method, path, body) in
        [("GET", "/length", 5), ("GET", "/chunks", 5), ("HEAD", "/length", 0), ("GET", "/", 0)]
    {
        let (site, notes) = recording(quiet(), application);
        let mut client = site.connect();
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
        let mut received = Vec::new();
        client.stream().read_to_end(&mut received).expect("an end");
        let received = String::from_utf8(received).expect("text");
        let (interim, response) = received.split_once("\r\n\r\n").expect("two heads");
        assert!(interim.starts_with("HTTP/1.1 103 ") && response.starts_with("HTTP/1.1 201 "), "{received}");
        let record = noted(&notes);
        assert_eq!((record.status, record.body_length, record.lost), (201, body, None), "{method} {path}");
        assert_eq!(record.response_length, response.len() as u64, "{method} {path}: {response}");
        assert_eq!(record.head.expect("a request").path(), path.as_bytes());
    }
}

#[test]
fn hooks_wait_until_the_response_was_sent() {
    const LENGTH: usize = 64 * 1024 * 1024;
    static RAN: AtomicBool = AtomicBool::new(false);
    let site = Site::new(application_fn(|environ, start| async move {
        environ.add_post_hook(|_, _| RAN.store(true, Ordering::SeqCst));
        start.start("200 OK", PLAIN)?;
        Ok(vec![b'x'; LENGTH].into())
    }));
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    // No system buffers that much: when the first bytes arrive, the last have not been sent.
    client.peek(&mut [0; 16]).expect("the response begins");
    assert!(!RAN.load(Ordering::SeqCst));
    assert_eq!(client.answer().body.len(), LENGTH);
    eventually("the hook runs", || RAN.load(Ordering::SeqCst));
}

#[test]
fn hooks_run_before_the_next_request_of_the_connection() {
    let notes: Notes<&str> = Arc::default();
    let hooks = Arc::clone(&notes);
    let site = Site::new(application_fn(move |environ, start| {
        let hooks = Arc::clone(&hooks);
        async move {
            note(&hooks, "request");
            environ.add_post_hook(move |_, _| note(&hooks, "hook"));
            start.start("200 OK", PLAIN)?;
            Ok("x".into())
        }
    }));
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n".repeat(3));
    for _ in 0..3 {
        assert_eq!(client.answer().text(), "x");
    }
    site.journal().accesses(3);
    assert_eq!(*notes.lock().expect("no panic"), ["request", "hook"].repeat(3));
}

/// Reads the given number of bytes and disconnects, with a buffer small enough to be accounted for.
fn leave_after(site: &Site, bytes: usize) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(64 * 1024).expect("a socket");
    socket.connect(&site.address().into()).expect("the server accepts");
    let mut client = Caller::over(socket.into());
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    client.bytes(bytes);
}

#[test]
fn a_client_that_disconnects_in_the_middle_is_in_the_record() {
    const LENGTH: usize = 100_000_000;
    const READ: u64 = 1_000_000;
    /// The most that the buffers of both sides may hold beyond the bytes read.
    const BUFFERS: u64 = 16_000_000;
    type Make = fn() -> Body;
    let bodies: [(&str, Make); 4] = [
        ("whole", || vec![0; LENGTH].into()),
        ("blocks", || Body::blocks((0..100).map(|_| vec![0; LENGTH / 100]))),
        ("iterator", || Body::iterator((0..100).map(|_| Ok(vec![0; LENGTH / 100].into())))),
        ("stream", || ready_blocks((0..100).map(|_| Bytes::from(vec![0; LENGTH / 100])))),
    ];
    for (name, make) in bodies {
        let (site, notes) = recording(quiet(), move |_: Environ, start: StartResponse| async move {
            start.start("200 OK", PLAIN)?;
            Ok(make())
        });
        leave_after(&site, READ as usize);
        let record = noted(&notes);
        assert!(matches!(record.lost, Some(Lost::Reset | Lost::BrokenPipe)), "{name}: {record:?}");
        assert_eq!(record.status, 200, "{name}");
        assert!((READ..READ + BUFFERS).contains(&record.response_length), "{name}: {record:?}");
        assert!(record.body_length > 0 && record.body_length < record.response_length, "{name}: {record:?}");
        assert_eq!(site.journal().accesses(1)[0].lost, record.lost, "{name}");
        assert_eq!(site.journal().texts(Kind::Error), [""; 0], "{name}: only the client is at fault");
        eventually("the connection is closed", || site.handle().connections() == 0);
    }
}

#[test]
fn a_client_that_disconnects_before_the_answer_is_in_the_record() {
    let (site, notes) = recording(quiet(), |environ: Environ, start: StartResponse| async move {
        environ.input().client_gone().await;
        start.start("200 OK", PLAIN)?;
        Ok("no one reads this".into())
    });
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    eventually("the application has the request", || site.handle().requests() == 1);
    SockRef::from(client.stream()).set_linger(Some(Duration::ZERO)).expect("a socket");
    drop(client);
    let record = noted(&notes);
    assert_eq!((record.lost, record.response_length, record.body_length), (Some(Lost::Reset), 0, 0));
}

#[test]
fn hooks_run_when_the_application_fails() {
    let (site, notes) = recording(quiet(), |environ: Environ, _: StartResponse| async move {
        environ.add_post_hook(|environ, _| environ.set("late", "ran"));
        Err("it failed".into())
    });
    assert_eq!(site.connect().get("/").status, 500);
    let record = noted(&notes);
    assert_eq!((record.status, record.body_length, record.cut, record.refused), (500, 0, false, None));
}

#[test]
fn hooks_run_when_the_request_is_refused_in_its_body() {
    let (site, notes) = recording(quiet(), |environ: Environ, start: StartResponse| async move {
        let body = environ.input().read_to_end().await?;
        start.start("200 OK", PLAIN)?;
        Ok(body.into())
    });
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n");
    let answer = client.answer();
    let record = noted(&notes);
    assert_eq!((answer.status, record.status, record.refused), (400, 400, Some(RequestError::ChunkSize)));
    assert_eq!(record.body_length, answer.body.len() as u64);
}

#[test]
fn hooks_run_when_a_stop_cuts_the_request() {
    let options = quiet().graceful_timeout(Duration::from_millis(100));
    let (site, notes) = recording(options, |_: Environ, _: StartResponse| std::future::pending());
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    eventually("the application has the request", || site.handle().requests() == 1);
    site.handle().shutdown();
    assert_eq!(site.ended().expect("the listener is sound").cut, 1);
    let record = noted(&notes);
    assert_eq!((record.lost, record.status, record.response_length), (Some(Lost::Aborted), 0, 0));
    assert!(client.try_answer().is_err());
}
