//! The native half of the Python package `wsgi_python`: WSGI applications of Python on `wsgi-std`.
//!
//! | module | job |
//! | --- | --- |
//! | `serve` | the function `serve`: builds a server, runs it on another thread, and waits for signals meanwhile |
//! | `settings` | options of the server from a `dict` |
//! | `listeners` | listeners from descriptors, certificates and sources of the PROXY protocol |
//! | `log` | logs that are Python objects |
//! | `running` | the servers of this process: their stop, the end of the interpreter, `fork` |
//! | `application` | one call of the application |
//! | `request` | the environ |
//! | `last` | the variables of the request, as changes of those of the last one |
//! | `objects` | the objects of an environ |
//! | `peer` | the variables of a connection |
//! | `names` | the variables of header fields |
//! | `raw_headers` | `headers_raw` |
//! | `hooks` | `eventlet.posthooks` |
//! | `input` | `wsgi.input` |
//! | `response` | `start_response`, `write`, early hints, trailers |
//! | `body` | the iterable that the application returns |
//! | `file` | `wsgi.file_wrapper` |
//! | `socket` | a connection that the application took over |
//! | `failure` | tracebacks, and exceptions as answers |
//! | `errors` | exceptions of errors that clients cause |
//! | `threads` | the lock of the interpreter |
//! | `ffi` | the only module with `unsafe` |

#![cfg(unix)]
#![warn(missing_docs)]

mod application;
mod body;
mod calls;
mod errors;
mod failure;
mod ffi;
mod file;
mod hooks;
mod input;
mod last;
mod listeners;
mod log;
mod names;
mod objects;
mod peer;
mod raw_headers;
mod request;
mod response;
mod running;
mod serve;
mod settings;
mod socket;
mod threads;

/// The module `wsgi_python._native`.
#[pyo3::pymodule(gil_used = true)]
mod _native {
    use pyo3::exceptions::PyImportError;
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::file::FileWrapper;
    #[pymodule_export]
    use crate::input::Input;
    #[pymodule_export]
    use crate::raw_headers::RawHeaders;
    #[pymodule_export]
    use crate::response::Exchange;
    #[pymodule_export]
    use crate::running::Handle;
    #[pymodule_export]
    use crate::serve::{check, format_date_time, serve};
    #[pymodule_export]
    use crate::socket::Socket;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        if !crate::ffi::is_main_interpreter(module.py()) {
            return Err(PyImportError::new_err("wsgi_python cannot be imported in a subinterpreter"));
        }
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
