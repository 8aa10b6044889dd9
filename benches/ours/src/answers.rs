//! The answers that both applications share: those that do not depend on the body of the request.

use std::fs::File;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use bench_common::content::{PIECE, PIECES, TEXT, ready};
use bytes::Bytes;
use futures_core::Stream;
use wsgi_tokio::{Body, Result};

/// The fields of every answer.
pub(crate) const FIELDS: [(&str, &str); 1] = [("Content-Type", TEXT)];

/// The body for this path; `None` if no such page exists.
pub(crate) fn page(path: &[u8], file: Option<&Path>) -> Option<Body> {
    let path = std::str::from_utf8(path).ok()?;
    match path {
        "/chunked" => Some(Body::stream(Pieces(PIECES))),
        "/file" => file_body(file?),
        path => ready(path).map(Body::from),
    }
}

/// The sum of the lengths of all variables.
pub(crate) fn variables(environ: &wsgi_tokio::Environ) -> Body {
    let mut length = 0;
    environ.for_each(|name, value| length += name.len() + value.len());
    format!("{length}\n").into()
}

/// The whole file.
fn file_body(path: &Path) -> Option<Body> {
    Body::file(File::open(path).ok()?, ..).ok()
}

/// Pieces that are ready immediately.
struct Pieces(usize);

impl Stream for Pieces {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(left) = self.0.checked_sub(1) else { return Poll::Ready(None) };
        self.0 = left;
        Poll::Ready(Some(Ok(Bytes::from_static(PIECE.as_bytes()))))
    }
}
