//! The blocks of an iterator that may block, as a stream. They are computed on threads that may block, and so is the iterator
//! dropped.
//!
//! A thread computes blocks until enough of them wait to be sent; then it is free for other work until most of them are gone.
//! So a client that reads slowly occupies no thread, and a fast one costs few changes of threads.

use std::collections::VecDeque;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_core::Stream;

use crate::context::ServerContext;
use crate::context::catch_panic::{Panic, catch, catch_for_another_thread};
use crate::context::log::one_line;
use crate::exchange::error::{Error, Result};
use crate::sync::{Mutex, MutexGuard, lock};

type Source = Box<dyn Iterator<Item = Result<Bytes>> + Send>;

/// The number of bytes that wait to be sent at which a thread computes no more.
const AHEAD: usize = 64 * 1024;

/// The same as a number of blocks.
const BLOCKS: usize = 64;

/// The blocks of `source`, of which the first is computed on the calling thread.
pub(super) fn stream(
    source: Source,
    context: &Arc<ServerContext>,
) -> impl Stream<Item = Result<Bytes>> + Send + use<> {
    let shared = Arc::new(Shared { context: Arc::clone(context), state: Mutex::default() });
    // The first block shows whether the response has a body at all: there may be no need for a second one.
    Work { shared: Arc::clone(&shared), source: Some(source) }.compute(1);
    Blocks { shared, begun: false }
}

/// The part that the stream and the threads share.
struct Shared {
    context: Arc<ServerContext>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Bytes>,
    /// The number of bytes in `ready`.
    bytes: usize,
    /// The iterator, while no thread uses it and before its end.
    source: Option<Source>,
    /// What follows `ready`, once the iterator has ended.
    end: Option<End>,
    /// The stream was dropped.
    dropped: bool,
    /// The task that waits for a block.
    waiting: Option<Waker>,
}

enum End {
    Over,
    Error(Error),
    Panic(Panic),
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Drops values of the application, on a thread that must survive their panic.
    fn drop_caught<T>(&self, value: T) {
        if let Err(panic) = catch(|| drop(value)) {
            self.context.error(&format!("the body of a response {}", one_line(&panic)));
        }
    }
}

/// The iterator on its way to and on a thread.
struct Work {
    shared: Arc<Shared>,
    source: Option<Source>,
}

impl Work {
    /// Lets another thread compute blocks.
    fn spawn(self) {
        let context = Arc::clone(&self.shared.context);
        // If there is no thread, dropping the work ends the stream.
        let _ = context.blocking.spawn(move || self.compute(AHEAD));
    }

    /// Computes blocks until `most` bytes are ready, the iterator has ended, or the stream was dropped.
    fn compute(mut self, most: usize) {
        while let Some(source) = &mut self.source {
            if self.shared.lock().dropped {
                self.source.take().into_iter().for_each(|source| self.shared.drop_caught(source));
                return;
            }
            let end = match catch_for_another_thread(|| source.next()) {
                Ok(Some(Ok(block))) if block.is_empty() => continue,
                Ok(Some(Ok(block))) => {
                    let mut state = self.shared.lock();
                    if state.dropped {
                        continue;
                    }
                    state.bytes += block.len();
                    state.ready.push_back(block);
                    if state.bytes >= most || state.ready.len() >= BLOCKS {
                        state.source = self.source.take();
                    }
                    wake(state);
                    continue;
                }
                Ok(Some(Err(error))) => End::Error(error),
                Ok(None) => End::Over,
                Err(panic) => End::Panic(panic),
            };
            self.end(end);
        }
    }

    /// Drops the iterator, then ends the stream.
    fn end(&mut self, end: End) {
        if let Some(source) = self.source.take() {
            self.shared.drop_caught(source);
            let mut state = self.shared.lock();
            let unused = if state.dropped { Some(end) } else { state.end.replace(end) };
            wake(state);
            self.shared.drop_caught(unused);
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.end(End::Error("the threads for blocking work have shut down".into()));
    }
}

/// Wakes the task that waits for a block.
fn wake(mut state: MutexGuard<'_, State>) {
    let waiting = state.waiting.take();
    drop(state);
    waiting.into_iter().for_each(Waker::wake);
}

/// The blocks as a stream.
struct Blocks {
    shared: Arc<Shared>,
    /// The first block was taken.
    begun: bool,
}

impl Stream for Blocks {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let begun = mem::replace(&mut self.begun, true);
        let mut state = self.shared.lock();
        let few = state.bytes <= AHEAD / 2 && state.ready.len() <= BLOCKS / 2;
        let source = if begun && few { state.source.take() } else { None };
        let polled = if let Some(block) = state.ready.pop_front() {
            state.bytes -= block.len();
            Poll::Ready(Some(Ok(block)))
        } else {
            match &mut state.end {
                None => {
                    state.waiting = Some(context.waker().clone());
                    Poll::Pending
                }
                Some(end) => match mem::replace(end, End::Over) {
                    End::Over => Poll::Ready(None),
                    End::Error(error) => Poll::Ready(Some(Err(error))),
                    End::Panic(panic) => {
                        drop(state);
                        panic.resume()
                    }
                },
            }
        };
        drop(state);
        if let Some(source) = source {
            Work { shared: Arc::clone(&self.shared), source: Some(source) }.spawn();
        }
        polled
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.dropped = true;
        let (source, ready, end) = (state.source.take(), mem::take(&mut state.ready), state.end.take());
        drop(state);
        drop((ready, end));
        if source.is_some() {
            let work = Work { shared: Arc::clone(&self.shared), source };
            // If there is no thread, the iterator is dropped here.
            let _ = self.shared.context.blocking.spawn(move || drop(work));
        }
    }
}
