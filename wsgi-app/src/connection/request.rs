//! Ends a request: the errors and panics of its application, the post hooks and the access line.

use wsgi_proto::{BodyError, Head, Record, SendError};

use crate::application::environ::Environ;
use crate::connection::own_response::OwnResponse;
use crate::context::ServerContext;
use crate::context::catch_panic;
use crate::context::log::one_line;
use crate::exchange::error::{Error, InputError, chain, input_error};
use crate::exchange::handle::Handle;
use crate::exchange::shared::Hook;

/// Why a response failed.
pub(crate) enum Failure {
    Application(Error),
    /// The same of a raw application: its message may have several lines.
    Raw(Error),
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
pub(crate) fn conclude(server_context: &ServerContext, head: &Head, handle: &Handle, failure: Failure) {
    let (refusal, message) = match failure {
        Failure::Aborted => (None, None),
        Failure::Send(SendError::Lost(_)) => (None, None),
        Failure::Send(error) => (None, Some(Message::Line(format!("the application failed: {error}")))),
        Failure::Panic(panic) => (None, Some(Message::Line(format!("the application {panic}")))),
        Failure::Application(ref error) | Failure::Raw(ref error) => match clients_fault(handle, &**error) {
            Some(BodyError::Request(error)) => (Some(error), None),
            Some(BodyError::Lost(_)) => (None, None),
            _ => (None, Some(Message::new(chain(&**error), matches!(failure, Failure::Raw(_))))),
        },
    };
    if let Some(message) = &message {
        message.log(server_context, &head.request_line().escape_ascii().to_string());
    }
    let own = match (refusal, message) {
        (Some(error), _) => OwnResponse::Refusal(error),
        (None, Some(message)) if server_context.debug => {
            OwnResponse::Failure(format!("{}\n", message.text()))
        }
        (None, Some(_)) => OwnResponse::Failure(String::new()),
        (None, None) => return handle.with(|mut exchange| exchange.abort()).unwrap_or_default(),
    };
    own.send(server_context, handle);
}

/// The message of a failure that is logged.
enum Message {
    /// One entry of the log.
    Line(String),
    /// Several lines, such as a traceback: one entry each.
    Lines(String),
}

impl Message {
    /// The message of an application's error, with its line ends if `keeps_lines`.
    fn new(mut error: String, keeps_lines: bool) -> Self {
        if keeps_lines {
            error.truncate(error.trim_end().len());
        }
        if keeps_lines && error.contains('\n') {
            Self::Lines(error)
        } else {
            Self::Line(format!("the application failed: {error}"))
        }
    }

    fn log(&self, server_context: &ServerContext, request_line: &str) {
        match self {
            Self::Line(text) => server_context.error(&format!("{} \"{request_line}\"", one_line(text))),
            Self::Lines(text) => {
                server_context.error(&format!("the application failed \"{request_line}\""));
                text.lines().for_each(|line| server_context.error(&one_line(line)));
            }
        }
    }

    fn text(&self) -> &str {
        let (Self::Line(text) | Self::Lines(text)) = self;
        text
    }
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

/// Drops values of the application, which may panic then.
pub(crate) fn drop_caught<T>(server_context: &ServerContext, name: &str, values: T) {
    if let Err(panic) = catch_panic::catch(|| drop(values)) {
        server_context.error(&format!("{name} {}", one_line(&panic)));
    }
}

/// Runs the post hooks of a raw application in order.
pub(crate) fn run_hooks(server_context: &ServerContext, hooks: Vec<Hook>, record: &Record) {
    for hook in hooks {
        if let Err(panic) = catch_panic::catch(|| hook(record)) {
            server_context.error(&format!("a post hook {}", one_line(&panic)));
        }
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
        drop_caught(server_context, "a value in the environ", environ);
    }
    server_context.access(record);
}
