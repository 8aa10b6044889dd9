//! What an application returns.

use std::borrow::Cow;
use std::fmt;
use std::io::Read;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures_core::Stream;

use crate::exchange::error::{Error, Result};

/// Bytes that one read of a [`Body::reader`] asks for.
const BLOCK: usize = 64 * 1024;

/// The body of a response. When it was sent, or could not be, it is dropped: that is WSGI's `close()`.
///
/// Bodies whose length is known get a `Content-Length`; the others are chunked, or end with the connection for
/// HTTP/1.0. Each block is one chunk, unless `minimum_chunk_size` joins them.
///
/// ```
/// # use wsgi_app::{Body, Bytes};
/// let text: Body = "Hello".into();
/// let blocks: Body = vec![Bytes::from("one"), Bytes::from("two")].into();
/// let computed = Body::iterator((0..3).map(|n| Ok(Bytes::from(format!("{n}\n")))));
/// # let _ = (text, blocks, computed);
/// ```
#[derive(Default)]
pub struct Body(pub(crate) Kind);

#[derive(Default)]
pub(crate) enum Kind {
    #[default]
    Empty,
    Bytes(Bytes),
    Blocks(Vec<Bytes>),
    Iterator(Box<dyn Iterator<Item = Result<Bytes>> + Send>),
    Stream(Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>),
}

impl Body {
    /// No bytes at all.
    pub const fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// Several blocks that are all there; their length is known.
    pub fn blocks<B: Into<Bytes>>(blocks: impl IntoIterator<Item = B>) -> Self {
        Self(Kind::Blocks(blocks.into_iter().map(Into::into).collect()))
    }

    /// Blocks that are computed one after the other. Each is sent before the next is asked for (PEP 3333), since a
    /// plain iterator cannot say that it is going to take its time; `minimum_chunk_size` joins small ones. `next` runs
    /// on the connection's own task: what waits belongs in a [`stream`](Self::stream).
    ///
    /// An error cuts the response, or is answered with 500 if nothing was sent.
    pub fn iterator(blocks: impl IntoIterator<Item = Result<Bytes>, IntoIter: Send + 'static>) -> Self {
        Self(Kind::Iterator(Box::new(blocks.into_iter())))
    }

    /// Blocks that come when they are ready. What has come is sent whenever the stream waits, and earlier when much
    /// has gathered.
    pub fn stream(blocks: impl Stream<Item = Result<Bytes>> + Send + 'static) -> Self {
        Self(Kind::Stream(Box::pin(blocks)))
    }

    /// Everything that `reader` gives, such as a file, in blocks of 64 KiB. Its reads run on the connection's own task,
    /// which is fine for local files and nothing slower.
    pub fn reader(reader: impl Read + Send + 'static) -> Self {
        Self::iterator(Blocks { reader, block: BytesMut::new(), ended: false })
    }
}

struct Blocks<R> {
    reader: R,
    block: BytesMut,
    ended: bool,
}

impl<R: Read> Iterator for Blocks<R> {
    type Item = Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        self.block.resize(BLOCK, 0);
        loop {
            match self.reader.read(&mut self.block) {
                Ok(0) => {
                    self.ended = true;
                    return None;
                }
                Ok(count) => return Some(Ok(self.block.split_to(count).freeze())),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.ended = true;
                    return Some(Err(Error::from(error)));
                }
            }
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Kind::Bytes(bytes))
    }
}

impl From<Vec<Bytes>> for Body {
    fn from(blocks: Vec<Bytes>) -> Self {
        Self(Kind::Blocks(blocks))
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

    #[test]
    fn a_reader_gives_all_its_bytes_and_then_ends() {
        let Body(Kind::Iterator(mut blocks)) = Body::reader(std::io::Cursor::new(vec![7; BLOCK + 5])) else {
            panic!("not an iterator")
        };
        let lengths: Vec<_> = blocks.by_ref().map(|block| block.unwrap().len()).collect();
        assert_eq!(lengths, [BLOCK, 5]);
        assert!(blocks.next().is_none());
    }
}
