//! The handshake that precedes the first byte of HTTP on a connection.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::application::Application;
use crate::connection::serve_connection;
use crate::exchange::shared::Directive;
use crate::io::transport::Transport;
use crate::registry::ConnectionGuard;
use crate::server::Server;

/// Runs a (TLS) handshake in the connection's own task, then [serves](serve_connection) the resulting transport.
/// `sleep` is the runtime's timer, used for `handshake_timeout`.
///
/// A failed handshake is logged as a debug entry. If the server needs room during the handshake, the connection closes:
/// no part of a request has been read yet. If the server stops, a handshake may take as long as an idle connection may
/// wait for its last request.
pub async fn serve_after_handshake<A: Application, T: Transport, S: Future>(
    server: Arc<Server<A>>,
    guard: ConnectionGuard,
    handshake: impl Future<Output = io::Result<T>>,
    sleep: impl Fn(Duration) -> S,
) {
    if let Some(transport) = server.handshake(&guard, handshake, sleep).await {
        serve_connection(server, guard, transport).await;
    }
}

impl<A> Server<A> {
    async fn handshake<T: Transport, S: Future>(
        &self,
        guard: &ConnectionGuard,
        handshake: impl Future<Output = io::Result<T>>,
        sleep: impl Fn(Duration) -> S,
    ) -> Option<T> {
        let (mut handshake, mut timer) = (pin!(handshake), pin!(sleep(self.handshake_timeout())));
        let mut stops = false;
        let done = poll_fn(|context| {
            if let Poll::Ready(done) = handshake.as_mut().poll(context) {
                return Poll::Ready(Some(done));
            }
            let mut inner = guard.shared.lock();
            match inner.directive {
                Directive::Serve => {}
                Directive::MakeRoom | Directive::Abort => return Poll::Ready(None),
                Directive::Finish if stops => {}
                Directive::Finish => {
                    stops = true;
                    let now = self.context.clock.now().instant;
                    let passed = inner.waits_since.map_or(Duration::ZERO, |since| now.since(since));
                    let bound = self.handshake_timeout().min(self.context.config.last_request_timeout);
                    timer.set(sleep(bound.saturating_sub(passed)));
                }
            }
            inner.sleep(context);
            drop(inner);
            if timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            Poll::Ready(if stops { None } else { Some(Err(io::ErrorKind::TimedOut.into())) })
        });
        match done.await? {
            Ok(transport) => {
                transport.tls().into_iter().for_each(|tls| guard.shared.set_tls(tls));
                Some(transport)
            }
            Err(error) => {
                let endpoints = *guard.shared.lock().machine.endpoints();
                self.context.handshake_failed(&endpoints, &error);
                None
            }
        }
    }
}
