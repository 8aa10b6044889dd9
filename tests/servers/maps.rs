//! `StartResponse::map` on every runtime.
#![cfg(unix)]

use std::sync::Mutex;
use std::sync::mpsc::channel;

use wsgi_tests::caller::Caller;
use wsgi_tests::live::PATIENCE;
use wsgi_tests::runtimes::on_each;
use wsgi_tokio::{Headers, LogEntry, NO_HEADERS, Options, Status, application_fn};

/// Adds a field, or panics if the application asks for it.
fn map(status: &mut Status, headers: &mut Headers) {
    assert!(!headers.contains("X-Panic"), "a bad map");
    headers.insert("X-Was", status.as_str().as_bytes());
}

/// Starts responses by the path of a request: a macro, since the types of both kinds of application differ.
macro_rules! page {
    ($environ:ident, $start:ident) => {{
        let start = $start.map(map);
        match $environ.path().as_ref() {
            "/panics" => panic!("a bad page"),
            "/fails" => return Err("a bad page".into()),
            "/idle" => {}
            "/map-panics" => drop(start.start("200 OK", [("X-Panic", "1")])?),
            "/hints" => {
                start.inform("103 Early Hints", [("Link", "</a>")])?;
                drop(start.start("200 OK", NO_HEADERS)?);
            }
            _ => drop(start.start("404 Not Found", NO_HEADERS)?),
        }
        Ok("page\n".into())
    }};
}

#[test]
fn heads_are_mapped_and_a_panic_harms_only_its_own_response() {
    on_each("mapped heads", |runtime| {
        let (tell, errors) = channel();
        let tell = Mutex::new(tell);
        let log = move |entry: &LogEntry<'_>| {
            if let LogEntry::Error(text) = entry {
                // The receiver may be dropped when the test is over.
                let _ = tell.lock().expect("no panic").send((*text).to_owned());
            }
        };
        let application = application_fn(|environ, start| async move { page!(environ, start) });
        let blocking = wsgi_std::application_fn(|environ, start| page!(environ, start));
        let options = Options::default().debug(false).log(log);
        let running = runtime.begin(None, options, application, blocking);
        // One connection serves all: none of the failures ends it.
        let mut client = Caller::connect(running.address);
        for (path, status, was, logged) in [
            ("/", 404, Some("404 Not Found"), 0),
            ("/panics", 500, Some("500 Internal Server Error"), 1),
            ("/fails", 500, Some("500 Internal Server Error"), 1),
            ("/idle", 500, Some("500 Internal Server Error"), 1),
            // The head of the response of the server has no such field, so it can be mapped.
            ("/map-panics", 500, Some("500 Internal Server Error"), 1),
            ("/", 404, Some("404 Not Found"), 0),
        ] {
            let answer = client.get(path);
            assert_eq!(answer.status, status, "{path}: {}", answer.head);
            let found = answer.head.lines().find_map(|line| line.strip_prefix("X-Was: "));
            assert_eq!(found, was, "{path}: {}", answer.head);
            for _ in 0..logged {
                errors.recv_timeout(PATIENCE).expect("the failure is logged");
            }
            assert!(errors.try_recv().is_err(), "{path}");
        }
        client.send("GET /hints HTTP/1.1\r\nHost: h\r\n\r\n");
        let interim = client.answer();
        assert_eq!((interim.status, interim.head.contains("X-Was")), (103, false));
        assert!(client.answer().head.contains("X-Was: 200 OK"));
        running.handle.shutdown();
        running.ended.recv_timeout(PATIENCE).expect("it stops").expect("the listener is sound");
    });
}
