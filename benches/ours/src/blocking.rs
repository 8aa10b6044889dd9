//! The same application for `wsgi-std`, where it may block.

use std::path::PathBuf;
use std::sync::OnceLock;

use bench_common::content::HELLO;
use wsgi_std::{Application, Environ, ResponseHead, Result, StartResponse};

use crate::answers::{FIELDS, page, variables};

/// The pages of this program; `/file` is the given file.
pub(crate) fn application(file: Option<PathBuf>) -> impl Application {
    wsgi_std::application_fn(move |environ: Environ, start_response: StartResponse| {
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
            b"/upload" => format!("{}\n", length(&environ)?).into(),
            b"/echo" => environ.input().read_to_end()?.into(),
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
    })
}

fn length(environ: &Environ) -> Result<usize> {
    let (input, mut length) = (environ.input(), 0);
    loop {
        match input.read_some(64 * 1024)?.len() {
            0 => return Ok(length),
            more => length += more,
        }
    }
}
