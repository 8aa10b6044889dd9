//! Plays a [`script`](crate::script) as an application, for every adapter that runs futures.
//! [`blocking`](crate::blocking) is the same for blocking applications.

use wsgi_tokio::{Body, Bytes, Environ, Error, Head, InputError, Result, StartResponse};

use crate::script::{Op, Script, Seen};

/// Whether a script can be played here. An application cannot send trailers or end without an answer.
pub fn can_play(script: &Script) -> bool {
    !script.ops.iter().any(|op| matches!(op, Op::Trailers(_) | Op::Abort))
}

/// Executes `script`. `stop` stops the server gracefully.
///
/// # Errors
///
/// The first error of an operation, or the one that the script requests.
pub async fn play(
    script: &Script,
    environ: Environ,
    start_response: StartResponse,
    stop: impl Fn() + Send,
) -> Result<Body> {
    let (input, mut seen) = (environ.input(), look(environ.head()));
    let mut write = None;
    for (index, op) in script.ops.iter().enumerate() {
        match op {
            Op::ReadAll => read(&environ, &mut seen, usize::MAX).await?,
            Op::Read(count) => read(&environ, &mut seen, *count).await?,
            Op::TryReadAll => {
                if let Err(error) = read(&environ, &mut seen, usize::MAX).await {
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
                (None, Some(write)) => write.write(text.render(&seen)).await?,
                (None, None) => return Err(Error::from("nothing was started")),
            },
            Op::Inform(status, fields) => start_response.inform(status, fields)?,
            Op::ContinueHeaders(fields) => input.set_hundred_continue_response_headers(fields)?,
            Op::MinimumChunkSize(bytes) => environ.set_minimum_write_chunk_size(*bytes),
            Op::Fail(text) => return Err(text.clone().into()),
            Op::Shutdown => stop(),
            Op::TakeOver => {
                let mut stream = input.take_over().await?;
                let mut space = [0; 64];
                loop {
                    match stream.read(&mut space).await? {
                        0 => break,
                        count => stream.write_all(&space[..count]).await?,
                    }
                }
            }
            Op::Trailers(_) | Op::Abort => return Err(Error::from("no application can do that")),
        }
    }
    Ok(Body::empty())
}

/// The request as an application sees it before it reads the body.
pub(crate) fn look(head: &Head) -> Seen {
    Seen {
        method: head.method().into(),
        path: head.path().into(),
        query: head.query().unwrap_or_default().into(),
        host: head.host().unwrap_or_default().into(),
        version: head.version().as_str().into(),
        ..Seen::default()
    }
}

/// The remaining operations of a script that only sends and may fail at the end, as a body of unknown length.
pub(crate) fn blocks(ops: &[Op], seen: &Seen) -> Option<Body> {
    let blocks: Option<Vec<Result<Bytes>>> = ops
        .iter()
        .map(|op| match op {
            // An empty block of a body is skipped; only `write` sends the head with it.
            Op::Send(text) => Some(Bytes::from(text.render(seen))).filter(|block| !block.is_empty()).map(Ok),
            Op::Fail(text) => Some(Err(text.clone().into())),
            _ => None,
        })
        .collect();
    blocks.map(Body::iterator)
}

async fn read(environ: &Environ, seen: &mut Seen, count: usize) -> Result<(), InputError> {
    let input = environ.input();
    let wanted = seen.body.len().saturating_add(count);
    while seen.body.len() < wanted {
        let part = input.read_some(wanted - seen.body.len()).await?;
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
