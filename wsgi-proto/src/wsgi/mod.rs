//! The parts of WSGI that need no I/O: the variables of a request, and the lines of the access log.

pub(crate) mod environ;
pub(crate) mod log_format;
pub(crate) mod names;
pub(crate) mod record;
pub(crate) mod text;
