//! Logs that are descriptors or Python objects.

use std::fs::File;
use std::io::{self, Write};

use pyo3::prelude::*;
use pyo3::types::{PyInt, PyString};
use wsgi_std::{Log, LogEntry, Options};

use crate::ffi;
use crate::settings::kind;
use crate::threads::attached;

/// Sets the log: `None` is standard error, an `int` a descriptor, otherwise a logger with `debug`, `info` and `error`, or
/// an object with `write`.
///
/// # Errors
///
/// `TypeError` for other objects, `OSError` for a descriptor that is not open.
pub(crate) fn set(options: Options, log: Option<&Bound<'_, PyAny>>) -> PyResult<Options> {
    let Some(log) = log else { return Ok(options) };
    let has = |name: &str| log.getattr(name).is_ok_and(|method| method.is_callable());
    // eventlet: these two make a logger.
    if has("info") && has("debug") {
        return Ok(options.logger(Logger(log.clone().unbind())));
    }
    Ok(match writer(log)? {
        Writer::File(file) => options.log_to(file),
        Writer::Object(object) => options.log_to(object),
    })
}

/// Sets the destination of access lines: an `int` is a descriptor, otherwise an object with `write`.
///
/// # Errors
///
/// Those of [`set`].
pub(crate) fn set_access(options: Options, log: &Bound<'_, PyAny>) -> PyResult<Options> {
    Ok(match writer(log)? {
        Writer::File(file) => options.access_log_to(file),
        Writer::Object(object) => options.access_log_to(object),
    })
}

enum Writer {
    File(File),
    Object(Object),
}

fn writer(log: &Bound<'_, PyAny>) -> PyResult<Writer> {
    if let Ok(descriptor) = log.cast::<PyInt>() {
        return Ok(Writer::File(ffi::duplicate(descriptor.extract()?)?.into()));
    }
    match log.getattr("write") {
        Ok(write) if write.is_callable() => Ok(Writer::Object(Object(write.unbind()))),
        _ => {
            let kind = kind(log);
            let message = format!("a log must be a descriptor, a logger or an object with write, not {kind}");
            Err(pyo3::exceptions::PyTypeError::new_err(message))
        }
    }
}

/// An object with `write`, which is called once per line, on the thread of the log.
struct Object(Py<PyAny>);

impl Write for Object {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        attached(|py| {
            for line in bytes.split_inclusive(|&byte| byte == b'\n') {
                ffi::call(self.0.bind(py), &(String::from_utf8_lossy(line),).into_pyobject(py)?, None)?;
            }
            Ok(bytes.len())
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // eventlet: the log is never flushed
    }
}

/// A logger of the module `logging`, or one with the same methods.
struct Logger(Py<PyAny>);

impl Log for Logger {
    fn log(&self, entry: &LogEntry<'_>) {
        let method = match entry {
            LogEntry::Error(_) => "error",
            LogEntry::Debug(_) => "debug",
            _ => "info",
        };
        attached(|py| {
            let text = PyString::new(py, entry.text());
            let log = || ffi::call(&self.0.bind(py).getattr(method)?, &(text,).into_pyobject(py)?, None);
            if let Err(error) = log() {
                error.write_unraisable(py, Some(self.0.bind(py)));
            }
        });
    }
}
