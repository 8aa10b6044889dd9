//! Minimum transfer rates: how fast the peer sends and reads while the machine waits for it.

use core::time::Duration;

use crate::time::Instant;

/// The number of steps in `rate_grace`. The peer is judged at the end of each step.
const STEPS: u32 = 8;

/// The number of steps that are judged together. This is somewhat more than the grace, because a peer that sends in
/// bursts must not be judged without a burst that is a little late.
const WINDOW: usize = STEPS as usize + 2;

/// The transfer rates of one connection.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    pub(crate) request: Meter,
    pub(crate) response: Meter,
}

/// The rate in one direction, over a sliding window of time.
///
/// Only time in which the machine waits for the peer is counted. Time passes in intervals from one poll to the next. No
/// interval counts for more than a step: the machine requests a poll at the end of each step, so a longer interval
/// means that the driver was busy, for instance with the application.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// The instant up to which the current wait has been counted. `None` between waits.
    counted: Option<Instant>,
    /// The part of the current step that has passed.
    waited: Duration,
    /// The bytes that moved in the current step, at `current`, and in the steps before it.
    moved: [u64; WINDOW + 1],
    current: usize,
    /// The number of complete steps, up to `WINDOW`.
    complete: usize,
}

impl Meter {
    /// Counts bytes that moved.
    pub(crate) fn add(&mut self, bytes: usize) {
        let moved = &mut self.moved[self.current];
        *moved = moved.saturating_add(bytes as u64);
    }

    /// Counts the time since the last call, if the machine was waiting. `waits`: whether it waits from now on. Returns
    /// when the peer is judged next, which is `now` if it is too slow.
    pub(crate) fn look(&mut self, waits: bool, now: Instant, rate: u64, grace: Duration) -> Option<Instant> {
        let step = (grace / STEPS).max(Duration::from_nanos(1));
        if let Some(counted) = self.counted {
            self.waited += now.since(counted).min(step);
            if self.waited >= step {
                self.waited -= step;
                self.complete = (self.complete + 1).min(WINDOW);
                self.current = (self.current + 1) % self.moved.len();
                self.moved[self.current] = 0;
            }
        }
        self.counted = waits.then_some(now);
        let is_slow = || {
            let wanted = u128::from(rate).saturating_mul(grace.as_nanos()) / 1_000_000_000;
            let moved: u128 = self.moved.iter().copied().map(u128::from).sum();
            self.complete == WINDOW && moved < wanted
        };
        waits.then(|| if is_slow() { now } else { now.after(step - self.waited) })
    }
}

impl Rates {
    /// Whether a wait is being counted. Otherwise a look that begins none has no effect.
    pub(crate) fn are_counting(&self) -> bool {
        self.request.counted.is_some() || self.response.counted.is_some()
    }

    /// Forgets everything, for the next connection.
    #[cold]
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(10);

    /// Lets the meter wait for a peer that moves `bytes` every `pause`, for at most `time`. Returns when it is too slow.
    fn cut(bytes: usize, pause: Duration, time: Duration) -> Option<Duration> {
        let mut meter = Meter::default();
        let (mut now, mut burst) = (Duration::ZERO, pause);
        while now < time {
            let at = Instant::from_origin(now);
            let until = meter.look(true, at, 240, GRACE)?.since_origin();
            if until == now {
                return Some(now);
            }
            now = until.min(burst);
            if now == burst {
                meter.add(bytes);
                burst += pause;
            }
        }
        None
    }

    #[test]
    fn a_dripping_peer_is_too_slow_and_a_steady_one_is_not() {
        let day = Duration::from_secs(86_400);
        for (bytes, millis, is_cut) in [
            (1, 1000, true),
            (90, 500, true),
            (100, 500, false),
            (0, 1000, true),
            (1, 1, false),
            (240, 1000, false),
            (300, 1000, false),
            (1500, 5000, false),
            (1500, 4999, false),
            (1500, 5001, false),
            (2400, 10_000, false),
            (2400, 13_000, true),
        ] {
            let cut =
                cut(bytes, Duration::from_millis(millis), day.min(Duration::from_millis(millis * 10_000)));
            assert_eq!(cut.is_some(), is_cut, "{bytes} bytes every {millis} ms: {cut:?}");
            if let Some(cut) = cut {
                assert!((10..=15).contains(&cut.as_secs()), "{bytes} bytes every {millis} ms: {cut:?}");
            }
        }
    }

    #[test]
    fn an_interval_counts_for_one_step_at_most() {
        let mut meter = Meter::default();
        for hour in 0..WINDOW as u64 {
            let now = Instant::from_origin(Duration::from_secs(hour * 3600));
            assert!(meter.look(true, now, 240, GRACE) > Some(now), "after {hour} hours");
        }
        let now = Instant::from_origin(Duration::from_secs(WINDOW as u64 * 3600));
        assert_eq!(meter.look(true, now, 240, GRACE), Some(now));
        meter.add(2400);
        assert!(meter.look(true, now, 240, GRACE) > Some(now), "it has caught up");
    }

    #[test]
    fn a_look_changes_nothing_unless_a_wait_begins_or_ends() {
        let mut rates = Rates::default();
        rates.request.add(7);
        let before = alloc::format!("{rates:?}");
        assert!(!rates.are_counting());
        assert_eq!(rates.request.look(false, Instant::from_nanos(1), 240, GRACE), None);
        assert_eq!(alloc::format!("{rates:?}"), before);
        assert!(rates.request.look(true, Instant::from_nanos(2), 240, GRACE).is_some());
        assert!(rates.are_counting());
        assert_eq!(rates.request.look(false, Instant::from_nanos(3), 240, GRACE), None);
        assert!(!rates.are_counting());
    }

    #[test]
    fn extreme_values_are_harmless() {
        let mut meter = Meter::default();
        for grace in [Duration::from_nanos(1), Duration::MAX] {
            for now in [0, u64::MAX, 5, u64::MAX] {
                for rate in [1, u64::MAX] {
                    meter.add(usize::MAX);
                    let now = Instant::from_nanos(now);
                    assert!(meter.look(true, now, rate, grace) >= Some(now));
                    assert_eq!(meter.look(false, now, rate, grace), None);
                }
            }
        }
    }
}
