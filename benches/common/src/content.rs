//! The answers, the same for every server.

/// The answer to `/`: 13 bytes.
pub const HELLO: &str = "Hello, World!";
/// The type of all answers.
pub const TEXT: &str = "text/plain";
/// One piece of `/chunked`, and the number of pieces.
pub const PIECE: &str = "0123456789abcdef";
/// The number of pieces of `/chunked`.
pub const PIECES: usize = 1000;
/// The size of `/1m`.
pub const MEBIBYTE: usize = 1024 * 1024;

static LARGE: &str = match std::str::from_utf8(&[b'x'; MEBIBYTE]) {
    Ok(text) => text,
    Err(_) => unreachable!(),
};

/// The answers that are in memory before the request: `/`, `/10k` and `/1m`.
pub fn ready(path: &str) -> Option<&'static str> {
    match path {
        "/" => Some(HELLO),
        "/10k" => Some(&LARGE[..10 * 1024]),
        "/1m" => Some(LARGE),
        _ => None,
    }
}
