//! The lock of the interpreter, and the threads of the engine.
//!
//! Each thread of the engine is attached to the interpreter for its life, so that `threading.local` lasts and a request
//! costs no change of state. It detaches for every wait. A thread holds no lock of the server while it waits for the
//! interpreter.

use std::cell::Cell;
use std::thread;
use std::time::{Duration, Instant};

use pyo3::Python;
use wsgi_std::host::Host;

use crate::ffi;

/// A thread that took longer than this to attach again has competitors.
const LATE: Duration = Duration::from_micros(100);

/// How long a thread holds the interpreter before it gives way to competitors.
const TURN: Duration = Duration::from_millis(1);

/// How long a thread gives way. To release the lock and take it again at once is no release.
const PAUSE: Duration = Duration::from_micros(20);

/// How many turns in a row a thread gives way after it was late, if nobody takes the interpreter meanwhile.
const GIVES_WAY: u32 = 50;

thread_local! {
    /// The time when this thread attached last, and the number of turns for which it gives way.
    static ATTACHED: Cell<(Option<Instant>, u32)> = const { Cell::new((None, 0)) };
}

/// Runs `work` attached to the interpreter. At the end of the interpreter, the thread waits for the end of the process.
pub(crate) fn attached<R>(work: impl for<'py> FnOnce(Python<'py>) -> R) -> R {
    Python::try_attach(work).unwrap_or_else(|| {
        loop {
            thread::park();
        }
    })
}

/// The interpreter, for the engine.
pub(crate) struct Interpreter;

impl Host for Interpreter {
    fn thread(&self, run: &mut dyn FnMut()) {
        // At the end of the interpreter a thread that begins can do nothing.
        Python::try_attach(|_| run());
    }

    fn wait(&self, wait: &mut dyn FnMut()) {
        attached(|py| release(py, wait));
    }

    fn yield_now(&self) {
        let (since, turns) = ATTACHED.get();
        if turns == 0 || since.is_some_and(|since| since.elapsed() < TURN) {
            return;
        }
        ATTACHED.set((since, turns - 1));
        attached(|py| release(py, &mut || thread::park_timeout(PAUSE)));
    }
}

/// Detaches for a wait, and measures how long it takes to attach again.
fn release(py: Python<'_>, wait: &mut dyn FnMut()) {
    let mut ended = None;
    ffi::detached(py, &mut || {
        wait();
        ended = Some(Instant::now());
    });
    let now = Instant::now();
    let late = ended.is_some_and(|ended| now.duration_since(ended) > LATE);
    let (_, turns) = ATTACHED.get();
    ATTACHED.set((Some(now), if late { GIVES_WAY } else { turns }));
}
