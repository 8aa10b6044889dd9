//! The variables of a connection: addresses and ports.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::thread::LocalKey;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;
use wsgi_std::{Address, Endpoints};

/// The addresses of a connection, made once.
pub(crate) struct Peer {
    /// In the order of [`names`](Self::names).
    pub(crate) addresses: [Py<PyAny>; 4],
}

impl Peer {
    pub(crate) fn names(py: Python<'_>) -> [&Bound<'_, PyString>; 4] {
        [
            intern!(py, "SERVER_NAME"),
            intern!(py, "SERVER_PORT"),
            intern!(py, "REMOTE_ADDR"),
            intern!(py, "REMOTE_PORT"),
        ]
    }

    /// `configured` are the server's name and port for a transport without addresses.
    pub(crate) fn new(py: Python<'_>, configured: &[Option<Py<PyAny>>; 2], endpoints: &Endpoints) -> Self {
        let host = |address| match address {
            // RFC 3875, 4.1.14
            Address::Ip(SocketAddr::V6(address)) => format!("[{}]", address.ip()),
            address => ip(address),
        };
        let [name, port_number] =
            last_seen(py, &LAST_LOCAL, endpoints.local, |address| [host(address), port(address)]);
        let is_local = matches!(endpoints.local, Address::Local);
        let or = |configured: &Option<Py<PyAny>>, found: Py<PyString>| match configured {
            Some(configured) if is_local => configured.clone_ref(py),
            _ => found.into_any(),
        };
        // Many clients are one proxy.
        let remote = match endpoints.remote {
            Address::Ip(address) => Address::Ip(SocketAddr::new(address.ip(), 0)),
            Address::Local => Address::Local,
        };
        let [remote_addr] = last_seen(py, &LAST_REMOTE, remote, |address| [ip(address)]);
        let remote_port = PyString::new(py, &port(endpoints.remote)).unbind();
        let [configured_name, configured_port] = configured;
        let (name, number) = (or(configured_name, name), or(configured_port, port_number));
        Self { addresses: [name, number, remote_addr.into_any(), remote_port.into_any()] }
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

fn last_seen<const N: usize>(
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
