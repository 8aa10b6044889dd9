//! The application for tokio, smol and async-std.

use std::path::PathBuf;
use std::sync::OnceLock;

use bench_common::content::HELLO;
use wsgi_tokio::{Application, Body, Environ, ResponseHead, Result, StartResponse, application_fn};

use crate::answers::{FIELDS, page, variables};

/// The pages of this program; `/file` is the given file.
pub(crate) fn application(file: Option<PathBuf>) -> impl Application {
    let file: &'static Option<PathBuf> = Box::leak(Box::new(file));
    application_fn(move |environ: Environ, start_response: StartResponse| {
        answer(environ, start_response, file)
    })
}

async fn answer(
    environ: Environ,
    start_response: StartResponse,
    file: &'static Option<PathBuf>,
) -> Result<Body> {
    let body = match environ.head().path() {
        b"/kept" => {
            static HEAD: OnceLock<ResponseHead> = OnceLock::new();
            let head = match HEAD.get() {
                Some(head) => head,
                None => {
                    let head = start_response.prepare("200 OK", FIELDS)?;
                    HEAD.get_or_init(|| head)
                }
            };
            start_response.start_with(head)?;
            return Ok(HELLO.into());
        }
        b"/vars" => variables(&environ),
        b"/upload" => format!("{}\n", length(&environ).await?).into(),
        b"/echo" => environ.input().read_to_end().await?.into(),
        path => match page(path, file.as_deref()) {
            Some(body) => body,
            None => {
                start_response.start("404 Not Found", FIELDS)?;
                return Ok("Not Found\r\n".into());
            }
        },
    };
    start_response.start("200 OK", FIELDS)?;
    Ok(body)
}

async fn length(environ: &Environ) -> Result<usize> {
    let (input, mut length) = (environ.input(), 0);
    loop {
        match input.read_some(64 * 1024).await?.len() {
            0 => return Ok(length),
            more => length += more,
        }
    }
}
