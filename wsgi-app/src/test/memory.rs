//! A connection in memory: it has received one request, and keeps what is sent.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::{Buf, Bytes};

use crate::io::blocking::BlockingTransport;
use crate::io::transport::Transport;
use crate::sync::{Mutex, MutexGuard, lock};
use crate::test::answer::Answer;
use crate::test::parts::{Next, Parts};
use crate::test::request::Request;

/// Both ends of the connection.
#[derive(Clone)]
pub(super) struct Memory(Arc<Mutex<Both>>);

struct Both {
    /// What the server has not read.
    request: Bytes,
    /// What arrives later.
    parts: Option<Parts>,
    /// What the server has sent.
    sent: Vec<u8>,
    /// How much had been sent when the client looked last.
    seen: Option<usize>,
    /// The client sends nothing more.
    hung_up: bool,
    /// The server sends nothing more.
    closed: bool,
    /// Waits for bytes of the client.
    reader: Option<Waker>,
}

impl Memory {
    pub(super) fn new(request: &mut Request) -> Self {
        let parts = request.parts();
        let both = Both {
            request: request.to_bytes(parts.is_some()).into(),
            // Otherwise the server would wait for the rest, and no timer ends that.
            hung_up: parts.is_none() && !request.is_whole(),
            parts,
            sent: Vec::new(),
            seen: None,
            closed: false,
            reader: None,
        };
        Self(Arc::new(Mutex::new(both)))
    }

    fn both(&self) -> MutexGuard<'_, Both> {
        lock(&self.0)
    }

    pub(super) fn hang_up(&self) {
        let mut both = self.both();
        both.hung_up = true;
        if let Some(reader) = both.reader.take() {
            drop(both);
            reader.wake();
        }
    }

    /// Ends the connection.
    pub(super) fn close(&self) {
        let mut both = self.both();
        (both.closed, both.seen) = (true, None);
    }

    /// What the client has received; `None` if that is nothing new.
    pub(super) fn answer(&self, head_only: bool) -> Option<Answer> {
        let mut both = self.both();
        if both.seen == Some(both.sent.len()) {
            return None;
        }
        both.seen = Some(both.sent.len());
        Some(Answer::parse(&both.sent, head_only, both.closed))
    }

    /// The number of bytes read; `None` if there are none now.
    fn take(&self, context: &mut Context<'_>, space: &mut [u8]) -> Option<usize> {
        self.poll_parts(context);
        let mut both = self.both();
        let count = both.request.len().min(space.len());
        both.request.copy_to_slice(&mut space[..count]);
        (count > 0 || both.hung_up).then_some(count)
    }

    /// Lets the next part arrive if the server has read everything.
    fn poll_parts(&self, context: &mut Context<'_>) {
        let parts = {
            let mut both = self.both();
            if both.request.is_empty() { both.parts.take() } else { None }
        };
        let Some(mut parts) = parts else { return };
        // Outside the lock: this is code of the test.
        let next = parts.poll_next(context);
        let mut both = self.both();
        match next {
            Poll::Pending => both.parts = Some(parts),
            Poll::Ready(Next::Send(bytes)) => (both.request, both.parts) = (bytes, Some(parts)),
            Poll::Ready(Next::SendLast(bytes)) => both.request = bytes,
            Poll::Ready(Next::HangUp) => both.hung_up = true,
        }
    }

    fn put(&self, slices: &[IoSlice<'_>]) -> usize {
        let mut both = self.both();
        slices.iter().for_each(|slice| both.sent.extend_from_slice(slice));
        slices.iter().map(|slice| slice.len()).sum()
    }
}

impl Transport for Memory {
    fn poll_read(&mut self, context: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        if let Some(count) = self.take(context, space) {
            return Poll::Ready(Ok(count));
        }
        self.both().reader = Some(context.waker().clone());
        Poll::Pending
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
        let count = self.take(&mut Context::from_waker(Waker::noop()), space);
        count.ok_or_else(|| io::ErrorKind::WouldBlock.into())
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
        // Another protocol begins, and the client does not speak it.
        self.hang_up();
    }

    fn remind(&self, _: Instant) {}

    fn wait(&self, _: bool, _: bool, _: Option<Instant>) -> io::Result<()> {
        // Nothing wakes this thread: other threads of the application send, and parts of the request arrive when they are polled.
        std::thread::yield_now();
        Ok(())
    }

    fn waker(&self) -> Waker {
        Waker::noop().clone()
    }
}
