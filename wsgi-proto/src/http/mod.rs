//! The grammar of HTTP/1.x requests and responses (RFC 9110, RFC 9112), without any connection state.

pub(crate) mod chunk_size;
pub(crate) mod date;
pub(crate) mod date_parse;
pub(crate) mod field;
pub(crate) mod framing;
pub(crate) mod head;
pub(crate) mod inbox;
pub(crate) mod parse;
pub(crate) mod request_body;
pub(crate) mod request_line;
pub(crate) mod response;
pub(crate) mod response_head;
pub(crate) mod response_lines;
pub(crate) mod scan;
pub(crate) mod target;
pub(crate) mod token;
pub(crate) mod trailers;
pub(crate) mod whole_head;
pub(crate) mod word;
