//! Blocking applications, on `wsgi-std` and on every asynchronous runtime.
#![cfg(unix)]

mod calls;
mod other_threads;
mod waits;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use wsgi_std::{Body, Options, Result, StartResponse};
use wsgi_tests::adapters::Running;
use wsgi_tests::caller::Caller;
use wsgi_tests::live::PATIENCE;
use wsgi_tests::runtimes::Runtime;

pub(crate) const PLAIN: [(&str, &str); 1] = [("Content-Type", "text/plain")];
pub(crate) const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

pub(crate) fn quiet() -> Options {
    Options::default().debug(false).log_output(false)
}

/// A server for one test. It is stopped when this is dropped.
pub(crate) struct Site(pub(crate) Running);

impl Site {
    pub(crate) fn new(runtime: Runtime, application: impl wsgi_std::Application) -> Self {
        Self::with(runtime, quiet(), application)
    }

    pub(crate) fn with(runtime: Runtime, options: Options, application: impl wsgi_std::Application) -> Self {
        assert!(runtime.blocks());
        let other = wsgi_tokio::site(async |_| "not this one");
        Self(runtime.begin(None, options, other, application))
    }

    pub(crate) fn connect(&self) -> Caller {
        Caller::connect(self.0.address)
    }

    /// Stops it, and returns how many connections finished and how many were cut.
    pub(crate) fn stop(self) -> (usize, usize) {
        self.0.handle.shutdown();
        let report = self.0.ended.recv_timeout(PATIENCE).expect("it ends").expect("it was sound");
        (report.finished, report.cut)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.0.handle.shutdown();
    }
}

pub(crate) fn fine(start: &StartResponse, body: impl Into<Body>) -> Result<Body> {
    start.start("200 OK", PLAIN)?;
    Ok(body.into())
}

/// A lock on which applications of a test wait.
pub(crate) struct Gate(Mutex<Receiver<()>>);

pub(crate) fn gate() -> (Sender<()>, Arc<Gate>) {
    let (open, waiting) = channel();
    (open, Arc::new(Gate(Mutex::new(waiting))))
}

impl Gate {
    /// Waits until the gate is opened, possibly forever.
    pub(crate) fn pass(&self) {
        let _ = self.0.lock().expect("no panic").recv();
    }
}
