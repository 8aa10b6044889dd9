//! The iterable that the application returns, as a body.

use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt, PyIterator, PyList, PyString, PyTuple};
use wsgi_std::{Body, Bytes, SendError};

use crate::calls;
use crate::failure::{self, Failure};
use crate::ffi;
use crate::file::FileWrapper;
use crate::hooks;
use crate::response::{Response, shared};
use crate::settings::kind;
use crate::threads::attached;

const NOT_BYTES: &str = "the items of the application's iterable must be bytes";

/// Sends the result of an application as far as it is in memory. Returns the rest.
pub(crate) fn from_result<'py>(
    result: Bound<'py, PyAny>,
    response: &Arc<Response>,
    variables: &Bound<'py, PyDict>,
) -> Result<Body, Failure> {
    let body = sent(&result, response, variables);
    calls::release(result);
    body
}

fn sent<'py>(
    result: &Bound<'py, PyAny>,
    response: &Arc<Response>,
    variables: &Bound<'py, PyDict>,
) -> Result<Body, Failure> {
    if response.is_taken() {
        drop(Closing::new(result, response));
        hooks::add(response, variables, false);
        return Ok(Body::empty());
    }
    if let Ok(list) = result.cast_exact::<PyList>() {
        hooks::add(response, variables, false);
        return whole(list, response);
    }
    if let Ok(tuple) = result.cast_exact::<PyTuple>() {
        hooks::add(response, variables, false);
        return whole(&tuple.to_list(), response);
    }
    // Its `close` is called from here on, whatever happens.
    let closing = Closing::new(result, response);
    if let Ok(wrapper) = result.cast::<FileWrapper>()
        && let Some(body) = wrapper.get().body(result.py(), response)?
    {
        response.request().add_post_hook(move |_| drop(closing));
        hooks::add(response, variables, false);
        return Ok(body);
    }
    iterated(result, closing, response, variables)
}

fn iterated<'py>(
    result: &Bound<'py, PyAny>,
    closing: Closing,
    response: &Arc<Response>,
    variables: &Bound<'py, PyDict>,
) -> Result<Body, Failure> {
    if (result.is_instance_of::<PyString>() || result.is_instance_of::<PyBytes>()) && result.len()? > 0 {
        // Their items are characters and numbers.
        let kind = kind(result);
        let error =
            PyTypeError::new_err(format!("the application must return an iterable of bytes, not {kind}"));
        return Err(error.into());
    }
    let iterator = calls::iterator(result)?;
    let body = stepped(&iterator, closing, response, variables);
    calls::release(iterator);
    body
}

/// Sends the first blocks. Returns the others.
fn stepped<'py>(
    iterator: &Bound<'py, PyIterator>,
    closing: Closing,
    response: &Arc<Response>,
    variables: &Bound<'py, PyDict>,
) -> Result<Body, Failure> {
    let py = iterator.py();
    if let Some(size) = variables.get_item(intern!(py, "eventlet.minimum_write_chunk_size"))? {
        let size = py.get_type::<PyInt>().call1((size,))?.extract()?;
        response.request().with(|mut exchange| exchange.set_minimum_chunk_size(size));
    }
    // It may call `start_response` in its first step.
    let first = next(iterator)?;
    let Some(mut first) = first else {
        hooks::add(response, variables, false);
        return Ok(Body::empty());
    };
    if response.length() == Some(first.as_bytes().len() as u64) && response.is_started() {
        // That is all: the server need not ask for more (PEP 3333).
        hooks::add(response, variables, false);
        drop(closing);
        return Ok(shared(first).into());
    }
    hooks::add(response, variables, true);
    // Even if blocks are joined, the length is that of a stream.
    response.request().with(|mut exchange| exchange.leave_length_open());
    let mut blocks = Blocks { iterator: Some(iterator.clone().unbind()), closing, first: None, over: false };
    // It costs less to send blocks here than as a body, which the server has to do when the client is slow.
    while response.is_started() {
        match response.request().send_soon(first.as_bytes()) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => return Err(Failure::Send(error)),
        }
        match blocks.next_bytes(py) {
            Some(Ok(block)) => first = block,
            other => {
                blocks.first = other.map(|block| block.map(shared));
                return Ok(Body::iterator(blocks));
            }
        }
    }
    blocks.first = Some(Ok(shared(first)));
    Ok(Body::iterator(blocks))
}

/// Sends blocks as one if they are small, otherwise returns them as a body.
fn whole(blocks: &Bound<'_, PyList>, response: &Arc<Response>) -> Result<Body, Failure> {
    let request = response.request();
    if blocks.len() == 1 {
        let block = checked(blocks.get_item(0)?)?;
        let bytes = block.as_bytes();
        if bytes.len() > SMALL {
            return Ok(shared(block).into());
        }
        return match request.with(|mut exchange| exchange.send_whole(bytes)) {
            Some(Err(SendError::Full)) => Ok(shared(block).into()),
            Some(Err(error)) => Err(Failure::Send(error)),
            // Without an exchange, other threads have ended it.
            Some(Ok(())) | None => Ok(Body::empty()),
        };
    }
    if let Some(joined) = ffi::joined(blocks, SMALL) {
        let sent = request.with(|mut exchange| {
            // Blocks of a response that was begun by `write` may be chunks.
            if exchange.head_is_sent() { Err(SendError::Full) } else { exchange.send_whole(&*joined) }
        });
        match sent {
            Some(Err(SendError::Full)) => {}
            Some(Err(error)) => return Err(Failure::Send(error)),
            Some(Ok(())) | None => return Ok(Body::empty()),
        }
    }
    let blocks: Vec<_> = blocks.iter().map(|block| checked(block).map(shared)).collect::<PyResult<_>>()?;
    Ok(Body::blocks(blocks))
}

fn checked(block: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyBytes>> {
    block
        .cast_into()
        .map_err(|error| PyTypeError::new_err(format!("{NOT_BYTES}, not {}", kind(&error.into_inner()))))
}

/// Larger bodies are not copied, in bytes.
const SMALL: usize = 16 * 1024;

/// The next block that is not empty.
fn next<'py>(iterator: &Bound<'py, PyIterator>) -> PyResult<Option<Bound<'py, PyBytes>>> {
    while let Some(block) = calls::next(iterator)? {
        let block = checked(block)?;
        // PEP 3333 allows empty blocks; they would end a chunked body.
        if !block.as_bytes().is_empty() {
            return Ok(Some(block));
        }
    }
    Ok(None)
}

/// The blocks of an iterable.
struct Blocks {
    iterator: Option<Py<PyIterator>>,
    closing: Closing,
    first: Option<wsgi_std::Result<Bytes>>,
    over: bool,
}

impl Blocks {
    fn next_bytes<'py>(&mut self, py: Python<'py>) -> Option<wsgi_std::Result<Bound<'py, PyBytes>>> {
        if self.over {
            return None;
        }
        let block = next(self.iterator.as_ref()?.bind(py));
        self.over = !matches!(block, Ok(Some(_)));
        let block = block.map_err(|error| {
            let failure = failure::of_body(py, &self.closing.response, &error);
            calls::release_error(py, error);
            failure
        });
        block.transpose()
    }
}

impl Iterator for Blocks {
    type Item = wsgi_std::Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        self.first.take().or_else(|| attached(|py| self.next_bytes(py).map(|block| block.map(shared))))
    }
}

/// Drops the iterable at once, so that `close` and finalizers run in their order.
impl Drop for Blocks {
    fn drop(&mut self) {
        attached(|py| {
            self.closing.close(py);
            self.iterator.take().into_iter().for_each(|iterator| calls::release(iterator.into_bound(py)));
        });
    }
}

/// Calls `close` of an iterable once, when it is dropped at the latest.
struct Closing {
    result: Option<Py<PyAny>>,
    response: Arc<Response>,
}

impl Closing {
    fn new(result: &Bound<'_, PyAny>, response: &Arc<Response>) -> Self {
        Self { result: Some(result.clone().unbind()), response: Arc::clone(response) }
    }

    fn close(&mut self, py: Python<'_>) {
        let Some(result) = self.result.take() else { return };
        let result = result.into_bound(py);
        let closed = match calls::attribute(&result, intern!(py, "close")) {
            Ok(Some(close)) => calls::call(&close, &PyTuple::empty(py), None).map(drop),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = closed {
            failure::log(py, self.response.request(), &error);
            calls::release_error(py, error);
        }
        calls::release(result);
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        if self.result.is_some() {
            attached(|py| self.close(py));
        }
    }
}
