//! The echo application for `wsgi-std`, and for other runtimes that run it on threads: every wait blocks its thread.

use std::io::{Read, Write};
use std::iter;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use wsgi_tokio::blocking::{Application, Environ, StartResponse};
use wsgi_tokio::{Body, InputError, Result};

use super::answers::{BLOCK, CONTINUE, Echo, PLAIN, SWITCHING, echo, milliseconds, plain};

/// The application. `/file` serves `file`.
pub fn application(file: Option<PathBuf>) -> impl Application {
    let echo = Arc::new(Echo::new(file, |blocks| Body::iterator(blocks.map(Ok))));
    move |environ, start_response| answer(&echo, environ, start_response)
}

fn answer(site: &Arc<Echo>, environ: Environ, start: StartResponse) -> Result<Body> {
    if let Some(answer) = site.at_once(&environ, &start) {
        return answer;
    }
    match &*environ.path() {
        "/partial" => {
            environ.input().read(3)?;
            plain(&start, "partial\n")
        }
        "/sleep" => {
            sleep(milliseconds(&environ, 1000));
            plain(&start, "slept\n")
        }
        "/stream" => {
            start.start("200 OK", PLAIN)?;
            let pause = milliseconds(&environ, 500);
            let second = iter::once_with(move || {
                sleep(pause);
                Ok("second\n".into())
            });
            Ok(Body::iterator(iter::once(Ok("first\n".into())).chain(second)))
        }
        // Reads and drops a body of any size, and answers with its length.
        "/sink" => plain(&start, format!("{}\n", drain(&environ)?)),
        "/continue" => {
            environ.input().set_hundred_continue_response_headers(CONTINUE)?;
            plain(&start, format!("{}\n", drain(&environ)?))
        }
        // Another protocol: what is read is sent back, until the client closes its half.
        "/upgrade" => {
            let protocol = environ.header("Upgrade").unwrap_or("echo".into());
            start.start(SWITCHING, [("Upgrade", &*protocol)])?;
            let mut stream = environ.input().take_over()?;
            let mut space = vec![0; BLOCK];
            loop {
                match stream.read(&mut space)? {
                    0 => break stream.shutdown()?,
                    count => stream.write_all(&space[..count])?,
                }
            }
            Ok(Body::empty())
        }
        _ => {
            let body = environ.input().read_to_end()?;
            echo(&environ, &start, &body)
        }
    }
}

/// Reads and drops the request body, and returns its length.
fn drain(environ: &Environ) -> Result<u64, InputError> {
    let (input, mut length) = (environ.input(), 0);
    loop {
        match input.read_some(BLOCK)?.len() as u64 {
            0 => return Ok(length),
            more => length += more,
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "the client requested a sleep")]
fn sleep(time: Duration) {
    thread::sleep(time);
}
