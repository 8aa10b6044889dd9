//! A server that takes the listener that systemd hands over, or binds one itself. SIGTERM and Ctrl-C stop it gracefully.
//!
//! The listener stays open in systemd while the program is stopped and started again, so that clients wait in its queue
//! and none is refused. `docs/production.md` has the units. To try it without them:
//!
//! `systemd-socket-activate -l 127.0.0.1:8090 target/debug/examples/socket_activation`
#![allow(clippy::print_stdout, reason = "it prints where it serves")]

use listenfd::ListenFd;
use wsgi_tokio::{Body, Environ, Options, Result, Server, StartResponse};

async fn application(environ: Environ, start_response: StartResponse) -> Result<Body> {
    start_response.start("200 OK", [("Content-Type", "text/plain")])?;
    Ok(format!("process {} serves {}\r\n", std::process::id(), environ.path()).into())
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = match ListenFd::from_env().take_tcp_listener(0)? {
        Some(inherited) => inherited,
        None => std::net::TcpListener::bind(std::env::args().nth(1).as_deref().unwrap_or("127.0.0.1:8090"))?,
    };
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    // Before a client can connect: a signal without a handler would end the process at once.
    let stop = stop_signal()?;
    println!("serving http://{}/", listener.local_addr()?);

    let server = Server::new(listener, application).options(Options::public());
    let handle = server.handle();
    tokio::spawn(async move {
        stop.await;
        handle.shutdown();
    });
    server.serve().await?;
    Ok(())
}

#[cfg(unix)]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async {
        // Without a handler, Ctrl-C ends the process.
        let _ = tokio::signal::ctrl_c().await;
    })
}
