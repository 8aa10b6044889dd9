//! WSGI's `wsgi.input`: the request body, without its framing.

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;
use wsgi_proto::{BodyError, Field, RequestError, SendError, StartError, Trailers};

use crate::application::fields::Fields;
use crate::application::upgrade::{self, Stream};
use crate::exchange::body::Taken;
use crate::exchange::error::InputError;
use crate::exchange::handle::Handle;

/// The request body without its framing (`wsgi.input`).
///
/// ```
/// use wsgi_app::{Body, Environ, Result, StartResponse};
///
/// /// Sends the request body back, block by block.
/// async fn echo(environ: Environ, start_response: StartResponse) -> Result<Body> {
///     let input = environ.input();
///     let write = start_response
///         .start("200 OK", [("Content-Type", "application/octet-stream")])?;
///     loop {
///         let block = input.read_some(64 * 1024).await?;
///         if block.is_empty() {
///             return Ok(Body::empty());
///         }
///         write.write(block).await?;
///     }
/// }
/// # fn is_an_application(_: impl wsgi_app::Application) {}
/// # is_an_application(echo);
/// ```
///
/// The first read sends the `100 Continue` that a client may wait for, unless the response has begun. A request without
/// a body has an empty one.
///
/// A handle can be cloned and moved to another task. All handles read the same body: each byte is returned once.
/// Reading and writing can overlap. A handle that outlives its exchange is harmless: every read returns
/// [`InputError::Over`].
///
/// # Waiting
///
/// Only `socket_timeout` bounds a wait for bytes. It bounds each wait, not the whole body, and by default there is no
/// bound. `header_timeout` and `keepalive` do not apply to bodies. A server that stops gracefully cuts the connection
/// after `graceful_timeout`.
///
/// # Errors
///
/// After an error, every read returns that error again. If the application returns the error, even wrapped in
/// another error or in an [`io::Error`](std::io::Error), and the head of the response was not sent, the client gets:
///
/// | error | cause | response |
/// | --- | --- | --- |
/// | [`Body`][1]`(`[`Request`][2]`(`[`BodyTooLarge`][3]`))` | A chunked body exceeds `max_body_size`. | 413 |
/// | `Body(Request(`[`Timeout`][4]`))` | No byte arrived within `socket_timeout`. | 408 |
/// | `Body(Request(_))`, any other | The framing is malformed, or the client closed its side too early. | 400 |
/// | `Body(`[`Lost`][5]`(_))` | The connection is lost. | none |
/// | [`Over`](InputError::Over) | The exchange is over, or the connection was taken over. | none |
///
/// [1]: InputError::Body
/// [2]: crate::BodyError::Request
/// [3]: crate::RequestError::BodyTooLarge
/// [4]: crate::RequestError::Timeout
/// [5]: crate::BodyError::Lost
///
/// A `Content-Length` above `max_body_size` is refused with 413 before the application runs.
/// [`InputError::request_error`] returns the error of the client, which has a `status`.
///
/// The first four are not logged as errors. If the head was already sent, the response is cut. An application
/// can also catch the error and send its own response; the connection then closes after it.
///
/// With the feature `futures-io`, `Input` implements `AsyncRead` of that crate, with `tokio-io` that of tokio, and with `http`
/// it is an `http_body::Body`.
#[derive(Clone, Debug)]
pub struct Input {
    pub(crate) handle: Handle,
    /// The end of the body was returned, by a trait that returns nothing behind it.
    pub(crate) ended: bool,
}

impl Input {
    pub(crate) fn new(handle: Handle) -> Self {
        Self { handle, ended: false }
    }

    /// Bytes that have arrived: between 1 and `limit`, as soon as there are any; empty at the end of the body or if
    /// `limit` is 0.
    ///
    /// A future that is dropped before it is ready loses no bytes.
    ///
    /// # Errors
    ///
    /// See [`Input`].
    pub async fn read_some(&self, limit: usize) -> Result<Bytes, InputError> {
        poll_fn(|context| self.poll_read_some(context, limit)).await
    }

    /// Polls for bytes: [`read_some`](Self::read_some) without the future.
    ///
    /// # Errors
    ///
    /// See [`Input`].
    pub fn poll_read_some(&self, context: &mut Context<'_>, limit: usize) -> Poll<Result<Bytes, InputError>> {
        if limit == 0 {
            return Poll::Ready(Ok(Bytes::new()));
        }
        self.handle
            .poll_body(context, |data| (Taken::Shared(data.len().min(limit)), Some(())))
            .map_ok(|taken| taken.map_or_else(Bytes::new, |((), bytes)| bytes))
    }

    /// The next bytes, all that have arrived; empty at the end of the body. Of all ways to read, this one copies least.
    ///
    /// ```
    /// # use wsgi_app::{Environ, Result};
    /// # async fn example(environ: Environ) -> Result<()> {
    /// let (input, mut length) = (environ.input(), 0);
    /// loop {
    ///     let chunk = input.chunk().await?;
    ///     if chunk.is_empty() {
    ///         break;
    ///     }
    ///     length += chunk.len();
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A chunk has nothing to do with the chunks of a `Transfer-Encoding`. It has at most the size of the receive
    /// buffer (`limits.inbox`).
    ///
    /// # Memory
    ///
    /// The bytes are the receive buffer itself, without a copy, if they fill at least a quarter of it. Otherwise they
    /// are copied. So the chunks that an application keeps never hold more than four times their length. If a chunk is
    /// dropped before the next one is read, the connection uses its buffer again; otherwise it continues with another
    /// one.
    ///
    /// A future that is dropped before it is ready loses no bytes.
    ///
    /// # Errors
    ///
    /// See [`Input`].
    pub async fn chunk(&self) -> Result<Bytes, InputError> {
        self.read_some(usize::MAX).await
    }

    /// Reads bytes that have arrived into `space` and returns their number, as soon as there are any; 0 at the end of
    /// the body or if `space` is empty.
    ///
    /// ```
    /// # use wsgi_app::{Environ, Result};
    /// # async fn example(environ: Environ) -> Result<()> {
    /// let (input, mut space) = (environ.input(), vec![0; 64 * 1024]);
    /// while let count @ 1.. = input.read_into(&mut space).await? {
    ///     println!("{} bytes", space[..count].len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The bytes are copied out of the receive buffer. [`chunk`](Self::chunk) does not copy; in
    /// [blocking applications](crate::blocking::Input::read_into) neither does this method.
    ///
    /// A future that is dropped before it is ready loses no bytes.
    ///
    /// # Errors
    ///
    /// See [`Input`].
    pub async fn read_into(&self, space: &mut [u8]) -> Result<usize, InputError> {
        poll_fn(|context| self.poll_read_into(context, space)).await
    }

    /// Polls for bytes: [`read_into`](Self::read_into) without the future.
    ///
    /// # Errors
    ///
    /// See [`Input`].
    pub fn poll_read_into(
        &self,
        context: &mut Context<'_>,
        space: &mut [u8],
    ) -> Poll<Result<usize, InputError>> {
        if space.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let read = self.handle.poll_body(context, |data| {
            let count = data.len().min(space.len());
            space[..count].copy_from_slice(&data[..count]);
            (Taken::Copied(count), Some(count))
        });
        read.map_ok(|read| read.map_or(0, |(count, _)| count))
    }

    /// The number of bytes of the body that were not read, whether they have arrived or not; 0 at the end of the body.
    /// `None` before the end of a chunked body, whose length is unknown, and after the exchange.
    ///
    /// ```
    /// # use wsgi_app::{Environ, Result};
    /// # async fn example(environ: Environ) -> Result<()> {
    /// let input = environ.input();
    /// if input.remaining().is_none_or(|length| length <= 1024 * 1024) {
    ///     let body = input.read_all(1024 * 1024).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn remaining(&self) -> Option<u64> {
        self.handle.remaining()
    }

    /// The next `size` bytes, or fewer at the end of the body: WSGI's `read(size)`.
    ///
    /// Bytes that were read are lost if the read fails, or if its future is dropped before it is ready.
    ///
    /// # Errors
    ///
    /// See [`Input`].
    pub async fn read(&self, size: usize) -> Result<Bytes, InputError> {
        if size == 0 {
            return Ok(Bytes::new());
        }
        self.gather(|data, gathered| {
            let wanted = data.len().min(size - gathered);
            (wanted, gathered + wanted == size)
        })
        .await
    }

    /// The remaining body, in memory: WSGI's `read()`.
    ///
    /// ```
    /// # use wsgi_app::{Environ, Result};
    /// # async fn example(environ: Environ) -> Result<()> {
    /// let text = String::from_utf8(environ.input().read_to_end().await?.into())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Only the option `max_body_size` bounds its size, and by default there is no bound, as in the manual: use
    /// [`read_all`](Self::read_all), or a server with [`Options::public`](crate::Options::public), for clients that you
    /// do not trust. Bytes that were read are lost if the read fails, or if its future is dropped before it is ready.
    ///
    /// # Errors
    ///
    /// See [`Input`].
    pub async fn read_to_end(&self) -> Result<Bytes, InputError> {
        self.gather(|data, _| (data.len(), false)).await
    }

    /// The remaining body, in memory, if it has at most `limit` bytes.
    ///
    /// ```
    /// # use wsgi_app::{Environ, Result};
    /// # async fn example(environ: Environ) -> Result<()> {
    /// // If the client sends more than 64 KiB, the application fails and the response is a 413.
    /// let form = environ.input().read_all(64 * 1024).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Bytes that were read are lost if the read fails, or if its future is dropped before it is ready.
    ///
    /// # Errors
    ///
    /// [`BodyTooLarge`](crate::RequestError::BodyTooLarge) at once if the client announced more than `limit` bytes, which
    /// then gets no 100 Continue; for a chunked body as soon as more have arrived. The rest of the body can still be read.
    /// Otherwise see [`Input`].
    pub async fn read_all(&self, limit: usize) -> Result<Bytes, InputError> {
        let too_large = || BodyError::Request(RequestError::BodyTooLarge(limit as u64)).into();
        // A client that asks first, or that sends slowly, learns it before it sends all that for nothing.
        if self.remaining().is_some_and(|length| length > limit as u64) {
            return Err(too_large());
        }
        let body = self
            .gather(|data, gathered| {
                let taken = data.len().min((limit - gathered).saturating_add(1));
                (taken, gathered + taken > limit)
            })
            .await?;
        if body.len() > limit { Err(too_large()) } else { Ok(body) }
    }

    /// The next line with its line feed, or its first `limit` bytes if it is longer: WSGI's `readline(size)`. Empty at
    /// the end of the body or if `limit` is 0; the last line may have no line feed.
    ///
    /// ```
    /// # use wsgi_app::{Environ, Result};
    /// # async fn example(environ: Environ) -> Result<()> {
    /// let line = environ.input().read_line(8192).await?;
    /// let is_whole = line.ends_with(b"\n");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The next call continues behind the returned bytes. Bytes that were read are lost if the read fails, or if its
    /// future is dropped before it is ready.
    ///
    /// # Errors
    ///
    /// See [`Input`].
    pub async fn read_line(&self, limit: usize) -> Result<Bytes, InputError> {
        if limit == 0 {
            return Ok(Bytes::new());
        }
        self.gather(|data, gathered| {
            let data = &data[..data.len().min(limit - gathered)];
            match data.iter().position(|&byte| byte == b'\n') {
                Some(at) => (at + 1, true),
                None => (data.len(), gathered + data.len() == limit),
            }
        })
        .await
    }

    /// The remaining lines, one after the other: iteration over `wsgi.input`. A line of more than 1 MiB is returned in
    /// parts of 1 MiB.
    pub fn lines(&self) -> Lines {
        Lines { input: self.clone() }
    }

    /// Collects data until `take` returns true. Its arguments are the bytes that have arrived and how many were
    /// collected; it returns how many to take, and whether that is enough.
    async fn gather(&self, mut take: impl FnMut(&[u8], usize) -> (usize, bool)) -> Result<Bytes, InputError> {
        let mut gathered = Vec::new();
        let last = poll_fn(|context| {
            self.handle.poll_body(context, |data| {
                let (count, enough) = take(data, gathered.len());
                if enough && gathered.is_empty() {
                    return (Taken::Shared(count), Some(()));
                }
                gathered.extend_from_slice(&data[..count]);
                (Taken::Copied(count), enough.then_some(()))
            })
        });
        let last = last.await?;
        Ok(match last {
            Some(((), whole)) if gathered.is_empty() => whole,
            _ => gathered.into(),
        })
    }

    /// Sets the header fields of the `100 Continue` that the first read sends. They replace those set before, and each
    /// later [`send_hundred_continue_response`](Self::send_hundred_continue_response) sends them too.
    ///
    /// ```
    /// # use wsgi_app::{Environ, Result};
    /// # async fn example(environ: Environ) -> Result<()> {
    /// let input = environ.input();
    /// input.set_hundred_continue_response_headers([("X-Upload-Id", "17")])?;
    /// let upload = input.read_to_end().await?; // sends `100 Continue` with the field
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
        let headers = Fields::collect(headers);
        let set = self.handle.with(|mut exchange| exchange.continue_headers(headers));
        set.unwrap_or(Err(StartError::Over))
    }

    /// Sends a `100 Continue` now, with the fields that were set. It can be called several times, for instance to
    /// report progress, and works without `Expect`. It replaces the automatic one.
    ///
    /// ```
    /// # use wsgi_app::{Environ, Result};
    /// # async fn example(environ: Environ) -> Result<()> {
    /// let input = environ.input();
    /// let mut received = 0;
    /// loop {
    ///     let part = input.read(64 * 1024).await?;
    ///     if part.is_empty() {
    ///         break;
    ///     }
    ///     received += part.len();
    ///     input.set_hundred_continue_response_headers([(
    ///         "X-Received",
    ///         received.to_string(),
    ///     )])?;
    ///     input.send_hundred_continue_response()?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// No effect for HTTP/1.0 clients, and after the response has begun.
    ///
    /// # Errors
    ///
    /// [`StartError::Over`] after the exchange. [`StartError::Full`] if the client does not read and too much is
    /// waiting to be sent (`limits.outbox`); nothing was sent then.
    pub fn send_hundred_continue_response(&self) -> Result<(), StartError> {
        self.handle.with(|mut exchange| exchange.send_continue()).unwrap_or(Err(StartError::Over))
    }

    /// Whether the client waits for a `100 Continue` that was not sent. An application that responds without reading
    /// can then save the client the upload; the connection closes after that response.
    pub fn should_send_hundred_continue(&self) -> bool {
        self.handle.look(|exchange| exchange.expects_continue()).unwrap_or(false)
    }

    /// The trailer fields of a chunked body. `None` until the end of the body was read, and after the exchange; without
    /// fields if the client sent none.
    ///
    /// ```
    /// # use wsgi_app::{Environ, Result};
    /// # async fn example(environ: Environ) -> Result<()> {
    /// let input = environ.input();
    /// input.read_to_end().await?;
    /// for (name, value) in input.trailers().unwrap_or_default().fields() {
    ///     println!("{name}: {}", value.escape_ascii());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn trailers(&self) -> Option<Trailers> {
        self.handle.trailers()
    }

    /// Waits until the client closes its side, the connection is lost, or the exchange is over.
    ///
    /// ```
    /// use std::future::{Future, poll_fn};
    /// use std::pin::pin;
    /// use std::task::Poll;
    /// # use wsgi_app::Environ;
    ///
    /// /// The result of `work`, or `None` if the client disconnected first.
    /// async fn unless_gone<R>(environ: &Environ, work: impl Future<Output = R>) -> Option<R> {
    ///     let input = environ.input();
    ///     let (mut gone, mut work) = (pin!(input.client_gone()), pin!(work));
    ///     // `select!` of tokio or futures does the same.
    ///     poll_fn(|context| match work.as_mut().poll(context) {
    ///         Poll::Ready(result) => Poll::Ready(Some(result)),
    ///         Poll::Pending => gone.as_mut().poll(context).map(|()| None),
    ///     })
    ///     .await
    /// }
    /// # fn is_send<T: Send>(_: T) {}
    /// # fn check(environ: &Environ) { is_send(unless_gone(environ, async {})) }
    /// ```
    ///
    /// # When a client leaves
    ///
    /// | the client | reads of the body | writes | `client_gone` |
    /// | --- | --- | --- | --- |
    /// | closes only its sending side (a half-close) | an error if the body is not complete, which is answered with 400 | reach it | ready |
    /// | closes the connection | the same | seem to succeed until it answers them with a reset, then fail | ready |
    /// | resets the connection | fail | fail | ready |
    /// | disappears without a word | wait, at most for the options below | the same | not ready |
    ///
    /// The first two look the same until something is written: TCP tells a server only that no more bytes follow. So nothing is
    /// cancelled by itself, and a client that sent `EOF` behind its request, such as `nc -N`, gets its response. Clients that
    /// disappear are given up by `socket_timeout`, `min_request_rate` and `min_response_rate`, which
    /// [`Options::public`](crate::Options::public) sets, as long as the server waits for their bytes or for room.
    ///
    /// What then happens to the application:
    ///
    /// | application | |
    /// | --- | --- |
    /// | a function with `start_response`, or a [`site`](crate::site()) | runs to its end. Reads and writes fail, which ends it if it returns their errors; that is no error entry. A body is dropped at the block that cannot be sent. |
    /// | a [blocking](mod@crate::blocking) one | the same, and no call can be interrupted. Between steps of its work it asks [`is_client_gone`](crate::blocking::Input::is_client_gone). |
    /// | a service of the feature `tower` | is cancelled, as with hyper: its future or its body is dropped, also after a half-close. `cancel_on_disconnect(false)` makes it run to its end like the others. |
    /// | one that has taken over the connection | a read of its stream returns 0, or fails after a reset. Nothing else happens. |
    ///
    /// Post hooks run in each case. [`Record::lost`](crate::Record::lost) has the reason if not everything was sent.
    ///
    /// # Reading ahead
    ///
    /// Nothing else notices a client that disconnects while the application neither reads nor writes. From this call on the server reads ahead. If an unread body or pipelined requests fill the receive buffer
    /// (`limits.inbox`), a disconnect is not noticed until they are read.
    pub async fn client_gone(&self) {
        poll_fn(|context| self.poll_client_gone(context)).await;
    }

    /// Polls [`client_gone`](Self::client_gone) without the future.
    pub fn poll_client_gone(&self, context: &mut Context<'_>) -> Poll<()> {
        self.handle.poll_client_gone(context)
    }

    /// Ends HTTP on this connection after `101 Switching Protocols` was started, sends the 101, and returns the raw
    /// stream (eventlet: `get_socket()`). The stream begins with the bytes that the client has already sent. See
    /// [`Stream`] for an example.
    ///
    /// The body that the application returns is then ignored. Dropping the future before it is ready closes the
    /// connection.
    ///
    /// # Errors
    ///
    /// [`SendError::NotStarted`] if no response was started; [`SendError::NotSwitching`] if its status is not 101, or
    /// if it was sent by [`Write`](crate::Write); [`SendError::BodyUnread`] if the end of the request body was not
    /// read; [`SendError::Finished`] after the exchange or a second time; [`SendError::Lost`] if the connection is
    /// lost. After the first three the exchange continues.
    pub async fn take_over(&self) -> Result<Stream, SendError> {
        upgrade::take_over(&self.handle, |exchange| exchange.take_over()).await
    }

    /// Like [`take_over`](Self::take_over), but without a response: the application sends its own, such as a 101, on the
    /// raw stream. A response that was started and not sent is discarded.
    ///
    /// The server does not see that response, so its access line has the status 0 and no bytes.
    ///
    /// # Errors
    ///
    /// [`SendError::NotSwitching`] if a response was sent, by [`Write`](crate::Write); the others as for `take_over`.
    pub async fn take_over_unanswered(&self) -> Result<Stream, SendError> {
        upgrade::take_over(&self.handle, |exchange| exchange.take_over_unanswered()).await
    }
}

/// The size up to which [`Lines`] keeps a line together, in bytes.
pub(crate) const LONGEST_LINE: usize = 1024 * 1024;

/// The lines of a request body, made by [`Input::lines`].
///
/// ```
/// use wsgi_app::{Body, Environ, Result, StartResponse};
///
/// async fn count_lines(environ: Environ, start_response: StartResponse) -> Result<Body> {
///     let (mut lines, mut count) = (environ.input().lines(), 0);
///     while let Some(_line) = lines.next().await? {
///         count += 1;
///     }
///     start_response.start("200 OK", [("Content-Type", "text/plain")])?;
///     Ok(format!("{count} lines\n").into())
/// }
/// # fn is_an_application(_: impl wsgi_app::Application) {}
/// # is_an_application(count_lines);
/// ```
///
/// A line of more than 1 MiB is returned in parts of 1 MiB, so that a client cannot fill the memory with one line. In
/// eventlet the length of a line has no limit. [`Input::read_line`] takes another limit.
#[derive(Debug)]
pub struct Lines {
    input: Input,
}

impl Lines {
    /// The next line with its line feed, or `None` at the end of the body. The last line may have no line feed.
    ///
    /// Bytes that were read are lost if the read fails, or if its future is dropped before it is ready.
    ///
    /// # Errors
    ///
    /// See [`Input`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, InputError> {
        let line = self.input.read_line(LONGEST_LINE).await?;
        Ok(if line.is_empty() { None } else { Some(line) })
    }
}
