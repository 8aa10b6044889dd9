//! The server's own response to a request whose application failed.

use wsgi_proto::{Exchange, RequestError, ResponseHead, StartError};

use crate::context::ServerContext;
use crate::context::catch_panic;
use crate::context::log::one_line;
use crate::context::no_waiting;
use crate::exchange::handle::Handle;
use crate::head::headers::Headers;
use crate::head::status::Status;

pub(crate) enum OwnResponse {
    /// The client is at fault.
    Refusal(RequestError),
    /// 500, with this text as its body.
    Failure(String),
}

impl OwnResponse {
    /// Sends the response, or cuts the one whose head was sent. The functions of middleware change its head; what they
    /// cannot change is sent as it is.
    pub(crate) fn send(&self, server_context: &ServerContext, handle: &Handle) {
        let wrong = match self.mapped(server_context, handle) {
            Ok(None) => None,
            Ok(Some(head)) => match handle.with(|mut exchange| self.send_with(&mut exchange, head)) {
                Some(Err(error)) => Some(error.to_string()),
                _ => return,
            },
            Err(wrong) => Some(wrong),
        };
        if let Some(wrong) = wrong {
            let text =
                format!("a function of `StartResponse::map` failed for the server's response: {wrong}");
            server_context.error(&one_line(&text));
        }
        handle.with(|mut exchange| match self {
            Self::Refusal(error) => exchange.refuse(*error),
            Self::Failure(text) => exchange.fail(text),
        });
    }

    fn send_with(&self, exchange: &mut Exchange<'_>, head: ResponseHead) -> Result<(), StartError> {
        match self {
            Self::Refusal(error) => exchange.refuse_with(*error, head),
            Self::Failure(text) => exchange.fail_with(head, text),
        }
    }

    /// The head after the functions of middleware; `None` without such functions, and after the head was sent.
    fn mapped(
        &self,
        server_context: &ServerContext,
        handle: &Handle,
    ) -> Result<Option<ResponseHead>, String> {
        let maps = handle.last_maps();
        if maps.is_empty() || handle.look(|exchange| exchange.head_is_sent()) != Some(false) {
            return Ok(None);
        }
        let mut status = Status::from(match self {
            Self::Refusal(error) => error.status(),
            Self::Failure(_) => 500,
        });
        let mut headers: Headers = [("Content-Type", "text/plain")].into_iter().collect();
        // They run in the connection's task here, which a blocking call would wait for.
        catch_panic::catch(|| no_waiting::run(|| maps.apply(&mut status, &mut headers)))?;
        if status.code() == 101 {
            return Err("the server does not switch protocols".to_owned());
        }
        // The server knows the length of its text.
        headers.remove("Content-Length");
        let head = ResponseHead::new(&server_context.config, status.as_str(), &headers);
        head.map(Some).map_err(|error| error.to_string())
    }
}
