//! The access of an application's handles to their exchange.

use std::any::Any;
use std::fs::File;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use wsgi_proto::{Exchange, Now, SendError, Trailers};

use crate::context::ServerContext;
use crate::exchange::body::Taken;
use crate::exchange::error::InputError;
use crate::exchange::file::{FileBlock, Stopped};
use crate::exchange::shared::{ConnShared, Directive, Hook, Inner, WakeList};
use crate::exchange::stopping::Stopping;
use crate::exchange::taken;
use crate::head::maps::Maps;
use crate::io::blocking::BlockingTransport;
use crate::io::tls::Tls;
use crate::io::transport::Transport;
use crate::sync::MutexGuard;

/// [`Exchange::take_over`] or [`Exchange::take_over_unanswered`].
pub(crate) type EndHttp = fn(&mut Exchange<'_>) -> Result<Vec<u8>, SendError>;

/// One exchange, as its handles see it. A handle that outlives its exchange is harmless: every call reports that the
/// exchange is over.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    pub(super) shared: Arc<ConnShared>,
    pub(super) serial: u64,
}

impl Handle {
    pub(crate) fn new(shared: Arc<ConnShared>, serial: u64) -> Self {
        Self { shared, serial }
    }

    /// Runs `call` on the open exchange; `None` if the exchange is over.
    pub(crate) fn with<R>(&self, call: impl FnOnce(Exchange<'_>) -> R) -> Option<R> {
        let mut inner = self.shared.lock();
        let result = inner.exchange(self.serial).map(call)?;
        let runner = inner.rouse();
        drop(inner);
        runner.into_iter().for_each(Waker::wake);
        Some(result)
    }

    /// Like [`with`](Self::with). If the head of the response was not sent, the machine first gets the time, for `Date`.
    pub(crate) fn with_at<R>(
        &self,
        now: impl FnOnce() -> Now,
        call: impl FnOnce(Exchange<'_>) -> R,
    ) -> Option<R> {
        let mut inner = self.shared.lock();
        if inner.exchange(self.serial).is_some_and(|exchange| !exchange.head_is_sent()) {
            inner.machine.set_now(now());
        }
        let result = inner.exchange(self.serial).map(call)?;
        let runner = inner.rouse();
        drop(inner);
        runner.into_iter().for_each(Waker::wake);
        Some(result)
    }

    /// Keeps a hook that runs when the response was sent. Returns false if the exchange is over.
    pub(crate) fn add_hook(&self, hook: Hook) -> bool {
        let mut inner = self.shared.lock();
        let Some(mut exchange) = inner.exchange(self.serial) else { return false };
        // Hooks see what was really sent.
        exchange.flush_before_record();
        inner.hooks.push(hook);
        true
    }

    /// The functions that change the head of the server's own response: those of the handle that was mapped last.
    pub(crate) fn last_maps(&self) -> Maps {
        self.shared.lock().maps.last().cloned().unwrap_or_default()
    }

    /// Like [`with`](Self::with), for calls that give the connection's task nothing to do.
    pub(crate) fn look<R>(&self, call: impl FnOnce(Exchange<'_>) -> R) -> Option<R> {
        self.shared.lock().exchange(self.serial).map(call)
    }

    /// Passes the received bytes of the body to `take`. Its result goes with the bytes of [`Taken::Shared`]; `None` at
    /// the end of the body. Without a result, `take` is called again for the bytes that follow.
    pub(crate) fn poll_body<R>(
        &self,
        context: &mut Context<'_>,
        mut take: impl FnMut(&[u8]) -> (Taken, Option<R>),
    ) -> Poll<Result<Option<(R, Bytes)>, InputError>> {
        let mut wake_list = WakeList::default();
        let mut inner = self.shared.lock();
        while inner.serial == self.serial && !inner.peeked.is_empty() {
            let (taken, result) = take(&inner.peeked);
            let (count, bytes) = match taken {
                Taken::Copied(count) => (count, Bytes::new()),
                // The peeked bytes may be a small part of their block, which a shared piece would keep.
                Taken::Shared(count) => (count, Bytes::copy_from_slice(&inner.peeked[..count])),
            };
            inner.take_peeked(count);
            if let Some(result) = result {
                return Poll::Ready(Ok(Some((result, bytes))));
            }
        }
        inner.poll_body(self.serial, || self.now(), context, &mut wake_list, take)
    }

    /// Peeks at received bytes of the body without consuming them. Returns their offset in the body and the bytes; the
    /// bytes are empty at the end of the body.
    ///
    /// This is one step under one lock, so bytes taken out of the machine are kept for the exchange that they belong
    /// to.
    pub(crate) fn poll_peek(&self, context: &mut Context<'_>) -> Poll<Result<(u64, Bytes), InputError>> {
        let mut wake_list = WakeList::default();
        let mut inner = self.shared.lock();
        if inner.serial != self.serial || inner.peeked.is_empty() {
            let shown = ready!(inner.poll_body(
                self.serial,
                || self.now(),
                context,
                &mut wake_list,
                |data| { (Taken::Shared(data.len()), Some(())) }
            ))?;
            let Some(((), shown)) = shown else { return Poll::Ready(Ok((inner.read, Bytes::new()))) };
            inner.put_back(shown);
        }
        Poll::Ready(Ok((inner.read, inner.peeked.clone())))
    }

    /// The number of bytes of the body that no handle has consumed; `None` if that is unknown.
    pub(crate) fn remaining(&self) -> Option<u64> {
        let mut inner = self.lock();
        let left = inner.exchange(self.serial)?.remaining()?;
        Some(left + inner.peeked.len() as u64)
    }

    /// The trailer fields; `None` before the end of the body was read.
    pub(crate) fn trailers(&self) -> Option<Trailers> {
        let mut inner = self.lock();
        // The machine may be at the end already.
        let is_read = inner.peeked.is_empty();
        inner.exchange(self.serial).filter(|_| is_read)?.trailers().cloned()
    }

    /// Consumes peeked bytes, up to the offset `end` in the body. Bytes that another handle consumed first are not
    /// consumed twice.
    pub(crate) fn skip_peeked(&self, end: u64) {
        let mut inner = self.lock();
        if inner.serial == self.serial {
            let count = end.saturating_sub(inner.read);
            inner.take_peeked(usize::try_from(count).unwrap_or(usize::MAX));
        }
    }

    /// Ready when `done` returns true or the exchange is over. `done` is called again after bytes were moved.
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

    /// Ready when the client has disconnected or the exchange is over. From now on the connection reads ahead.
    pub(crate) fn poll_client_gone(&self, context: &mut Context<'_>) -> Poll<()> {
        self.with(|mut exchange| exchange.watch_peer());
        self.poll_until(context, |exchange| exchange.client_gone())
    }

    /// Makes the connection's task notify the handles that wait, among them this one. Ready if the exchange is
    /// over, or the connection is lost.
    pub(crate) fn poll_notice(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut wake_list = WakeList::default();
        let mut inner = self.shared.lock();
        if inner.exchange(self.serial).is_none() || inner.machine.is_lost() {
            return Poll::Ready(());
        }
        inner.news = true;
        inner.wait(context, &mut wake_list);
        Poll::Pending
    }

    /// Ends HTTP on this connection and, in the same step, marks its transport as awaited: the connection's task may
    /// hand it over at any moment from now on. Returns the bytes that were received but not read, and what keeps the
    /// connection known to the server. `end` ends HTTP.
    pub(crate) fn begin_take_over(&self, end: EndHttp) -> Result<(Vec<u8>, taken::Taken), SendError> {
        let mut inner = self.shared.lock();
        let is_read = inner.peeked.is_empty();
        let Some(mut exchange) = inner.exchange(self.serial) else { return Err(SendError::Finished) };
        if !is_read {
            // The machine does not know that the application has not consumed them.
            return Err(SendError::BodyUnread);
        }
        let unread = end(&mut exchange)?;
        (inner.fetching, inner.taken) = (true, true);
        let runner = inner.rouse();
        drop(inner);
        runner.into_iter().for_each(Waker::wake);
        Ok((unread, taken::Taken::new(Arc::clone(&self.shared))))
    }

    /// Ready with the transport when the connection's task has handed it over; `None` if it never will.
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

    /// Has the transport that was handed over cut when the server stops without waiting for the application.
    pub(crate) fn cut_at_abort(&self, transport: &Arc<dyn BlockingTransport>) {
        let mut inner = self.shared.lock();
        let is_late = inner.directive == Directive::Abort;
        inner.taken_over = Some(Arc::downgrade(transport));
        drop(inner);
        if is_late {
            transport.cut();
        }
    }

    /// Stops waiting for the transport. If it was already handed over, it closes.
    pub(crate) fn give_up_stream(&self) {
        let mut inner = self.shared.lock();
        inner.fetching = false;
        let left = inner.stream.take();
        drop(inner);
        drop(left);
    }

    /// The number of the exchange.
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    /// Sends a block of `file` by the transport: `length` bytes from `offset`. If `more`, another block follows it.
    ///
    /// # Errors
    ///
    /// Those of [`send_external`](wsgi_proto::Exchange::send_external). After [`SendError::TooLong`], the part that fits is
    /// being sent.
    pub(crate) fn send_file(
        &self,
        file: &Arc<File>,
        offset: u64,
        length: u64,
        more: bool,
    ) -> Result<(), SendError> {
        let mut wake_list = WakeList::default();
        let mut inner = self.lock();
        let Some(mut exchange) = inner.exchange(self.serial) else { return Err(SendError::Finished) };
        let sent = exchange.send_external(length);
        if exchange.external_left() > 0 && matches!(sent, Ok(_) | Err(SendError::TooLong(_))) {
            // After an error nothing follows.
            let more = more && sent.is_ok();
            let block = FileBlock::new(Arc::clone(file), offset, more, inner.file.as_deref());
            inner.file = Some(Box::new(block));
        }
        inner.touch(&mut wake_list);
        sent.map(drop)
    }

    /// Waits until the transport has sent the block, the exchange is over, or the connection is lost. Otherwise it returns
    /// why the transport sends no more of it.
    pub(crate) fn poll_file_sent(&self, context: &mut Context<'_>) -> Poll<Result<(), Stopped>> {
        let mut wake_list = WakeList::default();
        let mut inner = self.lock();
        if inner.exchange(self.serial).is_none_or(|exchange| exchange.external_left() == 0) {
            return Poll::Ready(Ok(()));
        }
        if let Some(stopped) = inner.file.as_ref().and_then(|block| block.stopped()) {
            return Poll::Ready(Err(stopped));
        }
        inner.wait(context, &mut wake_list);
        Poll::Pending
    }

    /// Waits until the bytes of the block that were supplied are written, or the exchange is over.
    pub(crate) fn poll_supplied(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut wake_list = WakeList::default();
        let mut inner = self.lock();
        let is_over = inner.exchange(self.serial).is_none_or(|exchange| exchange.external_left() == 0);
        if is_over || inner.machine.external() > 0 {
            return Poll::Ready(());
        }
        if let Some(block) = &mut inner.file {
            block.wait();
        }
        inner.wait(context, &mut wake_list);
        Poll::Pending
    }

    /// Whether the transport can send files; `None` if that is not known yet.
    pub(crate) fn sends_files(&self) -> Option<bool> {
        self.lock().sends_files
    }

    /// Closes the file, unless the exchange is over and another one may have its own.
    pub(crate) fn close_file(&self) {
        let mut inner = self.lock();
        let file = if inner.serial == self.serial { inner.file.take() } else { None };
        drop(inner);
        drop(file);
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.shared.lock()
    }

    /// The value of the connection, made by `make` if there is none; `None` if it has another type.
    pub(crate) fn connection_value<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Option<&T> {
        self.shared.value(make)
    }

    /// Whether that is ready.
    pub(crate) fn is_stopping(&self) -> bool {
        let inner = self.shared.lock();
        inner.is_stopping() || inner.is_over()
    }

    pub(crate) fn stopping(&self) -> Stopping {
        Stopping::new(Arc::clone(&self.shared))
    }

    /// What TLS has negotiated on the connection; `None` if it is not encrypted.
    pub(crate) fn tls(&self) -> Option<&Tls> {
        self.shared.tls()
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
