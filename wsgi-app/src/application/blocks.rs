//! The blocks of a body, for middleware: as a stream, and as an iterator for blocking code.

use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::thread::{self, Thread};

use bytes::Bytes;
use futures_core::Stream;

use crate::application::body::{Body, Kind};
use crate::application::readers::BLOCK;
use crate::exchange::error::Result;

/// The blocks that are left of the body, none of them empty. See [Reading a body](Self#reading-a-body).
impl Stream for Body {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        loop {
            let block = match &mut self.0 {
                Kind::Empty => None,
                Kind::Bytes(bytes) => {
                    let bytes = mem::take(bytes);
                    self.0 = Kind::Empty;
                    Some(Ok(bytes))
                }
                Kind::Blocks(blocks) => blocks.pop_front().map(Ok),
                Kind::Iterator(blocks) => blocks.next(),
                Kind::Stream(blocks) => ready!(blocks.as_mut().poll_next(context)),
                Kind::File(range) => range.next_block(BLOCK).map(|block| block.map_err(Into::into)),
            };
            match block {
                Some(Ok(block)) if block.is_empty() => {}
                None => {
                    // Iterators and streams need not be called after their end.
                    self.0 = Kind::Empty;
                    return Poll::Ready(None);
                }
                block => return Poll::Ready(block),
            }
        }
    }
}

/// The blocks of the body, for blocking code. See [Reading a body](Body#reading-a-body).
impl IntoIterator for Body {
    type Item = Result<Bytes>;
    type IntoIter = Blocks;

    fn into_iter(self) -> Blocks {
        Blocks { body: self, waker: None }
    }
}

/// The blocks of a [`Body`], for blocking code: its `into_iter`.
///
/// The thread waits for a body that was made of a stream. The stream must therefore not need this thread, such as a timer of
/// a runtime whose only thread it is.
pub struct Blocks {
    body: Body,
    /// Made when the thread has to wait.
    waker: Option<(Waker, Arc<Unpark>)>,
}

impl Blocks {
    /// The body with the blocks that are left.
    pub fn into_body(self) -> Body {
        self.body
    }
}

impl Iterator for Blocks {
    type Item = Result<Bytes>;

    fn next(&mut self) -> Option<Result<Bytes>> {
        if !matches!(self.body.0, Kind::Stream(_)) {
            let polled = Pin::new(&mut self.body).poll_next(&mut Context::from_waker(Waker::noop()));
            return if let Poll::Ready(block) = polled { block } else { None };
        }
        // The iterator may have moved to another thread since the last call.
        let here = thread::current();
        if self.waker.as_ref().is_none_or(|(_, unpark)| unpark.thread.id() != here.id()) {
            let unpark = Arc::new(Unpark { thread: here, woken: AtomicBool::new(false) });
            self.waker = Some((Waker::from(Arc::clone(&unpark)), unpark));
        }
        let Self { body, waker } = self;
        let (waker, unpark) = waker.as_ref()?;
        loop {
            if let Poll::Ready(block) = Pin::new(&mut *body).poll_next(&mut Context::from_waker(waker)) {
                return block;
            }
            // A thread is also unparked by others, and code in the stream may have used up this one's.
            while !unpark.woken.swap(false, Ordering::Acquire) {
                thread::park();
            }
        }
    }
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Blocks").field(&self.body).finish()
    }
}

struct Unpark {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}
