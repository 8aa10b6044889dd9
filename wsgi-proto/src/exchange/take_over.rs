//! Ending HTTP on the connection, so that the application gets the stream.

use alloc::vec::Vec;

use crate::error::SendError;
use crate::exchange::Exchange;
use crate::machine::memory::Memory;
use crate::machine::state::tables::{OurEvent, OurHalf, PeerHalf};

impl Exchange<'_> {
    /// Ends HTTP on this connection: sends the 101 that was started, and returns the bytes that were received after the
    /// request. [`Event::TakenOver`](crate::Event::TakenOver) follows when the 101 is transmitted.
    ///
    /// The exchange is over. Its [record](crate::Connection::take_record) can be taken at any time, and is not
    /// announced.
    ///
    /// # Errors
    ///
    /// [`SendError::NotSwitching`] if the response that was started is not a 101, or its head was sent.
    /// [`SendError::BodyUnread`] if the request body was not read to its end. [`SendError::NotStarted`],
    /// [`SendError::Finished`], [`SendError::Lost`]. After an error nothing has changed.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_driver!()]
    /// let mut connection = open(b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\n\r\nhello");
    /// let mut exchange = connection.exchange().expect("a request is open");
    /// exchange.respond("101 Switching Protocols", [("Upgrade", "echo")])?;
    /// assert_eq!(exchange.take_over()?, b"hello");
    /// assert!(matches!(connection.poll(Now::default()), Event::Io(Io { write: true, .. })));
    /// assert!(flush(&mut connection).contains("\r\nUpgrade: echo\r\n"));
    /// assert_eq!(connection.poll(Now::default()), Event::TakenOver);
    /// # Ok::<(), AnswerError>(())
    /// ```
    pub fn take_over(&mut self) -> Result<Vec<u8>, SendError> {
        self.0.may_send()?;
        let (state, Memory { reply, .. }) = (&self.0.state, self.0.memory.get_or_make());
        if state.peer() != PeerHalf::Done {
            return Err(SendError::BodyUnread);
        }
        if state.ours() != OurHalf::Open || reply.status() != 101 {
            return Err(SendError::NotSwitching);
        }
        self.0.seal(true)?;
        Ok(self.end_http())
    }

    /// Like [`take_over`](Self::take_over), but without a response: the application sends its own, such as a 101, on the
    /// raw stream. A response that was started and not sent is discarded.
    ///
    /// The exchange is over. Its record has the status 0 and no bytes, since the machine does not see the response.
    ///
    /// # Errors
    ///
    /// [`SendError::NotSwitching`] if the head of a response was sent. [`SendError::BodyUnread`] if the request body was
    /// not read to its end. [`SendError::Finished`], [`SendError::Lost`]. After an error nothing has changed.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_driver!()]
    /// let mut connection = open(b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\n\r\nhello");
    /// let mut exchange = connection.exchange().expect("a request is open");
    /// assert_eq!(exchange.take_over_unanswered()?, b"hello");
    /// assert_eq!(connection.poll(Now::default()), Event::TakenOver);
    /// assert_eq!(flush(&mut connection), "");
    /// # Ok::<(), SendError>(())
    /// ```
    pub fn take_over_unanswered(&mut self) -> Result<Vec<u8>, SendError> {
        match self.0.may_send() {
            Ok(()) | Err(SendError::NotStarted) => {}
            Err(error) => return Err(error),
        }
        if self.0.state.peer() != PeerHalf::Done {
            return Err(SendError::BodyUnread);
        }
        if self.0.state.ours() != OurHalf::Open {
            return Err(SendError::NotSwitching);
        }
        self.discard_response();
        Ok(self.end_http())
    }

    /// Hands over what was received after the request.
    fn end_http(&mut self) -> Vec<u8> {
        let inbox = &mut self.memory().inbox;
        let unread = inbox.bytes().to_vec();
        inbox.consume(unread.len());
        self.0.state.on_ours(OurEvent::TakenOver);
        unread
    }
}
