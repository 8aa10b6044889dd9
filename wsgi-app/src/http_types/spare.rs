//! The memory of a `HeaderMap` that is not in use: that of a response serves the next request on the same thread.

use std::cell::Cell;

use http::HeaderMap;

/// The largest number of fields for which memory is kept.
const LARGEST: usize = 64;

thread_local! {
    static SPARE: Cell<Option<HeaderMap>> = const { Cell::new(None) };
}

/// Returns an empty map, with the memory that this thread kept.
#[inline]
pub(crate) fn take() -> HeaderMap {
    // A thread that is about to end keeps nothing.
    SPARE.try_with(Cell::take).ok().flatten().unwrap_or_default()
}

/// Keeps the memory of a map for a later [`take`] on this thread.
#[inline]
pub(crate) fn keep(mut map: HeaderMap) {
    // `capacity` does not count the values of repeated names.
    let is_small = map.len().max(map.capacity()) <= LARGEST;
    map.clear();
    if is_small {
        let _ = SPARE.try_with(|spare| spare.set(Some(map)));
    }
}
