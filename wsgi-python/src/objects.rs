//! The objects of an environ, which serve one request after another.
//!
//! To make them anew costs as much as the rest of an environ. They are used again if the application has kept none of them.

use std::sync::Arc;

use pyo3::ffi::Py_ssize_t;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use crate::ffi;
use crate::input::Input;
use crate::response::{Exchange, Response};

/// What the environ of one request at a time refers to. A drop leaves the objects to their request.
pub(crate) struct Objects {
    exchange: Py<Exchange>,
    start_response: Py<PyAny>,
    write: Py<PyAny>,
    input: Py<Input>,
    early_hints: Py<PyAny>,
    hooks: Py<PyList>,
    /// The numbers of references when no application has one.
    references: [Py_ssize_t; 6],
}

/// The names under which the objects are in the variables.
fn names(py: Python<'_>) -> [&Bound<'_, PyString>; 6] {
    [
        intern!(py, "wsgi.input"),
        intern!(py, "eventlet.input"),
        intern!(py, "eventlet.posthooks"),
        intern!(py, "wsgi.early_hints"),
        intern!(py, "wsgi_python.client_gone"),
        intern!(py, "wsgi_python.exchange"),
    ]
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
        };
        let values = [
            objects.input.bind(py).as_any(),
            objects.input.bind(py).as_any(),
            objects.hooks.bind(py).as_any(),
            objects.early_hints.bind(py),
            objects.exchange.bind(py).as_any(),
            objects.exchange.bind(py).as_any(),
        ];
        for (name, value) in names(py).into_iter().zip(values) {
            variables.set_item(name, value)?;
        }
        objects.references = objects.count(py);
        objects.exchange.get().begin(response, objects.write.clone_ref(py));
        Ok(objects)
    }

    /// Uses the objects, whose last request [has ended](Self::end), for another one; `None` if somebody has got one since.
    pub(crate) fn begin(self, py: Python<'_>, response: &Arc<Response>) -> Option<Self> {
        if !self.is_free(py) {
            return None;
        }
        self.exchange.get().begin(Arc::clone(response), self.write.clone_ref(py));
        Some(self)
    }

    /// Ends the request of these objects, if its environ is gone and nothing else refers to them. Otherwise, they are taken
    /// from `variables` and left to their request: a thread that waits for its next one keeps nothing of the last.
    ///
    /// A weak reference does not count. Only functions have those, and no application has a use for one to `start_response`.
    pub(crate) fn end(self, variables: &Bound<'_, PyDict>) -> PyResult<Option<Self>> {
        let py = variables.py();
        drop(self.exchange.get().take_write());
        if self.is_free(py) {
            self.exchange.get().end();
            return Ok(Some(self));
        }
        for name in names(py) {
            variables.set_item(name, py.None())?;
        }
        Ok(None)
    }

    fn is_free(&self, py: Python<'_>) -> bool {
        self.count(py) == self.references && self.hooks.bind(py).is_empty()
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

impl Drop for Objects {
    fn drop(&mut self) {
        // Otherwise the exchange and its method would refer to each other.
        drop(self.exchange.get().take_write());
    }
}
