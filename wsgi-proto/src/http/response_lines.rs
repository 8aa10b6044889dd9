//! The lines of a response in wire format: status lines, fields, interim responses, trailers.

use alloc::vec::Vec;

use crate::error::{Rejected, SendError, StartError};
use crate::http::field::Field;
use crate::http::token::{is_field_value, push_name, trim};
use crate::version::Version;

/// Writes an interim response, which has only a status line and fields (RFC 9110, 15.2).
pub(crate) fn interim(
    out: &mut Vec<u8>,
    capitalize: bool,
    status: &str,
    headers: impl IntoIterator<Item = impl Field>,
) -> Result<u16, StartError> {
    let Some(code @ (100 | 102..=199)) = parse_status(status) else {
        return Err(StartError::NotInterim(Rejected::interim_status(status)));
    };
    status_line(out, Version::Http11, status);
    interim_fields(out, capitalize, headers)?;
    out.extend_from_slice(b"\r\n");
    Ok(code)
}

/// Appends field lines of an interim response. After an error, `out` is unchanged.
pub(crate) fn interim_fields(
    out: &mut Vec<u8>,
    capitalize: bool,
    headers: impl IntoIterator<Item = impl Field>,
) -> Result<(), StartError> {
    let before = out.len();
    for field in headers {
        let (name, value) = (field.name(), trim(field.value()));
        let written = match name.len() {
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => Err(StartError::TransferEncoding),
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                Err(StartError::ContentLength(Rejected::interim_content_length()))
            }
            _ => write_field(out, capitalize, name, value),
        };
        if written.is_err() {
            out.truncate(before);
            return written;
        }
    }
    Ok(())
}

/// Appends the field lines of a trailer section.
pub(crate) fn trailer_fields(
    out: &mut Vec<u8>,
    capitalize: bool,
    trailers: impl IntoIterator<Item = impl Field>,
) -> Result<(), SendError> {
    for field in trailers {
        let (name, value) = (field.name(), trim(field.value()));
        let forbidden = NO_TRAILERS.iter().any(|field| name.eq_ignore_ascii_case(field.as_bytes()));
        if forbidden || write_field(out, capitalize, name, value).is_err() {
            return Err(SendError::Trailer);
        }
    }
    Ok(())
}

/// Fields that are not allowed as trailers, because they frame, route, modify, authenticate or describe the message
/// (RFC 9110, 6.5.1).
const NO_TRAILERS: [&str; 29] = [
    "age",
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "expect",
    "expires",
    "host",
    "keep-alive",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "retry-after",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "via",
    "warning",
    "www-authenticate",
];

/// Parses the code of a status such as `"200 OK"`. The reason may be missing.
pub(crate) fn parse_status(status: &str) -> Option<u16> {
    let (&[hundreds @ b'1'..=b'9', tens @ b'0'..=b'9', ones @ b'0'..=b'9'], reason) =
        status.as_bytes().split_first_chunk::<3>()?
    else {
        return None;
    };
    let ([] | [b' ', ..]) = reason else { return None };
    // RFC 9112, 4: the reason phrase may have the same characters as a field value.
    if !is_field_value(reason) {
        return None;
    }
    let digit = |byte: u8| u16::from(byte - b'0');
    Some(digit(hundreds) * 100 + digit(tens) * 10 + digit(ones))
}

/// Appends a status line; `status` is code, space and reason.
#[inline]
pub(crate) fn status_line(out: &mut Vec<u8>, version: Version, status: &str) {
    out.reserve(256);
    out.extend_from_slice(match version {
        Version::Http10 => b"HTTP/1.0 ",
        Version::Http11 => b"HTTP/1.1 ",
    });
    out.extend_from_slice(status.as_bytes());
    // RFC 9112, 4: the space is required even before an empty reason.
    if status.len() == 3 {
        out.push(b' ');
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends one field line. After an error, `out` ends with a part of it; the bytes before are unchanged.
pub(crate) fn write_field(
    out: &mut Vec<u8>,
    capitalize: bool,
    name: &[u8],
    value: &[u8],
) -> Result<(), StartError> {
    if !push_name(out, name, capitalize) {
        return Err(StartError::FieldName(Rejected::name(name)));
    }
    if !is_field_value(value) {
        return Err(StartError::FieldValue(Rejected::value(name, value)));
    }
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// Returns code and reason phrase of a status that the machine sends itself.
pub(crate) const fn own_status(code: u16) -> &'static str {
    match code {
        400 => "400 Bad Request",
        408 => "408 Request Timeout",
        413 => "413 Content Too Large",
        414 => "414 URI Too Long",
        431 => "431 Request Header Fields Too Large",
        501 => "501 Not Implemented",
        505 => "505 HTTP Version Not Supported",
        _ => "500 Internal Server Error",
    }
}
