//! Deadlines over sockets that pass at the worst moment: while the application is being polled.

use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::pin::pin;
use std::time::Instant;

use tokio::runtime::Runtime;
use wsgi_tests::adapters::{Adapter, AsyncStd, Smol, Tokio};
use wsgi_tests::live::{PATIENCE, SOON};
use wsgi_tokio::{Body, Environ, Options, Result, StartResponse};

/// Reads the body, and keeps its thread until the deadline of the missing bytes has passed.
async fn slow(environ: Environ, start_response: StartResponse) -> Result<Body> {
    let input = environ.input();
    let mut body = pin!(input.read_to_end());
    let mut asked = false;
    let body = poll_fn(|context| {
        let polled = body.as_mut().poll(context);
        let end = Instant::now() + 2 * SOON;
        while !asked && polled.is_pending() && Instant::now() < end {
            std::hint::spin_loop();
        }
        asked = true;
        polled
    });
    let body = body.await?;
    start_response.start("200 OK", [("Content-Type", "text/plain")])?;
    Ok(body.into())
}

fn half_a_body_is_answered_408(adapter: &impl Adapter) {
    let options = Options::default().log_output(false).socket_timeout(SOON);
    let running = adapter.start(options, slow).expect("there is a port");
    let mut stream = TcpStream::connect(running.address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("it is not zero");
    stream.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhel").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers in time");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    drop(stream);
    running.handle.shutdown();
    running.ended.recv_timeout(PATIENCE).expect("it stops").expect("it stops cleanly");
}

#[test]
fn a_deadline_that_passes_while_the_application_is_asked_is_heard_of() {
    half_a_body_is_answered_408(&Tokio(Runtime::new().unwrap()));
    half_a_body_is_answered_408(&Smol);
    half_a_body_is_answered_408(&AsyncStd);
}
