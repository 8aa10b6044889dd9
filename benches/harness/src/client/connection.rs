//! One connection of the load: a batch of requests that is sent, and the answers that have not arrived.

use std::io;

use mio::net::TcpStream;

use crate::client::link::Link;
use crate::client::response::Responses;

/// A connection that does not block.
pub(crate) struct Connection {
    link: Link<TcpStream>,
    batch: Vec<u8>,
    pipeline: usize,
    /// The bytes of the batch that have been sent.
    sent: usize,
    /// The answers to the batch that have not ended.
    missing: usize,
    responses: Responses,
}

impl Connection {
    pub(crate) fn new(link: Link<TcpStream>, batch: Vec<u8>, pipeline: usize) -> Self {
        let sent = batch.len();
        Self { link, batch, pipeline, sent, missing: 0, responses: Responses::default() }
    }

    /// The number of requests of a batch.
    pub(crate) fn pipeline(&self) -> usize {
        self.pipeline
    }

    /// Whether nothing is missing, so that the next batch may begin.
    pub(crate) fn is_idle(&self) -> bool {
        self.missing == 0 && self.sent == self.batch.len()
    }

    /// Sends the next batch, as far as the socket accepts it.
    pub(crate) fn begin(&mut self) -> io::Result<()> {
        (self.sent, self.missing) = (0, self.pipeline);
        self.send()
    }

    /// Sends what is possible and receives once; returns whether more may have arrived.
    pub(crate) fn advance_once(&mut self, space: &mut [u8]) -> io::Result<bool> {
        self.send()?;
        match self.link.read(space) {
            Ok(0) => Err(io::Error::other("the server closed the connection")),
            Ok(length) => {
                self.missing -= self.responses.consume(&space[..length])?.min(self.missing);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sends and receives what is possible; returns the number of answers that have ended.
    pub(crate) fn advance(&mut self, space: &mut [u8]) -> io::Result<usize> {
        self.send()?;
        let mut ended = 0;
        loop {
            match self.link.read(space) {
                Ok(0) => return Err(io::Error::other("the server closed the connection")),
                Ok(length) => {
                    ended += self.responses.consume(&space[..length])?;
                    // The socket is empty after a short read; the next bytes cause another event.
                    if length < space.len() && matches!(self.link, Link::Plain(_)) {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.missing = self
            .missing
            .checked_sub(ended)
            .ok_or_else(|| io::Error::other("the server sent more answers than it got requests"))?;
        Ok(ended)
    }

    fn send(&mut self) -> io::Result<()> {
        while self.sent < self.batch.len() {
            match self.link.write(&self.batch[self.sent..]) {
                Ok(length) => self.sent += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
