//! The echo application of `conform/CONTRACT.md`, and some additional paths for other checks.
//!
//! It is independent of the runtime: the caller passes the sleep function. `blocking` is the same for blocking sockets.

use std::path::PathBuf;
use std::sync::Arc;

use wsgi_tokio::{Application, Body, Environ, InputError, Result, StartResponse};

use super::answers::{BLOCK, CONTINUE, Echo, PLAIN, SWITCHING, echo, milliseconds, plain};
use super::stream::{self, Sleep};

/// The application, for a runtime with this sleep function. `/file` serves `file`.
pub fn application(sleep: Sleep, file: Option<PathBuf>) -> impl Application {
    let echo = Arc::new(Echo::new(file, stream::ready_blocks));
    move |environ, start_response| {
        let echo = Arc::clone(&echo);
        async move { answer(&echo, sleep, environ, start_response).await }
    }
}

async fn answer(site: &Arc<Echo>, sleep: Sleep, environ: Environ, start: StartResponse) -> Result<Body> {
    if let Some(answer) = site.at_once(&environ, &start) {
        return answer;
    }
    match &*environ.path() {
        "/partial" => {
            environ.input().read(3).await?;
            plain(&start, "partial\n")
        }
        "/sleep" => {
            sleep(milliseconds(&environ, 1000)).await;
            plain(&start, "slept\n")
        }
        "/stream" => {
            start.start("200 OK", PLAIN)?;
            Ok(stream::with_pause("first\n", sleep, milliseconds(&environ, 500), "second\n"))
        }
        // Reads and drops a body of any size, and answers with its length.
        "/sink" => plain(&start, format!("{}\n", drain(&environ).await?)),
        "/continue" => {
            environ.input().set_hundred_continue_response_headers(CONTINUE)?;
            plain(&start, format!("{}\n", drain(&environ).await?))
        }
        // Another protocol: what is read is sent back, until the client closes its half.
        "/upgrade" => {
            let protocol = environ.header("Upgrade").unwrap_or("echo".into());
            start.start(SWITCHING, [("Upgrade", &*protocol)])?;
            let mut stream = environ.input().take_over().await?;
            let mut space = vec![0; BLOCK];
            loop {
                match stream.read(&mut space).await? {
                    0 => break stream.shutdown().await?,
                    count => stream.write_all(&space[..count]).await?,
                }
            }
            Ok(Body::empty())
        }
        _ => {
            let body = environ.input().read_to_end().await?;
            echo(&environ, &start, &body)
        }
    }
}

/// Reads and drops the request body, and returns its length.
async fn drain(environ: &Environ) -> Result<u64, InputError> {
    let (input, mut length) = (environ.input(), 0);
    loop {
        match input.read_some(BLOCK).await?.len() as u64 {
            0 => return Ok(length),
            more => length += more,
        }
    }
}
