//! The properties of a runtime that a server depends on: its clock and its descriptor limit.

use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::context::blocking::Blocking;

/// The clock that deadlines are compared with. Implement it for a runtime whose time can be paused or simulated.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The monotonic clock, which [`Transport::poll_deadline`](crate::adapter::Transport::poll_deadline) waits on.
    fn now(&self) -> Instant;

    /// The wall clock, for the `Date` field and the log.
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// The clock of an adapter's timers, the number of descriptors that the process may have open, and where work may block.
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
    pub(crate) blocking: Blocking,
}

impl Runtime {
    /// Sets the clock that deadlines are compared with. Default: the system's.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// The number of descriptors that the process may have open (`RLIMIT_NOFILE`), less those that the runtime itself may
    /// need beside one per connection. It limits the connections like `max_size`. Default: unknown.
    #[must_use]
    pub fn descriptor_limit(mut self, descriptors: impl Into<Option<usize>>) -> Self {
        self.descriptor_limit = descriptors.into();
        self
    }

    /// Whether the option `max_size` is ignored, because the user's own pool (`custom_pool`) limits concurrency.
    /// Default: false.
    #[must_use]
    pub fn ignore_max_size(mut self, ignore: bool) -> Self {
        self.ignores_max_size = ignore;
        self
    }

    /// Sets how work that blocks is run outside the tasks of connections, such as reading a file that is not in memory, or a
    /// call of an application that [`blocking()`](fn@crate::blocking) wraps. `run` must return without waiting for the work,
    /// which can take any time. It may drop the work when its threads have shut down. Default: each piece of work gets its
    /// own thread.
    #[must_use]
    pub fn blocking(mut self, run: impl Fn(Box<dyn FnOnce() + Send>) + Send + Sync + 'static) -> Self {
        self.blocking = Blocking::Pool(Arc::new(run));
        self
    }

    /// Lets work that blocks run in the task of its connection, because blocking a thread of this runtime holds up no
    /// other connection.
    #[must_use]
    pub fn block_in_place(mut self) -> Self {
        self.blocking = Blocking::InPlace;
        self
    }
}
