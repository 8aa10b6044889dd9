//! WSGI's `wsgi.input` for blocking applications.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::task::Poll;

use bytes::{Buf, Bytes};
use wsgi_proto::{Field, SendError, StartError, Trailers};

use crate::application::input::{Input as AsyncInput, LONGEST_LINE};
use crate::blocking::stream::{self, Stream};
use crate::exchange::error::InputError;

/// The request body without its framing (`wsgi.input`), read by calls that wait.
///
/// ```
/// use wsgi_app::blocking::{Environ, StartResponse};
/// use wsgi_app::{Body, Result};
///
/// /// Stores an upload.
/// fn upload(environ: Environ, start_response: StartResponse) -> Result<Body> {
///     let mut input = environ.input();
///     let mut file = std::fs::File::create("upload")?;
///     let length = std::io::copy(&mut input, &mut file)?;
///     start_response.start("201 Created", [("Content-Type", "text/plain")])?;
///     Ok(format!("{length} bytes\n").into())
/// }
/// # fn is_an_application(_: impl wsgi_app::blocking::Application) {}
/// # is_an_application(upload);
/// ```
///
/// The first read sends the `100 Continue` that a client may wait for, unless the response has begun. A request without
/// a body has an empty one.
///
/// A handle can be cloned and moved to another thread. All handles read the same body: each byte is returned once.
/// Reading and writing can overlap. A handle that outlives its exchange is harmless: every read returns
/// [`InputError::Over`].
///
/// Waits and errors are those of the asynchronous [`Input`](crate::Input): only `socket_timeout` bounds a wait, and if
/// the application returns the error, the client gets 413, 408 or 400. An [`io::Error`] that has an [`InputError`]
/// inside counts as that error.
///
/// # I/O traits
///
/// `Input` implements [`io::Read`] and [`io::BufRead`]. The methods `read`, `read_to_end` and `read_line` here hide
/// those of the traits; call `io::Read::read(&mut input, ..)` for the others. If `BufRead` is imported, `input.lines()`
/// is its method; call `Input::lines(&input)` for this one. The methods of these traits that collect a body or a line in
/// memory have no bound but `max_body_size`.
#[derive(Clone)]
pub struct Input {
    inner: AsyncInput,
    /// The bytes that `fill_buf` returned last, and their position in the body. The connection still has them.
    shown: Bytes,
    shown_at: u64,
}

impl Input {
    pub(super) fn new(inner: AsyncInput) -> Self {
        Self { inner, shown: Bytes::new(), shown_at: 0 }
    }

    /// Bytes that have arrived: between 1 and `limit`, as soon as there are any; empty at the end of the body or if
    /// `limit` is 0.
    ///
    /// # Errors
    ///
    /// See [`Input`].
    pub fn read_some(&self, limit: usize) -> Result<Bytes, InputError> {
        self.inner.handle.block_on(self.inner.read_some(limit))
    }

    /// The next bytes, all that have arrived; empty at the end of the body. Of all ways to read, this one copies least. [`Input::chunk`](crate::Input::chunk) has the details.
    ///
    /// # Errors
    ///
    /// See [`Input`].
    pub fn chunk(&self) -> Result<Bytes, InputError> {
        self.read_some(usize::MAX)
    }

    /// Reads bytes that have arrived into `space` and returns their number, as soon as there are any; 0 at the end of
    /// the body or if `space` is empty. [`io::Read::read`] does the same.
    ///
    /// If `space` and what remains of a body of known length, or of a chunk, have at least 16 KiB, bytes that have not
    /// arrived yet are read from the socket straight into `space`.
    ///
    /// # Errors
    ///
    /// See [`Input`].
    pub fn read_into(&self, space: &mut [u8]) -> Result<usize, InputError> {
        let handle = &self.inner.handle;
        handle.block_on(poll_fn(|context| match handle.read_direct(context, space) {
            Some(count) => Poll::Ready(Ok(count)),
            None => self.inner.poll_read_into(context, space),
        }))
    }

    /// The number of bytes of the body that were not read, whether they have arrived or not; 0 at the end of the body.
    /// `None` before the end of a chunked body, whose length is unknown, and after the exchange.
    pub fn remaining(&self) -> Option<u64> {
        self.inner.remaining()
    }

    /// The next `size` bytes, or fewer at the end of the body: WSGI's `read(size)`. Bytes that were read are lost if
    /// the read fails.
    ///
    /// # Errors
    ///
    /// See [`Input`].
    pub fn read(&self, size: usize) -> Result<Bytes, InputError> {
        self.inner.handle.block_on(self.inner.read(size))
    }

    /// The remaining body, in memory: WSGI's `read()`. Only the option `max_body_size` bounds its size, and by default
    /// there is no bound, as in the manual: use [`read_all`](Self::read_all), or a server with
    /// [`Options::public`](crate::Options::public), for clients that you do not trust.
    ///
    /// ```
    /// # use wsgi_app::{Result, blocking::Environ};
    /// # fn example(environ: Environ) -> Result<()> {
    /// let text = String::from_utf8(environ.input().read_to_end()?.into())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`Input`].
    pub fn read_to_end(&self) -> Result<Bytes, InputError> {
        self.inner.handle.block_on(self.inner.read_to_end())
    }

    /// The remaining body, in memory, if it has at most `limit` bytes. Bytes that were read are lost if the read fails.
    ///
    /// ```
    /// # use wsgi_app::{Result, blocking::Environ};
    /// # fn example(environ: Environ) -> Result<()> {
    /// // If the client sends more than 64 KiB, the application fails and the response is a 413.
    /// let form = environ.input().read_all(64 * 1024)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`BodyTooLarge`](crate::RequestError::BodyTooLarge) at once if the client announced more than `limit` bytes, which
    /// then gets no 100 Continue; for a chunked body as soon as more have arrived. The rest of the body can still be read.
    /// Otherwise see [`Input`].
    pub fn read_all(&self, limit: usize) -> Result<Bytes, InputError> {
        self.inner.handle.block_on(self.inner.read_all(limit))
    }

    /// The next line with its line feed, or its first `limit` bytes if it is longer: WSGI's `readline(size)`. Empty at
    /// the end of the body or if `limit` is 0; the last line may have no line feed.
    ///
    /// ```
    /// # use wsgi_app::{Result, blocking::Environ};
    /// # fn example(environ: Environ) -> Result<()> {
    /// let line = environ.input().read_line(8192)?;
    /// let is_whole = line.ends_with(b"\n");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`Input`].
    pub fn read_line(&self, limit: usize) -> Result<Bytes, InputError> {
        self.inner.handle.block_on(self.inner.read_line(limit))
    }

    /// The remaining lines, one after the other: iteration over `wsgi.input`. A line of more than 1 MiB is returned in
    /// parts of 1 MiB.
    pub fn lines(&self) -> Lines {
        Lines { input: self.clone() }
    }

    /// Sets the header fields of the `100 Continue` that the first read sends. They replace those set before, and each
    /// later [`send_hundred_continue_response`](Self::send_hundred_continue_response) sends them too.
    ///
    /// ```
    /// # use wsgi_app::{Result, blocking::Environ};
    /// # fn example(environ: Environ) -> Result<()> {
    /// let input = environ.input();
    /// input.set_hundred_continue_response_headers([("X-Upload-Id", "17")])?;
    /// let upload = input.read_to_end()?; // sends `100 Continue` with the field
    ///
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// No effect if no 100 is sent: without `Expect: 100-continue`, with HTTP/1.0, or if the application responds
    /// without reading.
    ///
    /// # Errors
    ///
    /// A [`StartError`] if a field is malformed or is not allowed in an interim response; the 100 then has no fields.
    /// [`StartError::Over`] after the exchange.
    pub fn set_hundred_continue_response_headers(
        &self,
        headers: impl IntoIterator<Item = impl Field>,
    ) -> Result<(), StartError> {
        self.inner.set_hundred_continue_response_headers(headers)
    }

    /// Sends a `100 Continue` now, with the fields that were set, and waits as
    /// [`Write::write`](crate::blocking::Write::write) does. It can be called several times, for instance to report
    /// progress, and works without `Expect`. It replaces the automatic one.
    ///
    /// ```
    /// # use wsgi_app::{Result, blocking::Environ};
    /// # fn example(environ: Environ) -> Result<()> {
    /// let input = environ.input();
    /// let first = input.read(64 * 1024)?;
    /// input
    ///     .set_hundred_continue_response_headers([("X-Received", first.len().to_string())])?;
    /// input.send_hundred_continue_response()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// No effect for HTTP/1.0 clients, and after the response has begun.
    ///
    /// # Errors
    ///
    /// [`StartError::Over`] after the exchange. [`StartError::Full`] if other threads have filled the outbox
    /// (`limits.outbox`); nothing was sent then.
    pub fn send_hundred_continue_response(&self) -> Result<(), StartError> {
        self.inner.send_hundred_continue_response()?;
        self.inner.handle.flush_itself();
        Ok(())
    }

    /// Whether the client waits for a `100 Continue` that was not sent. An application that responds without reading
    /// can then save the client the upload; the connection closes after that response.
    pub fn should_send_hundred_continue(&self) -> bool {
        self.inner.should_send_hundred_continue()
    }

    /// The trailer fields of a chunked body. `None` until the end of the body was read, and after the exchange; without
    /// fields if the client sent none.
    pub fn trailers(&self) -> Option<Trailers> {
        self.inner.trailers()
    }

    /// Whether the client has closed its side, as far as that is known without waiting; true after the exchange.
    ///
    /// It queries the system, so it notices a client that has disconnected even if nothing else reads. Like
    /// [`client_gone`](Self::client_gone), it makes the server read ahead. A client that closed only its sending side can
    /// still read the response, see [When a client leaves](crate::Input::client_gone).
    pub fn is_client_gone(&self) -> bool {
        self.inner.handle.is_client_gone()
    }

    /// Waits until the client closes its side, the connection is lost, or the exchange is over. It blocks the thread,
    /// so call it in a second one.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicBool, Ordering};
    /// # use wsgi_app::blocking::Environ;
    ///
    /// /// Becomes true when the client disconnects, or when the exchange is over.
    /// fn watch(environ: &Environ) -> Arc<AtomicBool> {
    ///     let (input, gone) = (environ.input(), Arc::new(AtomicBool::new(false)));
    ///     let flag = Arc::clone(&gone);
    ///     std::thread::spawn(move || {
    ///         input.client_gone();
    ///         flag.store(true, Ordering::Relaxed);
    ///     });
    ///     gone
    /// }
    /// ```
    ///
    /// Nothing else notices a client that disconnects while the application neither reads nor writes. A client that
    /// closed only its sending side can still read the response, see
    /// [When a client leaves](crate::Input::client_gone).
    ///
    /// From this call on the server reads ahead. If an unread body or pipelined requests fill the receive buffer
    /// (`limits.inbox`), a disconnect is not noticed until they are read.
    pub fn client_gone(&self) {
        self.inner.handle.block_on(self.inner.client_gone());
    }

    /// Ends HTTP on this connection after `101 Switching Protocols` was started, sends the 101, and returns the raw
    /// stream (eventlet: `get_socket()`). The stream begins with the bytes that the client has already sent. See
    /// [`Stream`] for an example.
    ///
    /// The body that the application returns is then ignored.
    ///
    /// # Errors
    ///
    /// [`SendError::NotStarted`] if no response was started; [`SendError::NotSwitching`] if its status is not 101, or
    /// if it was sent by [`Write`](crate::blocking::Write); [`SendError::BodyUnread`] if the end of the request body
    /// was not read; [`SendError::Finished`] after the exchange or a second time; [`SendError::Lost`] if the connection
    /// is lost. After the first three the exchange continues.
    pub fn take_over(&self) -> Result<Stream, SendError> {
        stream::take_over(&self.inner.handle, |exchange| exchange.take_over())
    }

    /// Like [`take_over`](Self::take_over), but without a response: the application sends its own, such as a 101, on the
    /// raw stream. A response that was started and not sent is discarded.
    ///
    /// ```
    /// # use wsgi_app::{Body, Result, blocking::{Environ, StartResponse}};
    /// use std::io::Write as _;
    ///
    /// fn answers_itself(environ: Environ, _: StartResponse) -> Result<Body> {
    ///     let mut stream = environ.input().take_over_unanswered()?;
    ///     stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")?;
    ///     std::io::copy(&mut &stream, &mut &stream)?;
    ///     stream.shutdown()?;
    ///     Ok(Body::empty()) // ignored
    /// }
    /// # fn is_an_application(_: impl wsgi_app::blocking::Application) {}
    /// # is_an_application(answers_itself);
    /// ```
    ///
    /// The server does not see that response, so its access line has the status 0 and no bytes.
    ///
    /// # Errors
    ///
    /// [`SendError::NotSwitching`] if a response was sent, by [`Write`](crate::blocking::Write); the others as for
    /// `take_over`.
    pub fn take_over_unanswered(&self) -> Result<Stream, SendError> {
        stream::take_over(&self.inner.handle, |exchange| exchange.take_over_unanswered())
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input").field("shown", &self.shown.len()).finish_non_exhaustive()
    }
}

impl io::Read for Input {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        if !space.is_empty() {
            self.shown.clear();
        }
        Ok(self.read_into(space)?)
    }
}

impl io::BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        // Another handle may have taken the bytes that were returned before.
        let handle = &self.inner.handle;
        (self.shown_at, self.shown) = handle.block_on(poll_fn(|context| handle.poll_peek(context)))?;
        Ok(&self.shown)
    }

    fn consume(&mut self, count: usize) {
        let count = count.min(self.shown.len());
        self.shown.advance(count);
        self.shown_at += count as u64;
        self.inner.handle.skip_peeked(self.shown_at);
    }
}

/// The lines of a request body, each with its line feed; the last one may have none. Made by [`Input::lines`].
///
/// ```
/// use wsgi_app::blocking::{Environ, StartResponse};
/// use wsgi_app::{Body, Result};
///
/// fn longest(environ: Environ, start_response: StartResponse) -> Result<Body> {
///     let mut longest = 0;
///     for line in environ.input().lines() {
///         longest = longest.max(line?.len());
///     }
///     start_response.start("200 OK", [("Content-Type", "text/plain")])?;
///     Ok(format!("{longest} bytes\n").into())
/// }
/// # fn is_an_application(_: impl wsgi_app::blocking::Application) {}
/// # is_an_application(longest);
/// ```
///
/// Only `max_body_size` bounds the length of a line. Use [`Input::read_line`] with a limit for bodies of clients that
/// you do not trust. After an error, `next` returns that error again and again: end the loop.
#[derive(Debug)]
pub struct Lines {
    input: Input,
}

impl Iterator for Lines {
    type Item = Result<Bytes, InputError>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.input.read_line(LONGEST_LINE);
        line.map(|line| (!line.is_empty()).then_some(line)).transpose()
    }
}
