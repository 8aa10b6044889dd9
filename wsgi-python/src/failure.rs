//! Failures of the application: tracebacks in the log, and exceptions as answers.

use std::error;
use std::fmt;
use std::io::Write as _;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use wsgi_app::adapter::raw::RawRequest;
use wsgi_std::{Body, Result, SendError};

use crate::calls;
use crate::ffi;
use crate::response::Response;

/// An exception of the application.
#[derive(Debug)]
struct Failed(String);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl error::Error for Failed {}

/// Why there is no body.
pub(crate) enum Failure {
    /// The application has raised an exception.
    Raised(PyErr),
    /// The body does not match its head, or the client has disconnected.
    Send(SendError),
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Self::Raised(error)
    }
}

/// The result of a request whose application failed.
///
/// # Errors
///
/// The error for the server, which logs it and makes the response of it.
pub(crate) fn of_application(py: Python<'_>, response: &Response, failure: Failure) -> Result<Body> {
    let error = match failure {
        Failure::Raised(error) => error,
        Failure::Send(error) => return Err(error.into()),
    };
    let result = if let Some(fault) = response.clients_fault(py, &error) {
        Err(fault)
    } else if response.is_over() {
        // The response is complete, or the connection was taken over: nothing else reports the failure.
        log(py, response.request(), &error);
        Ok(Body::empty())
    } else {
        Err(unexpected(py, &error))
    };
    calls::release_error(py, error);
    result
}

/// The error for the server when an iterable of the application raised `error`. The traceback is logged here.
pub(crate) fn of_body(py: Python<'_>, response: &Response, error: &PyErr) -> wsgi_std::Error {
    if let Some(fault) = response.clients_fault(py, error) {
        return fault;
    }
    log(py, response.request(), error);
    Failed(summary(py, error)).into()
}

/// The error for the server, with the traceback.
pub(crate) fn unexpected(py: Python<'_>, error: &PyErr) -> wsgi_std::Error {
    Failed(traceback(py, error)).into()
}

/// Writes the traceback of `error` to the log.
pub(crate) fn log(py: Python<'_>, request: &RawRequest, error: &PyErr) {
    let _ = request.errors().write_all(traceback(py, error).as_bytes());
}

/// The traceback, as Python prints it.
fn traceback(py: Python<'_>, error: &PyErr) -> String {
    let formatted = py.import("traceback").and_then(|traceback| {
        let arguments = (error.get_type(py), error.value(py), error.traceback(py)).into_pyobject(py)?;
        let lines = ffi::call(&traceback.getattr("format_exception")?, &arguments, None)?;
        let mut text = String::new();
        for line in lines.try_iter()? {
            // A lone surrogate in a message is not UTF-8.
            let line = line?.call_method1("encode", ("utf-8", "backslashreplace"))?;
            text.push_str(&String::from_utf8_lossy(line.cast::<PyBytes>()?.as_bytes()));
        }
        Ok(text)
    });
    formatted.unwrap_or_else(|_| format!("{}\n", summary(py, error)))
}

/// The type and the message of `error`, on one line.
fn summary(py: Python<'_>, error: &PyErr) -> String {
    let kind = error.get_type(py).name().map_or_else(|_| "exception".into(), |name| name.to_string());
    match error.value(py).str().map(|text| text.to_string_lossy().into_owned()) {
        Ok(text) if !text.is_empty() => format!("{kind}: {text}"),
        _ => kind,
    }
}
