//! A request as an `http::Request`.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderValue};
use http::{Extensions, Method, Request, Uri};
use wsgi_proto::{Head, Version};

use crate::application::environ::Environ;
use crate::application::input::Input;
use crate::http_types::names;

impl Environ {
    /// Feature `http`. The request with the types of the crate `http`. Its body is [`input`](Self::input), and its
    /// extensions have a clone of this environ: the addresses and the scheme are in [`endpoints`](Self::endpoints). On an
    /// encrypted connection they also have its [`Tls`](crate::Tls).
    ///
    /// The target and the fields are those that the client sent, whatever was [set](Self::set). They share the memory of
    /// [`head`](Self::head), which exists as long as one of them does.
    ///
    /// # Errors
    ///
    /// If the types of `http` cannot represent the request, for instance a target with a character that is not allowed
    /// in a URI and that this server accepts nevertheless, such as `<`.
    pub fn to_http(&self) -> Result<Request<Input>, http::Error> {
        self.to_http_in(HeaderMap::new(), Extensions::new())
    }

    /// Like [`to_http`](Self::to_http), in the memory of two values that are empty.
    #[inline]
    pub(crate) fn to_http_in(
        &self,
        mut headers: HeaderMap,
        mut extensions: Extensions,
    ) -> Result<Request<Input>, http::Error> {
        let head = self.head();
        let bytes = Bytes::from_owner(Whole(Arc::clone(head)));
        let fields = head.raw_fields();
        headers.try_reserve(fields.len())?;
        names::with(|names| {
            for (name, value) in fields {
                let value = HeaderValue::from_maybe_shared(bytes.slice_ref(value))?;
                headers.try_append(names.get(name)?, value)?;
            }
            Ok::<(), http::Error>(())
        })?;
        extensions.insert(self.clone());
        let mut request = Request::new(self.input());
        *request.method_mut() = Method::from_bytes(head.method().as_bytes())?;
        *request.uri_mut() = Uri::from_maybe_shared(bytes.slice_ref(head.target()))?;
        *request.version_mut() = match head.version() {
            Version::Http10 => http::Version::HTTP_10,
            _ => http::Version::HTTP_11,
        };
        *request.headers_mut() = headers;
        if let Some(tls) = self.tls() {
            extensions.insert(tls.clone());
        }
        *request.extensions_mut() = extensions;
        Ok(request)
    }
}

/// A head as the bytes that its parts share.
struct Whole(Arc<Head>);

impl AsRef<[u8]> for Whole {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}
