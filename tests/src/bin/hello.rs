//! The smallest server on one thread, for counting instructions and measuring speed.
//!
//! `cargo run --release -p wsgi-tests --bin hello -- --listen 127.0.0.1:8090`
//!
//! | path | answer |
//! | --- | --- |
//! | `/` | 13 bytes |
//! | `/10k`, `/1m` | 10 KiB and 1 MiB that are there already |
//! | `/chunked` | 1000 blocks of 16 bytes, each a chunk, all ready immediately |
//! | `/upload` | reads the request body and answers with its length |

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;
use clap::{ArgAction, Parser};
use tokio::runtime;
use wsgi_tests::echo::listen::Bound;
use wsgi_tests::echo::options::{Place, Runtime};
use wsgi_tests::echo::{announce, listen, on_smol, on_tokio, signals, status, stream};
use wsgi_tokio::{Application, Body, Environ, Options, Report, Result, ServerHandle, StartResponse};

static BLANK: [u8; 1024 * 1024] = [b'x'; 1024 * 1024];
const PLAIN: [(&str, &str); 1] = [("Content-Type", "text/plain")];

#[derive(Debug, Parser)]
#[command(about = "Serves the same few bytes as fast as it can")]
struct Settings {
    /// Where to accept connections: 127.0.0.1:8090, `[::1]:8090`, unix:PATH; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    listen: Place,
    /// The runtime of the server.
    #[arg(long, value_enum, default_value = "tokio")]
    runtime: Runtime,
    /// Whether requests are logged on standard error.
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, default_value_t = false)]
    log_output: bool,
}

async fn hello(environ: Environ, start_response: StartResponse) -> Result<Body> {
    let path = environ.head().path();
    let Some(body) = body(path) else {
        start_response.start("404 Not Found", PLAIN)?;
        return Ok("Not Found\r\n".into());
    };
    if path != b"/upload" {
        start_response.start("200 OK", PLAIN)?;
        return Ok(body);
    }
    let (input, mut length) = (environ.input(), 0);
    loop {
        match input.read_some(64 * 1024).await?.len() {
            0 => break,
            more => length += more,
        }
    }
    start_response.start("200 OK", PLAIN)?;
    Ok(format!("{length}\n").into())
}

/// The same on a thread.
fn hello_blocking(
    environ: wsgi_tokio::blocking::Environ,
    start_response: wsgi_tokio::blocking::StartResponse,
) -> Result<Body> {
    let path = environ.head().path();
    let Some(body) = body(path) else {
        start_response.start("404 Not Found", PLAIN)?;
        return Ok("Not Found\r\n".into());
    };
    if path != b"/upload" {
        start_response.start("200 OK", PLAIN)?;
        return Ok(body);
    }
    let (input, mut length) = (environ.input(), 0);
    loop {
        match input.read_some(64 * 1024)?.len() {
            0 => break,
            more => length += more,
        }
    }
    start_response.start("200 OK", PLAIN)?;
    Ok(format!("{length}\n").into())
}

/// The body if it does not depend on the request body; `/upload` has none here.
fn body(path: &[u8]) -> Option<Body> {
    Some(match path {
        b"/" => "Hello, World!".into(),
        b"/10k" => Bytes::from_static(&BLANK[..10 * 1024]).into(),
        b"/1m" => Bytes::from_static(&BLANK).into(),
        b"/chunked" => {
            stream::ready_blocks(std::iter::repeat_n(Bytes::from_static(b"0123456789abcdef"), 1000))
        }
        b"/upload" => Body::empty(),
        _ => return None,
    })
}

fn serve(settings: Settings) -> io::Result<Report> {
    let listen::Listeners { bound, places, files: _files } = listen::bind(&[settings.listen])?;
    let options = Options::default().debug(false).log_output(settings.log_output);
    let accepting = |handle| {
        signals::stop_by_signal(handle)?;
        announce(&places)
    };
    match settings.runtime {
        Runtime::Tokio => on_tokio(bound, hello, options, accepting),
        Runtime::BlockingOnTokio => on_tokio(bound, wsgi_tokio::blocking(hello_blocking), options, accepting),
        Runtime::Smol => on_smol(bound, hello, options, accepting),
        Runtime::BlockingOnSmol => on_smol(bound, wsgi_smol::blocking(hello_blocking), options, accepting),
        Runtime::AsyncStd => on_async_std(bound, hello, options, accepting),
        Runtime::BlockingOnAsyncStd => {
            on_async_std(bound, wsgi_smol::blocking(hello_blocking), options, accepting)
        }
        #[cfg(unix)]
        Runtime::Std => {
            let threads = wsgi_tests::echo::Threads::Runtime(None);
            wsgi_tests::echo::on_std::run(
                bound,
                &Default::default(),
                hello_blocking,
                options,
                threads,
                accepting,
            )
        }
    }
}

fn on_tokio(
    bound: Vec<Bound>,
    application: impl Application,
    options: Options,
    accepting: impl FnOnce(ServerHandle) -> io::Result<()>,
) -> io::Result<Report> {
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listeners =
            bound.into_iter().map(|bound| on_tokio::listener(bound, None)).collect::<io::Result<_>>()?;
        on_tokio::run(on_tokio::build(listeners, application, options)?, accepting).await
    })
}

fn on_smol(
    bound: Vec<Bound>,
    application: impl Application,
    options: Options,
    accepting: impl FnOnce(ServerHandle) -> io::Result<()>,
) -> io::Result<Report> {
    let listeners =
        bound.into_iter().map(|bound| on_smol::listener(bound, None)).collect::<io::Result<_>>()?;
    let executor = Arc::new(smol::Executor::new());
    let server = on_smol::build(listeners, application, options)?.pool(Arc::clone(&executor));
    smol::block_on(executor.run(on_smol::run(server, accepting)))
}

fn on_async_std(
    bound: Vec<Bound>,
    application: impl Application,
    options: Options,
    accepting: impl FnOnce(ServerHandle) -> io::Result<()>,
) -> io::Result<Report> {
    let listeners = bound.into_iter().map(|bound| on_smol::async_std_listener(bound, None)).collect();
    async_std::task::block_on(on_smol::run(on_smol::build(listeners, application, options)?, accepting))
}

fn main() -> ExitCode {
    status(serve(Settings::parse()))
}
