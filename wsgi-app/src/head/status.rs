//! The status of a response: its code and its reason.

use std::borrow::Cow;
use std::fmt;

/// The status of a response as a value, such as `200 OK`.
///
/// It is made from a code or from the whole text:
///
/// ```
/// use wsgi_app::Status;
///
/// assert_eq!(Status::from(404), Status::from("404 Not Found"));
/// assert_eq!(Status::from("200 Fine").code(), 200);
/// ```
///
/// A code gets the reason of IANA's registry, and none if it is not registered. A status that HTTP does not allow, such as
/// `Status::from(1000)`, keeps its text, has the [code](Self::code) 0, and is an error when the response is sent, see
/// [`StartResponse::start`](crate::StartResponse::start).
#[derive(Clone, PartialEq, Eq)]
pub struct Status(Cow<'static, str>);

impl Status {
    /// The code, such as 404; 0 if it is not a number from 100 to 999 of exactly three digits.
    pub fn code(&self) -> u16 {
        let digits = self.0.split(' ').next().unwrap_or_default();
        let all_digits = digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit());
        if all_digits && !digits.starts_with('0') { digits.parse().unwrap_or(0) } else { 0 }
    }

    /// The code and the reason, such as `404 Not Found`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the code is 400 or higher.
    pub fn is_error(&self) -> bool {
        self.code() >= 400
    }
}

impl From<u16> for Status {
    fn from(code: u16) -> Self {
        Self(registered(code).map_or_else(|| code.to_string().into(), Cow::Borrowed))
    }
}

impl From<&'static str> for Status {
    fn from(text: &'static str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Status {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl Default for Status {
    /// `200 OK`.
    fn default() -> Self {
        Self(Cow::Borrowed("200 OK"))
    }
}

impl AsRef<str> for Status {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<u16> for Status {
    fn eq(&self, code: &u16) -> bool {
        self.code() == *code
    }
}

/// For [`Response::status`](crate::Response::status), which returns a reference.
impl PartialEq<u16> for &Status {
    fn eq(&self, code: &u16) -> bool {
        self.code() == *code
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Status({:?})", self.0)
    }
}

/// The text of a registered code (IANA, HTTP Status Code Registry).
fn registered(code: u16) -> Option<&'static str> {
    Some(match code {
        100 => "100 Continue",
        101 => "101 Switching Protocols",
        102 => "102 Processing",
        103 => "103 Early Hints",
        200 => "200 OK",
        201 => "201 Created",
        202 => "202 Accepted",
        203 => "203 Non-Authoritative Information",
        204 => "204 No Content",
        205 => "205 Reset Content",
        206 => "206 Partial Content",
        207 => "207 Multi-Status",
        208 => "208 Already Reported",
        226 => "226 IM Used",
        300 => "300 Multiple Choices",
        301 => "301 Moved Permanently",
        302 => "302 Found",
        303 => "303 See Other",
        304 => "304 Not Modified",
        305 => "305 Use Proxy",
        307 => "307 Temporary Redirect",
        308 => "308 Permanent Redirect",
        400 => "400 Bad Request",
        401 => "401 Unauthorized",
        402 => "402 Payment Required",
        403 => "403 Forbidden",
        404 => "404 Not Found",
        405 => "405 Method Not Allowed",
        406 => "406 Not Acceptable",
        407 => "407 Proxy Authentication Required",
        408 => "408 Request Timeout",
        409 => "409 Conflict",
        410 => "410 Gone",
        411 => "411 Length Required",
        412 => "412 Precondition Failed",
        413 => "413 Content Too Large",
        414 => "414 URI Too Long",
        415 => "415 Unsupported Media Type",
        416 => "416 Range Not Satisfiable",
        417 => "417 Expectation Failed",
        421 => "421 Misdirected Request",
        422 => "422 Unprocessable Content",
        423 => "423 Locked",
        424 => "424 Failed Dependency",
        425 => "425 Too Early",
        426 => "426 Upgrade Required",
        428 => "428 Precondition Required",
        429 => "429 Too Many Requests",
        431 => "431 Request Header Fields Too Large",
        451 => "451 Unavailable For Legal Reasons",
        500 => "500 Internal Server Error",
        501 => "501 Not Implemented",
        502 => "502 Bad Gateway",
        503 => "503 Service Unavailable",
        504 => "504 Gateway Timeout",
        505 => "505 HTTP Version Not Supported",
        506 => "506 Variant Also Negotiates",
        507 => "507 Insufficient Storage",
        508 => "508 Loop Detected",
        511 => "511 Network Authentication Required",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_registered_text_begins_with_its_code() {
        let known: Vec<_> = (0..1000).filter_map(|code| Some((code, registered(code)?))).collect();
        assert_eq!(known.len(), 60);
        for (number, text) in known {
            assert_eq!(Status::from(text).code(), number, "{text}");
        }
    }

    #[test]
    fn a_status_shows_its_text_and_compares_with_a_code() {
        assert_eq!(Status::from(404).to_string(), "404 Not Found");
        assert_eq!(Status::from(299).to_string(), "299");
        let (gone, found) = (Status::from("404 Gone Away"), Status::from(404));
        assert!(gone == 404 && &gone == 404 && gone != found);
        for text in ["", "OK", "20 OK", "2000 OK", "+20 OK", "abc OK", "099 OK"] {
            assert_eq!(Status::from(text).code(), 0, "{text}");
        }
        for code in [7, 99, 1000, 10_000] {
            let status = Status::from(code);
            assert_eq!((status.code(), status.as_str()), (0, &*code.to_string()));
            assert!(status == Status::from(code.to_string()) && status != code);
        }
        assert_eq!([100, 999].map(|code| Status::from(code).code()), [100, 999]);
    }
}
