//! A request as an `http::Request`.

use bytes::{Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Uri};
use wsgi_proto::{Head, Version};

use crate::application::environ::Environ;
use crate::application::input::Input;

impl Environ {
    /// Feature `http`. The request with the types of the crate `http`. Its body is [`input`](Self::input), and its
    /// extensions have a clone of this environ: the addresses and the scheme are in [`endpoints`](Self::endpoints).
    ///
    /// The target and the fields are those that the client sent, whatever was [set](Self::set).
    ///
    /// # Errors
    ///
    /// If the types of `http` cannot represent the request, for instance a target with a character that is not allowed
    /// in a URI and that this server accepts nevertheless, such as `<`.
    pub fn to_http(&self) -> Result<Request<Input>, http::Error> {
        let head = self.head();
        let mut values = Values::of(head);
        let mut request = Request::new(self.input());
        *request.method_mut() = Method::from_bytes(head.method().as_bytes())?;
        *request.uri_mut() = Uri::from_maybe_shared(values.next(head.target().len()))?;
        *request.version_mut() = match head.version() {
            Version::Http10 => http::Version::HTTP_10,
            _ => http::Version::HTTP_11,
        };
        let fields = head.raw_fields();
        let mut headers = HeaderMap::try_with_capacity(fields.len())?;
        for (name, value) in fields {
            let value = HeaderValue::from_maybe_shared(values.next(value.len()))?;
            headers.try_append(HeaderName::from_bytes(name)?, value)?;
        }
        *request.headers_mut() = headers;
        request.extensions_mut().insert(self.clone());
        Ok(request)
    }
}

/// The target and the values of a head, one after the other: the parts of a request share one block.
struct Values(Bytes);

impl Values {
    fn of(head: &Head) -> Self {
        let values = || head.raw_fields().map(|(_, value)| value);
        let mut bytes =
            BytesMut::with_capacity(head.target().len() + values().map(<[u8]>::len).sum::<usize>());
        bytes.extend_from_slice(head.target());
        values().for_each(|value| bytes.extend_from_slice(value));
        Self(bytes.freeze())
    }

    fn next(&mut self, length: usize) -> Bytes {
        self.0.split_to(length)
    }
}
