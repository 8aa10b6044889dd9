//! One call of the application.

use std::sync::Arc;

use pyo3::prelude::*;
use wsgi_app::adapter::raw::{RawApplication, RawRequest};
use wsgi_std::{Body, Result};

use crate::body;
use crate::calls;
use crate::failure::{self, Failure};
use crate::hooks;
use crate::last::{self, Environ};
use crate::request::Base;
use crate::response::Response;
use crate::threads::attached;

/// The application of a server, and what all its requests share.
pub(crate) struct Site {
    application: Py<PyAny>,
    base: Base,
}

impl Site {
    pub(crate) fn new(application: Py<PyAny>, base: Base) -> Self {
        Self { application, base }
    }

    /// Calls the application, and makes a body of its result.
    fn run(&self, py: Python<'_>, request: &RawRequest) -> Result<Body> {
        let response = Arc::new(Response::new(request.clone()));
        let made = self.base.environ(py, &response);
        let Environ { variables, start_response, exchange } =
            made.map_err(|error| failure::unexpected(py, &error))?;
        drop(exchange);
        let result = calls::call_with_two(self.application.bind(py), &variables, &start_response);
        drop(start_response);
        let body = result
            .map_err(Failure::Raised)
            .and_then(|result| body::from_result(result, &response, &variables))
            .or_else(|failure| {
                if let Failure::Raised(_) = failure {
                    hooks::add(&response, &variables, false);
                }
                failure::of_application(py, &response, failure)
            });
        calls::release(variables);
        last::end(py);
        body
    }
}

impl RawApplication for Site {
    fn call(&self, request: &RawRequest) -> Result<Body> {
        attached(|py| self.run(py, request))
    }
}
