//! Simulated time: a counter of nanoseconds, which the executor moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wsgi_app::adapter::Clock;

use crate::machine::UNIX;

/// Nanoseconds since the world began.
pub type Nanos = u64;

/// A microsecond.
pub const MICRO: Nanos = 1_000;
/// A millisecond.
pub const MILLI: Nanos = 1_000_000;
/// A second.
pub const SECOND: Nanos = 1_000_000_000;

/// The clock of one world. Clones show the same time.
#[derive(Clone, Debug)]
pub struct SimulatedClock {
    nanos: Arc<AtomicU64>,
    origin: Instant,
}

impl SimulatedClock {
    /// A clock at 0.
    pub(crate) fn new() -> Self {
        Self { nanos: Arc::default(), origin: Instant::now() }
    }

    /// The time since the world began.
    pub fn nanos(&self) -> Nanos {
        self.nanos.load(Ordering::Relaxed)
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Nanos) {
        self.nanos.fetch_add(by, Ordering::Relaxed);
    }

    /// Moves the clock to `at`, unless it is later already.
    pub(crate) fn advance_to(&self, at: Nanos) {
        self.nanos.fetch_max(at, Ordering::Relaxed);
    }

    /// An instant of a server as the time since the world began, rounded up.
    pub(crate) fn nanos_at(&self, instant: Instant) -> Nanos {
        let since = instant.saturating_duration_since(self.origin);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Instant {
        self.origin + Duration::from_nanos(self.nanos())
    }

    fn wall(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(UNIX.unsigned_abs()) + Duration::from_nanos(self.nanos())
    }
}
