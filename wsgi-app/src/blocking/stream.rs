//! A connection that a blocking application has taken over, after a 101.

use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use wsgi_proto::{Lost, SendError};

use crate::application::upgrade;
use crate::exchange::handle::Handle;
use crate::io::blocking::BlockingTransport;
use crate::sync::{Mutex, lock};

/// The bare stream of a connection that speaks something else than HTTP now. It begins with what the client had sent
/// already. Dropping it closes the connection; a client with TLS is told the end by [`shutdown`](Self::shutdown) alone.
///
/// As with the sockets of std, `&Stream` reads and writes, too: one thread may read while another one writes.
pub struct Stream {
    unread: Mutex<Bytes>,
    /// Held for the length of a write: one that found no room, over TLS, has to go on with the same bytes.
    writing: Mutex<()>,
    transport: Arc<dyn BlockingTransport>,
}

pub(super) fn take_over(handle: &Handle) -> Result<Stream, SendError> {
    let transport = handle.blocking_transport().ok_or(SendError::Lost(Lost::Transport))?;
    let unread = handle.block_on(upgrade::take_over(handle))?.into_unread();
    transport.leave();
    Ok(Stream { unread: Mutex::new(unread), writing: Mutex::default(), transport })
}

impl Stream {
    /// Closes our half; what the client still sends can be read.
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub fn shutdown(&self) -> io::Result<()> {
        self.wait_until(false, || self.transport.shutdown())
    }

    fn wait_until<R>(&self, read: bool, mut call: impl FnMut() -> io::Result<R>) -> io::Result<R> {
        loop {
            match call() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.transport.wait(read, !read, None)?;
                }
                result => return result,
            }
        }
    }
}

impl Read for &Stream {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let mut unread = lock(&self.unread);
        if !unread.is_empty() {
            let count = unread.len().min(space.len());
            unread.copy_to_slice(&mut space[..count]);
            return Ok(count);
        }
        drop(unread);
        self.wait_until(true, || self.transport.read(space))
    }
}

impl Write for &Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let _turn = lock(&self.writing);
        self.wait_until(false, || self.transport.write(&[IoSlice::new(bytes)]))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        (&*self).read(space)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}
