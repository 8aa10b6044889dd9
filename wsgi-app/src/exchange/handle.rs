//! What the handles of an application call.

use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use wsgi_proto::{Exchange, Now, SendError};

use crate::context::ServerContext;
use crate::exchange::error::InputError;
use crate::exchange::shared::{ConnShared, Inner, WakeList};
use crate::io::blocking::BlockingTransport;
use crate::io::transport::Transport;
use crate::sync::MutexGuard;

/// One exchange, as its handles know it. A handle that is kept too long finds it over.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    shared: Arc<ConnShared>,
    serial: u64,
}

impl Handle {
    pub(crate) fn new(shared: Arc<ConnShared>, serial: u64) -> Self {
        Self { shared, serial }
    }

    /// Calls the machine for the open exchange; `None` when it is over.
    pub(crate) fn with<R>(&self, call: impl FnOnce(Exchange<'_>) -> R) -> Option<R> {
        let mut inner = self.shared.lock();
        let result = inner.exchange(self.serial).map(call)?;
        let runner = inner.rouse();
        drop(inner);
        runner.into_iter().for_each(Waker::wake);
        Some(result)
    }

    /// As [`with`](Self::with), for what leaves the connection's task nothing to do.
    pub(crate) fn look<R>(&self, call: impl FnOnce(Exchange<'_>) -> R) -> Option<R> {
        self.shared.lock().exchange(self.serial).map(call)
    }

    /// Gives what has arrived of the body to `take`, which tells how much of it was used; `None` at its end.
    pub(crate) fn poll_body<R>(
        &self,
        context: &mut Context<'_>,
        take: impl FnOnce(&[u8]) -> (usize, R),
    ) -> Poll<Result<Option<R>, InputError>> {
        let now = self.now();
        let mut wake_list = WakeList::default();
        let mut inner = self.shared.lock();
        if inner.serial == self.serial && !inner.peeked.is_empty() {
            let (used, result) = take(&inner.peeked);
            inner.take_peeked(used);
            return Poll::Ready(Ok(Some(result)));
        }
        inner.poll_body(self.serial, now, context, &mut wake_list, take)
    }

    /// Some of what has arrived of the body, which stays there to be read, and its place in the body; empty at its end.
    ///
    /// One step under one lock: what is taken out of the machine is kept for the exchange that it belongs to.
    pub(crate) fn poll_peek(&self, context: &mut Context<'_>) -> Poll<Result<(u64, Bytes), InputError>> {
        const SHOWN: usize = 8 * 1024;
        let now = self.now();
        let mut wake_list = WakeList::default();
        let mut inner = self.shared.lock();
        if inner.serial != self.serial || inner.peeked.is_empty() {
            let shown = ready!(inner.poll_body(self.serial, now, context, &mut wake_list, |data| {
                let shown = &data[..data.len().min(SHOWN)];
                (shown.len(), Bytes::copy_from_slice(shown))
            }))?;
            let Some(shown) = shown else { return Poll::Ready(Ok((inner.read, Bytes::new()))) };
            inner.read -= shown.len() as u64;
            inner.peeked = shown;
        }
        Poll::Ready(Ok((inner.read, inner.peeked.clone())))
    }

    /// Takes what was shown, up to the place `end` in the body. What another handle has taken before is not taken twice.
    pub(crate) fn skip_peeked(&self, end: u64) {
        let mut inner = self.lock();
        if inner.serial == self.serial {
            let count = end.saturating_sub(inner.read);
            inner.take_peeked(usize::try_from(count).unwrap_or(usize::MAX));
        }
    }

    /// Ready when `done` says so, or when the exchange is over; `done` is asked again after bytes were moved.
    pub(crate) fn poll_until(
        &self,
        context: &mut Context<'_>,
        done: impl FnOnce(&mut Exchange<'_>) -> bool,
    ) -> Poll<()> {
        let mut wake_list = WakeList::default();
        let mut inner = self.shared.lock();
        let Some(mut exchange) = inner.exchange(self.serial) else { return Poll::Ready(()) };
        if done(&mut exchange) {
            return Poll::Ready(());
        }
        inner.wait(context, &mut wake_list);
        Poll::Pending
    }

    /// Ends HTTP on this connection, and says in the same step that its transport is going to be fetched: the
    /// connection's task may hand it over at any moment from now on. Gives what was received and not read.
    pub(crate) fn begin_take_over(&self) -> Result<Vec<u8>, SendError> {
        let mut inner = self.shared.lock();
        let Some(mut exchange) = inner.exchange(self.serial) else { return Err(SendError::Finished) };
        let unread = exchange.take_over()?;
        inner.fetching = true;
        let runner = inner.rouse();
        drop(inner);
        runner.into_iter().for_each(Waker::wake);
        Ok(unread)
    }

    /// Ready with the transport when the connection's task has handed it over; `None` when it never will.
    pub(crate) fn poll_stream(&self, context: &mut Context<'_>) -> Poll<Option<Box<dyn Transport>>> {
        let mut wake_list = WakeList::default();
        let mut inner = self.shared.lock();
        if inner.serial != self.serial {
            return Poll::Ready(None);
        }
        match inner.stream.take() {
            Some(stream) => Poll::Ready(Some(stream)),
            None if inner.machine.is_lost() => Poll::Ready(None),
            None => {
                inner.wait(context, &mut wake_list);
                Poll::Pending
            }
        }
    }

    /// Nobody waits for the transport any more. If it was handed over, it closes.
    pub(crate) fn give_up_stream(&self) {
        let mut inner = self.shared.lock();
        inner.fetching = false;
        let left = inner.stream.take();
        drop(inner);
        drop(left);
    }

    /// Tells the machine what time it is, after a blocking application.
    pub(crate) fn read_clocks(&self) {
        let now = self.now();
        self.lock().machine.poll(now);
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.shared.lock()
    }

    pub(crate) fn blocking_transport(&self) -> Option<Arc<dyn BlockingTransport>> {
        self.shared.blocking_transport()
    }

    pub(crate) fn now(&self) -> Now {
        self.shared.server_context.clock.now()
    }

    pub(crate) fn server_context(&self) -> &Arc<ServerContext> {
        &self.shared.server_context
    }
}
