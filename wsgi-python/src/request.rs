//! The environ of a request: a copy of what is the same for all requests, then the variables of this one.
//!
//! The variables are those of [`Variables`](wsgi_app::adapter::raw::Variables), made straight from the bytes of the head by
//! `last`.

use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::file::FileWrapper;
use crate::last::{self, Common, Environ};
use crate::raw_headers::RawHeaders;
use crate::response::Response;
use crate::socket::Socket;

/// The variables that every request has, besides those of its fields, whatever is configured.
const ALWAYS: [&str; 16] = [
    "REQUEST_METHOD",
    "SCRIPT_NAME",
    "PATH_INFO",
    "RAW_PATH_INFO",
    "SERVER_PROTOCOL",
    "SERVER_NAME",
    "SERVER_PORT",
    "REMOTE_ADDR",
    "REMOTE_PORT",
    "GATEWAY_INTERFACE",
    "wsgi.input",
    "wsgi.early_hints",
    "eventlet.input",
    "eventlet.posthooks",
    "wsgi_python.client_gone",
    "wsgi_python.exchange",
];

/// The variables that are the same for every request of a server: the defaults, then those of the option `environ`.
pub(crate) struct Base {
    common: Common,
    /// Adds `headers_raw`, whose name and type PEP 3333 does not allow together.
    eventlet: bool,
}

impl Base {
    /// # Errors
    ///
    /// `TypeError` for a name that is not `str`.
    pub(crate) fn new(
        py: Python<'_>,
        configured: Option<&Bound<'_, PyDict>>,
        multithread: bool,
        eventlet: bool,
    ) -> PyResult<Self> {
        let base = PyDict::new(py);
        // A value that is replaced costs less than one that is added.
        for name in ALWAYS {
            base.set_item(PyString::intern(py, name), py.None())?;
        }
        base.set_item(intern!(py, "wsgi.version"), (1, 0))?;
        base.set_item(intern!(py, "wsgi.errors"), py.import("sys")?.getattr("stderr")?)?;
        base.set_item(intern!(py, "wsgi.multithread"), multithread)?;
        base.set_item(intern!(py, "wsgi.multiprocess"), false)?;
        base.set_item(intern!(py, "wsgi.run_once"), false)?;
        base.set_item(intern!(py, "wsgi.input_terminated"), true)?;
        base.set_item(intern!(py, "wsgi.url_scheme"), intern!(py, "http"))?;
        base.set_item(intern!(py, "wsgi.file_wrapper"), py.get_type::<FileWrapper>())?;
        base.set_item(intern!(py, "eventlet.set_idle"), pyo3::wrap_pyfunction!(set_idle, py)?)?;
        base.set_item(intern!(py, "QUERY_STRING"), "")?;
        let value = |name: &str| match configured {
            Some(configured) => Ok::<_, PyErr>(configured.get_item(name)?.map(Bound::unbind)),
            None => Ok(None),
        };
        let has = |name: &str| configured.map_or(Ok(false), |configured| configured.contains(name));
        if let Some(configured) = configured {
            for (name, value) in configured {
                let name = name.cast::<PyString>().map_err(|_| {
                    let kind = crate::settings::kind(&name);
                    pyo3::exceptions::PyTypeError::new_err(format!(
                        "a name in environ must be str, not {kind}"
                    ))
                })?;
                if !ALWAYS.contains(&&*name.to_string_lossy()) {
                    base.set_item(name, value)?;
                }
            }
            // It would be wrong for a request without the field.
            if base.contains("CONTENT_LENGTH")? {
                base.del_item("CONTENT_LENGTH")?;
            }
        }
        // eventlet: the application is at the root, whatever is configured.
        base.set_item(intern!(py, "SCRIPT_NAME"), "")?;
        base.set_item(intern!(py, "GATEWAY_INTERFACE"), "CGI/1.1")?;
        Ok(Self {
            common: Common {
                variables: base.unbind(),
                has_scheme: has("wsgi.url_scheme")?,
                has_https: has("HTTPS")?,
                server: [value("SERVER_NAME")?, value("SERVER_PORT")?],
            },
            eventlet,
        })
    }

    /// Makes the environ of a request, and its `start_response`.
    pub(crate) fn environ<'py>(&self, py: Python<'py>, response: &Arc<Response>) -> PyResult<Environ<'py>> {
        let head = response.request().head();
        let environ = last::environ(py, &self.common, response)?;
        if self.eventlet {
            let headers = RawHeaders::new(Arc::clone(head));
            environ.variables.set_item(intern!(py, "headers_raw"), headers)?;
        }
        if head.value("upgrade").is_some() {
            let socket = Socket::new(&environ.exchange);
            environ.variables.set_item(intern!(py, "werkzeug.socket"), socket)?;
        }
        Ok(environ)
    }
}

/// eventlet: marks the request as idle, so that a stop cuts it. Here a stop waits for every request, and `graceful_timeout`
/// bounds the wait.
#[pyfunction]
fn set_idle() {}
