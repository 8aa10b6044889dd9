//! `start_response`, `write`, early hints and trailers.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use pyo3::exceptions::{PyAssertionError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict, PyInt, PyList, PyString, PyTuple};
use wsgi_app::adapter::raw::RawRequest;
use wsgi_std::{Bytes, InputError, Lost, SendError, StartError};

use crate::errors;
use crate::ffi::Pair;
use crate::raw_headers::RawHeaders;
use crate::settings::kind;

/// No `Content-Length` was set.
const NO_LENGTH: u64 = u64::MAX;

/// One request and its response: what the callables in an environ share.
pub(crate) struct Response {
    request: RawRequest,
    started: AtomicBool,
    /// The `Content-Length` that the application set.
    length: AtomicU64,
    /// The connection speaks another protocol.
    taken: AtomicBool,
    /// The post hooks will run.
    hooked: AtomicBool,
    /// The first error that the client caused. Its exception is not kept: its traceback may refer to this object.
    fault: OnceLock<Fault>,
}

/// An error that the client caused.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Input(InputError),
    Lost(SendError),
}

impl Response {
    pub(crate) fn new(request: RawRequest) -> Self {
        Self {
            request,
            started: AtomicBool::new(false),
            length: AtomicU64::new(NO_LENGTH),
            taken: AtomicBool::new(false),
            hooked: AtomicBool::new(false),
            fault: OnceLock::new(),
        }
    }

    pub(crate) fn request(&self) -> &RawRequest {
        &self.request
    }

    pub(crate) fn is_started(&self) -> bool {
        self.started.load(Ordering::Relaxed)
    }

    /// Whether the response is complete or the connection was taken over.
    pub(crate) fn is_over(&self) -> bool {
        self.request.with(|_| ()).is_none()
    }

    pub(crate) fn is_taken(&self) -> bool {
        self.taken.load(Ordering::Relaxed)
    }

    pub(crate) fn set_taken(&self) {
        self.taken.store(true, Ordering::Relaxed);
    }

    /// Whether this is the first call: the post hooks run once.
    pub(crate) fn claim_hooks(&self) -> bool {
        !self.hooked.swap(true, Ordering::Relaxed)
    }

    /// The `Content-Length` that the application set.
    pub(crate) fn length(&self) -> Option<u64> {
        Some(self.length.load(Ordering::Relaxed)).filter(|length| *length != NO_LENGTH)
    }

    /// The exception of an error of `wsgi.input`.
    pub(crate) fn raise_input(&self, py: Python<'_>, error: InputError) -> PyErr {
        let _ = self.fault.set(Fault::Input(error));
        errors::exception(py, error)
    }

    /// The exception of an error of a call that sends.
    fn raise_send(&self, py: Python<'_>, error: SendError) -> PyErr {
        match error {
            SendError::Lost(_) => {
                let _ = self.fault.set(Fault::Lost(error));
                errors::disconnected(py, &error.to_string())
            }
            SendError::NotStarted => PyAssertionError::new_err(error.to_string()),
            _ => PyValueError::new_err(error.to_string()),
        }
    }

    /// The error of the client that made the application raise `error`.
    pub(crate) fn clients_fault(&self, py: Python<'_>, error: &PyErr) -> Option<wsgi_std::Error> {
        let fault = *self.fault.get().filter(|_| errors::is_fault(py, error))?;
        Some(match fault {
            Fault::Input(error) => error.into(),
            Fault::Lost(error) => error.into(),
        })
    }

    fn start(&self, status: &str, fields: &Fields<'_>, exc_info: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let started = self.request.with(|mut exchange| match exc_info {
            None => exchange.respond(status, fields.pairs()),
            Some(_) => exchange.replace(status, fields.pairs()),
        });
        match (started.unwrap_or(Err(StartError::Over)), exc_info) {
            (Ok(()), _) => {
                self.length.store(fields.length().unwrap_or(NO_LENGTH), Ordering::Relaxed);
                self.started.store(true, Ordering::Relaxed);
                Ok(())
            }
            // PEP 3333: the exception of the application, which ends it.
            (Err(StartError::HeadSent), Some(exc_info)) => Err(original(exc_info)),
            (Err(error), _) => Err(refused(error)),
        }
    }
}

/// The object with the callables of an environ.
#[pyclass(frozen, module = "wsgi_python")]
#[derive(Default)]
pub(crate) struct Exchange(Mutex<Current>);

/// What an exchange has for the present request.
#[derive(Default)]
struct Current {
    response: Option<Arc<Response>>,
    /// The method, which refers to the exchange.
    write: Option<Py<PyAny>>,
}

impl Exchange {
    /// The response of the present request.
    ///
    /// # Errors
    ///
    /// `ValueError` if the last request has ended, and none has begun.
    pub(crate) fn response(&self) -> PyResult<Arc<Response>> {
        self.lock().response()
    }

    /// Begins with a request, for which `write` is lent until [`take_write`](Self::take_write).
    pub(crate) fn begin(&self, response: Arc<Response>, write: Py<PyAny>) {
        *self.lock() = Current { response: Some(response), write: Some(write) };
    }

    /// Ends the loan, so that no cycle of references is left.
    pub(crate) fn take_write(&self) -> Option<Py<PyAny>> {
        self.lock().write.take()
    }

    /// Ends the request, whose objects nobody has any more.
    pub(crate) fn end(&self) {
        let response = self.lock().response.take();
        // Not under the lock.
        drop(response);
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Current {
    fn response(&self) -> PyResult<Arc<Response>> {
        // Whoever has got the exchange from an environ belongs to a request; a debugger has it from the heap.
        self.response.clone().ok_or_else(|| PyValueError::new_err("the request of this object has ended"))
    }
}

#[pymethods]
impl Exchange {
    /// Starts the response (PEP 3333) and returns `write`.
    #[pyo3(signature = (status, headers, exc_info=None, /))]
    fn start_response<'py>(
        slf: &Bound<'py, Self>,
        status: &Bound<'py, PyAny>,
        headers: &Bound<'py, PyAny>,
        exc_info: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let (this, write) = {
            let current = slf.get().lock();
            (current.response()?, current.write.as_ref().map(|write| write.clone_ref(py)))
        };
        if !this.is_taken() {
            let status = text(status, "a status")?;
            let fields = Fields::read(headers)?;
            this.start(&status, &fields, exc_info.filter(|exc_info| !exc_info.is_none()))?;
        }
        write.map_or_else(|| slf.getattr(intern!(py, "write")), |write| Ok(write.into_bound(py)))
    }

    /// Sends one block of the body, and waits until the system has taken it.
    fn write(&self, py: Python<'_>, block: &Bound<'_, PyAny>) -> PyResult<()> {
        let block = bytes(block, "write needs bytes")?;
        let this = self.response()?;
        if this.is_taken() {
            return Ok(());
        }
        if !this.is_started() {
            return Err(PyAssertionError::new_err("write before start_response"));
        }
        let is_dropped = loop {
            // Other threads may have filled the outbox.
            let sent = this.request.with(|mut exchange| match exchange.is_full() {
                true => None,
                false => Some(exchange.send_now(block.clone()).map(|_| exchange.drops_body())),
            });
            match sent.unwrap_or(Some(Err(SendError::Finished))) {
                Some(Ok(is_dropped)) => break is_dropped,
                Some(Err(error)) => return Err(this.raise_send(py, error)),
                None => this.request.wait_for_room(),
            }
        };
        this.request.flush();
        // Nothing is sent that could fail: an application that writes for ever would keep its thread.
        if is_dropped && this.request.is_client_gone() {
            return Err(this.raise_send(py, SendError::Lost(Lost::Aborted)));
        }
        Ok(())
    }

    /// Sends `103 Early Hints` with these header fields, and waits until the system has taken it. No effect for clients of
    /// HTTP/1.0, and after the response has begun.
    fn early_hints(&self, headers: &Bound<'_, PyAny>) -> PyResult<()> {
        let fields = Fields::read(headers)?;
        let this = self.response()?;
        let informed = this.request.with(|mut exchange| exchange.inform("103 Early Hints", fields.pairs()));
        informed.unwrap_or(Err(StartError::Over)).map_err(refused)?;
        this.request.flush();
        Ok(())
    }

    /// Sets the trailer fields of a chunked response. They replace those set before.
    fn set_trailers(&self, headers: &Bound<'_, PyAny>) -> PyResult<()> {
        let fields = Fields::read(headers)?;
        let set = self.response()?.request.with(|mut exchange| exchange.set_trailers(fields.pairs()));
        set.unwrap_or(Err(SendError::Finished)).map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// The header fields as sent, in their order and case.
    #[getter]
    fn headers_raw(&self) -> PyResult<RawHeaders> {
        Ok(RawHeaders::new(Arc::clone(self.response()?.request.head())))
    }

    /// Whether the client has disconnected, as far as that is known without waiting; also after the response.
    fn client_gone(&self) -> PyResult<bool> {
        Ok(self.response()?.request.is_client_gone())
    }

    /// A call of an exchange is `client_gone()`, so that the environ needs no further object for it.
    fn __call__(&self) -> PyResult<bool> {
        self.client_gone()
    }

    /// The variables of the request as the core of the server has them, all of them strings.
    fn variables<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let variables = PyDict::new(py);
        for (name, value) in self.response()?.request.variables().iter() {
            variables.set_item(name, value)?;
        }
        Ok(variables)
    }
}

/// The exception in `exc_info`.
fn original(exc_info: &Bound<'_, PyAny>) -> PyErr {
    match exc_info.get_item(1) {
        Ok(value) => PyErr::from_value(value),
        Err(error) => error,
    }
}

pub(crate) fn refused(error: StartError) -> PyErr {
    match error {
        StartError::AlreadyStarted => {
            PyAssertionError::new_err("start_response was called before, and this time without exc_info")
        }
        error => PyValueError::new_err(error.to_string()),
    }
}

/// Header fields as the application passed them.
pub(crate) struct Fields<'py>(Vec<Pair<'py>>);

impl<'py> Fields<'py> {
    pub(crate) fn read(headers: &Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(list) = headers.cast::<PyList>() {
            let mut pairs = Vec::with_capacity(list.len());
            for pair in list {
                pairs.push(field(&pair)?);
            }
            return Ok(Self(pairs));
        }
        if headers.is_instance_of::<PyString>() || headers.is_none() {
            return Err(PyTypeError::new_err(format!(
                "headers must be a list of pairs, not {}",
                kind(headers)
            )));
        }
        headers.try_iter()?.map(|pair| field(&pair?)).collect::<PyResult<_>>().map(Self)
    }

    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|pair| (pair.name(), pair.value()))
    }

    /// The value of `Content-Length`.
    fn length(&self) -> Option<u64> {
        let (_, value) = self.pairs().find(|(name, _)| name.eq_ignore_ascii_case(b"content-length"))?;
        std::str::from_utf8(value).ok()?.trim().parse().ok()
    }
}

fn field<'py>(pair: &Bound<'py, PyAny>) -> PyResult<Pair<'py>> {
    if let Ok(tuple) = pair.cast::<PyTuple>()
        && let Some(field) = Pair::of_ascii(tuple)
    {
        return Ok(field);
    }
    encoded(pair)
}

/// A field of other strings than ASCII, with a number, or as a list.
#[cold]
fn encoded<'py>(pair: &Bound<'py, PyAny>) -> PyResult<Pair<'py>> {
    let not_a_pair = || {
        let repr = pair.repr().map_or_else(|_| kind(pair), |repr| repr.to_string_lossy().into_owned());
        PyTypeError::new_err(format!("a header must be a pair of a name and a value, not {repr}"))
    };
    let tuple = match pair.cast::<PyTuple>() {
        Ok(tuple) => tuple.clone(),
        Err(_) if pair.is_instance_of::<PyList>() => pair.cast::<PyList>().map_err(PyErr::from)?.to_tuple(),
        Err(_) => return Err(not_a_pair()),
    };
    if tuple.len() != 2 {
        return Err(not_a_pair());
    }
    let name = latin1(tuple.get_item(0)?, "the name of a header")?;
    let value = tuple.get_item(1)?;
    // eventlet: numbers are allowed.
    let value = if value.is_instance_of::<PyInt>() { value.str()?.into_any() } else { value };
    let value = latin1(value, "the value of a header")?;
    Pair::of_bytes([name, value])
}

/// A string of an application as latin-1.
fn latin1<'py>(value: Bound<'py, PyAny>, what: &str) -> PyResult<Bound<'py, PyBytes>> {
    let text = value.cast_into::<PyString>().map_err(|error| {
        PyTypeError::new_err(format!("{what} must be str, not {}", kind(&error.into_inner())))
    })?;
    let encoded = text.call_method1(intern!(text.py(), "encode"), ("latin-1",));
    let encoded = encoded.map_err(|_| not_latin1(&text, what))?;
    Ok(encoded.cast_into::<PyBytes>()?)
}

fn text<'a>(value: &'a Bound<'_, PyAny>, what: &str) -> PyResult<Cow<'a, str>> {
    let text = value
        .cast::<PyString>()
        .map_err(|_| PyTypeError::new_err(format!("{what} must be str, not {}", kind(value))))?;
    let lossy = text.to_string_lossy();
    // A lone surrogate has become a character that is not latin-1, either.
    if !lossy.is_ascii() && lossy.chars().any(|character| character > '\u{ff}') {
        return Err(not_latin1(text, what));
    }
    Ok(lossy)
}

fn not_latin1(text: &Bound<'_, PyString>, what: &str) -> PyErr {
    let repr = text.repr().map_or_else(|_| String::new(), |repr| repr.to_string_lossy().into_owned());
    PyValueError::new_err(format!("{what} is not latin-1: {repr}"))
}

/// The content of a `bytes` object; `what` is the message for other types.
pub(crate) fn bytes(block: &Bound<'_, PyAny>, what: &str) -> PyResult<Bytes> {
    match block.cast::<PyBytes>() {
        Ok(block) => Ok(shared(block.clone())),
        Err(_) => Err(PyTypeError::new_err(format!("{what}, not {}", kind(block)))),
    }
}

/// The content of a `bytes` object, without a copy if it is large.
pub(crate) fn shared(block: Bound<'_, PyBytes>) -> Bytes {
    if block.as_bytes().len() < SHARED {
        return Bytes::copy_from_slice(block.as_bytes());
    }
    // Its drop, on any thread and under any lock, does not wait for the interpreter.
    Bytes::from_owner(PyBackedBytes::from(block))
}

/// Smaller blocks are cheaper to copy than to share, in bytes.
const SHARED: usize = 8 * 1024;
