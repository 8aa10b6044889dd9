//! `wsgi.input`.

use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyList, PyTuple};
use wsgi_std::InputError;

use crate::ffi;
use crate::response::{Exchange, Fields, Response, refused};
use crate::socket::{Socket, writable};

/// The largest block of `discard` and `readinto`, in bytes.
const BLOCK: usize = 64 * 1024;

/// The largest number of bytes for which memory is taken before they have arrived.
const AT_ONCE: usize = 1024 * 1024;

/// The body of a request.
#[pyclass(frozen, module = "wsgi_python")]
pub(crate) struct Input(Py<Exchange>);

impl Input {
    pub(crate) fn new(exchange: &Bound<'_, Exchange>) -> Self {
        Self(exchange.clone().unbind())
    }

    fn response(&self) -> PyResult<Arc<Response>> {
        self.0.get().response()
    }

    /// Runs a call that may wait for the client. The host detaches the thread for each wait.
    fn wait<R>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&wsgi_std::Input) -> Result<R, InputError>,
    ) -> PyResult<R> {
        let response = self.response()?;
        call(&response.request().input()).map_err(|error| response.raise_input(py, error))
    }

    /// Reads bytes that are known to be part of the body, without a copy between.
    fn read_exactly<'py>(&self, py: Python<'py>, size: usize) -> PyResult<Bound<'py, PyBytes>> {
        ffi::filled_bytes(py, size, |space| {
            self.wait(py, |input| {
                let mut filled = 0;
                while filled < space.len() {
                    match input.read_into(&mut space[filled..])? {
                        0 => break, // another thread reads, too
                        count => filled += count,
                    }
                }
                Ok(filled)
            })
        })
    }

    fn line<'py>(&self, py: Python<'py>, limit: usize) -> PyResult<Bound<'py, PyBytes>> {
        let line = self.wait(py, |input| input.read_line(limit))?;
        Ok(PyBytes::new(py, &line))
    }
}

#[pymethods]
impl Input {
    /// Reads `size` bytes, fewer only at the end of the body; all of the rest if `size` is negative or `None`.
    #[pyo3(signature = (size=None, /))]
    fn read<'py>(&self, py: Python<'py>, size: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyBytes>> {
        let size = limit(size)?;
        if let Some(remaining) = self.response()?.request().remaining()
            && let Some(size) =
                usize::try_from(remaining).ok().map(|all| size.map_or(all, |size| size.min(all)))
            && size <= AT_ONCE
        {
            return self.read_exactly(py, size);
        }
        let bytes = match size {
            None => self.wait(py, wsgi_std::Input::read_to_end)?,
            Some(size) => self.wait(py, |input| input.read(size))?,
        };
        Ok(PyBytes::new(py, &bytes))
    }

    /// Reads up to and including a line feed, at most `size` bytes.
    #[pyo3(signature = (size=None, /))]
    fn readline<'py>(
        &self,
        py: Python<'py>,
        size: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        self.line(py, limit(size)?.unwrap_or(usize::MAX))
    }

    /// Reads the remaining lines, until they have `hint` bytes together if it is more than 0.
    #[pyo3(signature = (hint=None, /))]
    fn readlines<'py>(
        &self,
        py: Python<'py>,
        hint: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let hint = limit(hint)?.filter(|hint| *hint > 0).unwrap_or(usize::MAX);
        let (lines, mut length) = (PyList::empty(py), 0);
        while length < hint {
            let line = self.line(py, usize::MAX)?;
            if line.as_bytes().is_empty() {
                break;
            }
            length += line.as_bytes().len();
            lines.append(line)?;
        }
        Ok(lines)
    }

    /// Reads bytes that have arrived into a writable buffer and returns their number; 0 at the end of the body.
    fn readinto(&self, py: Python<'_>, buffer: &Bound<'_, PyAny>) -> PyResult<usize> {
        let view = writable(py, buffer)?;
        let size = view.len()?.min(BLOCK);
        let bytes = self.wait(py, |input| input.read_some(size))?;
        let slice = pyo3::types::PySlice::new(py, 0, bytes.len() as isize, 1);
        view.set_item(slice, PyBytes::new(py, &bytes))?;
        Ok(bytes.len())
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let line = self.line(py, usize::MAX)?;
        Ok(Some(line).filter(|line| !line.as_bytes().is_empty()))
    }

    /// Reads and drops the rest of the body.
    #[pyo3(signature = (buffer_size=16384))]
    fn discard(&self, py: Python<'_>, buffer_size: usize) -> PyResult<()> {
        let size = buffer_size.clamp(1, BLOCK);
        self.wait(py, |input| {
            while !input.read_some(size)?.is_empty() {}
            Ok(())
        })
    }

    /// The connection itself, for another protocol than HTTP.
    fn get_socket(&self, py: Python<'_>) -> Socket {
        Socket::new(self.0.bind(py))
    }

    /// Sets the header fields of the `100 Continue` that the first read sends.
    #[pyo3(signature = (headers, capitalize_response_headers=true))]
    fn set_hundred_continue_response_headers(
        &self,
        headers: &Bound<'_, PyAny>,
        capitalize_response_headers: bool,
    ) -> PyResult<()> {
        let _ = capitalize_response_headers; // the option of the server counts
        let fields = Fields::read(headers)?;
        self.response()?
            .request()
            .input()
            .set_hundred_continue_response_headers(fields.pairs())
            .map_err(refused)
    }

    /// Sends a `100 Continue` now. It may be called several times.
    fn send_hundred_continue_response(&self) -> PyResult<()> {
        self.response()?.request().input().send_hundred_continue_response().map_err(refused)
    }

    /// Whether the client waits for a `100 Continue` that was not sent.
    #[getter]
    fn should_send_hundred_continue(&self) -> PyResult<bool> {
        Ok(self.response()?.request().input().should_send_hundred_continue())
    }

    /// The trailer fields of a chunked body, as pairs; `None` until its end was read.
    #[getter]
    fn trailers<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let Some(trailers) = self.response()?.request().input().trailers() else { return Ok(None) };
        let pairs: Vec<_> = trailers
            .fields()
            .map(|(name, value)| (name.to_owned(), wsgi_proto::latin1(value).into_owned()))
            .collect();
        PyTuple::new(py, pairs).map(Some)
    }
}

/// A number of bytes; `None` if there is no limit.
fn limit(size: Option<&Bound<'_, PyAny>>) -> PyResult<Option<usize>> {
    let Some(size) = size.filter(|size| !size.is_none()) else { return Ok(None) };
    let size = if size.is_instance_of::<PyInt>() {
        size.clone()
    } else {
        size.call_method0("__index__").map_err(|_| {
            PyTypeError::new_err(format!("the size must be int or None, not {}", crate::settings::kind(size)))
        })?
    };
    match size.extract::<i64>() {
        Ok(size) => Ok(usize::try_from(size).ok()),
        Err(_) if size.lt(0)? => Ok(None),
        Err(_) => Ok(Some(usize::MAX)),
    }
}
