//! What applications often read from a request, besides the variables of WSGI.

use std::borrow::Cow;

use wsgi_proto::{Field, SendError, StartError, decode_path, latin1};

use crate::application::environ::Environ;
use crate::application::start_response::StartResponse;
use crate::application::upgrade::Stream;

impl Environ {
    /// The path, percent-decoded once, as UTF-8; `None` if it is not UTF-8.
    ///
    /// [`path`](Self::path) has the same as latin-1, as PEP 3333 requires. `%2F` becomes `/` in both, but not a separator of
    /// [`segments`](Self::segments).
    ///
    /// ```
    /// # use wsgi_app::{Environ, IntoResponse, Response};
    /// async fn page(environ: Environ) -> Response {
    ///     match environ.path_utf8().as_deref() {
    ///         // The client sends `/caf%C3%A9`.
    ///         Some("/café") => "Bonjour\n".into_response(),
    ///         Some(_) => (404, "no such page\n").into_response(),
    ///         None => (400, "the path is not UTF-8\n").into_response(),
    ///     }
    /// }
    /// # wsgi_app::site(page);
    /// ```
    pub fn path_utf8(&self) -> Option<Cow<'_, str>> {
        utf8(self.path())
    }

    /// The segments of the path, each percent-decoded once, as UTF-8: what is between its slashes. `None` if one of them is
    /// not UTF-8.
    ///
    /// The path is split before it is decoded, so `%2F` is a part of a segment and not a separator, unlike in
    /// [`path_utf8`](Self::path_utf8). `/` has one segment, which is empty, and `/users/` has two.
    ///
    /// ```
    /// use wsgi_app::{Environ, IntoResponse, Response};
    ///
    /// async fn page(environ: Environ) -> Response {
    ///     let Some(segments) = environ.segments() else {
    ///         return (400, "the path is not UTF-8\n").into_response();
    ///     };
    ///     let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    ///     match segments[..] {
    ///         [""] => "index\n".into_response(),
    ///         // `AC/DC` for `/bands/AC%2FDC`.
    ///         ["bands", name] => format!("{name}\n").into_response(),
    ///         ["bands", name, "albums", ref rest @ ..] => {
    ///             format!("{name}: {}\n", rest.join(", ")).into_response()
    ///         }
    ///         _ => (404, "no such page\n").into_response(),
    ///     }
    /// }
    /// # fn is_an_application(_: impl wsgi_app::Application) {}
    /// # is_an_application(wsgi_app::site(page));
    /// ```
    ///
    /// Segments are not checked otherwise: one may be `..` or have a slash, so it is not a safe file name. `OPTIONS *` has
    /// the segment `*`. After a change of `PATH_INFO` by [`set`](Self::set) the segments are those of the new value.
    pub fn segments(&self) -> Option<Vec<String>> {
        let owned = |segment: Option<Cow<'_, str>>| segment.map(Cow::into_owned);
        if let Some(path) = self.changed("PATH_INFO") {
            let path = path.strip_prefix('/').unwrap_or(&path);
            return path.split('/').map(|segment| owned(utf8(segment.into()))).collect();
        }
        let path = self.head().path();
        let path = path.strip_prefix(b"/").unwrap_or(path);
        path.split(|&byte| byte == b'/').map(|segment| owned(utf8(decode_path(segment)))).collect()
    }

    /// The values of all header fields called `name`, in any case, in order; bytes outside ASCII are latin-1.
    ///
    /// ```
    /// # use wsgi_app::Environ;
    /// fn accepts_json(environ: &Environ) -> bool {
    ///     environ.headers("Accept").any(|value| value.contains("application/json"))
    /// }
    /// ```
    pub fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Cow<'a, str>> {
        self.head().values(name).map(latin1)
    }

    /// The length of the request body in bytes; `None` if the client did not announce it, since the body is chunked or
    /// there is none.
    ///
    /// A body of any kind ends where [`input`](Self::input) ends. To accept only bodies up to a limit, pass the limit to
    /// [`Input::read_all`](crate::Input::read_all).
    pub fn content_length(&self) -> Option<u64> {
        // The machine has checked it.
        self.header("Content-Length")?.trim().parse().ok()
    }

    /// The names and values of the query, in order, decoded as forms are (WHATWG, `application/x-www-form-urlencoded`): `+`
    /// is a space, and bytes that are not UTF-8 become U+FFFD.
    ///
    /// ```
    /// # use wsgi_app::Environ;
    /// /// `?page=3`
    /// fn page(environ: &Environ) -> Option<u32> {
    ///     let (_, page) = environ.query_pairs().find(|(name, _)| name == "page")?;
    ///     page.parse().ok()
    /// }
    /// ```
    ///
    /// The feature `serde` has [`query_as`](#method.query_as), which makes a struct of them.
    pub fn query_pairs(&self) -> impl Iterator<Item = (String, String)> {
        pairs(&self.query()).into_iter()
    }

    /// The names and values of the cookies that the client sent, in order (RFC 6265, 4.2); bytes outside ASCII are latin-1.
    ///
    /// ```
    /// use wsgi_app::{Environ, IntoResponse, Response};
    ///
    /// async fn page(environ: Environ) -> Response {
    ///     let mut cookies = environ.cookies();
    ///     match cookies.find(|(name, _)| name == "theme") {
    ///         Some((_, theme)) => format!("{theme}\n").into_response(),
    ///         None => {
    ///             let cookie = "theme=dark; Path=/; SameSite=Lax; Max-Age=86400";
    ///             ([("Set-Cookie", cookie)], "dark\n").into_response()
    ///         }
    ///     }
    /// }
    /// # fn is_an_application(_: impl wsgi_app::Application) {}
    /// # is_an_application(wsgi_app::site(page));
    /// ```
    ///
    /// Values are as they were sent, with quotes and percent signs. One name can occur several times, also from another path
    /// or a parent domain, which an attacker may control: a client does not say which cookie is whose. Anyone can send
    /// any value, so a session needs a signature or a random key; the cookbook has a program.
    pub fn cookies(&self) -> impl Iterator<Item = (String, String)> {
        let fields = self.head().values("Cookie").map(latin1);
        fields.flat_map(|field| cookies(&field))
    }

    /// The type of the body without its parameters, such as `text/html`, in lower case; empty without `Content-Type`.
    pub(crate) fn media_type(&self) -> String {
        let value = self.header("Content-Type").unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// Sends an interim response now, as [`StartResponse::inform`](crate::StartResponse::inform) does: for applications
    /// that do not get `start_response`.
    ///
    /// # Errors
    ///
    /// Those of [`StartResponse::inform`](crate::StartResponse::inform).
    pub fn inform(
        &self,
        status: impl AsRef<str>,
        headers: impl IntoIterator<Item = impl Field>, // none: `NO_HEADERS`
    ) -> Result<(), StartError> {
        StartResponse::new(self.handle().clone()).inform(status, headers)
    }

    /// Ends HTTP on this connection, as [`Input::take_over`](crate::Input::take_over) does.
    ///
    /// # Errors
    ///
    /// Those of [`Input::take_over`](crate::Input::take_over).
    pub async fn take_over(&self) -> Result<Stream, SendError> {
        self.input().take_over().await
    }
}

/// Turns latin-1 characters back into bytes, and these into UTF-8.
fn utf8(latin1: Cow<'_, str>) -> Option<Cow<'_, str>> {
    if latin1.is_ascii() {
        return Some(latin1);
    }
    String::from_utf8(bytes(&latin1)?).ok().map(Cow::Owned)
}

/// The bytes that latin-1 characters stand for.
fn bytes(latin1: &str) -> Option<Vec<u8>> {
    latin1.chars().map(|char| u8::try_from(char).ok()).collect()
}

/// The cookies of one field. What has no `=`, or no name before it, is left out.
fn cookies(field: &str) -> Vec<(String, String)> {
    let pairs = field.split(';').filter_map(|pair| pair.split_once('='));
    let space = [' ', '\t'];
    pairs
        .map(|(name, value)| (name.trim_matches(space).to_owned(), value.trim_matches(space).to_owned()))
        .filter(|(name, _)| !name.is_empty())
        .collect()
}

/// The names and values of a form, whose bytes are latin-1 characters here.
pub(crate) fn pairs(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

fn decoded(text: &str) -> String {
    let spaced = bytes(&text.replace('+', " ")).unwrap_or_default();
    let bytes = bytes(&decode_path(&spaced)).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_utf8_or_nothing() {
        let read = |raw: &str| utf8(decode_path(raw.as_bytes())).map(Cow::into_owned);
        assert_eq!(read("/a%20b").as_deref(), Some("/a b"));
        assert_eq!(read("/caf%C3%A9").as_deref(), Some("/café"));
        assert_eq!(read("/caf%E9"), None);
    }

    #[test]
    fn a_query_is_decoded_as_a_form() {
        let read = |query: &str| {
            pairs(query).into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
        };
        assert_eq!(read("a=1&b=x+y%2Bz&&c&d=&=e"), ["a=1", "b=x y+z", "c=", "d=", "=e"]);
        assert_eq!(read("n%C3%A4me=%C3%A9%zz&a=%ff"), ["näme=é%zz", "a=\u{fffd}"]);
        assert_eq!(read("a=b=c&a=d"), ["a=b=c", "a=d"]);
        assert_eq!(read(""), [""; 0]);
        // Bytes that are not percent-encoded, as `query` has them.
        assert_eq!(read(&latin1("a=é".as_bytes())), ["a=é"]);
    }
}
