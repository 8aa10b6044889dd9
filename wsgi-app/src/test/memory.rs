//! A connection in memory: it has received one request, and keeps what is sent.

use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::io::blocking::BlockingTransport;
use crate::io::transport::Transport;
use crate::sync::{MutexGuard, lock};
use crate::test::answer::Answer;
use crate::test::request::Request;

/// Both ends of the connection.
#[derive(Clone)]
pub(super) struct Memory(Arc<Mutex<Both>>);

struct Both {
    /// What the server has not read.
    request: Vec<u8>,
    /// What the server has sent.
    sent: Vec<u8>,
    /// The client sends nothing more.
    hung_up: bool,
    /// The server sends nothing more.
    closed: bool,
}

impl Memory {
    pub(super) fn new(request: &Request) -> Self {
        let request = request.to_bytes();
        Self(Arc::new(Mutex::new(Both { request, sent: Vec::new(), hung_up: false, closed: false })))
    }

    fn both(&self) -> MutexGuard<'_, Both> {
        lock(&self.0)
    }

    pub(super) fn hang_up(&self) {
        self.both().hung_up = true;
    }

    /// What the client has received.
    pub(super) fn answer(&self, head_only: bool) -> Answer {
        let both = self.both();
        Answer::parse(&both.sent, head_only, both.closed)
    }

    /// The number of bytes read; `None` if there are none now.
    fn take(&self, space: &mut [u8]) -> Option<usize> {
        let mut both = self.both();
        let count = both.request.len().min(space.len());
        space[..count].copy_from_slice(&both.request[..count]);
        both.request.drain(..count);
        (count > 0 || both.hung_up).then_some(count)
    }

    fn put(&self, slices: &[IoSlice<'_>]) -> usize {
        let mut both = self.both();
        slices.iter().for_each(|slice| both.sent.extend_from_slice(slice));
        slices.iter().map(|slice| slice.len()).sum()
    }

    /// Ends the connection.
    pub(super) fn close(&self) {
        self.both().closed = true;
    }
}

impl Transport for Memory {
    fn poll_read(&mut self, _: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        self.take(space).map_or(Poll::Pending, |count| Poll::Ready(Ok(count)))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(self.put(slices)))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.close();
        Poll::Ready(Ok(()))
    }

    fn poll_deadline(&mut self, _: &mut Context<'_>, _: Instant) -> Poll<()> {
        Poll::Pending
    }
}

impl BlockingTransport for Memory {
    fn read(&self, space: &mut [u8]) -> io::Result<usize> {
        self.take(space).ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(self.put(slices))
    }

    fn shutdown(&self) -> io::Result<()> {
        self.close();
        Ok(())
    }

    fn cut(&self) {
        self.close();
    }

    fn leave(&self) {
        self.close();
    }

    fn remind(&self, _: Instant) {}

    fn wait(&self, read: bool, write: bool, _: Option<Instant>) -> io::Result<()> {
        // Nobody sends more, so the wait for it would not end.
        if read && !write {
            self.hang_up();
        }
        Ok(())
    }

    fn waker(&self) -> Waker {
        Waker::noop().clone()
    }
}
