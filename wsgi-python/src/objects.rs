//! The objects of an environ, which serve one request after another.
//!
//! To make them anew costs as much as the rest of an environ. They are used again if the application has kept none of them.

use std::mem;
use std::sync::Arc;

use pyo3::ffi::Py_ssize_t;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::ffi;
use crate::input::Input;
use crate::response::{Exchange, Response};

/// What the environ of one request at a time refers to.
pub(crate) struct Objects {
    exchange: Py<Exchange>,
    start_response: Py<PyAny>,
    write: Py<PyAny>,
    input: Py<Input>,
    early_hints: Py<PyAny>,
    hooks: Py<PyList>,
    /// The numbers of references when no application has one.
    references: [Py_ssize_t; 6],
    is_free: bool,
}

impl Objects {
    /// Makes the objects for a request, and adds them to `variables`.
    pub(crate) fn new(
        py: Python<'_>,
        response: Arc<Response>,
        variables: &Bound<'_, PyDict>,
    ) -> PyResult<Self> {
        let exchange = Bound::new(py, Exchange::default())?;
        let mut objects = Self {
            start_response: exchange.getattr(intern!(py, "start_response"))?.unbind(),
            write: exchange.getattr(intern!(py, "write"))?.unbind(),
            input: Py::new(py, Input::new(&exchange))?,
            early_hints: exchange.getattr(intern!(py, "early_hints"))?.unbind(),
            hooks: PyList::empty(py).unbind(),
            exchange: exchange.unbind(),
            references: [0; 6],
            is_free: false,
        };
        variables.set_item(intern!(py, "wsgi.input"), &objects.input)?;
        variables.set_item(intern!(py, "eventlet.input"), &objects.input)?;
        variables.set_item(intern!(py, "eventlet.posthooks"), &objects.hooks)?;
        variables.set_item(intern!(py, "wsgi.early_hints"), &objects.early_hints)?;
        variables.set_item(intern!(py, "wsgi_python.client_gone"), &objects.exchange)?;
        variables.set_item(intern!(py, "wsgi_python.exchange"), &objects.exchange)?;
        objects.references = objects.count(py);
        objects.exchange.get().begin(response, objects.write.clone_ref(py));
        Ok(objects)
    }

    /// Uses the objects for another request; `None` if they may still belong to the last one.
    pub(crate) fn begin(mut self, py: Python<'_>, response: &Arc<Response>) -> Option<Self> {
        if !mem::take(&mut self.is_free) {
            self.leave();
            return None;
        }
        self.exchange.get().begin(Arc::clone(response), self.write.clone_ref(py));
        Some(self)
    }

    /// Leaves the objects to their request. It has to be called before they are dropped.
    pub(crate) fn leave(self) {
        drop(self.exchange.get().take_write());
    }

    /// Ends the request of these objects, if its environ is gone and nothing else refers to them.
    ///
    /// A weak reference does not count. Only functions have those, and no application has a use for one to `start_response`.
    pub(crate) fn end(&mut self, py: Python<'_>) {
        drop(self.exchange.get().take_write());
        self.is_free = self.count(py) == self.references && self.hooks.bind(py).is_empty();
        if self.is_free {
            self.exchange.get().end();
        }
    }

    pub(crate) fn exchange<'a, 'py>(&'a self, py: Python<'py>) -> &'a Bound<'py, Exchange> {
        self.exchange.bind(py)
    }

    pub(crate) fn start_response<'a, 'py>(&'a self, py: Python<'py>) -> &'a Bound<'py, PyAny> {
        self.start_response.bind(py)
    }

    fn count(&self, py: Python<'_>) -> [Py_ssize_t; 6] {
        [
            self.exchange.bind(py).as_any(),
            self.start_response.bind(py),
            self.write.bind(py),
            self.input.bind(py).as_any(),
            self.early_hints.bind(py),
            self.hooks.bind(py).as_any(),
        ]
        .map(ffi::references)
    }
}
