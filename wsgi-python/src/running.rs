//! The servers of this process: what stops them, the end of the interpreter, and `fork`.

use std::io::Write as _;
use std::mem::{self, ManuallyDrop};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use wsgi_std::ServerHandle;

/// Counts the forks between the first process and this one.
static GENERATION: AtomicU32 = AtomicU32::new(0);

static SERVERS: Mutex<Vec<Arc<Running>>> = Mutex::new(Vec::new());

/// How often a wait at the end of the interpreter looks for signals.
const TICK: Duration = Duration::from_millis(50);

/// The number of this process among those that fork each other: a server belongs to the process that started it.
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// One server that runs.
pub(crate) struct Running {
    pub(crate) handle: ServerHandle,
    /// Wakes the thread that waits for the server.
    pub(crate) waker: UnixStream,
    /// The caller of the server does not wait for it any more, nor does the end of the interpreter.
    abandoned: AtomicBool,
    ended: Mutex<bool>,
    changed: Condvar,
}

impl Running {
    pub(crate) fn begin(py: Python<'_>, handle: ServerHandle, waker: UnixStream) -> PyResult<Arc<Self>> {
        watch_interpreter(py)?;
        let running = Arc::new(Self {
            handle,
            waker,
            abandoned: AtomicBool::new(false),
            ended: Mutex::new(false),
            changed: Condvar::new(),
        });
        lock(&SERVERS).push(Arc::clone(&running));
        Ok(running)
    }

    /// The server has ended.
    pub(crate) fn end(self: &Arc<Self>) {
        lock(&SERVERS).retain(|other| !Arc::ptr_eq(other, self));
        *lock(&self.ended) = true;
        self.changed.notify_all();
        // If the pipe is full, the waiting thread is awake.
        let _ = (&self.waker).write(&[0]);
    }

    /// Nothing waits for the server any more: a second signal has arrived.
    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }

    /// Waits until the server has ended, for a short time.
    fn has_ended(&self) -> bool {
        let ended = lock(&self.ended);
        *self.changed.wait_timeout(ended, TICK).unwrap_or_else(PoisonError::into_inner).0
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Registers, once, what has to happen at the end of the interpreter and after `fork`.
fn watch_interpreter(py: Python<'_>) -> PyResult<()> {
    static WATCHED: PyOnceLock<()> = PyOnceLock::new();
    WATCHED
        .get_or_try_init(py, || {
            // Before the interpreter waits for its threads, one of which may wait for a server.
            let threading = py.import("threading")?;
            let stop = pyo3::wrap_pyfunction!(stop_all, py)?;
            if threading.getattr("_register_atexit").and_then(|register| register.call1((&stop,))).is_err() {
                py.import("atexit")?.call_method1("register", (&stop,))?;
            }
            let kwargs = pyo3::types::PyDict::new(py);
            kwargs.set_item("after_in_child", pyo3::wrap_pyfunction!(forked, py)?)?;
            let os = py.import("os")?;
            os.call_method("register_at_fork", (), Some(&kwargs))?;
            let python = py.import("wsgi_python._fork")?.getattr("after_fork_in_child")?;
            kwargs.set_item("after_in_child", python)?;
            os.call_method("register_at_fork", (), Some(&kwargs))?;
            Ok(())
        })
        .map(|_| ())
}

/// Stops all servers of this process, and waits until they have ended. A signal whose handler raises an exception ends the
/// wait. Threads that are still with the application then wait for the end of the process, as daemon threads do.
#[pyfunction]
fn stop_all(py: Python<'_>) -> PyResult<()> {
    let servers = py.detach(|| lock(&SERVERS).clone());
    servers.iter().for_each(|server| server.handle.shutdown());
    for server in servers.iter().filter(|server| !server.abandoned.load(Ordering::Relaxed)) {
        while !py.detach(|| server.has_ended()) {
            py.check_signals()?;
        }
    }
    Ok(())
}

/// Runs in the child after `fork`, where no thread of a server exists.
#[pyfunction]
fn forked() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    // A thread that had it locked does not exist here.
    if let Ok(mut servers) = SERVERS.try_lock() {
        // Nor do those that have locked what a drop would need.
        let _ = ManuallyDrop::new(mem::take(&mut *servers));
    }
}

/// Stops and observes a server from any thread. `started` of `serve` gets it.
#[pyclass(frozen, module = "wsgi_python")]
#[derive(Debug)]
pub(crate) struct Handle(pub(crate) ServerHandle);

#[pymethods]
impl Handle {
    /// Begins a graceful stop and returns immediately. Further calls do nothing.
    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.0.shutdown());
    }

    /// Whether the server is stopping or has stopped.
    #[getter]
    fn stopping(&self, py: Python<'_>) -> bool {
        py.detach(|| self.0.is_stopping())
    }

    /// The number of open connections.
    #[getter]
    fn connections(&self, py: Python<'_>) -> usize {
        py.detach(|| self.0.connections())
    }

    /// The number of requests that the application is handling.
    #[getter]
    fn requests(&self, py: Python<'_>) -> usize {
        py.detach(|| self.0.requests())
    }
}
