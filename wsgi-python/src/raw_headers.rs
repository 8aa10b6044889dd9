//! `headers_raw`: the header fields as sent.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;
use wsgi_std::Head;

use crate::ffi::latin1;

/// The header fields as sent, in their order and case: a sequence of pairs, made when it is used.
#[pyclass(frozen, sequence, module = "wsgi_python")]
pub(crate) struct RawHeaders {
    head: Arc<Head>,
    pairs: PyOnceLock<Py<PyTuple>>,
}

impl RawHeaders {
    pub(crate) fn new(head: Arc<Head>) -> Self {
        Self { head, pairs: PyOnceLock::new() }
    }

    fn pairs<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyTuple>> {
        let pairs = self.pairs.get_or_try_init(py, || {
            let fields = self.head.raw_fields();
            let pairs = fields.map(|(name, value)| Ok((latin1(py, name)?, latin1(py, value)?)));
            PyTuple::new(py, pairs.collect::<PyResult<Vec<_>>>()?).map(Bound::unbind)
        });
        pairs.map(|pairs| pairs.bind(py))
    }
}

#[pymethods]
impl RawHeaders {
    fn __len__(&self) -> usize {
        self.head.raw_fields().len()
    }

    fn __getitem__<'py>(&self, py: Python<'py>, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.pairs(py)?.as_any().get_item(index)
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.pairs(py)?.as_any().try_iter()?.into_any())
    }

    fn __contains__(&self, py: Python<'_>, pair: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.pairs(py)?.as_any().contains(pair)
    }

    fn __eq__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        match other.cast::<Self>() {
            Ok(other) => self.pairs(py)?.eq(other.get().pairs(py)?),
            Err(_) => self.pairs(py)?.eq(other),
        }
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.pairs(py)?.repr()?.to_string_lossy().into_owned())
    }
}
