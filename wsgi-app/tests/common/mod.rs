//! Helpers of several test files.
#![allow(dead_code, reason = "each test file uses some of them")]

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use wsgi_app::{LogEntry, Options};

/// Runs a future that needs no runtime.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    let (mut future, mut context) = (pin!(future), Context::from_waker(Waker::noop()));
    for _ in 0..1000 {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
    panic!("the future waits for something")
}

/// Options whose log keeps the errors.
pub(crate) fn logging() -> (Options, Arc<Mutex<Vec<String>>>) {
    let errors = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&errors);
    let log = move |entry: &LogEntry<'_>| {
        if let LogEntry::Error(text) = entry {
            kept.lock().expect("no panic").push((*text).to_owned());
        }
    };
    (Options::default().log(log), errors)
}
