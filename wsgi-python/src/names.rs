//! The variables of header fields: `HTTP_*`, `CONTENT_TYPE` and `CONTENT_LENGTH`.
//!
//! Each thread keeps the keys of the names that clients have sent, since most requests have the same ones.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use wsgi_app::adapter::raw::RawRequest;

/// The largest number of names that a thread keeps. Clients choose names, so there is a limit.
pub(crate) const MOST: usize = 1024;

/// The length of the longest name that is kept.
const LONGEST: usize = 64;

/// Adds the variable of a field that is not kept, or that is repeated: the core joins the values.
#[cold]
pub(crate) fn add_joined(request: &RawRequest, name: &[u8], variables: &Bound<'_, PyDict>) -> PyResult<()> {
    let Some(variable) = variable(name) else { return Ok(()) };
    match request.variables().get(&variable) {
        Some(value) => variables.set_item(variable, PyString::new(variables.py(), &value)),
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
pub(crate) struct Known {
    name: Box<[u8]>,
    /// `None` if it has no variable.
    pub(crate) key: Option<Py<PyString>>,
    /// The same for names that differ in case only.
    pub(crate) number: usize,
}

/// The names that were sent before, as far as they are kept.
#[derive(Default)]
pub(crate) struct Names {
    /// The place in `known` of each name.
    places: HashMap<Box<[u8]>, usize, BuildHasherDefault<NameHasher>>,
    known: Vec<Known>,
    /// The places of the names in the last heads, in the order of their fields: many heads have the same.
    order: Vec<usize>,
    /// The keys by number.
    keys: Vec<String>,
}

impl Names {
    /// `None` if the name is not kept. It is that of the field `index` of a head.
    #[inline]
    pub(crate) fn get(&mut self, py: Python<'_>, index: usize, name: &[u8]) -> Option<&Known> {
        let place = match self.order.get(index) {
            Some(place) if self.known.get(*place).is_some_and(|known| *known.name == *name) => *place,
            _ => self.find(py, index, name)?,
        };
        self.known.get(place)
    }

    fn find(&mut self, py: Python<'_>, index: usize, name: &[u8]) -> Option<usize> {
        let place = match self.places.get(name) {
            Some(place) => *place,
            None => self.add(py, name)?,
        };
        match self.order.get_mut(index) {
            Some(known) => *known = place,
            None if index < MOST => self.order.resize(index + 1, place),
            None => {}
        }
        Some(place)
    }

    /// The variable with this number.
    pub(crate) fn variable(&self, number: usize) -> &str {
        self.keys.get(number).map_or("", |variable| variable)
    }

    #[cold]
    fn add(&mut self, py: Python<'_>, name: &[u8]) -> Option<usize> {
        let place = self.known.len();
        if place >= MOST || name.len() > LONGEST {
            return None;
        }
        let variable = variable(name);
        let key = variable.as_deref().map(|variable| PyString::intern(py, variable).unbind());
        let variable = variable.unwrap_or_default();
        let number = self.keys.iter().position(|key| *key == variable).unwrap_or_else(|| {
            self.keys.push(variable);
            self.keys.len() - 1
        });
        self.known.push(Known { name: name.into(), key, number });
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
