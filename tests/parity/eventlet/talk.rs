//! Raw requests, and the expected parts of their answers.

use std::io::{Read, Write};

use wsgi_tests::caller::{Answer, Caller};
use wsgi_tests::live::Site;
use wsgi_tokio::{Application, Body, Environ, Options, Result, StartResponse, application_fn};

pub(crate) const PLAIN: [(&str, &str); 1] = [("Content-Type", "text/plain")];

/// Stands for the end of the connection, where a turn has no answer.
pub(crate) const END: &[&str] = &["(the end)"];

/// A client's request, and the expected parts of the answer: parts of its head or of its unframed body. A part that
/// begins with `!` must not occur in it.
pub(crate) type Turn<'a> = (&'a str, &'a [&'a str]);

/// Answers `hello world`.
pub(crate) async fn hello(_environ: Environ, start_response: StartResponse) -> Result<Body> {
    start_response.start("200 OK", PLAIN)?;
    Ok("hello world".into())
}

/// Answers with the body of the request.
pub(crate) async fn echo(environ: Environ, start_response: StartResponse) -> Result<Body> {
    let body = environ.input().read_to_end().await?;
    start_response.start("200 OK", PLAIN)?;
    Ok(body.into())
}

/// Answers with the values of some variables, one per line.
pub(crate) fn showing(names: &'static [&'static str]) -> impl Application {
    application_fn(move |environ, start_response| async move {
        start_response.start("200 OK", PLAIN)?;
        let lines: Vec<_> = names.iter().map(|name| format!("{name}={:?}\n", environ.get(name))).collect();
        Ok(lines.concat().into())
    })
}

/// No `debug`, whose default would show errors to clients.
pub(crate) fn quiet() -> Options {
    Options::default().debug(false)
}

/// One connection to a separate server with the default options.
pub(crate) fn converse(application: impl Application, turns: &[Turn<'_>]) {
    converse_with(quiet(), application, turns);
}

/// One connection to a separate server.
pub(crate) fn converse_with(options: Options, application: impl Application, turns: &[Turn<'_>]) {
    let site = Site::with(options, application);
    let mut client = site.connect();
    for turn in turns {
        take(&mut client, *turn);
    }
}

/// One turn; the answer, unless the connection ended.
pub(crate) fn take<S: Read + Write>(client: &mut Caller<S>, (request, wanted): Turn<'_>) -> Option<Answer> {
    client.send(request);
    if wanted == END {
        assert!(client.ends(), "{request:?} was answered");
        return None;
    }
    let answer = client.answer();
    assert!(answer.whole, "{request:?}: {answer:?}");
    has(&answer, wanted);
    Some(answer)
}

/// Checks one answer.
pub(crate) fn has(answer: &Answer, wanted: &[&str]) {
    let text = format!("{}\r\n\r\n{}", answer.head, answer.text());
    for piece in wanted {
        match piece.strip_prefix('!') {
            Some(piece) => assert!(!text.contains(piece), "{piece:?} is in {text:?}"),
            None => assert!(text.contains(piece), "{piece:?} is not in {text:?}"),
        }
    }
}

/// All bytes until the connection ends.
pub(crate) fn until_end(site: &Site, request: impl AsRef<[u8]>) -> String {
    let mut client = site.connect();
    client.send(request);
    let mut text = Vec::new();
    client.stream().read_to_end(&mut text).expect("an end, and no reset");
    String::from_utf8_lossy(&text).into_owned()
}
