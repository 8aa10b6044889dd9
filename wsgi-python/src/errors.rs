//! The exceptions of errors that clients cause: the classes of `_errors.py`.

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use wsgi_std::{BodyError, InputError, RequestError};

/// The exception of an error of `wsgi.input`.
pub(crate) fn exception(py: Python<'_>, error: InputError) -> PyErr {
    let class = match error {
        InputError::Body(BodyError::Request(RequestError::Timeout)) => "InputTimeout",
        InputError::Body(BodyError::Lost(_) | BodyError::Request(RequestError::Incomplete)) => {
            "ClientDisconnected"
        }
        InputError::Body(BodyError::Request(RequestError::BodyTooLarge(_))) => "BodyTooLarge",
        InputError::Body(BodyError::Request(_)) => "ChunkReadError",
        _ => return PyValueError::new_err(error.to_string()),
    };
    make(py, class, &error.to_string())
}

/// The exception of a client that has disconnected.
pub(crate) fn disconnected(py: Python<'_>, message: &str) -> PyErr {
    make(py, "ClientDisconnected", message)
}

/// Whether `error` is one of the exceptions that are made here.
pub(crate) fn is_fault(py: Python<'_>, error: &PyErr) -> bool {
    class(py, "InputError").is_ok_and(|class| error.value(py).is_instance(&class).unwrap_or(false))
}

fn make(py: Python<'_>, name: &str, message: &str) -> PyErr {
    let made = class(py, name).and_then(|class| class.call1((message,)));
    made.map_or_else(|_| PyOSError::new_err(message.to_owned()), PyErr::from_value)
}

/// A class of exceptions.
fn class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let module = MODULE.get_or_try_init(py, || py.import("wsgi_python._errors").map(Bound::unbind))?;
    module.bind(py).getattr(name)
}
