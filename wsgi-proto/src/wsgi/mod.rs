//! What WSGI adds to HTTP without any I/O: the variables of a request, and the lines of the access log.

pub(crate) mod environ;
pub(crate) mod log_format;
pub(crate) mod record;
pub(crate) mod text;
