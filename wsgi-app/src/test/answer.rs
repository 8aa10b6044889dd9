//! What a client reads from a connection.

use wsgi_proto::latin1;

use crate::head::headers::Headers;
use crate::response::Response;

/// The bytes of a response, as far as they have arrived.
#[derive(Debug)]
pub(super) enum Answer {
    /// The rest has not arrived.
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
                Body::Whole(Vec::new(), Headers::default())
            } else {
                body(&headers, rest, closed)
            };
            let respond = |body: Vec<u8>, trailers| {
                let mut response = response.with_body(body);
                *response.headers_mut() = headers;
                *response.trailers_mut() = trailers;
                response
            };
            return match body {
                Body::Whole(body, trailers) => Self::Whole(respond(body, trailers)),
                Body::Part(body) if closed => Self::Cut(respond(body, Headers::default())),
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
    /// With its trailers.
    Whole(Vec<u8>, Headers),
    Part(Vec<u8>),
}

fn head(head: &[u8]) -> (String, Headers) {
    let (status, fields) = match head.windows(2).position(|window| window == b"\r\n") {
        Some(end) => (&head[..end], &head[end + 2..]),
        None => (head, &b""[..]),
    };
    let status =
        latin1(status).split_once(' ').map_or_else(String::new, |(_, status)| status.trim_end().to_owned());
    (status, fields_of(fields))
}

fn fields_of(lines: &[u8]) -> Headers {
    let lines = lines.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let pairs = lines.filter_map(|line| {
        let colon = line.windows(2).position(|window| window == b": ")?;
        Some((&line[..colon], &line[colon + 2..]))
    });
    pairs.collect()
}

fn body(headers: &Headers, rest: &[u8], closed: bool) -> Body {
    if headers.get("Transfer-Encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        // Chunks are looked at when the last one may be there.
        let is_worth_it = closed || rest.ends_with(b"\r\n\r\n");
        return if is_worth_it { chunks(rest) } else { Body::Part(Vec::new()) };
    }
    match headers.get("Content-Length").and_then(|length| length.parse().ok()) {
        Some(length) if rest.len() >= length => Body::Whole(rest[..length].to_vec(), Headers::default()),
        None if closed => Body::Whole(rest.to_vec(), Headers::default()),
        _ if closed => Body::Part(rest.to_vec()),
        _ => Body::Part(Vec::new()),
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
            if rest.starts_with(b"\r\n") {
                return Body::Whole(body, Headers::default());
            }
            let end = rest.windows(4).position(|window| window == b"\r\n\r\n");
            return end.map_or(Body::Part(body.clone()), |end| Body::Whole(body, fields_of(&rest[..end])));
        }
        body.extend_from_slice(&rest[..size.min(rest.len())]);
        let Some(after) = rest.get(size + 2..) else { return Body::Part(body) };
        rest = after;
    }
}
