//! The variables of header fields: `HTTP_*`, `CONTENT_TYPE` and `CONTENT_LENGTH`.
//!
//! Each thread keeps the keys of the names that clients have sent, since most requests have the same ones.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use wsgi_app::adapter::raw::RawRequest;

use crate::ffi::latin1;

/// The largest number of names that a thread keeps. Clients choose names, so there is a limit.
const NAMES: usize = 1024;

/// The length of the longest name that is kept.
const LONGEST: usize = 64;

thread_local! {
    static KNOWN: RefCell<Names> = RefCell::default();
}

/// Adds the fields of `request` to `variables`, except `Host`.
pub(crate) fn add_fields(
    py: Python<'_>,
    request: &RawRequest,
    variables: &Bound<'_, PyDict>,
) -> PyResult<()> {
    KNOWN.with(|known| {
        let Ok(mut known) = known.try_borrow_mut() else {
            // Something below has run code of Python that made another environ.
            let mut names = request.head().raw_fields().map(|(name, _)| name);
            return names.try_for_each(|name| add_unknown(py, request, name, variables));
        };
        let mut seen = [0_u64; NAMES / 64];
        for (name, value) in request.head().raw_fields() {
            let Some(known) = known.get(py, name) else {
                add_unknown(py, request, name, variables)?;
                continue;
            };
            let Known { key: Some(key), number } = known else { continue };
            let (word, bit) = (number / 64, 1 << (number % 64));
            if seen[word] & bit == 0 {
                seen[word] |= bit;
                variables.set_item(key, latin1(py, value)?)?;
            } else {
                // A repeated field: the core joins the values.
                add_unknown(py, request, name, variables)?;
            }
        }
        Ok(())
    })
}

/// Adds the variable of a field that is not kept, or that is repeated.
#[cold]
fn add_unknown(
    py: Python<'_>,
    request: &RawRequest,
    name: &[u8],
    variables: &Bound<'_, PyDict>,
) -> PyResult<()> {
    let Some(variable) = variable(name) else { return Ok(()) };
    match request.variables().get(&variable) {
        Some(value) => variables.set_item(variable, PyString::new(py, &value)),
        None => Ok(()),
    }
}

/// The name of the variable of a field; `None` if it has none.
fn variable(name: &[u8]) -> Option<String> {
    let upper = String::from_utf8(name.to_ascii_uppercase()).ok()?;
    match &*upper {
        "CONTENT-TYPE" | "CONTENT-LENGTH" => Some(upper.replace('-', "_")),
        // `HTTP_HOST` may be that of the target. `HTTP_PROXY` is a setting of HTTP clients (CVE-2016-5385).
        "HOST" | "PROXY" => None,
        // It would be mistaken for a name with a hyphen.
        _ if upper.contains('_') => None,
        _ => Some(format!("HTTP_{}", upper.replace('-', "_"))),
    }
}

/// A name that was sent before.
struct Known {
    /// `None` if it has no variable.
    key: Option<Py<PyString>>,
    /// The same for names that differ in case only.
    number: usize,
}

#[derive(Default)]
struct Names {
    /// The place in `known` of each name.
    places: HashMap<Box<[u8]>, usize, BuildHasherDefault<NameHasher>>,
    known: Vec<Known>,
    /// The keys by number.
    keys: Vec<String>,
}

impl Names {
    fn get(&mut self, py: Python<'_>, name: &[u8]) -> Option<&Known> {
        let place = match self.places.get(name) {
            Some(place) => *place,
            None => self.add(py, name)?,
        };
        self.known.get(place)
    }

    #[cold]
    fn add(&mut self, py: Python<'_>, name: &[u8]) -> Option<usize> {
        let place = self.known.len();
        if place >= NAMES || name.len() > LONGEST {
            return None;
        }
        let variable = variable(name);
        let key = variable.as_deref().map(|variable| PyString::intern(py, variable).unbind());
        let variable = variable.unwrap_or_default();
        let number = self.keys.iter().position(|key| *key == variable).unwrap_or_else(|| {
            self.keys.push(variable);
            self.keys.len() - 1
        });
        self.known.push(Known { key, number });
        self.places.insert(name.into(), place);
        Some(place)
    }
}

/// A hash of short names. The number of names is bounded, so collisions cannot cost much.
#[derive(Default)]
struct NameHasher(u64);

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.add(u64::from_le_bytes(word.try_into().unwrap_or_default()));
        }
        let last = words.remainder().iter().fold(0, |last, byte| last << 8 | u64::from(*byte));
        self.add(last ^ (bytes.len() as u64) << 56);
    }

    fn write_usize(&mut self, _: usize) {
        // The length, which `write` has.
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl NameHasher {
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 32;
    }
}
