//! The function `serve`: builds a server, runs it on another thread, and waits for its end and for signals.

use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{TryRecvError, channel};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use pyo3::exceptions::{
    PyKeyboardInterrupt, PyOSError, PyRuntimeError, PySystemExit, PyTypeError, PyValueError,
};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use wsgi_app::adapter::raw::Raw;
use wsgi_std::{Report, Server};

use crate::application::Site;
use crate::listeners::{self, TlsFiles};
use crate::log;
use crate::request::Base;
use crate::running::{self, Handle, Running};
use crate::settings;
use crate::threads::Interpreter;

/// The size of the stack of a thread that runs the application: that of a thread of Python. CPython expects it for deep
/// recursion in C.
const STACK: usize = 8 * 1024 * 1024;

/// Serves `site` on `listeners` until it is stopped; see `_native.pyi`.
#[pyfunction]
#[pyo3(signature = (listeners, site, options, *, threads=None, custom_pool=None, tls=None, proxy=None, environ=None, log=None,
    access_log=None, started=None, eventlet=false))]
#[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
pub(crate) fn serve(
    py: Python<'_>,
    listeners: Vec<i32>,
    site: Py<PyAny>,
    options: &Bound<'_, PyDict>,
    threads: Option<usize>,
    custom_pool: Option<usize>,
    tls: Option<Vec<Option<TlsFiles>>>,
    proxy: Option<&str>,
    environ: Option<&Bound<'_, PyDict>>,
    log: Option<&Bound<'_, PyAny>>,
    access_log: Option<&Bound<'_, PyAny>>,
    started: Option<&Bound<'_, PyAny>>,
    eventlet: bool,
) -> PyResult<(usize, usize)> {
    let mut options = log::set(settings::read(options)?, log)?;
    if let Some(access_log) = access_log {
        options = log::set_access(options, access_log)?;
    }
    let mut listeners = listeners::from_descriptors(&listeners, tls, proxy)?.into_iter();
    let first = listeners.next().ok_or_else(|| PyValueError::new_err("listeners is empty"))?;
    let site = Site::new(site, Base::new(py, environ, threads.or(custom_pool) != Some(1), eventlet)?);
    let mut server = Server::new(first, Raw::new(site)).options(options).host(Interpreter).stack_size(STACK);
    for listener in listeners {
        server = server.listener(listener);
    }
    server = match (threads, custom_pool) {
        (None, None) => server,
        // Applications keep connections to databases in `threading.local`.
        (Some(threads), None) => server.pool(threads).keep_threads(true),
        (None, Some(threads)) => server.custom_pool(threads).keep_threads(true),
        _ => return Err(PyTypeError::new_err("threads and custom_pool exclude each other")),
    };
    let (reader, waker) = UnixStream::pair()?;
    waker.set_nonblocking(true)?;
    let running = Running::begin(py, server.handle(), waker)?;
    let (sender, ended) = channel();
    let serving = Arc::clone(&running);
    let thread = thread::Builder::new().name("wsgi-server".into()).spawn(move || {
        let _ = sender.send(server.serve());
        serving.end();
    });
    if let Err(error) = thread {
        running.end();
        return Err(error.into());
    }
    // A handler that the program has installed may raise in here.
    let wakeup = Wakeup::set(py, &running.waker).inspect_err(|_| running.handle.shutdown())?;
    let noted = started.map(|started| started.call1((Handle(running.handle.clone()),))).transpose();
    if noted.is_err() {
        running.handle.shutdown();
    }
    let result = wait(py, reader, &running, &ended);
    drop(wakeup);
    noted?;
    let report = result?;
    Ok((report.finished, report.cut))
}

/// Waits for the end of the server. A signal whose handler raises an exception begins a graceful stop, a second one ends
/// the wait.
fn wait(
    py: Python<'_>,
    mut reader: UnixStream,
    running: &Running,
    ended: &std::sync::mpsc::Receiver<io::Result<Report>>,
) -> PyResult<Report> {
    let generation = running::generation();
    let mut raised = None;
    let report = loop {
        // First, since a signal may have arrived before the descriptor was set.
        match py.check_signals() {
            // The second signal. The handlers of `server()` raise nothing for the first one, which stops the server.
            Err(error) if raised.is_some() || running.handle.is_stopping() => {
                running.abandon();
                return Err(error);
            }
            Err(error) => {
                raised = Some(error);
                py.detach(|| running.handle.shutdown());
            }
            Ok(()) => {}
        }
        if running::generation() != generation {
            return Err(PyRuntimeError::new_err("the server belongs to the parent of this process"));
        }
        match ended.try_recv() {
            Ok(report) => break report.map_err(refused)?,
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return Err(PyRuntimeError::new_err("the server has failed")),
        }
        // Bytes are wake-ups without a meaning; an error is one, too.
        let _ = py.detach(|| reader.read(&mut [0; 64]));
    };
    match raised {
        // eventlet: these end the server, and not its caller.
        Some(error) if !is_stop(py, &error) => Err(error),
        _ => Ok(report),
    }
}

fn is_stop(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyKeyboardInterrupt>(py) || error.is_instance_of::<PySystemExit>(py)
}

/// An option that is not allowed, or a failure of a listener.
fn refused(error: io::Error) -> PyErr {
    match error.get_ref() {
        Some(inner) if inner.is::<wsgi_std::OptionError>() => PyValueError::new_err(inner.to_string()),
        _ => error.into(),
    }
}

/// Signals of the main thread wake it through this descriptor; the one before is restored.
struct Wakeup<'py>(Option<Bound<'py, PyAny>>);

impl<'py> Wakeup<'py> {
    fn set(py: Python<'py>, waker: &UnixStream) -> PyResult<Self> {
        let threading = py.import("threading")?;
        if !threading.call_method0("current_thread")?.is(&threading.call_method0("main_thread")?) {
            return Ok(Self(None)); // signals are for the main thread only
        }
        set_wakeup(py, waker.as_raw_fd().into_pyobject(py)?.as_any()).map(Some).map(Self)
    }
}

impl Drop for Wakeup<'_> {
    fn drop(&mut self) {
        if let Some(before) = self.0.take()
            && let Err(error) = set_wakeup(before.py(), &before)
        {
            error.write_unraisable(before.py(), None);
        }
    }
}

fn set_wakeup<'py>(py: Python<'py>, descriptor: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let kwargs = PyDict::new(py);
    kwargs.set_item("warn_on_full_buffer", false)?;
    py.import("signal")?.call_method("set_wakeup_fd", (descriptor,), Some(&kwargs))
}

/// Checks names and values of `options`, and the sources of `proxy`, without serving; see `_native.pyi`.
#[pyfunction]
#[pyo3(signature = (options, *, tls=None, proxy=None))]
pub(crate) fn check(options: &Bound<'_, PyDict>, tls: Option<TlsFiles>, proxy: Option<&str>) -> PyResult<()> {
    let options = settings::read(options)?;
    listeners::sources(proxy)?;
    tls.map_or(Ok(()), |files| listeners::config(&files).map(drop))?;
    settings::check(options)
}

/// An HTTP date, such as `Sun, 06 Nov 1994 08:49:37 GMT`.
///
/// `timestamp` is in seconds since 1970; `None` is now. A fraction is cut off. `ValueError` if it is not a number, or not
/// in the years 1 to 9999.
#[pyfunction]
#[pyo3(signature = (timestamp=None))]
pub(crate) fn format_date_time(timestamp: Option<f64>) -> PyResult<String> {
    let seconds = match timestamp {
        Some(timestamp) if !timestamp.is_finite() => {
            return Err(PyValueError::new_err(format!("the time {timestamp} is not a number of seconds")));
        }
        Some(timestamp) => timestamp.floor() as i64,
        None => match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(time) => time.as_secs() as i64,
            Err(_) => return Err(PyOSError::new_err("the clock of the system is before 1970")),
        },
    };
    wsgi_std::format_date_time(seconds).map_err(|error| PyValueError::new_err(error.to_string()))
}
