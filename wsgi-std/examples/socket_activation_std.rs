//! A server that takes the listener that systemd hands over, or binds one itself. SIGTERM and Ctrl-C stop it gracefully.
//!
//! The listener stays open in systemd while the program is stopped and started again, so that clients wait in its queue
//! and none is refused. `docs/production.md` has the units. To try it without them:
//!
//! `systemd-socket-activate -l 127.0.0.1:8090 target/debug/examples/socket_activation_std`
#![allow(clippy::print_stdout, reason = "it prints where it serves")]

use listenfd::ListenFd;
use signal_hook::consts::{SIGINT, SIGTERM};
use wsgi_std::{Body, Environ, Options, Result, Server, StartResponse};

fn application(environ: Environ, start_response: StartResponse) -> Result<Body> {
    start_response.start("200 OK", [("Content-Type", "text/plain")])?;
    Ok(format!("process {} serves {}\r\n", std::process::id(), environ.path()).into())
}

fn main() -> std::io::Result<()> {
    let listener = match ListenFd::from_env().take_tcp_listener(0)? {
        Some(inherited) => inherited,
        None => std::net::TcpListener::bind(std::env::args().nth(1).as_deref().unwrap_or("127.0.0.1:8090"))?,
    };
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    println!("serving http://{}/", listener.local_addr()?);

    let server = Server::new(listener, application).options(Options::public());
    let handle = server.handle();
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            handle.shutdown();
        }
    });
    server.serve()?;
    Ok(())
}
