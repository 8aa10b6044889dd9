//! The shortest adapter, from `wsgi-app` alone; `docs/choosing-an-adapter.md` goes through it line by line.
//! `curl -i http://127.0.0.1:8092/`. Ctrl-C ends it.
#![allow(clippy::print_stdout, reason = "it tells where it serves")]

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use smol::io::{AsyncRead, AsyncWrite};
use smol::{Async, Timer};
use wsgi_app::{
    Body, BoundAddr, Endpoints, Environ, Options, Result, Server, ServerHandle, StartResponse, Transport,
};

struct Socket {
    stream: Async<TcpStream>,
    timer: Option<(Instant, Timer)>,
}

impl Transport for Socket {
    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_readable(context)
    }

    fn poll_read(&mut self, context: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(context, space)
    }

    fn poll_write(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.get_ref().shutdown(Shutdown::Write))
    }

    fn poll_deadline(&mut self, context: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let timer = match &mut self.timer {
            Some((at, timer)) if *at == deadline => timer,
            timer => &mut timer.insert((deadline, Timer::at(deadline))).1,
        };
        Pin::new(timer).poll(context).map(drop)
    }
}

async fn hello_world(_environ: Environ, start_response: StartResponse) -> Result<Body> {
    start_response.start("200 OK", [("Content-Type", "text/plain")])?;
    Ok("Hello from an adapter of my own!\r\n".into())
}

fn accept(
    listener: &mut Async<TcpListener>,
    context: &mut Context<'_>,
) -> Poll<io::Result<(TcpStream, Endpoints)>> {
    loop {
        match listener.get_ref().accept() {
            Ok((stream, remote)) => {
                let local = stream.local_addr()?;
                return Poll::Ready(Ok((stream, Endpoints::new(remote.into(), local.into()))));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                ready!(listener.poll_readable(context))?
            }
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
}

fn main() -> Result<()> {
    smol::block_on(async {
        let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 8092))?;
        let address = listener.get_ref().local_addr()?;
        println!("serving http://{address}/");
        let handle = ServerHandle::new();
        let server = Server::new(Options::default(), &handle, hello_world)?;
        let start = |(stream, peer)| {
            // A socket that cannot be registered is closed; the server goes on.
            let Ok(stream) = Async::new(stream) else { return };
            let guard = server.admit(peer);
            let socket = Socket { stream, timer: None };
            smol::spawn(wsgi_app::serve_connection(Arc::clone(&server), guard, socket)).detach();
        };
        let bound_addr = |_: &_| BoundAddr::tcp(Ok(address));
        server.run(&handle, vec![listener], bound_addr, accept, start, Timer::after).await?;
        Ok(())
    })
}
