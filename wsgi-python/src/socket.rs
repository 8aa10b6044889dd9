//! A connection that the application takes over from HTTP.

use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PySlice};
use wsgi_std::{Address, SendError, Stream};

use crate::response::Exchange;

/// The largest number of bytes that one call receives.
const LARGEST: usize = 1024 * 1024;

/// The connection of a request, as a socket. The first call that sends or receives ends HTTP on the connection.
#[pyclass(frozen, module = "wsgi_python")]
pub(crate) struct Socket {
    exchange: Py<Exchange>,
    state: Mutex<State>,
    timeout: Mutex<Option<Duration>>,
}

enum State {
    /// The connection still speaks HTTP.
    Http,
    Taken(Arc<Stream>),
    Closed,
}

impl Socket {
    pub(crate) fn new(exchange: &Bound<'_, Exchange>) -> Self {
        Self {
            exchange: exchange.clone().unbind(),
            state: Mutex::new(State::Http),
            timeout: Mutex::new(None),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, which is taken over by the first call.
    fn stream(&self) -> PyResult<Arc<Stream>> {
        match &*self.state() {
            State::Http => {}
            State::Taken(stream) => return Ok(Arc::clone(stream)),
            State::Closed => return Err(PyOSError::new_err((9, "the socket is closed"))), // EBADF
        }
        let exchange = self.exchange.get();
        // Not under the lock: it waits until what was sent before is transmitted.
        let request = exchange.request();
        let taken = match exchange.is_started().then(|| request.take_over()) {
            Some(Ok(stream)) => Ok(stream),
            // The application sends its own answer.
            None | Some(Err(SendError::NotSwitching)) => request.take_over_unanswered(),
            Some(Err(error)) => Err(error),
        };
        let stream = Arc::new(taken.map_err(|error| PyOSError::new_err(error.to_string()))?);
        exchange.set_taken();
        set_timeout(&stream, *self.timeout());
        *self.state() = State::Taken(Arc::clone(&stream));
        Ok(stream)
    }

    fn timeout(&self) -> MutexGuard<'_, Option<Duration>> {
        self.timeout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The exception of a call that failed.
    fn failed(&self, error: io::Error) -> PyErr {
        if error.kind() == io::ErrorKind::TimedOut && *self.timeout() == Some(Duration::ZERO) {
            return io::Error::from(io::ErrorKind::WouldBlock).into();
        }
        error.into()
    }

    fn receive(&self, size: usize) -> PyResult<Vec<u8>> {
        let mut space = vec![0; size.min(LARGEST)];
        let count = (&*self.stream()?).read(&mut space).map_err(|error| self.failed(error))?;
        space.truncate(count);
        Ok(space)
    }
}

#[pymethods]
impl Socket {
    /// Receives bytes as soon as there are any, at most `size`; empty if the client has closed its half.
    #[pyo3(signature = (size, flags=0, /))]
    fn recv<'py>(&self, py: Python<'py>, size: usize, flags: i32) -> PyResult<Bound<'py, PyBytes>> {
        let _ = flags;
        Ok(PyBytes::new(py, &self.receive(size)?))
    }

    /// Receives bytes into a writable buffer, and returns their number.
    #[pyo3(signature = (buffer, nbytes=0, flags=0, /))]
    fn recv_into(
        &self,
        py: Python<'_>,
        buffer: &Bound<'_, PyAny>,
        nbytes: usize,
        flags: i32,
    ) -> PyResult<usize> {
        let _ = flags;
        let view = writable(py, buffer)?;
        let size = if nbytes == 0 { view.len()? } else { nbytes.min(view.len()?) };
        let bytes = self.receive(size)?;
        view.set_item(PySlice::new(py, 0, bytes.len() as isize, 1), PyBytes::new(py, &bytes))?;
        Ok(bytes.len())
    }

    /// Sends all of `data`, and returns its length.
    #[pyo3(signature = (data, flags=0, /))]
    fn send(&self, py: Python<'_>, data: &Bound<'_, PyAny>, flags: i32) -> PyResult<usize> {
        let _ = flags;
        let stream = self.stream()?;
        let data = match data.cast::<PyBytes>() {
            Ok(data) => data.clone(),
            Err(_) => {
                let view = py.import("builtins")?.getattr("memoryview")?.call1((data,))?;
                view.call_method0("tobytes")?.cast_into::<PyBytes>()?
            }
        };
        (&*stream).write_all(data.as_bytes()).map_err(|error| self.failed(error))?;
        Ok(data.as_bytes().len())
    }

    /// Sends all of `data`.
    #[pyo3(signature = (data, flags=0, /))]
    fn sendall(&self, py: Python<'_>, data: &Bound<'_, PyAny>, flags: i32) -> PyResult<()> {
        self.send(py, data, flags).map(drop)
    }

    /// Closes the sending half.
    #[pyo3(signature = (how=1, /))]
    fn shutdown(&self, how: i32) -> PyResult<()> {
        let _ = how;
        let stream = match &*self.state() {
            State::Taken(stream) => Arc::clone(stream),
            State::Http | State::Closed => return Ok(()),
        };
        Ok(stream.shutdown()?)
    }

    /// Closes the connection. A connection that still speaks HTTP is not affected.
    fn close(&self) {
        let before = {
            let mut state = self.state();
            match &*state {
                State::Http => return,
                _ => std::mem::replace(&mut *state, State::Closed),
            }
        };
        if let State::Taken(stream) = before {
            // Its error does not matter: the connection closes in any case.
            let _ = stream.shutdown();
        }
    }

    /// The address of the client: a pair, or an empty string for a unix socket.
    fn getpeername<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        address(py, self.exchange.get().request().endpoints().remote)
    }

    /// The address that the client has connected to: a pair, or an empty string for a unix socket.
    fn getsockname<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        address(py, self.exchange.get().request().endpoints().local)
    }

    /// The descriptor, for selectors; this ends HTTP on the connection. `OSError` over TLS.
    fn fileno(&self) -> PyResult<i32> {
        let stream = self.stream()?;
        let descriptor = stream.descriptor().map(|descriptor| descriptor.as_raw_fd());
        descriptor.ok_or_else(|| PyOSError::new_err("a connection with TLS has no descriptor"))
    }

    /// The time limit of each call in seconds; `None` if there is none.
    fn gettimeout(&self) -> Option<f64> {
        self.timeout().map(|timeout| timeout.as_secs_f64())
    }

    /// Limits the time of each call, in seconds: a call that takes longer raises `TimeoutError`. `None` is no limit, and 0
    /// does not wait (`BlockingIOError`).
    #[pyo3(signature = (timeout, /))]
    fn settimeout(&self, timeout: Option<f64>) -> PyResult<()> {
        let timeout = timeout.map(Duration::try_from_secs_f64).transpose();
        let timeout = timeout.map_err(|error| PyValueError::new_err(error.to_string()))?;
        *self.timeout() = timeout;
        if let State::Taken(stream) = &*self.state() {
            set_timeout(stream, timeout);
        }
        Ok(())
    }

    /// `settimeout(None)` or `settimeout(0)`.
    #[pyo3(signature = (flag, /))]
    fn setblocking(&self, flag: bool) -> PyResult<()> {
        self.settimeout(if flag { None } else { Some(0.0) })
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_args))]
    fn __exit__(&self, _args: &Bound<'_, PyAny>) {
        self.close();
    }
}

fn set_timeout(stream: &Stream, timeout: Option<Duration>) {
    stream.set_read_timeout(timeout);
    stream.set_write_timeout(timeout);
}

/// A view on the bytes of a writable buffer.
pub(crate) fn writable<'py>(py: Python<'py>, buffer: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    py.import("builtins")?.getattr("memoryview")?.call1((buffer,))?.call_method1("cast", ("B",))
}

fn address(py: Python<'_>, address: Address) -> PyResult<Bound<'_, PyAny>> {
    match address {
        Address::Ip(address) => Ok((address.ip().to_string(), address.port()).into_pyobject(py)?.into_any()),
        Address::Local => Ok("".into_pyobject(py)?.into_any()),
    }
}
