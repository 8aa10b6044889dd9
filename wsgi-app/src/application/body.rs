//! The body of a response, as the application returns it.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::ops::RangeBounds;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_core::Stream;

use crate::application::file::FileRange;
use crate::application::readers::Reads;
use crate::exchange::error::Result;

/// The body of a response, as an application returns it.
///
/// ```
/// use std::fs::File;
/// use wsgi_app::{Body, Bytes};
///
/// // The length is known: `Content-Length`.
/// let file = Body::file(File::open("Cargo.toml")?, ..)?;
/// let text: Body = "Hello".into();
/// let made: Body = format!("{} users\n", 3).into();
/// let blocks = Body::blocks(["one", "two"]);
///
/// // The length is not known: chunks.
/// let computed = Body::iterator((0..3).map(|n| Ok(Bytes::from(format!("{n}\n")))));
/// let read = Body::reader(std::io::empty());
/// # let _ = (file, text, made, blocks, computed, read);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// `&'static str`, `String`, `Cow<'static, str>`, `&'static [u8]`, `Vec<u8>`, [`Bytes`], `Vec<Bytes>` and `()` convert
/// into a body. Text is sent as UTF-8.
///
/// # Length
///
/// A body of known length gets a `Content-Length`, unless the application set one or has already sent a block with
/// [`Write`](crate::Write). Other bodies are chunked; for HTTP/1.0 clients they end with the connection. To send an
/// iterator, a stream or a reader with a length, set the header:
///
/// ```
/// use wsgi_app::{Body, Bytes, Environ, Result, StartResponse};
///
/// async fn zeros(_environ: Environ, start_response: StartResponse) -> Result<Body> {
///     let headers =
///         [("Content-Type", "application/octet-stream"), ("Content-Length", "1000000")];
///     start_response.start("200 OK", headers)?;
///     Ok(Body::iterator((0..1000).map(|_| Ok(Bytes::from_static(&[0; 1000])))))
/// }
/// # fn is_an_application(_: impl wsgi_app::Application) {}
/// # is_an_application(zeros);
/// ```
///
/// If a body does not match its `Content-Length`, that is logged as an error and the connection closes; surplus bytes
/// are not sent. Responses to HEAD, and with status 101, 204, 205 or 304, have no body: blocks are dropped, and an
/// iterator or stream is not used beyond its first block.
///
/// Each block is one chunk, unless `minimum_chunk_size` joins them. Empty blocks are skipped.
///
/// # Reading a body
///
/// Middleware that changes a body of another application reads its blocks: as a [`Stream`](futures_core::Stream), or in
/// blocking code as an iterator. A file is read where it is polled, in blocks of up to 64 KiB. Empty blocks are skipped. A
/// body that was read in part can be sent: it has the blocks that are left.
///
/// ```
/// use wsgi_app::{Body, Bytes};
///
/// let body = Body::blocks(["one", "two"]);
/// let upper = body.into_iter().map(|block| Ok(Bytes::from(block?.to_ascii_uppercase())));
/// let body = Body::iterator(upper);
/// assert_eq!(body.into_iter().collect::<Result<Vec<_>, _>>()?, ["ONE", "TWO"]);
/// # Ok::<(), wsgi_app::Error>(())
/// ```
///
/// An error of a block is one of the application: pass it on, so that the response is cut.
///
/// # End
///
/// The body is dropped after its last block was taken, or when it cannot be sent any more: this is WSGI's `close()`.
/// The server notices a client that disconnected when it sends the next block, so an iterator or a stream is dropped
/// only then. [`Input::client_gone`](crate::Input::client_gone) notices it earlier.
#[derive(Default)]
pub struct Body(pub(crate) Kind);

#[derive(Default)]
pub(crate) enum Kind {
    #[default]
    Empty,
    Bytes(Bytes),
    Blocks(VecDeque<Bytes>),
    Iterator(Box<dyn Iterator<Item = Result<Bytes>> + Send>),
    Stream(Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>),
    File(FileRange),
}

impl Body {
    /// A body without bytes. It gets `Content-Length: 0`, unless blocks were sent with [`Write`](crate::Write).
    pub const fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// The bytes of a body that is in memory as one block; `None` for others.
    ///
    /// ```
    /// use wsgi_app::Body;
    ///
    /// assert_eq!(Body::from("Hello").as_bytes(), Some(&b"Hello"[..]));
    /// assert_eq!(Body::empty().as_bytes(), Some(&b""[..]));
    /// assert_eq!(Body::reader(std::io::empty()).as_bytes(), None);
    /// ```
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match &self.0 {
            Kind::Empty => Some(&[]),
            Kind::Bytes(bytes) => Some(bytes),
            Kind::Blocks(blocks) if blocks.len() < 2 => Some(blocks.front().map_or(&[], |bytes| bytes)),
            _ => None,
        }
    }

    /// [`as_bytes`](Self::as_bytes) as text; `None` if it is not UTF-8.
    ///
    /// ```
    /// use wsgi_app::Body;
    ///
    /// assert_eq!(Body::from("Hello").as_str(), Some("Hello"));
    /// assert_eq!(Body::from(b"\xff").as_str(), None);
    /// ```
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(self.as_bytes()?).ok()
    }

    /// The length in bytes, if it is known: the server announces it then.
    ///
    /// ```
    /// use wsgi_app::Body;
    ///
    /// assert_eq!(Body::blocks(["one", "two"]).length(), Some(6));
    /// assert_eq!(Body::reader(std::io::empty()).length(), None);
    /// ```
    pub fn length(&self) -> Option<u64> {
        match &self.0 {
            Kind::Empty => Some(0),
            Kind::Bytes(bytes) => Some(bytes.len() as u64),
            Kind::Blocks(blocks) => Some(blocks.iter().map(|block| block.len() as u64).sum()),
            Kind::File(range) => Some(range.end - range.start),
            Kind::Iterator(_) | Kind::Stream(_) => None,
        }
    }

    /// A body of several blocks in memory. Its length is known.
    pub fn blocks<B: Into<Bytes>>(blocks: impl IntoIterator<Item = B>) -> Self {
        Self(Kind::Blocks(blocks.into_iter().map(Into::into).collect()))
    }

    /// A body of blocks that are computed one by one, like WSGI's iterables.
    ///
    /// Each block is sent before the next one is requested (PEP 3333), because an iterator cannot announce that its
    /// next block takes long. `minimum_chunk_size` joins small blocks. `next` runs in the connection's own task, so it
    /// must not wait: use a [`stream`](Self::stream) for that. In a [`blocking`](mod@crate::blocking) application it may
    /// wait. There, another thread sends blocks that have waited for one to two milliseconds, so that blocks that follow
    /// each other closely are sent together.
    ///
    /// The head is sent with the first block. If clients must see the head earlier, send an empty block with
    /// [`Write::write`](crate::Write::write) before, or begin with a block that they ignore, such as a comment.
    ///
    /// An error from the iterator is an error of the application: the client gets 500 if no head was sent, else the
    /// response is cut.
    pub fn iterator<I>(blocks: I) -> Self
    where
        I: IntoIterator<Item = Result<Bytes>>,
        I::IntoIter: Send + 'static,
    {
        Self(Kind::Iterator(Box::new(blocks.into_iter())))
    }

    /// A body of blocks that become ready over time.
    ///
    /// ```
    /// use std::pin::Pin;
    /// use std::task::{Context, Poll};
    /// use futures_core::Stream;
    /// use wsgi_app::{Body, Bytes, Result};
    ///
    /// // Crates such as `futures`, `tokio-stream` and `async-stream` make streams without this.
    /// struct Countdown(u32);
    ///
    /// impl Stream for Countdown {
    ///     type Item = Result<Bytes>;
    ///
    ///     fn poll_next(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
    ///         let Some(next) = self.0.checked_sub(1) else { return Poll::Ready(None) };
    ///         self.0 = next;
    ///         Poll::Ready(Some(Ok(format!("{next}\n").into())))
    ///     }
    /// }
    ///
    /// let body = Body::stream(Countdown(3));
    /// # let _ = body;
    /// ```
    ///
    /// Blocks are sent when the stream is pending, or earlier if `limits.outbox` (64 KiB by default) is reached. The
    /// stream is not polled while that much waits to be sent. Errors are those of an [`iterator`](Self::iterator).
    ///
    /// The head is sent with the first block. If clients must see the head earlier, as `EventSource` does for its `open`
    /// event, send an empty block with [`Write::write`](crate::Write::write) before, or begin the stream with a block that
    /// they ignore, such as a comment.
    ///
    /// A graceful stop waits for the end of the stream until `graceful_timeout`, then drops it and cuts the response. A stream
    /// without an end, such as server-sent events, ends itself when [`Environ::stopping`](crate::Environ::stopping) is ready. If
    /// the client disconnects, the stream is dropped once that is noticed: at its next block.
    pub fn stream(blocks: impl Stream<Item = Result<Bytes>> + Send + 'static) -> Self {
        Self(Kind::Stream(Box::pin(blocks)))
    }

    /// A body of the bytes of a regular file in `range`, for instance `..` for all of them. Its length is known.
    ///
    /// The file is never read into memory as a whole. On Linux, over TCP and unix sockets without TLS, the system sends
    /// what it has in its cache without a copy (`sendfile`). Everything else is read in blocks, where a read does not hold
    /// up other connections: also what is not in the cache, or on a file system that does not reveal it, such as NFS. The
    /// range is sent from where it is in the file, whatever its cursor. A file that several responses use can be in an
    /// [`Arc`].
    ///
    /// If the file has become shorter when it is sent, that is logged as an error, and the response is cut. If its bytes
    /// change, the client gets old and new ones.
    ///
    /// ```
    /// use std::fs::File;
    /// use wsgi_app::{Body, Environ, Result, StartResponse};
    ///
    /// async fn preview(_environ: Environ, start_response: StartResponse) -> Result<Body> {
    ///     let file = File::open("access.log")?;
    ///     let end = file.metadata()?.len().min(1000);
    ///     start_response.start("200 OK", [("Content-Type", "text/plain; charset=utf-8")])?;
    ///     Ok(Body::file(file, ..end)?)
    /// }
    /// # fn is_an_application(_: impl wsgi_app::Application) {}
    /// # is_an_application(preview);
    /// ```
    ///
    /// [`Response::with_file`](crate::Response::with_file) sends the range that the client requests, and 304 if it has the file.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](std::io::ErrorKind::InvalidInput) if it is not a regular file, or the range does not lie within
    /// it; or the error of the system when the length of the file is read.
    pub fn file(file: impl Into<Arc<File>>, range: impl RangeBounds<u64>) -> io::Result<Self> {
        FileRange::new(file.into(), &range).map(Kind::File).map(Self)
    }

    /// A body of all bytes of `reader`, in blocks of up to 64 KiB. For a file, use [`file`](Self::file).
    ///
    /// Its reads run in the connection's own task: use it for nothing that is slower than a local file. In a
    /// [`blocking`](mod@crate::blocking) application a read may wait. The length is not known. Errors are those of an
    /// [`iterator`](Self::iterator).
    ///
    /// `Body::tokio_reader` and `Body::futures_reader` are for asynchronous readers, with the features `tokio-io` and
    /// `futures-io`.
    pub fn reader(reader: impl Read + Send + 'static) -> Self {
        Self::iterator(Reads::new(reader))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Kind::Bytes(bytes))
    }
}

impl From<Vec<Bytes>> for Body {
    fn from(blocks: Vec<Bytes>) -> Self {
        Self(Kind::Blocks(blocks.into()))
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Bytes::from_static(bytes).into()
    }
}

impl<const N: usize> From<&'static [u8; N]> for Body {
    fn from(bytes: &'static [u8; N]) -> Self {
        Bytes::from_static(bytes).into()
    }
}

impl From<Cow<'static, str>> for Body {
    fn from(text: Cow<'static, str>) -> Self {
        match text {
            Cow::Borrowed(text) => text.into(),
            Cow::Owned(text) => text.into(),
        }
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<()> for Body {
    fn from((): ()) -> Self {
        Self::empty()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Empty => "Body(empty)",
            Kind::Bytes(_) => "Body(bytes)",
            Kind::Blocks(_) => "Body(blocks)",
            Kind::Iterator(_) => "Body(iterator)",
            Kind::Stream(_) => "Body(stream)",
            Kind::File(_) => "Body(file)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_text_or_bytes_of_any_common_type() {
        let (borrowed, owned) = (Cow::Borrowed("body"), Cow::<str>::Owned("body".to_owned()));
        for body in ["body".into(), b"body".into(), borrowed.into(), owned.into(), b"body".to_vec().into()] {
            let Body(Kind::Bytes(bytes)) = body else { panic!("not bytes: {body:?}") };
            assert_eq!(bytes, "body");
        }
    }
}
