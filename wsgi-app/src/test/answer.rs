//! What a client reads from a connection.

use wsgi_proto::latin1;

use crate::response::Response;
use crate::response::headers::Headers;

/// The bytes of a response, as far as they have arrived.
#[derive(Debug)]
pub(super) enum Answer {
    /// More is to come.
    Begun,
    Whole(Response),
    /// The connection has ended first. The response has what was received.
    Cut(Response),
}

impl Answer {
    /// Reads the first final response in `sent`.
    pub(super) fn parse(sent: &[u8], head_only: bool, closed: bool) -> Self {
        let mut rest = sent;
        loop {
            let Some(end) = rest.windows(4).position(|window| window == b"\r\n\r\n") else {
                return if closed { Self::Cut(Response::new(0)) } else { Self::Begun };
            };
            let (status, headers) = head(&rest[..end]);
            rest = &rest[end + 4..];
            let response = Response::new(status);
            let code = response.status().code();
            if (100..200).contains(&code) && code != 101 {
                continue;
            }
            let body = if head_only || matches!(code, 101 | 204 | 304) {
                Body::Whole(Vec::new())
            } else {
                body(&headers, rest, closed)
            };
            let respond = |body: Vec<u8>| {
                let mut response = response.with_body(body);
                *response.headers_mut() = headers;
                response
            };
            return match body {
                Body::Whole(body) => Self::Whole(respond(body)),
                Body::Part(body) if closed => Self::Cut(respond(body)),
                Body::Part(_) => Self::Begun,
            };
        }
    }

    /// The response; one that is not whole has an error.
    pub(super) fn into_response(self) -> Response {
        match self {
            Self::Whole(response) => response,
            Self::Cut(response) => response.with_error("the response was cut".into()),
            Self::Begun => Response::new(0).with_error("the connection ended without a response".into()),
        }
    }
}

enum Body {
    Whole(Vec<u8>),
    Part(Vec<u8>),
}

fn head(head: &[u8]) -> (String, Headers) {
    let text = latin1(head);
    let mut lines = text.split("\r\n");
    let status =
        lines.next().and_then(|line| line.split_once(' ')).map_or("", |(_, status)| status).to_owned();
    let pairs = lines.filter_map(|line| line.split_once(": "));
    let bytes = |text: &str| text.chars().filter_map(|char| u8::try_from(char).ok()).collect::<Vec<u8>>();
    (status, pairs.map(|(name, value)| (bytes(name), bytes(value))).collect())
}

fn body(headers: &Headers, rest: &[u8], closed: bool) -> Body {
    if headers.get("Transfer-Encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        return chunks(rest);
    }
    match headers.get("Content-Length").and_then(|length| length.parse().ok()) {
        Some(length) if rest.len() >= length => Body::Whole(rest[..length].to_vec()),
        None if closed => Body::Whole(rest.to_vec()),
        _ => Body::Part(rest.to_vec()),
    }
}

#[expect(clippy::disallowed_methods, reason = "the server wrote the sizes")]
fn chunks(mut rest: &[u8]) -> Body {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|window| window == b"\r\n");
        let size =
            line.and_then(|end| usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?, 16).ok());
        let (Some(end), Some(size)) = (line, size) else { return Body::Part(body) };
        rest = &rest[end + 2..];
        if size == 0 {
            // Trailers, and an empty line.
            let over = rest.starts_with(b"\r\n") || rest.windows(4).any(|window| window == b"\r\n\r\n");
            return if over { Body::Whole(body) } else { Body::Part(body) };
        }
        body.extend_from_slice(&rest[..size.min(rest.len())]);
        let Some(after) = rest.get(size + 2..) else { return Body::Part(body) };
        rest = after;
    }
}
