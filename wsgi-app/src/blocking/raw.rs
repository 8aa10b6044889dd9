//! The calls of a raw request that wait, and raw applications among other blocking ones.

use std::future::poll_fn;

use wsgi_proto::SendError;

use crate::application::body::Body;
use crate::application::input::Input as AsyncInput;
use crate::application::raw::{Raw, RawRequest};
use crate::blocking::application::Application;
use crate::blocking::environ::Environ;
use crate::blocking::input::Input;
use crate::blocking::response::StartResponse;
use crate::blocking::stream::{self, Stream};
use crate::exchange::error::{InputError, Result};

impl RawRequest {
    /// The request body, with all its other calls: whole, by line, `100 Continue`, trailers.
    pub fn input(&self) -> Input {
        Input::new(AsyncInput::new(self.handle.clone()))
    }

    /// Reads bytes of the body into `space`. See [`Input::read_into`].
    ///
    /// # Errors
    ///
    /// See [`Input`].
    pub fn read_into(&self, space: &mut [u8]) -> Result<usize, InputError> {
        self.input().read_into(space)
    }

    /// The number of bytes of the body that were not read, if that is known. See [`Input::remaining`].
    pub fn remaining(&self) -> Option<u64> {
        self.handle.remaining()
    }

    /// Waits until the transport has taken everything that was sent, the connection is lost, or the exchange is over.
    /// Blocks that wait to be joined do not count; [`Exchange::send_joined`](wsgi_proto::Exchange::send_joined) sends
    /// them.
    pub fn flush(&self) {
        self.handle.flush();
    }

    /// Leaves what was sent in the outbox, so that it is written together with what follows. If nothing follows within one
    /// to two milliseconds, another thread of the server writes it, whatever the application does. With 16 KiB or more, or
    /// over a transport without such a thread, this is [`flush`](Self::flush).
    ///
    /// Call it after each block of a response: PEP 3333 allows a block to wait if its transmission is guaranteed.
    pub fn flush_soon(&self) {
        if !self.handle.flush_soon() {
            self.flush();
        }
    }

    /// Sends a block and leaves it in the outbox, like [`flush_soon`](Self::flush_soon) after
    /// [`send`](wsgi_proto::Exchange::send), if neither has to wait. Returns false if nothing was sent: return the block and
    /// those that follow as [`Body::iterator`], so that the server waits for the client.
    ///
    /// It returns false, too, if the body is dropped, as for HEAD.
    ///
    /// # Errors
    ///
    /// Those of [`send`](wsgi_proto::Exchange::send).
    pub fn send_soon(&self, block: &[u8]) -> Result<bool, SendError> {
        self.handle.send_soon(block)
    }

    /// Waits until the outbox is no longer full, after [`Flow::Full`](wsgi_proto::Flow::Full), or until the connection
    /// is lost or the exchange is over. The next [`send`](wsgi_proto::Exchange::send) shows which.
    pub fn wait_for_room(&self) {
        self.handle
            .block_on(poll_fn(|context| self.handle.poll_until(context, |exchange| !exchange.is_full())));
    }

    /// Whether the client has closed its side, as far as that is known without waiting, or the exchange is over. See
    /// [`Input::is_client_gone`].
    pub fn is_client_gone(&self) -> bool {
        self.handle.is_client_gone()
    }

    /// Waits until the client closes its side, the connection is lost, or the exchange is over. See
    /// [`Input::client_gone`].
    pub fn client_gone(&self) {
        self.input().client_gone();
    }

    /// Ends HTTP on this connection after a 101 was started, and returns the raw stream. See [`Input::take_over`].
    ///
    /// # Errors
    ///
    /// See [`Input::take_over`].
    pub fn take_over(&self) -> Result<Stream, SendError> {
        stream::take_over(&self.handle, |exchange| exchange.take_over())
    }

    /// Ends HTTP on this connection without a response: the application sends its own on the raw stream. See
    /// [`Input::take_over_unanswered`].
    ///
    /// # Errors
    ///
    /// See [`Input::take_over_unanswered`].
    pub fn take_over_unanswered(&self) -> Result<Stream, SendError> {
        stream::take_over(&self.handle, |exchange| exchange.take_over_unanswered())
    }
}

/// For middleware, and for boxed applications. The server itself calls a raw application without an `environ`.
impl Application for Raw {
    fn call(&self, environ: Environ, _: StartResponse) -> Result<Body> {
        let (head, endpoints) = (environ.head().clone(), *environ.endpoints());
        let handle = environ.0.handle().clone();
        self.0.call(&RawRequest { head, endpoints, handle })
    }
}
