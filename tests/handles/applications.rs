//! The kinds of applications: functions, closures and types, boxed or shared, with their own error types.

use std::fmt;
use std::io;
use std::sync::Arc;

use wsgi_tests::live::{Kind, Site};
use wsgi_tokio::{
    Application, Body, BoxApplication, Environ, Error, NO_HEADERS, Options, Result, StartError, StartResponse,
};

const PLAIN: [(&str, &str); 1] = [("Content-Type", "text/plain")];

/// An application's own error type.
#[derive(Debug)]
enum SiteError {
    NoSuchPage(String),
    Start(StartError),
}

impl fmt::Display for SiteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchPage(path) => write!(f, "no page {path}"),
            Self::Start(_) => f.write_str("cannot start"),
        }
    }
}

impl std::error::Error for SiteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoSuchPage(_) => None,
            Self::Start(error) => Some(error),
        }
    }
}

impl From<StartError> for SiteError {
    fn from(error: StartError) -> Self {
        Self::Start(error)
    }
}

/// Like `anyhow::Error`: accepts every error, is not an error itself, and hides the type of the inner error.
#[derive(Debug)]
struct AnyError(Error);

#[derive(Debug)]
struct Hidden(Error);

impl<E: std::error::Error + Send + Sync + 'static> From<E> for AnyError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl From<AnyError> for Error {
    fn from(AnyError(error): AnyError) -> Self {
        Box::new(Hidden(error))
    }
}

impl fmt::Display for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Hidden {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

async fn own_error(environ: Environ, start: StartResponse) -> Result<Body, SiteError> {
    match &*environ.path() {
        "/own" => start.start("200 OK", PLAIN)?,
        "/own/malformed" => start.start("2000 OK", PLAIN)?,
        path => return Err(SiteError::NoSuchPage(path.to_owned())),
    };
    Ok("own".into())
}

async fn any_error(environ: Environ, start: StartResponse) -> Result<Body, AnyError> {
    let body = environ.input().read_to_end().await?;
    if body == "fail" {
        return Err(io::Error::other("it failed").into());
    }
    start.start("200 OK", PLAIN)?;
    Ok("any".into())
}

async fn io_error(_: Environ, start: StartResponse) -> io::Result<Body> {
    start.start("200 OK", NO_HEADERS).map_err(io::Error::other)?;
    Ok("io".into())
}

/// An application type that contains other applications, each of a different type.
struct Pages(Vec<(&'static str, BoxApplication)>);

impl Application for Pages {
    async fn call(&self, environ: Environ, start: StartResponse) -> Result<Body> {
        match self.0.iter().find(|(path, _)| environ.path().starts_with(path)) {
            Some((_, page)) => page.call(environ, start).await,
            None => Err(SiteError::NoSuchPage(environ.path().into_owned()).into()),
        }
    }
}

fn pages() -> Pages {
    let shared = Arc::new(io_error);
    Pages(vec![
        ("/own", own_error.boxed()),
        ("/any", any_error.boxed()),
        ("/shared", Arc::clone(&shared).boxed()),
        ("/io", shared.boxed()),
        ("/nested", Pages(vec![("/nested", own_error.boxed().boxed())]).boxed()),
    ])
}

#[test]
fn applications_of_every_kind_stand_in_one_list() {
    let site = Site::new(Arc::new(pages().boxed()));
    let mut client = site.connect();
    for (path, text) in [("/own", "own"), ("/any", "any"), ("/io", "io"), ("/shared", "io")] {
        let answer = client.get(path);
        assert_eq!((answer.status, answer.text().as_str()), (200, text), "{path}");
    }
    assert_eq!(site.journal().texts(Kind::Error), [""; 0]);
}

#[test]
fn an_error_of_the_application_is_logged_with_its_sources() {
    for (path, message) in [
        ("/nested/else", "the application failed: no page /nested/else"),
        ("/else", "the application failed: no page /else"),
        ("/own/malformed", "the application failed: cannot start: status \"2000 OK\" is malformed ("),
    ] {
        let site = Site::new(pages());
        let answer = site.connect().get(path);
        assert_eq!((answer.status, answer.text().as_str()), (500, ""), "{path}");
        site.journal().accesses(1);
        let errors = site.journal().texts(Kind::Error);
        assert!(errors.len() == 1 && errors[0].starts_with(message), "{errors:?}");
    }
}

#[test]
fn what_the_client_did_is_its_fault_also_when_the_error_hides_its_type() {
    let site = Site::with(Options::default().debug(false).max_body_size(4), any_error);
    for (body, status) in [("12345", 413), ("fail", 500), ("fine", 200)] {
        let mut client = site.connect();
        let length = body.len();
        client.send(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{body}"));
        assert_eq!(client.answer().status, status, "{body}");
    }
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n");
    assert_eq!(client.answer().status, 400);
    site.journal().accesses(4);
    let errors = site.journal().texts(Kind::Error);
    assert!(errors.len() == 1 && errors[0].contains("it failed"), "{errors:?}");
}
