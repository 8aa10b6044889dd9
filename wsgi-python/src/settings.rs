//! The options of a server, from a `dict` with the names of the methods of [`Options`].

use std::time::Duration;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyString};
use wsgi_app::adapter::Server;
use wsgi_app::{Environ, NO_HEADERS, StartResponse};
use wsgi_std::{Body, KeepAlive, Limits, Options, Result, ServerHandle, Version};

/// Reads options. `public` counts first, whatever its position: the others change its values.
///
/// # Errors
///
/// `ValueError` for an unknown name, `TypeError` for a value of the wrong type. Values are checked when the server is
/// built, or by [`check`].
pub(crate) fn read(given: &Bound<'_, PyDict>) -> PyResult<Options> {
    let public = given.get_item("public")?.map(|value| Value { name: "public", value }.flag()).transpose()?;
    let public = public == Some(true);
    let mut options = if public { Options::public() } else { Options::default() };
    for (name, value) in given {
        let name: String = name.extract().map_err(|_| {
            PyTypeError::new_err(format!("the name of an option must be str, not {}", kind(&name)))
        })?;
        options = set(options, &Value { name: &name, value })?;
    }
    Ok(options)
}

/// Checks the values of options, as a server does when it is built.
///
/// # Errors
///
/// `ValueError` that names an option, its value and the allowed values.
pub(crate) fn check(options: Options) -> PyResult<()> {
    async fn nothing(_: Environ, start_response: StartResponse) -> Result<Body> {
        start_response.start("204 No Content", NO_HEADERS)?;
        Ok(Body::empty())
    }
    let built = Server::new(options.log_output(false), &ServerHandle::new(), nothing);
    built.map(drop).map_err(|error| PyValueError::new_err(error.to_string()))
}

fn set(options: Options, value: &Value<'_, '_>) -> PyResult<Options> {
    Ok(match value.name {
        "public" => options,
        "debug" => options.debug(value.flag()?),
        "max_size" => options.max_size(value.whole()?),
        "make_room" => options.make_room(value.flag()?),
        "max_connection_age" => options.max_connection_age(value.or_none(Value::time)?),
        "max_requests" => options.max_requests(value.or_none(Value::whole)?),
        "max_http_version" => options.max_http_version(value.version()?),
        "minimum_chunk_size" => options.minimum_chunk_size(value.whole()?),
        "log_x_forwarded_for" => options.log_x_forwarded_for(value.flag()?),
        "keepalive" => options.keepalive(value.keepalive()?),
        "log_output" => options.log_output(value.flag()?),
        "log_format" => options.log_format(value.text()?),
        "url_length_limit" => options.url_length_limit(value.whole()?),
        "socket_timeout" => options.socket_timeout(value.or_none(Value::time)?),
        "capitalize_response_headers" => options.capitalize_response_headers(value.flag()?),
        "max_body_size" => options.max_body_size(value.or_none(Value::whole)?),
        "header_timeout" => options.header_timeout(value.or_none(Value::time)?),
        "min_request_rate" => options.min_request_rate(value.or_none(Value::whole)?),
        "min_response_rate" => options.min_response_rate(value.or_none(Value::whole)?),
        "rate_grace" => options.rate_grace(value.time()?),
        "linger_timeout" => options.linger_timeout(value.time()?),
        "linger_limit" => options.linger_limit(value.time()?),
        "handshake_timeout" => options.handshake_timeout(value.time()?),
        "graceful_timeout" => options.graceful_timeout(value.time()?),
        "require_host" => options.require_host(value.flag()?),
        "drain_backlog" => options.drain_backlog(value.flag()?),
        "receive_before_call" => options.receive_before_call(value.whole()?),
        "limits" => set_limits(options, value)?,
        name => return Err(PyValueError::new_err(format!("unknown option {name:?}"))),
    })
}

type SetLimit = fn(&mut Limits, u64);

/// The limits that are not options themselves. A larger number than the address space counts as its size.
const LIMITS: [(&str, SetLimit); 9] = [
    ("method", |limits, value| limits.method = size(value)),
    ("field_line", |limits, value| limits.field_line = size(value)),
    ("fields_size", |limits, value| limits.fields_size = size(value)),
    ("fields", |limits, value| limits.fields = size(value)),
    ("chunk_line", |limits, value| limits.chunk_line = size(value)),
    ("chunk_extensions", |limits, value| limits.chunk_extensions = size(value)),
    ("drain", |limits, value| limits.drain = value),
    ("outbox", |limits, value| limits.outbox = size(value)),
    ("inbox", |limits, value| limits.inbox = size(value)),
];

fn size(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn set_limits(mut options: Options, value: &Value<'_, '_>) -> PyResult<Options> {
    let limits = value.value.cast::<PyDict>().map_err(|_| value.wrong("a dict"))?;
    for (name, limit) in limits {
        let name: String = name.extract().map_err(|_| value.wrong("a dict with str as keys"))?;
        let Some((_, set)) = LIMITS.iter().find(|(known, _)| *known == name) else {
            let known = LIMITS.map(|(known, _)| known).join(", ");
            return Err(PyValueError::new_err(format!("unknown limit {name:?} (known: {known})")));
        };
        let limit = Value { name: &format!("limits[{name:?}]"), value: limit }.whole()?;
        options = options.limits(|limits| set(limits, limit));
    }
    Ok(options)
}

/// One option and its value.
struct Value<'n, 'py> {
    name: &'n str,
    value: Bound<'py, PyAny>,
}

impl Value<'_, '_> {
    fn or_none<T>(&self, read: fn(&Self) -> PyResult<T>) -> PyResult<Option<T>> {
        if self.value.is_none() { Ok(None) } else { read(self).map(Some) }
    }

    fn flag(&self) -> PyResult<bool> {
        self.value.cast::<PyBool>().map(|flag| flag.is_true()).map_err(|_| self.wrong("a bool"))
    }

    fn whole<T: TryFrom<u64>>(&self) -> PyResult<T> {
        if !self.value.is_instance_of::<PyInt>() || self.value.is_instance_of::<PyBool>() {
            return Err(self.wrong("an int"));
        }
        let number: Option<u64> = self.value.extract().ok();
        number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| self.bad("0 or more"))
    }

    fn time(&self) -> PyResult<Duration> {
        let number = self.value.is_instance_of::<PyInt>() || self.value.is_instance_of::<PyFloat>();
        if !number || self.value.is_instance_of::<PyBool>() {
            return Err(self.wrong("a number of seconds"));
        }
        let seconds: f64 = self.value.extract()?;
        Duration::try_from_secs_f64(seconds).map_err(|_| self.bad("seconds, 0 or more"))
    }

    fn text(&self) -> PyResult<String> {
        self.value.cast::<PyString>().map_err(|_| self.wrong("a str"))?.extract()
    }

    fn keepalive(&self) -> PyResult<KeepAlive> {
        match self.value.cast::<PyBool>() {
            Ok(flag) => Ok(flag.is_true().into()),
            Err(_) => self.time().map(KeepAlive::from).map_err(|error| {
                let py = self.value.py();
                if error.is_instance_of::<PyTypeError>(py) {
                    self.wrong("a bool or a number of seconds")
                } else {
                    error
                }
            }),
        }
    }

    fn version(&self) -> PyResult<Version> {
        let text = self.text()?;
        let known = [Version::Http10, Version::Http11].into_iter().find(|version| version.as_str() == text);
        known.ok_or_else(|| self.bad("'HTTP/1.0' or 'HTTP/1.1'"))
    }

    fn wrong(&self, wanted: &str) -> PyErr {
        PyTypeError::new_err(format!("option {} must be {wanted}, not {}", self.name, kind(&self.value)))
    }

    fn bad(&self, allowed: &str) -> PyErr {
        let value = self.value.repr().map_or_else(|_| "that".into(), |repr| repr.to_string());
        PyValueError::new_err(format!("option {} cannot be {value} (allowed: {allowed})", self.name))
    }
}

/// The name of the type of `value`, for messages.
pub(crate) fn kind(value: &Bound<'_, PyAny>) -> String {
    value.get_type().name().map_or_else(|_| "another type".into(), |name| name.to_string())
}
