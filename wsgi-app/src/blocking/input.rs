//! WSGI's `wsgi.input` for blocking applications.

use std::fmt;
use std::future::poll_fn;
use std::io;

use bytes::{Buf, Bytes};
use wsgi_proto::{Field, SendError, StartError, Trailers};

use crate::application::input::Input as AsyncInput;
use crate::blocking::stream::{self, Stream};
use crate::exchange::error::InputError;

/// The request body. Reading it for the first time sends the `100 Continue` that a client may wait for.
///
/// A cheap handle: it can be cloned and moved to another thread, and reading and writing may go on at the same time.
/// Kept too long, it finds the exchange over. Every wait is bounded by `socket_timeout`.
///
/// All reads fail in the same way: [`InputError`] says whether the client sent a malformed, too large, cut off or late
/// body (an application that returns this error has it answered with its status), or left.
///
/// It is [`io::Read`] and [`io::BufRead`] as well, for whatever takes a reader. Where a method here has the name of one
/// of theirs (`read`, `read_to_end`, `read_line`), this one is found first; theirs is `io::Read::read(&mut input, ..)`.
/// Only `lines` is that of `BufRead` where it is imported; this one is `Input::lines(&input)` then.
#[derive(Clone)]
pub struct Input {
    inner: AsyncInput,
    /// What `fill_buf` showed last and where it is in the body; it is still in the connection.
    shown: Bytes,
    shown_at: u64,
}

impl Input {
    pub(super) fn new(inner: AsyncInput) -> Self {
        Self { inner, shown: Bytes::new(), shown_at: 0 }
    }

    /// What has arrived, at most `limit` bytes of it, as soon as there is something; empty at the end of the body.
    ///
    /// # Errors
    ///
    /// See [`Input`].
    pub fn read_some(&self, limit: usize) -> Result<Bytes, InputError> {
        self.inner.handle.block_on(self.inner.read_some(limit))
    }

    /// Exactly `size` bytes, or what there is until the end of the body: WSGI's `read(size)`.
    ///
    /// # Errors
    ///
    /// See [`Input`].
    pub fn read(&self, size: usize) -> Result<Bytes, InputError> {
        self.inner.handle.block_on(self.inner.read(size))
    }

    /// The whole rest of the body: WSGI's `read()`. Its size is bounded by `max_body_size` alone.
    ///
    /// # Errors
    ///
    /// See [`Input`].
    pub fn read_to_end(&self) -> Result<Bytes, InputError> {
        self.inner.handle.block_on(self.inner.read_to_end())
    }

    /// The next line with its line feed, of at most `limit` bytes; empty at the end of the body: WSGI's
    /// `readline(size)`.
    ///
    /// # Errors
    ///
    /// See [`Input`].
    pub fn read_line(&self, limit: usize) -> Result<Bytes, InputError> {
        self.inner.handle.block_on(self.inner.read_line(limit))
    }

    /// The lines that are left, one after the other: iteration over `wsgi.input`.
    pub fn lines(&self) -> Lines {
        Lines { input: self.clone() }
    }

    /// Header fields for the `100 Continue` that the first read sends; they replace those set before. Once set, a
    /// client that waits for it always gets them.
    ///
    /// # Errors
    ///
    /// A [`StartError`] when a field is malformed.
    pub fn set_hundred_continue_response_headers(
        &self,
        headers: impl IntoIterator<Item = impl Field>,
    ) -> Result<(), StartError> {
        self.inner.set_hundred_continue_response_headers(headers)
    }

    /// Sends a `100 Continue` now, with the fields that were set, as often as it is called. HTTP/1.0 clients are
    /// spared it, and so are those whose response has begun.
    ///
    /// # Errors
    ///
    /// [`StartError::Over`] when the exchange is over.
    pub fn send_hundred_continue_response(&self) -> Result<(), StartError> {
        self.inner.send_hundred_continue_response()?;
        self.inner.handle.flush();
        Ok(())
    }

    /// Whether the client waits for a `100 Continue` that was not sent.
    pub fn should_send_hundred_continue(&self) -> bool {
        self.inner.should_send_hundred_continue()
    }

    /// The trailer fields of a chunked body; `None` before its end was read.
    pub fn trailers(&self) -> Option<Trailers> {
        self.inner.trailers()
    }

    /// Waits until the client closes its side or the connection is lost. A client that half-closed may still read.
    pub fn client_gone(&self) {
        self.inner.handle.block_on(self.inner.client_gone());
    }

    /// Ends HTTP on this connection after `101 Switching Protocols` was started, and gives the bare stream, which
    /// begins with the bytes that had been received already.
    ///
    /// # Errors
    ///
    /// [`SendError::NotSwitching`] without a started 101, or before the request body was read.
    pub fn take_over(&self) -> Result<Stream, SendError> {
        stream::take_over(&self.inner.handle)
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input").field("shown", &self.shown.len()).finish_non_exhaustive()
    }
}

impl io::Read for Input {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        if space.is_empty() {
            return Ok(0);
        }
        self.shown.clear();
        let mut take = |data: &[u8]| {
            let count = data.len().min(space.len());
            space[..count].copy_from_slice(&data[..count]);
            (count, count)
        };
        let handle = &self.inner.handle;
        let read = handle.block_on(poll_fn(|context| handle.poll_body(context, &mut take)));
        read.map(Option::unwrap_or_default).map_err(io::Error::from)
    }
}

impl io::BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        // Another handle may have taken what was shown before.
        let handle = &self.inner.handle;
        (self.shown_at, self.shown) = handle.block_on(poll_fn(|context| handle.poll_peek(context)))?;
        Ok(&self.shown)
    }

    fn consume(&mut self, count: usize) {
        let count = count.min(self.shown.len());
        self.shown.advance(count);
        self.shown_at += count as u64;
        self.inner.handle.skip_peeked(self.shown_at);
    }
}

/// The lines of a request body, each with its line feed; the last one may have none.
#[derive(Debug)]
pub struct Lines {
    input: Input,
}

impl Iterator for Lines {
    type Item = Result<Bytes, InputError>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.input.read_line(usize::MAX);
        line.map(|line| (!line.is_empty()).then_some(line)).transpose()
    }
}
