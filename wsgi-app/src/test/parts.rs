//! A request body that arrives part by part.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;

/// The rest of a request, as its client sends it.
pub(super) struct Parts {
    parts: Pin<Box<dyn Stream<Item = Bytes> + Send>>,
    /// The announced bytes that have not been sent; `None` for one chunk for each part, and the last chunk.
    remaining: Option<u64>,
}

/// What a client does next.
pub(super) enum Next {
    Send(Bytes),
    /// It waits for the response.
    SendLast(Bytes),
    /// It disconnects, as the body is shorter than announced.
    HangUp,
}

impl Parts {
    pub(super) fn new(parts: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        Self { parts: Box::pin(parts), remaining: None }
    }

    /// Without chunks, since `length` bytes were announced.
    pub(super) fn announced(&mut self, length: u64) {
        self.remaining = Some(length);
    }

    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        loop {
            let part = ready!(self.parts.as_mut().poll_next(context));
            return Poll::Ready(match (part, &mut self.remaining) {
                // As a chunk it would be the last one.
                (Some(part), _) if part.is_empty() => continue,
                (Some(part), None) => Next::Send(chunk(&part)),
                (Some(part), Some(remaining)) => {
                    *remaining = remaining.saturating_sub(part.len() as u64);
                    Next::Send(part)
                }
                (None, None) => Next::SendLast(Bytes::from_static(b"0\r\n\r\n")),
                (None, Some(0)) => Next::SendLast(Bytes::new()),
                (None, Some(_)) => Next::HangUp,
            });
        }
    }
}

fn chunk(part: &[u8]) -> Bytes {
    [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat().into()
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("remaining", &self.remaining).finish_non_exhaustive()
    }
}
