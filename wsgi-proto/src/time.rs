//! Time for the machine: a number that the driver passes in.
//!
//! The machine has no clock. Its driver reads both clocks once per wake-up and passes them as [`Now`].

use core::fmt;
use core::num::NonZeroU64;
use core::time::Duration;

/// A point on the driver's monotonic clock: nanoseconds since an origin that the driver chooses once.
///
/// Only differences matter. Arithmetic saturates, so a distant deadline is "never" and nothing panics.
// The number of nanoseconds plus one, so that `Option<Instant>` is no larger.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(NonZeroU64);

impl Instant {
    /// The instant `nanos` nanoseconds after the driver's origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(nanos))
    }

    /// The instant that lies `since_origin` after the driver's origin; saturates after 584 years.
    pub fn from_origin(since_origin: Duration) -> Self {
        Self::from_nanos(u64::try_from(since_origin.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Time between the driver's origin and this instant.
    pub const fn since_origin(self) -> Duration {
        Duration::from_nanos(self.0.get() - 1)
    }

    /// This instant plus `wait`.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Time since `earlier`; zero when `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }
}

impl Default for Instant {
    fn default() -> Self {
        Self::from_nanos(0)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Instant").field(&(self.0.get() - 1)).finish()
    }
}

/// The time of both clocks at one wake-up of the driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock; every deadline is compared with it.
    pub instant: Instant,
    /// The wall clock, in seconds since 1970-01-01 00:00:00 UTC; used for the `Date` field and the log.
    pub unix: i64,
    /// Seconds to add to UTC for the log's local time.
    pub zone_offset: i32,
}

impl Now {
    /// A reading of both clocks, with the log in UTC.
    pub const fn new(instant: Instant, unix: i64) -> Self {
        Self { instant, unix, zone_offset: 0 }
    }
}
