//! A connection that an application has taken over, after a 101.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use wsgi_proto::SendError;

use crate::exchange::handle::Handle;
use crate::io::transport::Transport;

/// The bare stream of a connection that speaks something else than HTTP now. It begins with what the client had sent
/// already. Dropping it closes the connection; a client with TLS is told the end by [`shutdown`](Self::shutdown) alone.
pub struct Stream {
    unread: Bytes,
    transport: Box<dyn Transport>,
}

pub(crate) async fn take_over(handle: &Handle) -> Result<Stream, SendError> {
    let unread = handle.begin_take_over()?;
    let _fetching = Fetching(handle);
    let transport = poll_fn(|context| handle.poll_stream(context)).await;
    let transport = transport.ok_or(SendError::Lost(wsgi_proto::Lost::Transport))?;
    Ok(Stream { unread: unread.into(), transport })
}

/// A take-over that is given up closes the connection.
struct Fetching<'a>(&'a Handle);

impl Drop for Fetching<'_> {
    fn drop(&mut self) {
        self.0.give_up_stream();
    }
}

impl Stream {
    pub(crate) fn into_unread(self) -> Bytes {
        self.unread
    }

    /// Reads what has come into `space`, and tells how much; 0 is the end.
    ///
    /// # Errors
    ///
    /// Those of the transport.
    pub async fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        poll_fn(|context| self.poll_read(context, space)).await
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    ///
    /// Those of the transport.
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = poll_fn(|context| self.poll_write(context, &[IoSlice::new(bytes)])).await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = &bytes[count..];
        }
        poll_fn(|context| self.poll_flush(context)).await
    }

    /// Closes our half; what the client still sends can be read.
    ///
    /// # Errors
    ///
    /// Those of the transport.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        poll_fn(|context| self.transport.poll_shutdown(context)).await
    }

    /// As [`read`](Self::read), for those who write futures by hand.
    pub fn poll_read(&mut self, context: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.unread.is_empty() {
            return self.transport.poll_read(context, space);
        }
        let count = self.unread.len().min(space.len());
        self.unread.copy_to_slice(&mut space[..count]);
        Poll::Ready(Ok(count))
    }

    /// Writes from `slices`, and tells how much was taken.
    pub fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.transport.poll_write(context, slices)
    }

    /// Sends on what was written.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.transport.poll_flush(context)
    }

    /// As [`shutdown`](Self::shutdown), for those who write futures by hand.
    pub fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.transport.poll_shutdown(context)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("unread", &self.unread.len()).finish_non_exhaustive()
    }
}
