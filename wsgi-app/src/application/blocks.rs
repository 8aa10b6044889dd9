//! The blocks of a body, for middleware: as a stream, and as an iterator for blocking code.

use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use futures_core::Stream;

use crate::application::body::{Body, Kind};
use crate::application::readers::BLOCK;
use crate::context::parker::Parker;
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
        Blocks { body: self, parker: None }
    }
}

/// The blocks of a [`Body`], for blocking code: its `into_iter`.
///
/// The thread waits for a body that was made of a stream. The stream must therefore not need this thread, such as a timer of
/// a runtime whose only thread it is. In a function of [`map`](crate::StartResponse::map) that runs for the
/// server's own response, a wait panics, and that response is sent without changes.
pub struct Blocks {
    body: Body,
    /// Made for a body that may have to wait. Not that of the thread: code in the stream may use up a wake-up of that one.
    parker: Option<Arc<Parker>>,
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
        let parker = &*self.parker.get_or_insert_default();
        let waker = Waker::from(Arc::clone(parker));
        loop {
            if let Poll::Ready(block) = Pin::new(&mut self.body).poll_next(&mut Context::from_waker(&waker)) {
                return block;
            }
            parker.park(None);
        }
    }
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Blocks").field(&self.body).finish()
    }
}
