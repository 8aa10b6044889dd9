//! A service of systemd: it inherits its listener, reports when it is ready, and stops gracefully on SIGTERM.
//!
//! `cargo run -p wsgi-cookbook --bin systemd [ADDRESS]` runs it without systemd.

use std::process::ExitCode;
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use wsgi_tokio::{Environ, Options, Result, Server, site};

/// How long requests may take to finish after a signal. `TimeoutStopSec` of the unit must be longer.
const GRACE: Duration = Duration::from_secs(30);

async fn page(environ: Environ) -> Result<String> {
    // A stop waits for clients that are still sending.
    let body = environ.input().read_all(1024).await?;
    Ok(format!("process {}, {} bytes\n", std::process::id(), body.len()))
}

/// SIGTERM of systemd, and Ctrl-C of a terminal.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        let (terminate, interrupt) = (SignalKind::terminate(), SignalKind::interrupt());
        Ok(Self { terminate: signal(terminate)?, interrupt: signal(interrupt)? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn listener() -> Result<TcpListener> {
    let listener = match ListenFd::from_env().take_tcp_listener(0)? {
        Some(inherited) => inherited,
        None => std::net::TcpListener::bind(std::env::args().nth(1).as_deref().unwrap_or("127.0.0.1:8090"))?,
    };
    listener.set_nonblocking(true)?;
    Ok(TcpListener::from_std(listener)?)
}

/// Notifies systemd. Without systemd this does nothing.
fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        eprintln!("cannot notify systemd: {error}");
    }
}

/// An error ends the process with status 1, so that systemd starts it again (`Restart=on-failure`).
#[tokio::main]
async fn main() -> Result<ExitCode> {
    // Before a client can connect: a signal without a handler would end the process immediately.
    let mut signals = Signals::new()?;
    let listener = listener()?;
    println!("serving http://{}/", listener.local_addr()?);

    // systemd keeps the listener, so clients in its queue are served by the next process.
    let options = Options::public().graceful_timeout(GRACE).drain_backlog(false);
    let server = Server::new(listener, site(page)).options(options);
    let handle = server.handle();
    let mut serving = server.serve();
    notify(NotifyState::Ready);

    tokio::select! {
        // No stop was requested, so this is an error, such as an option that is not allowed.
        ended = &mut serving => return Ok(ended.map(|_| ExitCode::SUCCESS)?),
        () = signals.next() => {}
    }
    notify(NotifyState::Stopping);
    handle.shutdown();
    tokio::select! {
        report = serving => {
            let report = report?;
            println!("{} connections finished, {} cut", report.finished, report.cut);
            Ok(ExitCode::SUCCESS)
        }
        // A second signal ends the wait, and cuts the open connections.
        () = signals.next() => Ok(ExitCode::from(130)),
    }
}
