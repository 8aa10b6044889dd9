//! Calls of the application's code, after which this process may be another one: a child that the application forked.
//!
//! A child must not go on as the server: it has the sockets of its parent, and none of its other threads.

use std::process;

use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyIterator, PyString, PyTuple};

use crate::ffi;
use crate::running;

/// Calls code of the application.
///
/// # Errors
///
/// The exception that it raises.
pub(crate) fn call<'py>(
    callable: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    in_this_process(callable.py(), || ffi::call(callable, args, kwargs))
}

/// Calls a function of the application with two arguments.
///
/// # Errors
///
/// The exception that it raises.
pub(crate) fn call_with_two<'py>(
    function: &Bound<'py, PyAny>,
    first: &Bound<'py, PyAny>,
    second: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    in_this_process(function.py(), || ffi::call_with_two(function, first, second))
}

/// The iterator of an iterable of the application.
///
/// # Errors
///
/// The exception of `__iter__`, or `TypeError`.
pub(crate) fn iterator<'py>(iterable: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyIterator>> {
    in_this_process(iterable.py(), || ffi::iterator(iterable))
}

/// The next item of an iterator of the application; `None` at its end.
///
/// # Errors
///
/// The exception of `__next__`.
pub(crate) fn next<'py>(iterator: &Bound<'py, PyIterator>) -> PyResult<Option<Bound<'py, PyAny>>> {
    in_this_process(iterator.py(), || ffi::next(iterator))
}

/// An attribute of an object of the application; `None` if there is none.
///
/// # Errors
///
/// What code behind the attribute raises.
pub(crate) fn attribute<'py>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    match in_this_process(object.py(), || ffi::attribute(object, name)) {
        Err(error) if error.is_instance_of::<PyAttributeError>(object.py()) => Ok(None),
        found => found.map(Some),
    }
}

/// Drops a reference to an object of the application, and runs its finalizers if it is the last one.
pub(crate) fn release<T>(object: Bound<'_, T>) {
    let py = object.py();
    let _ = in_this_process(py, || {
        ffi::release(object);
        Ok(())
    });
}

/// Drops an exception, whose traceback refers to what the application had.
pub(crate) fn release_error(py: Python<'_>, error: PyErr) {
    release(error.into_value(py).into_bound(py));
}

/// Runs code of the application, and returns only if the process is still the same.
fn in_this_process<R>(py: Python<'_>, call: impl FnOnce() -> PyResult<R>) -> PyResult<R> {
    let generation = running::generation();
    let result = call();
    if running::generation() != generation {
        leave_child(py, result.as_ref().err());
    }
    result
}

/// Ends this process, which the application forked and did not end itself.
fn leave_child(py: Python<'_>, error: Option<&PyErr>) -> ! {
    let code = error.and_then(|error| {
        let code = error.value(py).getattr("code").ok()?;
        if code.is_none() { Some(0) } else { code.cast::<PyInt>().ok()?.extract().ok() }
    });
    let stream = |name| py.import("sys").and_then(|sys| sys.getattr(name));
    if code.is_none() {
        if let Some(error) = error {
            error.print(py);
        }
        let message = "a process that the application forked must not return to the server: it ends here\n";
        let _ = stream("stderr").and_then(|stream| stream.call_method1("write", (message,)));
    }
    for name in ["stdout", "stderr"] {
        let _ = stream(name).and_then(|stream| stream.call_method0("flush"));
    }
    // Does not return.
    let _ = py.import("os").and_then(|os| os.call_method1("_exit", (code.unwrap_or(1),)));
    process::abort()
}
