//! The two kinds of stream that the applications here return: ready blocks, and blocks with a pause.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use wsgi_tokio::{Body, Result};

/// A runtime's timer.
pub type Sleep = fn(Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// A body of blocks that are ready immediately.
pub fn ready_blocks(blocks: impl Iterator<Item = Bytes> + Send + Unpin + 'static) -> Body {
    struct Ready<I>(I);

    impl<I: Iterator<Item = Bytes> + Unpin> Stream for Ready<I> {
        type Item = Result<Bytes>;

        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            Poll::Ready(self.0.next().map(Ok))
        }
    }

    Body::stream(Ready(blocks))
}

/// A body of `before`, a pause, and `after`.
pub fn with_pause(before: &'static str, sleep: Sleep, pause: Duration, after: &'static str) -> Body {
    Body::stream(Paused { before: Some(before), sleep, pause, waiting: None, after: Some(after) })
}

/// The timer starts when the block after it is polled.
struct Paused {
    before: Option<&'static str>,
    sleep: Sleep,
    pause: Duration,
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    after: Option<&'static str>,
}

impl Stream for Paused {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Some(before) = this.before.take() {
            return Poll::Ready(Some(Ok(before.into())));
        }
        if this.after.is_some() {
            let waiting = this.waiting.get_or_insert_with(|| (this.sleep)(this.pause));
            ready!(waiting.as_mut().poll(context));
        }
        Poll::Ready(this.after.take().map(|after| Ok(after.into())))
    }
}
