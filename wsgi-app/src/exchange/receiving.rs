//! Receives the first part of a request body before the application is called; its handles read it later.

use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use wsgi_proto::BodyError;

use crate::exchange::body::Taken;
use crate::exchange::error::InputError;
use crate::exchange::handle::Handle;
use crate::exchange::shared::{Inner, WakeList};

impl Inner {
    /// Whether the application is called only after a part of the body has arrived. Not if the client may be waiting for the
    /// application to send a 100. A client that asks for another protocol has to send the body first, too.
    pub(crate) fn receives_before_call(&mut self) -> bool {
        // An application that is called again may have left some.
        self.peeked.is_empty()
            && self
                .machine
                .exchange()
                .is_some_and(|exchange| exchange.remaining() != Some(0) && !exchange.expects_continue())
    }
}

impl Handle {
    /// Ready when `most` bytes of the body have arrived, or all of it, or when it has failed: the application reads what has
    /// arrived, and then the error. The bytes are kept in `received` until then. No other handle may read meanwhile.
    ///
    /// # Errors
    ///
    /// The connection is lost: no response can be sent.
    pub(crate) fn poll_receive(
        &self,
        received: &mut BytesMut,
        most: usize,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), InputError>> {
        let mut wake_list = WakeList::default();
        let mut inner = self.lock();
        let left = inner.exchange(self.serial()).and_then(|exchange| exchange.remaining());
        let all = left.and_then(|left| usize::try_from(left).ok()?.checked_add(received.len()));
        let wanted = all.map_or(most, |all| all.min(most));
        let now = || self.now();
        let polled = ready!(inner.poll_body(self.serial(), now, context, &mut wake_list, |data| {
            // The last piece, which usually is the only one, stays where it is.
            if received.len() + data.len() >= wanted {
                return (Taken::Copied(0), Some(()));
            }
            received.extend_from_slice(data);
            (Taken::Copied(data.len()), None)
        }));
        if !received.is_empty() {
            inner.put_back(std::mem::take(received).freeze());
        }
        match polled {
            Ok(_) | Err(InputError::Body(BodyError::Request(_))) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}
