//! The environ of the last request of each thread, of whose copy the next one is made.
//!
//! Most requests of a thread have the same variables, and many have the same values. A variable that stays as it is costs
//! a comparison of bytes, a copy of a dict costs little.

use std::cell::Cell;
use std::mem;
use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use wsgi_app::adapter::raw::RawRequest;
use wsgi_proto::decode_path;
use wsgi_std::{Head, Scheme, Version};

use crate::ffi::latin1;
use crate::names::{self, Names};
use crate::objects::Objects;
use crate::peer::Peer;
use crate::response::{Exchange, Response};

/// The largest size of all values together that is kept, in bytes. Clients choose values, so there is a limit.
const LARGEST: usize = 8 * 1024;

thread_local! {
    static LAST: Cell<Option<Box<Last>>> = const { Cell::new(None) };
}

/// What is the same for all requests of a server.
pub(crate) struct Common {
    /// The variables that do not come from requests, and those of the option `environ`.
    pub(crate) variables: Py<PyDict>,
    /// The option `environ` has this variable.
    pub(crate) has_scheme: bool,
    pub(crate) has_https: bool,
    /// Name and port in the option `environ`, for a transport without addresses.
    pub(crate) server: [Option<Py<PyAny>>; 2],
}

/// The environ of a request, and objects that are in it or go with it.
pub(crate) struct Environ<'py> {
    pub(crate) variables: Bound<'py, PyDict>,
    pub(crate) start_response: Bound<'py, PyAny>,
    pub(crate) exchange: Bound<'py, Exchange>,
}

/// Makes the environ of a request.
pub(crate) fn environ<'py>(
    py: Python<'py>,
    common: &Common,
    response: &Arc<Response>,
) -> PyResult<Environ<'py>> {
    // There is none, too, if something below has run code of Python that makes another environ.
    let mut last = match LAST.take() {
        Some(last) if last.base.is(&common.variables) => last,
        _ => Box::new(Last::new(py, &common.variables)?),
    };
    // After an error the values are not known.
    let environ = last.update(py, common, response)?;
    LAST.set(Some(last));
    Ok(environ)
}

/// The request of this thread's last environ has ended, and the server has no reference to it.
pub(crate) fn end(py: Python<'_>) {
    let Some(mut last) = LAST.take() else { return };
    if let Some(objects) = last.objects.take() {
        match objects.end(last.variables.bind(py)) {
            Ok(objects) => last.objects = objects,
            // The values are not known.
            Err(_) => return,
        }
    }
    LAST.set(Some(last));
}

struct Last {
    /// [`Common::variables`]
    base: Py<PyDict>,
    variables: Py<PyDict>,
    method: Value,
    path: Value,
    query: Value,
    host: Value,
    version: Option<Version>,
    is_secure: bool,
    /// In the order of [`Peer::names`].
    addresses: [Py<PyAny>; 4],
    names: Names,
    /// The values of fields, by the number of the name.
    values: Vec<Value>,
    /// The numbers of the names that have a value.
    present: Vec<usize>,
    /// The objects in `variables`.
    objects: Option<Objects>,
}

/// The value of one variable.
#[derive(Default)]
struct Value {
    /// False if the variable is missing, or has the value of the base.
    is_set: bool,
    bytes: Vec<u8>,
}

impl Value {
    fn is(&self, bytes: &[u8]) -> bool {
        self.is_set && self.bytes == bytes
    }

    fn set(&mut self, bytes: &[u8]) {
        self.is_set = true;
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
    }
}

impl Last {
    fn new(py: Python<'_>, base: &Py<PyDict>) -> PyResult<Self> {
        Ok(Self {
            base: base.clone_ref(py),
            variables: base.bind(py).copy()?.unbind(),
            method: Value::default(),
            path: Value::default(),
            query: Value::default(),
            host: Value::default(),
            version: None,
            is_secure: false,
            addresses: [(); 4].map(|()| py.None()),
            names: Names::default(),
            values: Vec::new(),
            present: Vec::new(),
            objects: None,
        })
    }

    /// Changes the variables to those of `request`, and returns a copy.
    fn update<'py>(
        &mut self,
        py: Python<'py>,
        common: &Common,
        response: &Arc<Response>,
    ) -> PyResult<Environ<'py>> {
        let request = response.request();
        let head = &**request.head();
        self.set_line(py, head)?;
        self.set_connection(py, common, request)?;
        let variables = self.variables.bind(py);
        set(&self.base, variables, intern!(py, "HTTP_HOST"), &mut self.host, head.host())?;
        let (length, others) = self.set_fields(py, head)?;
        let objects = match self.objects.take().and_then(|objects| objects.begin(py, response)) {
            Some(objects) => objects,
            None => Objects::new(py, Arc::clone(response), self.variables.bind(py))?,
        };
        let objects = self.objects.insert(objects);
        let environ = Environ {
            variables: self.variables.bind(py).copy()?,
            start_response: objects.start_response(py).clone(),
            exchange: objects.exchange(py).clone(),
        };
        for name in others {
            names::add_joined(request, name, &environ.variables)?;
        }
        if length > LARGEST {
            self.forget(py)?;
        }
        Ok(environ)
    }

    fn set_line(&mut self, py: Python<'_>, head: &Head) -> PyResult<()> {
        let variables = self.variables.bind(py);
        if !self.method.is(head.method().as_bytes()) {
            variables.set_item(intern!(py, "REQUEST_METHOD"), method(py, head.method()))?;
            self.method.set(head.method().as_bytes());
        }
        let bytes = head.path();
        if !self.path.is(bytes) {
            let path = latin1(py, bytes)?;
            let decoded = match bytes.contains(&b'%') {
                true => &PyString::new(py, &decode_path(bytes)),
                false => &path,
            };
            variables.set_item(intern!(py, "PATH_INFO"), decoded)?;
            variables.set_item(intern!(py, "RAW_PATH_INFO"), &path)?;
            self.path.set(bytes);
        }
        set(&self.base, variables, intern!(py, "QUERY_STRING"), &mut self.query, head.query())?;
        if self.version != Some(head.version()) {
            let version = match head.version() {
                Version::Http10 => intern!(py, "HTTP/1.0"),
                _ => intern!(py, "HTTP/1.1"),
            };
            variables.set_item(intern!(py, "SERVER_PROTOCOL"), version)?;
            self.version = Some(head.version());
        }
        Ok(())
    }

    fn set_connection(&mut self, py: Python<'_>, common: &Common, request: &RawRequest) -> PyResult<()> {
        let variables = self.variables.bind(py);
        let is_secure = request.endpoints().scheme == Scheme::Https;
        if is_secure != self.is_secure {
            for (name, value, is_configured) in [
                (intern!(py, "wsgi.url_scheme"), intern!(py, "https"), common.has_scheme),
                (intern!(py, "HTTPS"), intern!(py, "on"), common.has_https),
            ] {
                match is_secure && !is_configured {
                    true => variables.set_item(name, value)?,
                    false => restore(&self.base, variables, name)?,
                }
            }
            self.is_secure = is_secure;
        }
        let make = || Peer::new(py, &common.server, request.endpoints());
        let made;
        let peer = match request.connection_value(make) {
            Some(peer) => peer,
            // The value is of another type: not in this server.
            None => {
                made = make();
                &made
            }
        };
        let known = self.addresses.iter_mut();
        for ((name, known), address) in Peer::names(py).into_iter().zip(known).zip(&peer.addresses) {
            if !known.is(address) {
                variables.set_item(name, address)?;
                *known = address.clone_ref(py);
            }
        }
        Ok(())
    }

    /// Returns the size of the values, and the names whose variables are not kept.
    fn set_fields<'h>(&mut self, py: Python<'_>, head: &'h Head) -> PyResult<(usize, Vec<&'h [u8]>)> {
        let variables = self.variables.bind(py);
        let mut others = Vec::new();
        let mut length = head.request_line().len();
        let (mut seen, mut count) = ([0_u64; names::MOST / 64], 0);
        for (index, (name, value)) in head.raw_fields().enumerate() {
            length += value.len();
            let Some(known) = self.names.get(py, index, name) else {
                others.push(name);
                continue;
            };
            let (Some(key), number) = (&known.key, known.number) else { continue };
            let (word, bit) = (number / 64, 1 << (number % 64));
            if seen[word] & bit != 0 {
                // The core joins the values of a repeated field.
                others.push(name);
                continue;
            }
            seen[word] |= bit;
            count += 1;
            if number >= self.values.len() {
                self.values.resize_with(number + 1, Value::default);
            }
            let last = &mut self.values[number];
            if !last.is(value) {
                variables.set_item(key, latin1(py, value)?)?;
                if !last.is_set {
                    self.present.push(number);
                }
                last.set(value);
            }
        }
        if count < self.present.len() {
            for &number in &self.present {
                if seen[number / 64] & 1 << (number % 64) == 0 {
                    restore(&self.base, variables, &PyString::new(py, self.names.variable(number)))?;
                    self.values[number] = Value::default();
                }
            }
            self.present.retain(|number| self.values[*number].is_set);
        }
        Ok((length, others))
    }

    /// Drops all values.
    fn forget(&mut self, py: Python<'_>) -> PyResult<()> {
        let names = mem::take(&mut self.names);
        *self = Self { names, ..Self::new(py, &self.base)? };
        Ok(())
    }
}

fn method<'py>(py: Python<'py>, method: &str) -> Bound<'py, PyString> {
    match method {
        "GET" => intern!(py, "GET").clone(),
        "POST" => intern!(py, "POST").clone(),
        "HEAD" => intern!(py, "HEAD").clone(),
        method => PyString::new(py, method),
    }
}

/// Sets a variable that may be missing.
fn set(
    base: &Py<PyDict>,
    variables: &Bound<'_, PyDict>,
    name: &Bound<'_, PyString>,
    last: &mut Value,
    bytes: Option<&[u8]>,
) -> PyResult<()> {
    match bytes {
        Some(bytes) if last.is(bytes) => {}
        Some(bytes) => {
            variables.set_item(name, latin1(name.py(), bytes)?)?;
            last.set(bytes);
        }
        None if last.is_set => {
            restore(base, variables, name)?;
            *last = Value::default();
        }
        None => {}
    }
    Ok(())
}

/// Gives a variable its value of the base, if there is one.
fn restore(base: &Py<PyDict>, variables: &Bound<'_, PyDict>, name: &Bound<'_, PyString>) -> PyResult<()> {
    match base.bind(name.py()).get_item(name)? {
        Some(value) => variables.set_item(name, value),
        None if variables.contains(name)? => variables.del_item(name),
        None => Ok(()),
    }
}
