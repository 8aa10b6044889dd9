//! What goes before a connection's first byte of HTTP.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;

use crate::register::Permit;
use crate::server::Server;
use crate::shared::Order;

impl<A> Server<A> {
    /// Runs a handshake (of TLS) in the connection's own task. `None` when it fails, which is logged, or when the
    /// server stops or needs the room: nothing of a request has been read. The adapter bounds its time by
    /// [`handshake_timeout`](Self::handshake_timeout).
    pub async fn handshake<T>(
        &self,
        permit: &Permit,
        handshake: impl Future<Output = io::Result<T>>,
    ) -> Option<T> {
        let mut handshake = pin!(handshake);
        let done = poll_fn(|context| {
            if let Poll::Ready(done) = handshake.as_mut().poll(context) {
                return Poll::Ready(Some(done));
            }
            let mut cell = permit.shared.lock();
            if cell.order > Order::Serve {
                return Poll::Ready(None);
            }
            cell.sleep(context);
            Poll::Pending
        });
        match done.await? {
            Ok(stream) => Some(stream),
            Err(error) => {
                let peer = *permit.shared.lock().machine.peer();
                self.core.handshake_failed(&peer, &error);
                None
            }
        }
    }
}
