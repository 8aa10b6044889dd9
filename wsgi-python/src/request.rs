//! The environ of a request: a copy of what is the same for all requests, then the variables of this one.
//!
//! The variables are those of [`Variables`](wsgi_app::adapter::raw::Variables), made straight from the bytes of the head.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::LocalKey;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};
use wsgi_proto::decode_path;
use wsgi_std::{Address, Endpoints, Scheme, Version};

use crate::ffi::latin1;
use crate::file::FileWrapper;
use crate::input::Input;
use crate::names;
use crate::raw_headers::RawHeaders;
use crate::response::Exchange;
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
    variables: Py<PyDict>,
    /// The option `environ` has this variable.
    has_scheme: bool,
    has_https: bool,
    /// The values in the option `environ`, for a transport without addresses.
    server_name: Option<Py<PyAny>>,
    server_port: Option<Py<PyAny>>,
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
            variables: base.unbind(),
            has_scheme: has("wsgi.url_scheme")?,
            has_https: has("HTTPS")?,
            server_name: value("SERVER_NAME")?,
            server_port: value("SERVER_PORT")?,
            eventlet,
        })
    }

    /// Makes the environ of the request of `exchange`.
    pub(crate) fn environ<'py>(
        &self,
        py: Python<'py>,
        exchange: &Bound<'py, Exchange>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let variables = self.variables.bind(py).copy()?;
        let request = exchange.get().request();
        let head = request.head();
        variables.set_item(intern!(py, "REQUEST_METHOD"), method(py, head.method()))?;
        let path = latin1(py, head.path())?;
        if head.path().contains(&b'%') {
            variables.set_item(intern!(py, "PATH_INFO"), PyString::new(py, &decode_path(head.path())))?;
        } else {
            variables.set_item(intern!(py, "PATH_INFO"), &path)?;
        }
        variables.set_item(intern!(py, "RAW_PATH_INFO"), path)?;
        if let Some(query) = head.query() {
            variables.set_item(intern!(py, "QUERY_STRING"), latin1(py, query)?)?;
        }
        let version = match head.version() {
            Version::Http10 => intern!(py, "HTTP/1.0"),
            _ => intern!(py, "HTTP/1.1"),
        };
        variables.set_item(intern!(py, "SERVER_PROTOCOL"), version)?;
        if request.endpoints().scheme == Scheme::Https {
            if !self.has_scheme {
                variables.set_item(intern!(py, "wsgi.url_scheme"), intern!(py, "https"))?;
            }
            if !self.has_https {
                variables.set_item(intern!(py, "HTTPS"), intern!(py, "on"))?;
            }
        }
        let peer = request.connection_value(|| Peer::new(py, request.endpoints()));
        peer.map_or(Ok(()), |peer| self.add_addresses(py, peer, &variables))?;
        if let Some(host) = head.host() {
            variables.set_item(intern!(py, "HTTP_HOST"), latin1(py, host)?)?;
        }
        names::add_fields(py, request, &variables)?;
        let input = Bound::new(py, Input::new(exchange))?;
        variables.set_item(intern!(py, "wsgi.input"), &input)?;
        variables.set_item(intern!(py, "eventlet.input"), input)?;
        variables.set_item(intern!(py, "eventlet.posthooks"), PyList::empty(py))?;
        if self.eventlet {
            variables.set_item(intern!(py, "headers_raw"), RawHeaders::new(Arc::clone(head)))?;
        }
        variables.set_item(intern!(py, "wsgi.early_hints"), exchange.getattr(intern!(py, "early_hints"))?)?;
        variables.set_item(intern!(py, "wsgi_python.client_gone"), exchange)?;
        variables.set_item(intern!(py, "wsgi_python.exchange"), exchange)?;
        if head.value("upgrade").is_some() {
            variables.set_item(intern!(py, "werkzeug.socket"), Socket::new(exchange))?;
        }
        Ok(variables)
    }

    fn add_addresses(&self, py: Python<'_>, peer: &Peer, variables: &Bound<'_, PyDict>) -> PyResult<()> {
        // A transport without addresses has those that are configured.
        let name = self.server_name.as_ref().filter(|_| peer.is_local);
        variables.set_item(intern!(py, "SERVER_NAME"), name.unwrap_or(peer.server_name.as_any()))?;
        let port = self.server_port.as_ref().filter(|_| peer.is_local);
        variables.set_item(intern!(py, "SERVER_PORT"), port.unwrap_or(peer.server_port.as_any()))?;
        variables.set_item(intern!(py, "REMOTE_ADDR"), &peer.remote_addr)?;
        variables.set_item(intern!(py, "REMOTE_PORT"), &peer.remote_port)
    }
}

/// eventlet: marks the request as idle, so that a stop cuts it. Here a stop waits for every request, and `graceful_timeout`
/// bounds the wait.
#[pyfunction]
fn set_idle() {}

fn method<'py>(py: Python<'py>, method: &str) -> Bound<'py, PyString> {
    match method {
        "GET" => intern!(py, "GET").clone(),
        "POST" => intern!(py, "POST").clone(),
        "HEAD" => intern!(py, "HEAD").clone(),
        method => PyString::new(py, method),
    }
}

/// The addresses of a connection, made once.
struct Peer {
    is_local: bool,
    server_name: Py<PyString>,
    server_port: Py<PyString>,
    remote_addr: Py<PyString>,
    remote_port: Py<PyString>,
}

impl Peer {
    fn new(py: Python<'_>, endpoints: &Endpoints) -> Self {
        let host = |address| match address {
            // RFC 3875, 4.1.14
            Address::Ip(SocketAddr::V6(address)) => format!("[{}]", address.ip()),
            address => ip(address),
        };
        let [server_name, server_port] =
            last(py, &LAST_LOCAL, endpoints.local, |address| [host(address), port(address)]);
        // Many clients are one proxy.
        let remote = match endpoints.remote {
            Address::Ip(address) => Address::Ip(SocketAddr::new(address.ip(), 0)),
            Address::Local => Address::Local,
        };
        let [remote_addr] = last(py, &LAST_REMOTE, remote, |address| [ip(address)]);
        let remote_port = PyString::new(py, &port(endpoints.remote)).unbind();
        let is_local = matches!(endpoints.local, Address::Local);
        Self { is_local, server_name, server_port, remote_addr, remote_port }
    }
}

fn ip(address: Address) -> String {
    match address {
        Address::Ip(address) => address.ip().to_string(),
        Address::Local => "unix".into(),
    }
}

fn port(address: Address) -> String {
    match address {
        Address::Ip(address) => address.port().to_string(),
        Address::Local => String::new(),
    }
}

/// An address and the strings that were made of it.
type Last<const N: usize> = RefCell<Option<(Address, [Py<PyString>; N])>>;

thread_local! {
    /// The last addresses that this thread has seen: connections with the same address share their strings.
    static LAST_LOCAL: Last<2> = const { RefCell::new(None) };
    static LAST_REMOTE: Last<1> = const { RefCell::new(None) };
}

fn last<const N: usize>(
    py: Python<'_>,
    last: &'static LocalKey<Last<N>>,
    address: Address,
    make: impl Fn(Address) -> [String; N],
) -> [Py<PyString>; N] {
    last.with(|last| {
        if let Some((known, strings)) = &*last.borrow()
            && *known == address
        {
            return strings.each_ref().map(|string| string.clone_ref(py));
        }
        let strings = make(address).map(|text| PyString::new(py, &text).unbind());
        *last.borrow_mut() = Some((address, strings.each_ref().map(|string| string.clone_ref(py))));
        strings
    })
}
