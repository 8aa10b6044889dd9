//! Loops that send a fixed answer for each read and parse nothing: what the runtime and the kernel cost.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpListener;
use std::thread;

use mio::{Events, Interest, Poll, Token};
use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\
    Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\nHello, World!";
/// The bytes of one read.
const SPACE: usize = 8 * 1024;

/// One task for each connection, on one thread of tokio.
pub(crate) fn on_tokio(listener: TcpListener) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (mut stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(async move {
                let mut space = [0; SPACE];
                while stream.read(&mut space).await? > 0 {
                    stream.write_all(ANSWER).await?;
                }
                io::Result::Ok(())
            });
        }
    })
}

/// One task for each connection, on one thread of smol.
pub(crate) fn on_smol(listener: TcpListener) -> io::Result<()> {
    let executor = smol::LocalExecutor::new();
    smol::block_on(executor.run(async {
        let listener = smol::Async::new(listener)?;
        loop {
            let (mut stream, _) = listener.accept().await?;
            stream.get_ref().set_nodelay(true)?;
            let task = executor.spawn(async move {
                let mut space = [0; SPACE];
                while stream.read(&mut space).await? > 0 {
                    stream.write_all(ANSWER).await?;
                }
                io::Result::Ok(())
            });
            task.detach();
        }
    }))
}

/// One thread for each connection.
pub(crate) fn on_threads(listener: TcpListener) -> io::Result<()> {
    listener.set_nonblocking(false)?;
    loop {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        thread::Builder::new().stack_size(128 * 1024).spawn(move || {
            let mut space = [0; SPACE];
            while stream.read(&mut space)? > 0 {
                stream.write_all(ANSWER)?;
            }
            io::Result::Ok(())
        })?;
    }
}

/// Edge-triggered epoll without a runtime.
pub(crate) fn on_epoll(listener: TcpListener) -> io::Result<()> {
    const LISTENER: Token = Token(0);
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(1024));
    let mut listener = mio::net::TcpListener::from_std(listener);
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let (mut streams, mut next) = (HashMap::new(), 1);
    let mut space = [0; SPACE];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Some((mut stream, _)) = unless_blocked(listener.accept())? {
                    stream.set_nodelay(true)?;
                    poll.registry().register(&mut stream, Token(next), Interest::READABLE)?;
                    streams.insert(Token(next), stream);
                    next += 1;
                }
            } else if let Some(stream) = streams.get_mut(&event.token())
                && answer(stream, &mut space).is_err()
            {
                streams.remove(&event.token());
            }
        }
    }
}

/// One read and one answer. A read that does not fill the space has read everything.
fn answer(stream: &mut mio::net::TcpStream, space: &mut [u8]) -> io::Result<()> {
    loop {
        let Some(length) = unless_blocked(stream.read(space))? else { return Ok(()) };
        if length == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        stream.write_all(ANSWER)?;
        if length < space.len() {
            return Ok(());
        }
    }
}

fn unless_blocked<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        other => other.map(Some),
    }
}
