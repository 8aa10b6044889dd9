//! One thread per core, each with its own runtime, listener and server on the same port (SO_REUSEPORT). The system
//! distributes new connections over the listeners, and a connection stays on its core: no task ever moves to another
//! thread, and no lock is shared. Connections are not balanced afterwards, so this suits many short requests; with few
//! long-lived connections, or applications that compute for long, one multi-threaded runtime shares the work better.
//!
//! `cargo run -p wsgi-tokio --example listener_per_core [ADDRESS]`
#![allow(clippy::print_stdout, reason = "it prints what it does")]

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread;

use socket2::{Domain, Socket, Type};
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};
use wsgi_tokio::{Body, Environ, Report, Result, Server, ServerHandle, StartResponse};

async fn hello_world(_environ: Environ, start_response: StartResponse) -> Result<Body> {
    start_response.start("200 OK", [("Content-Type", "text/plain")])?;
    Ok("Hello, World!\r\n".into())
}

/// A listener that shares its address with others of this user.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // std does this, too, so that a restarted server can bind its port at once.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Serves on one thread until `handle` stops it. Each server has its own `max_size`, so the limit of the process is
/// divided.
fn serve(listener: TcpListener, handle: impl FnOnce(ServerHandle), max_size: usize) -> io::Result<Report> {
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let server = Server::new(listener, hello_world).max_size(max_size).log_output(false);
        handle(server.handle());
        server.serve().await
    })
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    let address = address.parse().map_err(|error| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("{address}: {error} (expected IP:PORT)"))
    })?;
    let cores = thread::available_parallelism()?.get();
    let first = bind(address)?;
    // Port 0 is a free port; the others bind the same one.
    let address = first.local_addr()?;
    let others = (1..cores).map(|_| bind(address));
    let listeners = std::iter::once(Ok(first)).chain(others).collect::<io::Result<Vec<_>>>()?;

    let (sender, receiver) = std::sync::mpsc::channel();
    let threads = listeners.into_iter().map(|listener| {
        let sender = sender.clone();
        // The receiver lives as long as the threads.
        thread::spawn(move || serve(listener, |handle| drop(sender.send(handle)), 1024.max(8192 / cores)))
    });
    let threads: Vec<_> = threads.collect();
    let handles: Vec<ServerHandle> = receiver.iter().take(cores).collect();
    if handles.len() == cores {
        runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
            // Watched before a user or a supervisor can know that it serves.
            let mut interrupt = signal(SignalKind::interrupt())?;
            println!("serving http://{address}/");
            interrupt.recv().await;
            io::Result::Ok(())
        })?;
    }
    handles.iter().for_each(ServerHandle::shutdown);
    for thread in threads {
        let report = thread.join().map_err(|_| io::Error::other("a serving thread panicked"))??;
        println!("stopped: {} connections finished, {} cut", report.finished, report.cut);
    }
    Ok(())
}
