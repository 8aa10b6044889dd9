//! What every connection of one server has at hand: settings, clock, log, buffers. It does not know who is connected.

pub(crate) mod buffers;
pub(crate) mod catch_panic;
pub(crate) mod clock;
pub(crate) mod log;
pub(crate) mod runtime;

use std::fmt;
use std::io;
use std::sync::Arc;

use wsgi_proto::{Address, CloseReason, Config, Endpoints, Head, LogFormat, Lost, Record};

use crate::context::buffers::BufferPool;
use crate::context::catch_panic::catch;
use crate::context::clock::Clocks;
use crate::context::log::{Log, LogEntry};

/// The part of a server that does not depend on the application.
pub(crate) struct ServerContext {
    pub(crate) config: Arc<Config>,
    pub(crate) clock: Clocks,
    pub(crate) debug: bool,
    /// Stands where a head is no longer needed.
    pub(crate) no_head: Arc<Head>,
    pub(crate) log: Option<Arc<dyn Log>>,
    pub(crate) format: LogFormat,
    pub(crate) buffers: BufferPool,
}

impl ServerContext {
    /// Whether anything is logged, so that what only the log needs can be left undone.
    pub(crate) fn logs(&self) -> bool {
        self.log.is_some()
    }

    pub(crate) fn access(&self, record: &Record) {
        let Some(log) = &self.log else { return };
        let mut line = String::with_capacity(128);
        // Writing to a string cannot fail.
        let _ = self.format.write(record, self.config.log_x_forwarded_for, &mut line);
        tell(&**log, &LogEntry::Access { record, line: &line });
    }

    pub(crate) fn info(&self, text: &str) {
        if let Some(log) = &self.log {
            tell(&**log, &LogEntry::Info(text));
        }
    }

    pub(crate) fn error(&self, text: &str) {
        if let Some(log) = &self.log {
            tell(&**log, &LogEntry::Error(text));
        }
    }

    pub(crate) fn debug(&self, text: impl FnOnce() -> String) {
        if let Some(log) = &self.log {
            tell(&**log, &LogEntry::Debug(&text()));
        }
    }

    /// One client's trouble with TLS is nothing to bother the operator with.
    pub(crate) fn handshake_failed(&self, endpoints: &Endpoints, error: &io::Error) {
        self.debug(|| {
            format!("({}) handshake failed {}: {error}", std::process::id(), Remote(&endpoints.remote))
        });
    }

    /// Tells why a connection ended, where that is not the ordinary course.
    pub(crate) fn closed(&self, endpoints: &Endpoints, reason: CloseReason) {
        match reason {
            CloseReason::IdleTimeout | CloseReason::Lost(Lost::TimedOut) => {
                self.debug(|| format!("({}) timed out {}", std::process::id(), Remote(&endpoints.remote)));
            }
            CloseReason::Lost(lost) => {
                self.debug(|| format!("({}) {lost} {}", std::process::id(), Remote(&endpoints.remote)));
            }
            CloseReason::Refused(error) => {
                self.debug(|| {
                    format!("({}) refused {}: {error}", std::process::id(), Remote(&endpoints.remote))
                });
            }
            _ => {}
        }
    }
}

/// A log that panics must not take a connection, or the server, along; there is nowhere left to tell it.
fn tell(log: &dyn Log, entry: &LogEntry<'_>) {
    let _ = catch(|| log.log(entry));
}

impl fmt::Debug for ServerContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerContext").field("config", &self.config).finish_non_exhaustive()
    }
}

/// The address of a client, as the log shows it.
pub(crate) struct Remote<'a>(pub(crate) &'a Address);

impl fmt::Display for Remote<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Address::Ip(address) => address.fmt(f),
            Address::Local => f.write_str("unix"),
        }
    }
}
