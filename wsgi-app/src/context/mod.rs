//! State shared by all connections of one server: settings, clock, log. It does not know the connections.

pub(crate) mod blocking;
pub(crate) mod catch_panic;
pub(crate) mod clock;
pub(crate) mod lifetime;
pub(crate) mod log;
pub(crate) mod log_writer;
pub(crate) mod no_waiting;
pub(crate) mod parker;
pub(crate) mod pool;
pub(crate) mod runtime;

use std::cell::Cell;
use std::fmt;
use std::io;
use std::sync::Arc;

use wsgi_proto::{Address, CloseReason, Config, Endpoints, LogFormat, LogLine, Lost, Record};

use crate::context::blocking::Blocking;
use crate::context::clock::Clocks;
use crate::context::lifetime::Lifetimes;
use crate::context::log::{LogEntry, ServerLog};

thread_local! {
    /// Memory for the next access line, which is bounded: no field of a line is long.
    static LINE: Cell<LogLine> = const { Cell::new(LogLine::new()) };
}

/// The part of a server that does not depend on the application.
pub(crate) struct ServerContext {
    pub(crate) config: Arc<Config>,
    pub(crate) clock: Clocks,
    pub(crate) debug: bool,
    pub(crate) log: Option<ServerLog>,
    pub(crate) format: LogFormat,
    pub(crate) lifetimes: Lifetimes,
    pub(crate) blocking: Blocking,
    /// Whether open connections make room for new ones.
    pub(crate) makes_room: bool,
    /// The number of bytes of a body that are received before a blocking application is called.
    pub(crate) receive_before_call: usize,
}

impl ServerContext {
    /// Whether anything is logged. If not, work that only the log needs can be skipped.
    pub(crate) fn logs(&self) -> bool {
        self.log.is_some()
    }

    pub(crate) fn access(&self, record: &Record) {
        let Some(log) = self.log.as_ref().filter(|log| log.logs_accesses()) else { return };
        let mut memory = LINE.take();
        let line = self.format.line(record, self.config.log_x_forwarded_for, &mut memory);
        log.log(&LogEntry::Access { record, line });
        LINE.set(memory);
    }

    pub(crate) fn info(&self, text: &str) {
        if let Some(log) = &self.log {
            log.log(&LogEntry::Info(text));
        }
    }

    pub(crate) fn error(&self, text: &str) {
        if let Some(log) = &self.log {
            log.log(&LogEntry::Error(text));
        }
    }

    pub(crate) fn debug(&self, text: impl FnOnce() -> String) {
        if let Some(log) = self.log.as_ref().filter(|log| log.debugs()) {
            log.log(&LogEntry::Debug(&text()));
        }
    }

    /// Logs a failed handshake, as a debug entry only: it concerns a single client.
    pub(crate) fn handshake_failed(&self, endpoints: &Endpoints, error: &io::Error) {
        self.debug(|| {
            format!("({}) handshake failed {}: {error}", std::process::id(), Remote(&endpoints.remote))
        });
    }

    /// Logs why a connection ended, unless it ended normally.
    pub(crate) fn closed(&self, endpoints: &Endpoints, reason: CloseReason) {
        match reason {
            CloseReason::IdleTimeout | CloseReason::Lost(Lost::TimedOut) => {
                self.debug(|| format!("({}) timed out {}", std::process::id(), Remote(&endpoints.remote)));
            }
            CloseReason::Lost(lost) => {
                self.debug(|| format!("({}) {lost} {}", std::process::id(), Remote(&endpoints.remote)));
            }
            CloseReason::BodyUnread => {
                self.debug(|| {
                    format!("({}) body not read {}", std::process::id(), Remote(&endpoints.remote))
                });
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
