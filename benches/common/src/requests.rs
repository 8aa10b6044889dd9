//! The requests that the clients send and that the cores read from memory.

/// The smallest request: 35 bytes.
pub const HELLO: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";

/// The fields of a browser; with `GET / HTTP/1.1` the request has 660 bytes.
const BROWSER_FIELDS: &str = "Host: www.example.com\r\n\
    Connection: keep-alive\r\n\
    Cache-Control: max-age=0\r\n\
    sec-ch-ua: \"Chromium\";v=\"124\", \"Google Chrome\";v=\"124\", \"Not-A.Brand\";v=\"99\"\r\n\
    sec-ch-ua-mobile: ?0\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 \
    Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8\r\n\
    Referer: https://www.example.com/some/page\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-US,en;q=0.9,de;q=0.8\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; csrftoken=abcdef0123456789; theme=dark\r\n\r\n";

/// The size of an uploaded body.
pub const UPLOAD: usize = 1024 * 1024;
/// The size of one chunk of a chunked upload.
const CHUNK: usize = 16 * 1024;

/// `GET` with the smallest head.
pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").into_bytes()
}

/// `GET` with the smallest head that ends its connection.
pub fn get_and_close(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").into_bytes()
}

/// `GET` with the fields of a browser.
pub fn browser(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\n{BROWSER_FIELDS}").into_bytes()
}

/// `POST` with this many bytes and a `Content-Length`.
pub fn post(path: &str, length: usize) -> Vec<u8> {
    let mut request =
        format!("POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n\r\n").into_bytes();
    request.resize(request.len() + length, b'x');
    request
}

/// The head of a chunked `POST`.
pub fn chunked_head(path: &str) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes()
}

/// [`UPLOAD`] bytes in chunks of 16 KiB, with the last chunk.
pub fn chunked_body() -> Vec<u8> {
    let mut body = Vec::with_capacity(UPLOAD + UPLOAD / CHUNK * 8 + 5);
    for _ in 0..UPLOAD / CHUNK {
        body.extend_from_slice(format!("{CHUNK:x}\r\n").as_bytes());
        body.resize(body.len() + CHUNK, b'x');
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\n\r\n");
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_requests_have_the_sizes_that_the_report_names() {
        assert_eq!((HELLO.len(), browser("/").len()), (35, 660));
        assert_eq!(HELLO, get("/"));
    }
}
