//! Runs a server's life on the thread that accepts.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// When the accepting thread has to be woken.
#[derive(Debug, Default)]
pub(crate) struct Alarm(Cell<Option<Instant>>);

impl Alarm {
    /// Ready after `time`.
    pub(crate) fn sleep(&self, time: Duration) -> impl Future<Output = ()> {
        let end = Instant::now().checked_add(time);
        poll_fn(move |_| match end {
            Some(end) if end <= Instant::now() => Poll::Ready(()),
            _ => {
                // There is one sleep at a time.
                self.0.set(end);
                Poll::Pending
            }
        })
    }
}

/// Polls `life` until it ends. In between `wait` waits for the listeners, until the time that it is given, or until
/// `waker` is woken.
pub(crate) fn run_life<R>(
    life: impl Future<Output = R>,
    waker: &Waker,
    alarm: &Alarm,
    wait: impl Fn(Option<Instant>),
) -> R {
    let mut life = pin!(life);
    loop {
        alarm.0.set(None);
        if let Poll::Ready(result) = life.as_mut().poll(&mut Context::from_waker(waker)) {
            return result;
        }
        wait(alarm.0.get());
    }
}
