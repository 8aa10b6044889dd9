//! The future that an adapter's `serve` returns.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::registry::{Report, ServerHandle};

/// A running server: the future that `serve` returns. It completes when the server has stopped, or with the failure of
/// a listener.
// The type has no parameters. With an `async fn`, whose type depends on its arguments, the compiler would report each
// invalid argument three times: for the call, for the future and for its `await`.
#[must_use = "nothing is served before this is awaited"]
pub struct Serving(Pin<Box<dyn Future<Output = io::Result<Report>> + Send>>);

impl Serving {
    /// Wraps the future of an adapter.
    pub fn new(serving: impl Future<Output = io::Result<Report>> + Send + 'static) -> Self {
        Self(Box::pin(serving))
    }

    /// Shuts the server of `handle` down when `signal` is ready. For adapters: their `serve_until`.
    ///
    /// If `now`, the signal is polled by this call already. Many signals are watched from their first poll on, and programs
    /// show that they are ready before they await the server. `signal` must then not depend on a runtime that is not there.
    pub fn until<S: Future + Send + 'static>(self, signal: S, handle: ServerHandle, now: bool) -> Self {
        let (mut serving, mut signal) = (self.0, Some(Box::pin(signal)));
        let mut look = move |context: &mut Context<'_>| {
            if signal.as_mut().is_some_and(|signal| signal.as_mut().poll(context).is_ready()) {
                signal = None;
                handle.shutdown();
            }
        };
        if now {
            look(&mut Context::from_waker(Waker::noop()));
        }
        Self::new(poll_fn(move |context| {
            // First, so that the signal is watched before a client is accepted.
            look(context);
            serving.as_mut().poll(context)
        }))
    }
}

impl Future for Serving {
    type Output = io::Result<Report>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context)
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_signal_shuts_the_server_down_once() {
        let (handle, ready) = (ServerHandle::new(), Arc::new(AtomicBool::new(false)));
        let (stopped, signalled) = (handle.clone(), ready.clone());
        let serving = Serving::new(poll_fn(move |_| match stopped.is_stopping() {
            true => Poll::Ready(Ok(Report::default())),
            false => Poll::Pending,
        }));
        // Polled again after its end, an async block panics.
        let mut serving = serving.until(
            async move {
                poll_fn(|_| if signalled.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending })
                    .await
            },
            handle.clone(),
            false,
        );
        let mut context = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut serving).poll(&mut context).is_pending());
        assert!(!handle.is_stopping());
        ready.store(true, Ordering::Relaxed);
        assert!(Pin::new(&mut serving).poll(&mut context).is_ready());
        assert!(Pin::new(&mut serving).poll(&mut context).is_ready());
    }

    #[test]
    fn a_signal_is_watched_before_the_server_is_awaited() {
        for now in [false, true] {
            let (handle, polled) = (ServerHandle::new(), Arc::new(AtomicBool::new(false)));
            let signal = Arc::clone(&polled);
            let signal = poll_fn(move |_| match signal.swap(true, Ordering::Relaxed) {
                true => Poll::Ready(()),
                false => Poll::<()>::Pending,
            });
            let mut serving = Serving::new(pending()).until(signal, handle.clone(), now);
            assert_eq!((polled.load(Ordering::Relaxed), handle.is_stopping()), (now, false));
            let mut context = Context::from_waker(Waker::noop());
            assert!(Pin::new(&mut serving).poll(&mut context).is_pending());
            assert_eq!(handle.is_stopping(), now, "it was ready the second time");
            // One that is ready already stops the server before it starts.
            let handle = ServerHandle::new();
            let _serving = Serving::new(pending()).until(ready(()), handle.clone(), now);
            assert_eq!(handle.is_stopping(), now);
        }
    }
}
