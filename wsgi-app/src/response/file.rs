//! Files as responses: ranges, and clients that have the file already.

use std::fs::{File, Metadata};
use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use wsgi_proto::{format_date_time, parse_date_time};

use crate::application::body::{Body, Kind};
use crate::application::environ::Environ;
use crate::application::file::{FileRange, regular};
use crate::response::Response;
use crate::response::conditions::{Outcome, Validators, single};
use crate::response::range::Part;

impl Response {
    /// The same response with the bytes of a regular file as its body, or with the range of them that the request selects.
    ///
    /// ```
    /// use std::fs::File;
    /// use wsgi_app::{Environ, Response, Result};
    ///
    /// async fn video(environ: Environ) -> Result<Response> {
    ///     let file = File::open("video.mp4")?; // with tokio: `tokio::fs::File`, then `into_std`
    ///     let response = Response::new(200).with_header("Content-Type", "video/mp4");
    ///     Ok(response.with_file(file, &environ)?)
    /// }
    /// # fn is_an_application(_: impl wsgi_app::Application) {}
    /// # is_an_application(wsgi_app::site(video));
    /// ```
    ///
    /// It adds `Last-Modified`, `ETag` and `Accept-Ranges`, and answers a GET as RFC 9110 describes it (13 and 14):
    ///
    /// | the request has | response |
    /// | --- | --- |
    /// | `Range` with one range of bytes, such as `bytes=0-99`, `bytes=100-` or `bytes=-5` | 206 with that part and `Content-Range`; 416 if the file ends before it |
    /// | `Range` with several ranges or another unit, or a malformed one | the whole file |
    /// | `If-Range` with the tag or the date of another version | the whole file |
    /// | `If-None-Match`, or else `If-Modified-Since`, and the client has this version | 304 without a body |
    /// | `If-Match`, or else `If-Unmodified-Since`, and the client requires another version | 412 |
    ///
    /// For a HEAD it checks the same conditions, and ignores `Range`. For other methods, and if the status of the response
    /// is not 200, the file becomes the body and nothing is added or checked.
    ///
    /// A file that has changed within the current second has no `Last-Modified`, since it can change again without another date.
    ///
    /// The tag is made of the time of the last change, as precisely as the system keeps it, and the length. If a file can
    /// change twice within that precision, or several servers have copies of it with different times, set an `ETag` of its
    /// content before, such as a hash or a version. A `Last-Modified` that was set before is kept as well. Set other fields
    /// of the file before, too, such as `Content-Type`: a response that does not have the file is sent without them.
    ///
    /// The path of the file is not a part of this: a program that makes it from the path of a request must keep clients in
    /// their folder, as the recipe `static_files` of the cookbook does. [`Body::file`] describes how the bytes are sent.
    ///
    /// # Errors
    ///
    /// Those of [`Body::file`].
    pub fn with_file(mut self, file: impl Into<Arc<File>>, environ: &Environ) -> io::Result<Self> {
        let file = file.into();
        let metadata = regular(&file)?;
        let length = metadata.len();
        let body = |start, end| Body(Kind::File(FileRange { file, start, end }));
        let method = environ.method();
        if !matches!(&*method, "GET" | "HEAD") || self.status() != 200 {
            return Ok(self.with_body(body(0, length)));
        }
        // That of the whole file would be wrong for a part.
        self.headers_mut().remove("Content-Length");
        self.add_validators(&metadata, environ);
        self.headers_mut().insert_default("Accept-Ranges", "bytes");
        let (etag, modified) = (self.headers().get("ETag"), self.headers().get("Last-Modified"));
        let validators =
            Validators { etag: etag.as_deref(), modified: modified.as_deref().and_then(parse_date_time) };
        match validators.check(environ) {
            Outcome::Send => {}
            Outcome::NotModified => return Ok(self.without_content().with_status(304).with_body(())),
            Outcome::Failed => {
                return Ok(self.refused(412, "the file does not meet the conditions of the request\n"));
            }
        }
        // RFC 9110, 14.2: a range counts only for GET, and after the conditions.
        let range = single(environ, "Range").filter(|_| method == "GET" && validators.may_continue(environ));
        match range.map_or(Part::All, |range| Part::parse(&range, length)) {
            Part::All => Ok(self.with_body(body(0, length))),
            Part::Some(part) => {
                let range = format!("bytes {}-{}/{length}", part.start, part.end - 1);
                let response = self.with_status(206).with_header("Content-Range", range);
                Ok(response.with_body(body(part.start, part.end)))
            }
            Part::Nothing => {
                let range = format!("bytes */{length}");
                Ok(self.refused(416, "the file has no such range\n").with_header("Content-Range", range))
            }
        }
    }

    /// Adds the tag and the date of a file, unless the response has them.
    fn add_validators(&mut self, metadata: &Metadata, environ: &Environ) {
        // Some systems do not keep the time.
        let Ok(modified) = metadata.modified() else { return };
        let nanos = nanos_since_1970(modified);
        self.headers_mut().insert_default("ETag", format!("\"{nanos:x}-{:x}\"", metadata.len()));
        // RFC 9110, 8.8.2.2: a date is a strong validator from the next second on. Before, the file can change once more
        // without another date, and `If-Range` would join both versions. This excludes dates in the future, too (8.8.2.1).
        let now = environ.handle().server_context().clock.now().unix;
        let unix = i64::try_from(nanos.div_euclid(1_000_000_000)).ok().filter(|unix| *unix < now);
        if let Some(Ok(date)) = unix.map(format_date_time) {
            self.headers_mut().insert_default("Last-Modified", date);
        }
    }

    /// The same response without the fields that describe its content. Others, such as `Cache-Control` and `ETag`, are part
    /// of a 304 (RFC 9110, 15.4.5).
    fn without_content(mut self) -> Self {
        for name in
            ["Content-Type", "Content-Length", "Content-Encoding", "Content-Language", "Content-Disposition"]
        {
            self.headers_mut().remove(name);
        }
        self
    }

    /// The same response with an error of the client instead of the file.
    fn refused(self, status: u16, text: &'static str) -> Self {
        let mut response = self.without_content();
        // They are about the file. A cache must not keep the error in its place.
        for name in ["ETag", "Last-Modified", "Cache-Control", "Expires"] {
            response.headers_mut().remove(name);
        }
        response.with_status(status).with_header("Content-Type", "text/plain; charset=utf-8").with_body(text)
    }
}

/// Negative before 1970.
fn nanos_since_1970(time: SystemTime) -> i128 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_nanos().cast_signed(),
        Err(before) => -before.duration().as_nanos().cast_signed(),
    }
}
