//! The names of header fields that a thread has converted last, since most requests have the same ones. It saves the
//! look at each byte and, for a name that `http` does not know, an allocation.

use std::cell::Cell;

use http::HeaderName;
use http::header::InvalidHeaderName;

/// The number of names that are kept, a power of two.
const PLACES: usize = 64;

/// The length of the longest name that is kept.
const LONGEST: usize = 32;

thread_local! {
    static NAMES: Cell<Option<Box<Names>>> = const { Cell::new(None) };
}

/// Calls `run` with the names of this thread.
#[inline]
pub(crate) fn with<R>(run: impl FnOnce(&mut Names) -> R) -> R {
    // A thread that is about to end keeps nothing.
    let mut names = NAMES.try_with(Cell::take).ok().flatten().unwrap_or_default();
    let result = run(&mut names);
    let _ = NAMES.try_with(|kept| kept.set(Some(names)));
    result
}

/// One place for all names with the same hash. The last one is kept.
pub(crate) struct Names([Option<Known>; PLACES]);

struct Known {
    key: [u8; LONGEST],
    name: HeaderName,
}

impl Default for Names {
    fn default() -> Self {
        Self([const { None }; PLACES])
    }
}

impl Names {
    /// The name that a client has sent as `sent`.
    #[inline]
    pub(crate) fn get(&mut self, sent: &[u8]) -> Result<HeaderName, InvalidHeaderName> {
        let Some(key) = key(sent) else { return HeaderName::from_bytes(sent) };
        let place = &mut self.0[place(&key)];
        match place {
            Some(known) if known.key == key => Ok(known.name.clone()),
            _ => {
                let name = HeaderName::from_bytes(sent)?;
                *place = Some(Known { key, name: name.clone() });
                Ok(name)
            }
        }
    }
}

/// The bytes of a name, followed by zeros, which no name has.
fn key(sent: &[u8]) -> Option<[u8; LONGEST]> {
    let mut key = [0; LONGEST];
    key.get_mut(..sent.len())?.copy_from_slice(sent);
    Some(key)
}

fn place(key: &[u8; LONGEST]) -> usize {
    // As FxHash does: the upper bits of a product depend on all bits of the word.
    const FACTOR: u64 = 0x517c_c1b7_2722_0a95;
    let hash = key
        .as_chunks()
        .0
        .iter()
        .fold(0_u64, |hash, word| (hash.rotate_left(5) ^ u64::from_le_bytes(*word)).wrapping_mul(FACTOR));
    (hash >> (u64::BITS - PLACES.ilog2())) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_same_however_often_it_is_converted() {
        let mut names = Names::default();
        let some = |number: usize| format!("X-{}{number}", "a".repeat(number % 40));
        for _ in 0..3 {
            for sent in ["Host", "host", "HOST", "sec-ch-ua", "Sec-Ch-Ua"] {
                assert_eq!(names.get(sent.as_bytes()).expect("a name").as_str(), sent.to_ascii_lowercase());
            }
            // More than there are places, and longer ones than are kept.
            for sent in (0..3 * PLACES).map(some) {
                assert_eq!(names.get(sent.as_bytes()).expect("a name").as_str(), sent.to_ascii_lowercase());
            }
        }
    }

    #[test]
    fn what_is_no_name_stays_none() {
        let mut names = Names::default();
        for sent in ["", "a b", "a\0", "\0", "ä"] {
            for _ in 0..2 {
                assert!(names.get(sent.as_bytes()).is_err(), "{sent:?}");
            }
        }
    }

    #[test]
    fn usual_names_have_their_own_places() {
        let usual = [
            "Host",
            "Connection",
            "Cache-Control",
            "sec-ch-ua",
            "sec-ch-ua-mobile",
            "sec-ch-ua-platform",
            "Upgrade-Insecure-Requests",
            "User-Agent",
            "Accept",
            "Sec-Fetch-Site",
            "Sec-Fetch-Mode",
            "Sec-Fetch-User",
            "Sec-Fetch-Dest",
            "Referer",
            "Accept-Encoding",
            "Accept-Language",
            "Cookie",
        ];
        let mut places: Vec<_> =
            usual.iter().filter_map(|name| key(name.as_bytes())).map(|key| place(&key)).collect();
        places.sort_unstable();
        places.dedup();
        assert!(places.len() + 3 >= usual.len(), "{} of {}", places.len(), usual.len());
    }
}
