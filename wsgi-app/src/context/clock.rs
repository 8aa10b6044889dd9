//! Reads the clocks for the machine.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wsgi_proto::Now;

use crate::context::runtime::Clock;
use crate::sync::{AtomicI64, AtomicU64, Ordering};

/// The offset of a time zone changes only on full quarters of an hour.
const ZONE_STEP: i64 = 15 * 60;

/// The longest time between two readings of the wall clock, in nanoseconds. A change of the system time is noticed
/// after that.
const IN_STEP: u64 = 500_000_000;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

#[derive(Debug)]
pub(crate) struct Clocks {
    /// `None` for the system's clocks.
    source: Option<Arc<dyn Clock>>,
    origin: Instant,
    /// The origin in the nanoseconds of [`system_nanos`].
    system_origin: u64,
    /// The last reading of the wall clock, in seconds since 1970. It is valid until `valid_until`, in monotonic
    /// nanoseconds since the origin: the end of that second, or earlier if [`IN_STEP`] has passed.
    unix: AtomicI64,
    valid_until: AtomicU64,
    /// The quarter of an hour for which the zone's offset was looked up, with the offset in the low 20 bits.
    zone: AtomicI64,
}

impl Clocks {
    pub(crate) fn new(source: Option<Arc<dyn Clock>>) -> Self {
        // Read first: if time passes before the next line, a deadline is late by that, but never early.
        let system_origin = system_nanos();
        let origin = source.as_ref().map_or_else(Instant::now, |source| source.now());
        let clocks = Self {
            source,
            origin,
            system_origin,
            unix: AtomicI64::new(0),
            valid_until: AtomicU64::new(0),
            zone: AtomicI64::new(i64::MIN),
        };
        clocks.read_wall_clock(0);
        clocks
    }

    /// The runtime's monotonic clock.
    #[inline]
    pub(crate) fn monotonic(&self) -> Instant {
        match &self.source {
            None => Instant::now(),
            Some(source) => source.now(),
        }
    }

    /// Both clocks, in UTC.
    #[inline(always)]
    pub(crate) fn now(&self) -> Now {
        let nanos = match &self.source {
            None => system_nanos().saturating_sub(self.system_origin),
            Some(source) => self.nanos_of(&**source),
        };
        // `unix` is stored before `valid_until`. Two threads that read the wall clock at the same time may still leave the
        // previous second, for at most `IN_STEP`.
        if nanos >= self.valid_until.load(Ordering::Acquire) {
            self.read_wall_clock(nanos);
        }
        Now::new(wsgi_proto::Instant::from_nanos(nanos), self.unix.load(Ordering::Relaxed))
    }

    #[inline(never)]
    fn nanos_of(&self, source: &dyn Clock) -> u64 {
        nanos(source.now().saturating_duration_since(self.origin))
    }

    #[cold]
    fn read_wall_clock(&self, nanos: u64) {
        let wall = self.source.as_ref().map_or_else(SystemTime::now, |source| source.wall());
        let since_1970 = match wall.duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_nanos()).unwrap_or(i64::MAX),
        };
        let second = NANOS_PER_SECOND as i64;
        let left = NANOS_PER_SECOND - since_1970.rem_euclid(second) as u64;
        self.unix.store(since_1970.div_euclid(second), Ordering::Relaxed);
        self.valid_until.store(nanos.saturating_add(left.min(IN_STEP)), Ordering::Release);
    }

    /// A reading of the clocks, in local time.
    pub(crate) fn local(&self, now: Now) -> Now {
        Now { zone_offset: self.zone_offset(now.unix), ..now }
    }

    /// Converts a deadline to the runtime's clock; `None` if that clock cannot represent it.
    pub(crate) fn deadline(&self, at: wsgi_proto::Instant) -> Option<Instant> {
        // Rounded up: a timer that fires a moment too early would only have to be set again.
        self.origin.checked_add(at.since_origin() + Duration::from_micros(1))
    }

    fn zone_offset(&self, unix: i64) -> i32 {
        const OFFSET_BITS: u32 = 20;
        let quarter = unix.div_euclid(ZONE_STEP);
        let cached = self.zone.load(Ordering::Relaxed);
        if cached >> OFFSET_BITS == quarter {
            return (cached & ((1 << OFFSET_BITS) - 1)) as i32 - (1 << (OFFSET_BITS - 1));
        }
        let offset = jiff::Timestamp::from_second(unix)
            .map_or(0, |time| jiff::tz::TimeZone::system().to_offset(time).seconds());
        let biased = i64::from(offset) + (1 << (OFFSET_BITS - 1));
        self.zone.store((quarter << OFFSET_BITS) | biased, Ordering::Relaxed);
        offset
    }
}

/// Nanoseconds of the clock of [`Instant`], from some origin. Reading it directly costs less than half of
/// [`Instant::now`] and a difference.
// Other systems may have another clock behind `Instant`.
#[cfg(target_os = "linux")]
#[inline]
fn system_nanos() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * NANOS_PER_SECOND + now.tv_nsec as u64
}

#[cfg(not(target_os = "linux"))]
fn system_nanos() -> u64 {
    static ORIGIN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    nanos(ORIGIN.get_or_init(Instant::now).elapsed())
}

/// 584 years fit into a `u64`.
fn nanos(time: Duration) -> u64 {
    time.as_secs() * NANOS_PER_SECOND + u64::from(time.subsec_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::{Mutex, lock};

    /// A clock that moves only when the test moves it.
    #[derive(Debug)]
    struct Simulated(Instant, Mutex<Duration>);

    impl Clock for Arc<Simulated> {
        fn now(&self) -> Instant {
            self.0 + *lock(&self.1)
        }

        fn wall(&self) -> SystemTime {
            UNIX_EPOCH + Duration::from_secs(1_000_000) + *lock(&self.1)
        }
    }

    #[test]
    fn time_is_read_from_the_runtimes_clock() {
        let source = Arc::new(Simulated(Instant::now(), Mutex::default()));
        let clocks = Clocks::new(Some(Arc::new(Arc::clone(&source))));
        assert_eq!((clocks.now().instant.since_origin(), clocks.now().unix), (Duration::ZERO, 1_000_000));
        for seconds in [1, 3600] {
            *lock(&source.1) = Duration::from_secs(seconds);
            let now = clocks.now();
            assert_eq!(now.instant.since_origin(), Duration::from_secs(seconds));
            assert_eq!(now.unix, 1_000_000 + seconds as i64);
            let deadline = clocks.deadline(now.instant.after(Duration::from_secs(5))).expect("in range");
            let wait = deadline.duration_since(clocks.monotonic());
            assert!((Duration::from_secs(5)..Duration::from_secs(6)).contains(&wait), "{wait:?}");
        }
    }

    #[test]
    fn a_deadline_of_the_systems_clock_is_on_the_clock_of_the_timers() {
        let clocks = Clocks::new(None);
        for _ in 0..100 {
            let before = clocks.monotonic();
            let at = clocks.deadline(clocks.now().instant).expect("in range");
            let after = clocks.monotonic();
            // Late by the time that has passed between the two origins, never early.
            assert!(before <= at && at <= after + Duration::from_secs(5), "{before:?} {at:?} {after:?}");
        }
    }

    #[test]
    fn the_offset_is_remembered_for_a_quarter_of_an_hour() {
        let clock = Clocks::new(None);
        for unix in [0, 899, 900, -1, 1_800_000_000] {
            let looked_up = clock.zone_offset(unix);
            assert_eq!(clock.zone_offset(unix), looked_up, "{unix}");
            assert!(looked_up.abs() <= 26 * 3600);
        }
        clock.zone.store((7 << 20) | (3600 + (1 << 19)), Ordering::Relaxed);
        assert_eq!(clock.zone_offset(7 * 900 + 5), 3600);
        clock.zone.store((7 << 20) | (-3600 + (1 << 19)), Ordering::Relaxed);
        assert_eq!(clock.zone_offset(7 * 900 + 5), -3600);
    }
}
