//! Plays a [`script`](crate::script) as a blocking application: [`application`](crate::application) without futures.

use std::io::{Read, Write};

use wsgi_std::{Body, Environ, Error, InputError, Result, StartResponse};

use crate::application::{blocks, look};
use crate::script::{Op, Script, Seen};

/// Executes `script`. `stop` stops the server gracefully.
///
/// # Errors
///
/// The first error of an operation, or the one that the script requests.
pub fn play(
    script: &Script,
    environ: &Environ,
    start_response: &StartResponse,
    stop: impl Fn(),
) -> Result<Body> {
    let (input, mut seen) = (environ.input(), look(environ.head()));
    let mut write = None;
    for (index, op) in script.ops.iter().enumerate() {
        match op {
            Op::ReadAll => read(environ, &mut seen, usize::MAX)?,
            Op::Read(count) => read(environ, &mut seen, *count)?,
            Op::TryReadAll => {
                if let Err(error) = read(environ, &mut seen, usize::MAX) {
                    seen.error = error.request_error().ok_or(error)?.to_string().into();
                }
            }
            Op::Respond(status, fields) => write = Some(start_response.start(status, fields)?),
            Op::Replace(status, fields) => {
                write = Some(start_response.restart(status, fields, "it failed")?);
            }
            Op::Body(text) => return Ok(text.render(&seen).into()),
            Op::Send(text) => match (blocks(&script.ops[index..], &seen), &write) {
                (Some(body), _) => return Ok(body),
                (None, Some(write)) => write.write(text.render(&seen))?,
                (None, None) => return Err(Error::from("nothing was started")),
            },
            Op::Inform(status, fields) => start_response.inform(status, fields)?,
            Op::ContinueHeaders(fields) => input.set_hundred_continue_response_headers(fields)?,
            Op::MinimumChunkSize(bytes) => environ.set_minimum_write_chunk_size(*bytes),
            Op::Fail(text) => return Err(text.clone().into()),
            Op::Shutdown => stop(),
            Op::TakeOver => {
                let mut stream = input.take_over()?;
                let mut space = [0; 64];
                loop {
                    match stream.read(&mut space)? {
                        0 => break,
                        count => stream.write_all(&space[..count])?,
                    }
                }
            }
            Op::Trailers(_) | Op::Abort => return Err(Error::from("no application can do that")),
        }
    }
    Ok(Body::empty())
}

fn read(environ: &Environ, seen: &mut Seen, count: usize) -> Result<(), InputError> {
    let input = environ.input();
    let wanted = seen.body.len().saturating_add(count);
    while seen.body.len() < wanted {
        let part = input.read_some(wanted - seen.body.len())?;
        if part.is_empty() {
            break;
        }
        seen.body.extend_from_slice(&part);
    }
    if let Some(trailers) = input.trailers() {
        seen.trailers = Seen::list(trailers.fields());
    }
    Ok(())
}
