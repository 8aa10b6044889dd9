//! `eventlet.posthooks`: calls after the response.

use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::calls;
use crate::failure;
use crate::response::Response;
use crate::threads::attached;

/// Runs the post hooks of `variables` after the response, if there are any, or if more may be added (`late`).
pub(crate) fn add(response: &Arc<Response>, variables: &Bound<'_, PyDict>, late: bool) {
    let py = variables.py();
    let has_hooks = || match variables.get_item(intern!(py, "eventlet.posthooks")) {
        Ok(Some(hooks)) => hooks.is_truthy().unwrap_or(true),
        _ => false,
    };
    if (late || has_hooks()) && response.claim_hooks() {
        let hooked = Hooked { variables: variables.clone().unbind(), response: Arc::clone(response) };
        response.request().add_post_hook(move |_| attached(|py| hooked.run(py)));
    }
}

/// An environ whose hooks run after the response.
struct Hooked {
    variables: Py<PyDict>,
    response: Arc<Response>,
}

impl Hooked {
    fn run(self, py: Python<'_>) {
        let (variables, response) = (self.variables.into_bound(py), self.response);
        let run = || {
            // eventlet: the list that is in the environ now counts, and hooks that hooks add run as well.
            let Some(hooks) = variables.get_item(intern!(py, "eventlet.posthooks"))? else { return Ok(()) };
            for hook in hooks.try_iter()? {
                if let Err(error) = call(&hook?, &variables) {
                    failure::log(py, response.request(), &error);
                    calls::release_error(py, error);
                }
            }
            Ok::<_, PyErr>(())
        };
        if let Err(error) = run() {
            failure::log(py, response.request(), &error);
            calls::release_error(py, error);
        }
        calls::release(variables);
    }
}

/// A hook is `(function, args, kwargs)`; the environ is its first argument.
fn call<'py>(hook: &Bound<'py, PyAny>, variables: &Bound<'py, PyDict>) -> PyResult<()> {
    let (function, args, kwargs): (Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyDict>) =
        hook.extract()?;
    let arguments = PyList::empty(hook.py());
    arguments.append(variables)?;
    for argument in args.try_iter()? {
        arguments.append(argument?)?;
    }
    calls::call(&function, &arguments.to_tuple(), Some(&kwargs)).map(drop)
}
