//! The shortest adapter, with `wsgi-app` only. `docs/choosing-an-adapter.md` explains it.
//! `curl -i http://127.0.0.1:8092/`. Ctrl-C ends it.
#![allow(clippy::print_stdout, reason = "it prints where it serves")]

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use smol::io::{AsyncRead, AsyncWrite};
use smol::{Async, Timer};
use wsgi_app::adapter::{Adapter, BoundAddr, Server, Transport, serve_connection};
use wsgi_app::{Application, Body, Endpoints, Environ, Options, Result, ServerHandle, StartResponse};

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

    // `poll_abort` is left out. A response that is cut, and has neither a length nor chunks, then looks complete. A
    // real adapter sets the linger of its socket to zero there.

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

/// The adapter: how listeners accept, where connections run, how to wait.
struct MyAdapter<A>(Arc<Server<A>>);

impl<A: Application> Adapter for MyAdapter<A> {
    type Listener = Async<TcpListener>;
    type Accepted = (TcpStream, Endpoints);

    fn bound_addr(&self, listener: &Self::Listener) -> BoundAddr {
        BoundAddr::tcp(listener.get_ref().local_addr())
    }

    fn poll_accept(
        &self,
        listener: &mut Self::Listener,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Self::Accepted>> {
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

    fn start(&self, (stream, endpoints): Self::Accepted) {
        // A socket that cannot be registered is closed; the server continues.
        let Ok(stream) = Async::new(stream) else { return };
        let guard = self.0.admit(endpoints);
        let socket = Socket { stream, timer: None };
        smol::spawn(serve_connection(Arc::clone(&self.0), guard, socket)).detach();
    }

    fn sleep(&self, time: Duration) -> impl Future {
        Timer::after(time)
    }
}

fn main() -> Result<()> {
    smol::block_on(async {
        let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 8092))?;
        println!("serving http://{}/", listener.get_ref().local_addr()?);
        let handle = ServerHandle::new();
        let server = Server::new(Options::default(), &handle, hello_world)?;
        server.run(&handle, vec![listener], &MyAdapter(Arc::clone(&server))).await?;
        Ok(())
    })
}
