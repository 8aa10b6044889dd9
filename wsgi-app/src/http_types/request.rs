//! A request as an `http::Request`.

use std::sync::Arc;

use bytes::Bytes;
use http::header::HeaderValue;
use http::{Method, Request, Uri};
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
        let mut request = Request::new(self.input());
        self.fill_http(&mut request)?;
        Ok(request)
    }

    /// Like [`to_http`](Self::to_http), for a request that has its body, no fields, and no extensions.
    #[inline]
    pub(crate) fn fill_http(&self, request: &mut Request<Input>) -> Result<(), http::Error> {
        let head = self.head();
        let bytes = Bytes::from_owner(Whole(Arc::clone(head)));
        let fields = head.raw_fields();
        let headers = request.headers_mut();
        headers.try_reserve(fields.len())?;
        names::with(|names| {
            for (name, value) in fields {
                let value = HeaderValue::from_maybe_shared(bytes.slice_ref(value))?;
                headers.try_append(names.get(name)?, value)?;
            }
            Ok::<(), http::Error>(())
        })?;
        *request.method_mut() = Method::from_bytes(head.method().as_bytes())?;
        *request.uri_mut() = Uri::from_maybe_shared(bytes.slice_ref(head.target()))?;
        *request.version_mut() = match head.version() {
            Version::Http10 => http::Version::HTTP_10,
            _ => http::Version::HTTP_11,
        };
        let extensions = request.extensions_mut();
        extensions.insert(self.clone());
        if let Some(tls) = self.tls() {
            extensions.insert(tls.clone());
        }
        Ok(())
    }
}

/// A head as the bytes that its parts share.
struct Whole(Arc<Head>);

impl AsRef<[u8]> for Whole {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}
