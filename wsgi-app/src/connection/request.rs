//! Runs one request: the application, its body, its errors and panics, the post hooks and the access line.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use wsgi_proto::{BodyError, Record, SendError};

use crate::application::Application;
use crate::application::body::{Body, Kind};
use crate::application::environ::Environ;
use crate::application::start_response::{StartResponse, room, send};
use crate::context::ServerContext;
use crate::context::catch_panic;
use crate::context::log::one_line;
use crate::exchange::error::{Error, InputError, chain};
use crate::exchange::handle::Handle;

/// Why a response failed.
pub(crate) enum Failure {
    Application(Error),
    Send(SendError),
    Panic(String),
    /// The server stopped without waiting for the application.
    Aborted,
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        Self::Send(error)
    }
}

/// Runs one request until its response is complete in the outbox or cut, or until the connection is taken over.
pub(crate) async fn respond<A: Application>(
    application: &A,
    environ: &Environ,
    handle: &Handle,
) -> Result<(), Failure> {
    let start_response = StartResponse(handle.clone());
    let body = application.call(environ.clone(), start_response).await.map_err(Failure::Application)?;
    send_body(handle, body).await
}

/// Polls the future of [`respond`]; a panic counts as a failure.
pub(crate) fn poll_response(
    mut response: Pin<&mut Option<impl Future<Output = Result<(), Failure>>>>,
    context: &mut Context<'_>,
) -> Poll<Result<(), Failure>> {
    let polled =
        catch_panic::catch(|| match response.as_mut().as_pin_mut().map(|future| future.poll(context)) {
            Some(Poll::Pending) => Poll::Pending,
            Some(Poll::Ready(result)) => {
                // Dropping the application's values may panic, too.
                response.set(None);
                Poll::Ready(result)
            }
            None => Poll::Ready(Ok(())),
        });
    polled.unwrap_or_else(|panic| Poll::Ready(Err(Failure::Panic(panic))))
}

/// Ends the exchange according to `outcome`. `None` means that the server stops without waiting for the application.
pub(crate) fn end_response<F>(
    server_context: &ServerContext,
    environ: &Environ,
    handle: &Handle,
    response: Pin<&mut Option<F>>,
    outcome: Option<Result<(), Failure>>,
) {
    let outcome = outcome.unwrap_or(Err(Failure::Aborted));
    let outcome = if outcome.is_ok() { outcome } else { give_up(response, outcome) };
    if let Err(failure) = outcome {
        conclude(server_context, environ, handle, failure);
    }
}

/// Drops the application's future, if the application panicked or is not waited for.
#[cold]
fn give_up<F>(mut response: Pin<&mut Option<F>>, outcome: Result<(), Failure>) -> Result<(), Failure> {
    match catch_panic::catch(|| response.set(None)) {
        Ok(()) => outcome,
        Err(panic) => Err(Failure::Panic(panic)),
    }
}

async fn send_body(handle: &Handle, body: Body) -> Result<(), Failure> {
    match body.0 {
        Kind::Empty => end(handle)?,
        Kind::Bytes(bytes) => {
            let mut bytes = bytes;
            while !finish(handle, &mut bytes)? {
                // Other handles have filled the outbox.
                room(handle).await;
            }
        }
        Kind::Blocks(blocks) => {
            let total = blocks.iter().map(|block| block.len() as u64).sum();
            handle.with(|mut exchange| exchange.announce_length(total));
            for block in blocks.into_iter().filter(|block| !block.is_empty()) {
                send(handle, block).await?;
            }
            end(handle)?;
        }
        Kind::Iterator(mut blocks) => {
            for block in blocks.by_ref() {
                let block = block.map_err(Failure::Application)?;
                if !block.is_empty() {
                    send(handle, block).await?;
                    if drops_body(handle) {
                        break;
                    }
                    poll_fn(|context| handle.poll_until(context, |exchange| exchange.is_flushed())).await;
                }
            }
            end(handle)?;
        }
        Kind::Stream(mut blocks) => {
            while let Some(block) = poll_fn(|context| blocks.as_mut().poll_next(context)).await {
                let block = block.map_err(Failure::Application)?;
                if !block.is_empty() {
                    send(handle, block).await?;
                    if drops_body(handle) {
                        break;
                    }
                }
            }
            end(handle)?;
        }
    }
    Ok(())
}

/// Sends a complete body and ends the response. Returns false, without effect, if the outbox is full.
fn finish(handle: &Handle, bytes: &mut Bytes) -> Result<bool, SendError> {
    let finished = handle.with(|mut exchange| {
        if exchange.is_full() {
            return Ok(false);
        }
        exchange.announce_length(bytes.len() as u64);
        let _ = exchange.send(std::mem::take(bytes))?;
        exchange.finish().map(|()| true)
    });
    // The exchange is already over: the application took over the connection.
    finished.unwrap_or(Ok(true))
}

fn end(handle: &Handle) -> Result<(), SendError> {
    // The exchange is already over: the application took over the connection.
    handle.with(|mut exchange| exchange.finish()).unwrap_or(Ok(()))
}

/// Whether the body is discarded, as for HEAD. A stream of blocks might never end, so it has to be stopped.
fn drops_body(handle: &Handle) -> bool {
    handle.look(|exchange| exchange.drops_body()).unwrap_or(true)
}

/// Ends an exchange whose application failed, and logs the failure.
fn conclude(server_context: &ServerContext, environ: &Environ, handle: &Handle, failure: Failure) {
    let request_line = || environ.head().request_line().escape_ascii().to_string();
    let (refusal, message) = match failure {
        Failure::Aborted => (None, None),
        Failure::Send(SendError::Lost(_)) => (None, None),
        Failure::Send(error) => (None, Some(format!("the application failed: {error}"))),
        Failure::Panic(panic) => (None, Some(format!("the application {panic}"))),
        Failure::Application(error) => match clients_fault(handle, &*error) {
            Some(BodyError::Request(error)) => (Some(error), None),
            Some(BodyError::Lost(_)) => (None, None),
            _ => (None, Some(format!("the application failed: {}", chain(&*error)))),
        },
    };
    if let Some(message) = &message {
        server_context.error(&format!("{} \"{}\"", one_line(message), request_line()));
    }
    handle.with(|mut exchange| match (refusal, message) {
        (Some(error), _) => exchange.refuse(error),
        (None, Some(message)) if server_context.debug => exchange.fail(&format!("{message}\n")),
        (None, Some(_)) => exchange.fail(""),
        (None, None) => exchange.abort(),
    });
}

/// The client's error, if it made the application fail.
fn clients_fault(handle: &Handle, error: &(dyn std::error::Error + 'static)) -> Option<BodyError> {
    if let Some(InputError::Body(error)) = input_error(error) {
        return Some(error);
    }
    if let Some(SendError::Lost(lost)) = error.downcast_ref() {
        return Some(BodyError::Lost(*lost));
    }
    // Some errors (`anyhow::Error`) hide the type of the error that they wrap, but keep its message.
    let known = handle.look(|exchange| exchange.body_error())??;
    let text = error.to_string();
    (text == InputError::Body(known).to_string() || text == known.to_string()).then_some(known)
}

/// The [`InputError`] among the causes of `error`, if there is one.
fn input_error(error: &(dyn std::error::Error + 'static)) -> Option<InputError> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(input) = error.downcast_ref::<InputError>() {
            return Some(*input);
        }
        // The I/O traits wrap it in an `io::Error`, whose `source` skips the wrapped error.
        if let Some(inner) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            return input_error(inner);
        }
        cause = error.source();
    }
    None
}

/// Drops an environ for which no hook or access line is due. Returns it if it can be reused.
pub(crate) fn leave(server_context: &ServerContext, environ: Environ) -> Option<Environ> {
    if environ.is_changed() {
        drop_caught(server_context, environ);
        return None;
    }
    environ.into_spare(&server_context.no_head)
}

/// Drops an environ. Values that middleware put into it may panic when they are dropped.
fn drop_caught(server_context: &ServerContext, environ: Environ) {
    if let Err(panic) = catch_panic::catch(|| drop(environ)) {
        server_context.error(&format!("a value in the environ {}", one_line(&panic)));
    }
}

/// Runs the post hooks in order, then writes the access line. A failure does not stop the later steps.
pub(crate) fn settle(server_context: &ServerContext, environ: Option<Environ>, record: &Record) {
    if let Some(environ) = environ {
        for hook in environ.take_hooks() {
            if let Err(panic) = catch_panic::catch(|| hook(&environ, record)) {
                server_context.error(&format!("a post hook {}", one_line(&panic)));
            }
        }
        drop_caught(server_context, environ);
    }
    server_context.access(record);
}
