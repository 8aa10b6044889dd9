//! Ends a request: the errors and panics of its application, the post hooks and the access line.

use wsgi_proto::{BodyError, Record, SendError};

use crate::application::environ::Environ;
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

/// Ends an exchange whose application failed, and logs the failure.
pub(crate) fn conclude(server_context: &ServerContext, environ: &Environ, failure: Failure) {
    let handle = environ.handle();
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

/// Drops an environ. Values that middleware put into it may panic when they are dropped.
pub(crate) fn drop_caught(server_context: &ServerContext, environ: Environ) {
    if let Err(panic) = catch_panic::catch(|| drop(environ)) {
        server_context.error(&format!("a value in the environ {}", one_line(&panic)));
    }
}

/// Runs the post hooks in order, then writes the access line. A failure does not stop the later steps.
pub(crate) fn settle(server_context: &ServerContext, environ: Option<Environ>, record: &Record) {
    if let Some(environ) = environ {
        // eventlet: a hook that another hook adds runs as well.
        while environ.has_hooks() {
            for hook in environ.take_hooks() {
                if let Err(panic) = catch_panic::catch(|| hook(&environ, record)) {
                    server_context.error(&format!("a post hook {}", one_line(&panic)));
                }
            }
        }
        drop_caught(server_context, environ);
    }
    server_context.access(record);
}
