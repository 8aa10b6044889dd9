//! Sending interim responses: 103 and similar ones, and the 100 that a client waits for.

use alloc::vec::Vec;

use crate::error::StartError;
use crate::exchange::Exchange;
use crate::http::field::Field;
use crate::http::response_lines;
use crate::machine::memory::Memory;
use crate::machine::progress::Expectation;
use crate::machine::state::tables::OurHalf;

impl Exchange<'_> {
    /// Sends an interim response now: any 1xx except 101, for instance `"103 Early Hints"`. May be called repeatedly.
    ///
    /// No effect if the client or [`Config::max_http_version`](crate::Config::max_http_version) is HTTP/1.0, if the
    /// head of the final response was sent, or if the connection is lost.
    ///
    /// # Errors
    ///
    /// [`StartError::NotInterim`], the errors of malformed fields, [`StartError::Over`], and [`StartError::Full`]:
    /// flush the outbox, then call again. Nothing was sent.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_driver!()]
    /// let mut connection = open(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    /// let mut exchange = connection.exchange().expect("a request is open");
    /// exchange.inform("103 Early Hints", [("Link", "</a.css>; rel=preload")])?;
    /// assert!(matches!(exchange.inform("200 OK", NO_HEADERS), Err(StartError::NotInterim(_))));
    /// assert_eq!(flush(&mut connection), "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n");
    /// # Ok::<(), StartError>(())
    /// ```
    pub fn inform(
        &mut self,
        status: &str,
        headers: impl IntoIterator<Item = impl Field>, // none: `NO_HEADERS`
    ) -> Result<(), StartError> {
        let capitalize = self.0.config.capitalize_response_headers;
        let mut text = Vec::new();
        let code = response_lines::interim(&mut text, capitalize, status, headers)?;
        self.0.may_start()?;
        if self.0.is_full() {
            return Err(StartError::Full);
        }
        if self.may_inform() {
            let Memory { outbox, progress, .. } = self.memory();
            outbox.copy(&text);
            if code == 100 {
                progress.expectation = Expectation::None;
            }
        }
        Ok(())
    }

    /// Sends a 100 now, with the fields of [`continue_headers`](Self::continue_headers), even if the client does not
    /// wait for one. May be called repeatedly. No effect where [`inform`](Self::inform) has none.
    ///
    /// # Errors
    ///
    /// [`StartError::Over`], and [`StartError::Full`]: flush the outbox, then call again.
    pub fn send_continue(&mut self) -> Result<(), StartError> {
        self.0.may_start()?;
        if self.0.is_full() {
            return Err(StartError::Full);
        }
        if self.may_inform() {
            self.copy_continue();
        }
        Ok(())
    }

    /// Whether an interim response can be sent: both sides speak HTTP/1.1, and the final head was not sent.
    fn may_inform(&self) -> bool {
        self.0.speaks_http11() && self.0.state.ours() == OurHalf::Open && self.0.state.lost().is_none()
    }

    /// Sets the fields of the 100 that the first [`body`](Self::body) sends. They replace the fields of an earlier
    /// call.
    ///
    /// # Errors
    ///
    /// The errors of malformed fields: then no fields are kept. [`StartError::Over`].
    ///
    /// # Examples
    ///
    /// ```
    #[doc = example_driver!()]
    /// let request = b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    /// let mut connection = open(request);
    /// let mut exchange = connection.exchange().expect("a request is open");
    /// assert!(exchange.expects_continue());
    /// exchange.continue_headers([("X-Quota", "1000")])?;
    /// assert!(matches!(exchange.body(Now::default()), Ok(BodyEvent::Io(_))));
    /// assert!(!exchange.expects_continue());
    /// assert_eq!(flush(&mut connection), "HTTP/1.1 100 Continue\r\nX-Quota: 1000\r\n\r\n");
    /// # Ok::<(), StartError>(())
    /// ```
    pub fn continue_headers(
        &mut self,
        headers: impl IntoIterator<Item = impl Field>,
    ) -> Result<(), StartError> {
        self.0.may_start()?;
        let capitalize = self.0.config.capitalize_response_headers;
        let fields = &mut self.memory().progress.continue_fields;
        fields.clear();
        response_lines::interim_fields(fields, capitalize, headers)
    }

    /// Whether the client waits for a 100 that was not sent yet.
    pub fn expects_continue(&self) -> bool {
        self.0.memory.get().is_some_and(|memory| memory.progress.expectation == Expectation::Pending)
    }

    /// Sends the automatic 100 if one is due and the head of the final response was not sent.
    pub(super) fn send_due_continue(&mut self) {
        if self.expects_continue() && self.0.state.ours() == OurHalf::Open {
            self.copy_continue();
        }
    }

    fn copy_continue(&mut self) {
        let Memory { outbox, progress, .. } = self.memory();
        progress.expectation = Expectation::None;
        outbox.copy(b"HTTP/1.1 100 Continue\r\n");
        outbox.copy(&progress.continue_fields);
        outbox.copy(b"\r\n");
    }
}
