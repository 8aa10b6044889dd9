//! The server for external checks: the echo application, the server's options as flags, and how the program listens and
//! stops. Runtime-specific parts are in separate files.

mod answers;
pub mod application;
pub mod blocking;
pub mod listen;
pub mod on_smol;
#[cfg(unix)]
pub mod on_std;
pub mod on_tokio;
pub mod options;
pub mod signals;
pub mod stream;
mod text;
pub mod tls;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use rustls::ServerConfig;
use wsgi_tokio::{OptionError, ProxySources, Report};

use self::listen::Listeners;
use self::options::{Place, Runtime, Settings};

/// Listens, prints the addresses, and serves until a signal stops it.
///
/// # Errors
///
/// An address that cannot be bound, an option that is not allowed, the failure of a listener.
pub fn run(settings: Settings) -> io::Result<Report> {
    // The files outlive the server.
    let Listeners { bound, places, files: _files } = listen::bind(&settings.listen)?;
    let front = Front { tls: settings.tls.config()?, proxies: settings.proxy_protocol, file: settings.file };
    let options = settings.server.options();
    let accepting = |handle| {
        signals::stop_by_signal(handle)?;
        announce(&places)
    };
    let threads = match settings.custom_pool {
        Some(threads) => Threads::Pool(threads),
        None => Threads::Runtime(settings.threads),
    };
    let blocks = || blocking::application(front.file.clone());
    match settings.runtime {
        Runtime::Tokio => on_tokio::serve(bound, &front, on_tokio::echo(&front), options, threads, accepting),
        Runtime::BlockingOnTokio => {
            on_tokio::serve(bound, &front, wsgi_tokio::blocking(blocks()), options, threads, accepting)
        }
        Runtime::Smol => on_smol::serve(bound, &front, on_smol::echo(&front), options, threads, accepting),
        Runtime::BlockingOnSmol => {
            on_smol::serve(bound, &front, wsgi_smol::blocking(blocks()), options, threads, accepting)
        }
        Runtime::AsyncStd => {
            let echo = on_smol::echo_async_std(&front);
            on_smol::serve_async_std(bound, &front, echo, options, threads, accepting)
        }
        Runtime::BlockingOnAsyncStd => {
            let echo = wsgi_smol::blocking(blocks());
            on_smol::serve_async_std(bound, &front, echo, options, threads, accepting)
        }
        #[cfg(unix)]
        Runtime::Std => on_std::run(bound, &front, blocks(), options, threads, accepting),
    }
}

/// What precedes HTTP on every listener, and the file that the application serves.
#[derive(Clone, Debug, Default)]
pub struct Front {
    /// The configuration for HTTPS; `None` serves HTTP.
    pub tls: Option<Arc<ServerConfig>>,
    /// The proxies that send a header of the PROXY protocol; `None` if there are none.
    pub proxies: Option<ProxySources>,
    /// The file at `/file`.
    pub file: Option<PathBuf>,
}

/// The threads of connections.
#[derive(Clone, Copy, Debug)]
pub enum Threads {
    /// The given number of runtime threads, or the runtime's default; 0 is the main thread only.
    Runtime(Option<usize>),
    /// A custom pool with this number of threads.
    Pool(usize),
}

/// Prints the server's addresses on standard output.
///
/// # Errors
///
/// Errors from standard output.
pub fn announce(places: &[Place]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for place in places {
        writeln!(out, "listening on {place}")?;
    }
    out.flush()
}

/// The exit status of the process: 0 after a stop, 1 when it could not serve, 2 when an option was wrong. Prints an
/// error on standard error.
pub fn status(ended: io::Result<Report>) -> ExitCode {
    let Err(error) = ended else { return ExitCode::SUCCESS };
    // There is no other place to report it.
    let _ = writeln!(io::stderr(), "error: {error}");
    let bad_option = error.get_ref().is_some_and(|error| error.is::<OptionError>());
    ExitCode::from(if bad_option { 2 } else { 1 })
}
