//! Clients that leave, in each way, on every runtime: the table at `Input::client_gone`.
#![cfg(unix)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use wsgi_tests::caller::Caller;
use wsgi_tests::live::{Journal, Kind, eventually};
use wsgi_tests::runtimes::on_each;
use wsgi_tokio::{Body, Options, Result};

const PLAIN: [(&str, &str); 1] = [("Content-Type", "text/plain")];

/// What the applications have noticed.
type Notes = Arc<Mutex<Vec<String>>>;

/// The application, with its calls followed by `.await` or by nothing.
macro_rules! answer {
    ($notes:expr, $environ:expr, $start:expr, $($wait:tt)*) => {{
        let (notes, environ, start) = ($notes, $environ, $start);
        let note = |what: String| notes.lock().expect("no panic").push(what);
        let hooked: Notes = Arc::clone(&notes);
        environ.add_post_hook(move |_, record| {
            hooked.lock().expect("no panic").push(format!("lost: {}", record.lost.is_some()));
        });
        let input = environ.input();
        match &*environ.path() {
            // A body that never arrives whole.
            "/read" => {
                let read = input.read_to_end()$($wait)*;
                note(format!("read fails: {}", read.is_err()));
                read?;
                unreachable!("it has failed")
            }
            "/watch" => {
                input.client_gone()$($wait)*;
                note("gone".into());
                start.start("200 OK", PLAIN)?;
                Ok("still here".into())
            }
            // The response to a HEAD has no body, so nothing is sent that could fail.
            "/endless" => {
                let write = start.start("200 OK", PLAIN)?;
                loop {
                    if let Err(error) = write.write("x")$($wait)* {
                        note("write fails".into());
                        return Err(error.into());
                    }
                }
            }
            // A client that has closed answers the first bytes with a reset.
            _ => {
                input.client_gone()$($wait)*;
                let write = start.start("200 OK", PLAIN)?;
                loop {
                    if let Err(error) = write.write(vec![0; 64 * 1024])$($wait)* {
                        note("write fails".into());
                        return Err(error.into());
                    }
                }
            }
        }
    }};
}

#[test]
fn a_client_that_leaves_is_noticed_by_reads_writes_and_those_who_watch() {
    let half = |client: Caller| {
        client.half_close();
        Some(client)
    };
    let close = |_: Caller| None;
    let reset = |client: Caller| {
        socket2::SockRef::from(client.stream()).set_linger(Some(Duration::ZERO)).expect("a socket");
        None
    };
    type Leave = fn(Caller) -> Option<Caller>;
    let ways: [(&str, Leave); 3] = [("half-close", half), ("close", close), ("reset", reset)];
    on_each("leaving", |runtime| {
        let notes = Notes::default();
        let (options, journal) = Journal::keep(Options::default().debug(false));
        let (futures, blocking) = (Arc::clone(&notes), Arc::clone(&notes));
        let running = runtime.begin(
            None,
            options,
            wsgi_tokio::application_fn(move |environ, start| {
                let notes = Arc::clone(&futures);
                async move { answer!(notes, environ, start, .await) as Result<Body> }
            }),
            wsgi_std::application_fn(move |environ, start| answer!(Arc::clone(&blocking), environ, start,)),
        );
        let noticed = |what: &str, expected: &[&str]| {
            eventually(what, || notes.lock().expect("no panic").len() == expected.len());
            assert_eq!(std::mem::take(&mut *notes.lock().expect("no panic")), expected, "{what}");
        };
        // Whether a small response was lost is not known to a server whose client has closed.
        let first = |what: &str, expected: &str| {
            eventually(what, || notes.lock().expect("no panic").len() == 2);
            assert_eq!(notes.lock().expect("no panic").drain(..).next().as_deref(), Some(expected), "{what}");
        };
        let begin = |request: &str| {
            let mut client = Caller::connect(running.address);
            client.send(request);
            eventually("it is called", || running.handle.requests() == 1);
            client
        };
        for (way, leave) in ways {
            let mut left = leave(begin("POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc"));
            left.iter_mut().for_each(|client| assert_eq!(client.answer().status, 400, "{way}"));
            first(way, "read fails: true");

            let mut left = leave(begin("GET /watch HTTP/1.1\r\nHost: h\r\n\r\n"));
            if let Some(client) = &mut left {
                assert_eq!(client.answer().text(), "still here");
                assert!(client.ends());
                noticed(way, &["gone", "lost: false"]);
            } else {
                eventually(way, || notes.lock().expect("no panic").len() == 2);
                // Whether the small response was lost is not known to a server whose client has closed.
                assert_eq!(
                    notes.lock().expect("no panic").drain(..).next().as_deref(),
                    Some("gone"),
                    "{way}"
                );
            }
            let mut client = begin("HEAD /endless HTTP/1.1\r\nHost: h\r\n\r\n");
            let mut head = client.bytes(15);
            while !head.ends_with(b"\r\n\r\n") {
                head.extend(client.bytes(1));
            }
            let _left = leave(client);
            first(&format!("{way}, HEAD"), "write fails");

            if way != "half-close" {
                leave(begin("GET /write HTTP/1.1\r\nHost: h\r\n\r\n"));
                noticed(&format!("{way}, write"), &["write fails", "lost: true"]);
            }
        }
        assert_eq!(journal.texts(Kind::Error), [""; 0], "they are no errors of the application");
    });
}
