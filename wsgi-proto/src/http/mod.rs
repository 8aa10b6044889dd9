//! HTTP/1.x itself: the grammar of requests and responses (RFC 9110, RFC 9112), and no state of a connection.

pub(crate) mod date;
pub(crate) mod field;
pub(crate) mod head;
pub(crate) mod inbox;
pub(crate) mod parse;
pub(crate) mod request_body;
pub(crate) mod request_line;
pub(crate) mod response;
pub(crate) mod response_lines;
pub(crate) mod scan;
pub(crate) mod target;
pub(crate) mod token;
pub(crate) mod trailers;
pub(crate) mod word;
