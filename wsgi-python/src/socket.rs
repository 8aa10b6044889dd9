//! A connection that the application takes over from HTTP.

use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
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
    /// Over TLS, once `fileno` was called: where the decrypted bytes arrive.
    decrypted: Mutex<Option<Arc<UnixStream>>>,
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
            decrypted: Mutex::new(None),
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
        let response = self.exchange.get().response()?;
        // Not under the lock: it waits until what was sent before is transmitted.
        let request = response.request();
        let taken = match response.is_started().then(|| request.take_over()) {
            Some(Ok(stream)) => Ok(stream),
            // The application sends its own answer.
            None | Some(Err(SendError::NotSwitching)) => request.take_over_unanswered(),
            Some(Err(error)) => Err(error),
        };
        let stream = Arc::new(taken.map_err(|error| PyOSError::new_err(error.to_string()))?);
        response.set_taken();
        self.set_timeouts(&stream)?;
        *self.state() = State::Taken(Arc::clone(&stream));
        Ok(stream)
    }

    fn timeout(&self) -> MutexGuard<'_, Option<Duration>> {
        self.timeout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The exception of a call that failed.
    fn failed(&self, error: io::Error) -> PyErr {
        match (error.kind(), *self.timeout()) {
            (io::ErrorKind::TimedOut, Some(Duration::ZERO)) => {
                io::Error::from(io::ErrorKind::WouldBlock).into()
            }
            // What the socket of the decrypted bytes returns after its time limit.
            (io::ErrorKind::WouldBlock, Some(timeout)) if !timeout.is_zero() => {
                io::Error::new(io::ErrorKind::TimedOut, "timed out").into()
            }
            _ => error.into(),
        }
    }

    fn receive(&self, py: Python<'_>, size: usize) -> PyResult<Vec<u8>> {
        let mut space = vec![0; size.min(LARGEST)];
        let stream = self.stream()?;
        let count = match self.decrypted() {
            Some(decrypted) => loop {
                match py.detach(|| (&*decrypted).read(&mut space)) {
                    // PEP 475: the handler of the signal runs, and the call continues unless it raises an exception.
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => py.check_signals()?,
                    read => break read,
                }
            },
            None => (&*stream).read(&mut space),
        };
        space.truncate(count.map_err(|error| self.failed(error))?);
        Ok(space)
    }

    fn decrypted(&self) -> Option<Arc<UnixStream>> {
        self.decrypted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The descriptor of a connection with TLS: that of a socket to which a thread moves the decrypted bytes. The descriptor
    /// of the connection itself would not show those that are decrypted and not read yet.
    fn decrypting(&self, stream: &Arc<Stream>) -> PyResult<i32> {
        let mut decrypted = self.decrypted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(decrypted) = &*decrypted {
            return Ok(decrypted.as_raw_fd());
        }
        let (ours, theirs) = UnixStream::pair()?;
        let (ours, stream_read) = (Arc::new(ours), Arc::clone(stream));
        let open = Arc::downgrade(&ours);
        let descriptor = ours.as_raw_fd();
        stream.set_read_timeout(Some(TICK));
        thread::Builder::new()
            .name("wsgi-decrypt".into())
            .spawn(move || decrypt(&stream_read, &theirs, &open))?;
        *decrypted = Some(ours);
        drop(decrypted);
        self.set_timeouts(stream)?;
        Ok(descriptor)
    }

    fn set_timeouts(&self, stream: &Stream) -> PyResult<()> {
        let timeout = *self.timeout();
        stream.set_write_timeout(timeout);
        match self.decrypted() {
            // The standard library refuses zero.
            Some(decrypted) => {
                decrypted.set_read_timeout(timeout.filter(|timeout| !timeout.is_zero()))?;
                decrypted.set_nonblocking(timeout == Some(Duration::ZERO))?;
            }
            None => stream.set_read_timeout(timeout),
        }
        Ok(())
    }
}

#[pymethods]
impl Socket {
    /// Receives bytes as soon as there are any, at most `size`; empty if the client has closed its half.
    #[pyo3(signature = (size, flags=0, /))]
    fn recv<'py>(&self, py: Python<'py>, size: usize, flags: i32) -> PyResult<Bound<'py, PyBytes>> {
        let _ = flags;
        Ok(PyBytes::new(py, &self.receive(py, size)?))
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
        let bytes = self.receive(py, size)?;
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
        *self.decrypted.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if let State::Taken(stream) = before {
            // Its error does not matter: the connection closes in any case.
            let _ = stream.shutdown();
        }
    }

    /// The address of the client: a pair, or an empty string for a unix socket.
    fn getpeername<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        address(py, self.exchange.get().response()?.request().endpoints().remote)
    }

    /// The address that the client has connected to: a pair, or an empty string for a unix socket.
    fn getsockname<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        address(py, self.exchange.get().response()?.request().endpoints().local)
    }

    /// The descriptor, for selectors; this ends HTTP on the connection. It is readable when `recv` does not wait, even over
    /// TLS. Over TLS, bytes that are written to it are lost: use `send`.
    fn fileno(&self) -> PyResult<i32> {
        let stream = self.stream()?;
        let descriptor = stream.descriptor().map(|descriptor| descriptor.as_raw_fd());
        descriptor.map_or_else(|| self.decrypting(&stream), Ok)
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
        let State::Taken(stream) = &*self.state() else { return Ok(()) };
        self.set_timeouts(stream)
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

/// How long a thread that decrypts waits for the client before it checks whether the socket is still open.
const TICK: Duration = Duration::from_secs(1);

/// Moves the bytes of a connection to a socket, until either is closed.
fn decrypt(mut from: &Stream, mut to: &UnixStream, open: &Weak<UnixStream>) {
    let mut space = vec![0; 16 * 1024];
    while open.strong_count() > 0 {
        match from.read(&mut space) {
            Ok(0) => return,
            Ok(count) => {
                if to.write_all(&space[..count]).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
            Err(_) => return,
        }
    }
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
