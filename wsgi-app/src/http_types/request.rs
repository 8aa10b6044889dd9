//! A request as an `http::Request`.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Uri};
use wsgi_proto::Version;

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
        let mut request = Request::new(self.input());
        *request.method_mut() = Method::from_bytes(head.method().as_bytes())?;
        *request.uri_mut() = Uri::try_from(head.target())?;
        *request.version_mut() = match head.version() {
            Version::Http10 => http::Version::HTTP_10,
            _ => http::Version::HTTP_11,
        };
        *request.headers_mut() = headers(head.raw_fields())?;
        request.extensions_mut().insert(self.clone());
        Ok(request)
    }
}

fn headers<'a>(
    fields: impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<HeaderMap, http::Error> {
    let mut headers = HeaderMap::with_capacity(fields.len());
    for (name, value) in fields {
        headers.append(HeaderName::from_bytes(name)?, HeaderValue::from_bytes(value)?);
    }
    Ok(headers)
}
