//! What a runtime offers to a server, beside its sockets.

use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// A clock that deadlines are compared with. A runtime whose time can be paused or simulated has its own.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The monotonic clock: what [`Transport::poll_deadline`](crate::adapter::Transport::poll_deadline) waits for.
    fn now(&self) -> Instant;

    /// The wall clock, for the `Date` field and the log.
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// The clock that an adapter's timers run on, and how many descriptors its process may have open.
///
/// ```
/// # use wsgi_app::adapter::Runtime;
/// let runtime = Runtime::default().descriptor_limit(1024);
/// # let _ = runtime;
/// ```
#[derive(Clone, Debug, Default)]
pub struct Runtime {
    pub(crate) clock: Option<Arc<dyn Clock>>,
    pub(crate) descriptor_limit: Option<usize>,
    pub(crate) ignores_max_size: bool,
}

impl Runtime {
    /// Deadlines are compared with `clock`. Default: the system's.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// How many descriptors the process may have open (`RLIMIT_NOFILE`). Connections are bounded by it as by `max_size`.
    /// Default: not known.
    #[must_use]
    pub fn descriptor_limit(mut self, descriptors: impl Into<Option<usize>>) -> Self {
        self.descriptor_limit = descriptors.into();
        self
    }

    /// Whether the option `max_size` is ignored, because a pool of the user's bounds what runs (`custom_pool`). Default:
    /// false.
    #[must_use]
    pub fn ignore_max_size(mut self, ignore: bool) -> Self {
        self.ignores_max_size = ignore;
        self
    }
}
