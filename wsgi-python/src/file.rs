//! `wsgi.file_wrapper`: files that the system sends itself.

use std::fs::File;

use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use wsgi_std::Body;

use crate::calls;
use crate::ffi;
use crate::response::Response;

/// An iterable over the blocks of a file (PEP 3333). The server sends a regular file without reading it into memory.
#[pyclass(frozen, module = "wsgi_python")]
#[derive(Debug)]
pub(crate) struct FileWrapper {
    #[pyo3(get)]
    filelike: Py<PyAny>,
    #[pyo3(get)]
    blksize: usize,
}

#[pymethods]
impl FileWrapper {
    #[new]
    #[pyo3(signature = (filelike, blksize=65536))]
    fn new(filelike: Py<PyAny>, blksize: usize) -> Self {
        Self { filelike, blksize }
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let read = self.filelike.bind(py).getattr(pyo3::intern!(py, "read"))?;
        let block = calls::call(&read, &(self.blksize,).into_pyobject(py)?, None)?;
        if block.is_truthy()? { Ok(block) } else { Err(PyStopIteration::new_err(())) }
    }

    /// Closes the file, if it has `close`.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        match self.filelike.bind(py).getattr_opt(pyo3::intern!(py, "close"))? {
            Some(close) => calls::call(&close, &PyTuple::empty(py), None).map(drop),
            None => Ok(()),
        }
    }
}

impl FileWrapper {
    /// The file as a body, from its position on; `None` if only its `read` knows its bytes.
    pub(crate) fn body(&self, py: Python<'_>, response: &Response) -> PyResult<Option<Body>> {
        let Some(file) = regular(self.filelike.bind(py))? else { return Ok(None) };
        let Ok(position) = file.call_method0("tell").and_then(|position| position.extract::<u64>()) else {
            return Ok(None);
        };
        let descriptor: i32 = file.call_method0("fileno")?.extract()?;
        let copy = File::from(ffi::duplicate(descriptor)?);
        let length = match copy.metadata() {
            Ok(metadata) if metadata.is_file() => metadata.len(),
            _ => return Ok(None),
        };
        let end = match response.length() {
            Some(length_sent) => length.min(position.saturating_add(length_sent)),
            None => length,
        };
        Ok(Body::file(copy, position.min(end)..end).ok())
    }
}

/// The file behind `filelike`, if its descriptor has the same bytes as its `read`. Others have a descriptor, too: that of
/// a `GzipFile` is compressed.
fn regular<'py>(filelike: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = filelike.py();
    let io = py.import(pyo3::intern!(py, "io"))?;
    let raw = io.getattr(pyo3::intern!(py, "FileIO"))?;
    let temporary = filelike.get_type().name()? == "_TemporaryFileWrapper";
    let file = if temporary { filelike.getattr("file")? } else { filelike.clone() };
    if file.get_type().is(&raw) {
        return Ok(Some(file));
    }
    for buffered in ["BufferedReader", "BufferedRandom"] {
        if file.get_type().is(&io.getattr(buffered)?) && file.getattr("raw")?.get_type().is(&raw) {
            if buffered == "BufferedRandom" {
                file.call_method0("flush")?;
            }
            return Ok(Some(file));
        }
    }
    Ok(None)
}
