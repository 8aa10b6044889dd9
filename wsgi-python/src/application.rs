//! One call of the application.

use std::process;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyInt;
use wsgi_app::adapter::raw::{RawApplication, RawRequest};
use wsgi_std::{Body, Result};

use crate::body;
use crate::failure::{self, Failure};
use crate::ffi;
use crate::hooks;
use crate::last::{self, Environ};
use crate::request::Base;
use crate::response::Response;
use crate::running;
use crate::threads::attached;

/// The application of a server, and what all its requests share.
pub(crate) struct Site {
    application: Py<PyAny>,
    base: Base,
    /// The process that started the server.
    generation: u32,
}

impl Site {
    pub(crate) fn new(application: Py<PyAny>, base: Base) -> Self {
        Self { application, base, generation: running::generation() }
    }

    /// Calls the application, and makes a body of its result.
    fn run(&self, py: Python<'_>, request: &RawRequest) -> Result<Body> {
        let response = Arc::new(Response::new(request.clone()));
        let made = self.base.environ(py, &response);
        let Environ { variables, start_response, exchange } =
            made.map_err(|error| failure::unexpected(py, &error))?;
        drop(exchange);
        let result = ffi::call_with_two(self.application.bind(py), &variables, &start_response);
        drop(start_response);
        if running::generation() != self.generation {
            leave_child(py, result.as_ref().err());
        }
        let body = result
            .map_err(Failure::Raised)
            .and_then(|result| body::from_result(result, &response, &variables))
            .or_else(|failure| {
                if let Failure::Raised(_) = failure {
                    hooks::add(&response, &variables, false);
                }
                failure::of_application(py, &response, failure)
            });
        drop(variables);
        last::end(py);
        body
    }
}

impl RawApplication for Site {
    fn call(&self, request: &RawRequest) -> Result<Body> {
        attached(|py| self.run(py, request))
    }
}

/// Ends this process, which the application forked and did not end itself: it has the sockets of its parent, and no other
/// thread.
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
