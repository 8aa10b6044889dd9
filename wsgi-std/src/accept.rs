//! Runs the accept loop on the thread that accepts.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// The time at which the accepting thread has to wake up.
#[derive(Debug, Default)]
pub(crate) struct AcceptTimer(Cell<Option<Instant>>);

impl AcceptTimer {
    /// Returns a future that is ready after `time`.
    pub(crate) fn sleep(&self, time: Duration) -> impl Future<Output = ()> {
        let end = Instant::now().checked_add(time);
        poll_fn(move |_| match end {
            Some(end) if end <= Instant::now() => Poll::Ready(()),
            _ => {
                self.0.set(self.0.get().into_iter().chain(end).min());
                Poll::Pending
            }
        })
    }
}

/// Polls `serving` until it completes. Between polls, `wait` waits for the listeners, until the given time, or until
/// `waker` is woken.
pub(crate) fn block_on<R>(
    serving: impl Future<Output = R>,
    waker: &Waker,
    timer: &AcceptTimer,
    wait: impl Fn(Option<Instant>),
) -> R {
    let mut serving = pin!(serving);
    loop {
        timer.0.set(None);
        if let Poll::Ready(result) = serving.as_mut().poll(&mut Context::from_waker(waker)) {
            return result;
        }
        wait(timer.0.get());
    }
}
