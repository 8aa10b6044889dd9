//! How long each connection of a server may live: its age and its number of requests, with jitter.

use std::time::Duration;

use crate::sync::{AtomicUsize, Ordering};

/// The lifetimes of the connections of a server.
#[derive(Debug, Default)]
pub(crate) struct Lifetimes {
    age: Option<Duration>,
    requests: Option<u64>,
    /// The number of lifetimes given out.
    count: AtomicUsize,
}

/// The lifetime of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lifetime {
    pub(crate) age: Option<Duration>,
    pub(crate) requests: u64,
}

impl Lifetimes {
    pub(crate) fn new(age: Option<Duration>, requests: Option<u64>) -> Self {
        Self { age, requests, ..Self::default() }
    }

    /// The lifetime of the next connection. It differs from the configured one by up to a tenth, so that connections
    /// that begin together do not end together.
    pub(crate) fn next(&self) -> Lifetime {
        if self.age.is_none() && self.requests.is_none() {
            return Lifetime { age: None, requests: u64::MAX };
        }
        let random = scatter(self.count.fetch_add(1, Ordering::Relaxed) as u64);
        let jittered = |value: u64| {
            let tenth = value / 10;
            (value - tenth).saturating_add(random % (2 * tenth + 1))
        };
        let nanos = |age: Duration| u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
        Lifetime {
            age: self.age.map(|age| Duration::from_nanos(jittered(nanos(age)))),
            requests: self.requests.map_or(u64::MAX, jittered),
        }
    }
}

/// Spreads consecutive numbers over all numbers (the output function of SplitMix64).
fn scatter(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_spread_evenly_over_a_tenth_in_both_directions() {
        let lifetimes = Lifetimes::new(Some(Duration::from_secs(1000)), Some(100));
        let (mut ages, mut requests) = ([0; 10], [0; 21]);
        for _ in 0..10_000 {
            let lifetime = lifetimes.next();
            let age = lifetime.age.expect("it was set").as_millis() as usize;
            assert!((900_000..=1_100_000).contains(&age), "{age} ms");
            ages[((age - 900_000) / 20_000).min(9)] += 1;
            requests[(lifetime.requests - 90) as usize] += 1;
        }
        assert!(ages.iter().all(|count| (800..1200).contains(count)), "{ages:?}");
        assert!(requests.iter().all(|count| (300..700).contains(count)), "{requests:?}");
    }

    #[test]
    fn small_and_large_values_are_kept() {
        for number in [1, 9] {
            assert_eq!(Lifetimes::new(None, Some(number)).next(), Lifetime { age: None, requests: number });
        }
        let most = Lifetimes::new(Some(Duration::MAX), Some(u64::MAX)).next();
        assert!(most.age > Some(Duration::from_secs(16_000_000_000)) && most.requests > u64::MAX / 10 * 9);
        assert_eq!(Lifetimes::default().next(), Lifetime { age: None, requests: u64::MAX });
    }
}
