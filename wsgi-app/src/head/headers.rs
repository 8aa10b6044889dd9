//! The header fields of a response as a value.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use wsgi_proto::{Field, FieldBytes, latin1};

/// The header fields of a [`Response`](crate::Response), in their order.
///
/// Names are compared without regard to case, and sent as they are written. Text is kept as UTF-8, and read as latin-1, which is
/// the same for ASCII; [`iter`](Self::iter) has the bytes. Whether HTTP allows a field is checked when
/// the response is sent.
///
/// ```
/// use wsgi_app::Headers;
///
/// let mut headers = Headers::default();
/// headers.insert("Content-Type", "text/html");
/// headers.append("Set-Cookie", "a=1");
/// headers.append("Set-Cookie", "b=2");
/// headers.insert("content-type", "text/plain");
/// assert_eq!(headers.get("CONTENT-TYPE").as_deref(), Some("text/plain"));
/// assert_eq!(headers.get_all("Set-Cookie").count(), 2);
/// headers.remove("Set-Cookie");
/// assert_eq!(headers.len(), 1);
/// ```
#[derive(Clone, Default)]
pub struct Headers {
    /// The names and values, one after the other. What is removed stays here.
    text: Vec<u8>,
    fields: Vec<Place>,
}

/// Where a field is in the text.
#[derive(Clone)]
struct Place {
    name: Range<usize>,
    value: Range<usize>,
}

impl Headers {
    /// No fields.
    pub const fn new() -> Self {
        Self { text: Vec::new(), fields: Vec::new() }
    }

    /// The value of the first field with this name; bytes outside ASCII are latin-1.
    pub fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        self.get_all(name).next()
    }

    /// The values of all fields with this name, in order; bytes outside ASCII are latin-1.
    pub fn get_all(&self, name: &str) -> impl Iterator<Item = Cow<'_, str>> {
        self.iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| latin1(value))
    }

    /// Whether there is a field with this name.
    pub fn contains(&self, name: impl FieldBytes) -> bool {
        self.position(name.field_bytes()).is_some()
    }

    /// Sets a field. It takes the place of the first field with the same name, and the others are removed.
    pub fn insert(&mut self, name: impl FieldBytes, value: impl FieldBytes) {
        let name = name.field_bytes();
        let Some(first) = self.position(name) else { return self.append(name, value) };
        let place = self.put(name, value.field_bytes());
        self.fields[first] = place;
        let text = &self.text;
        let mut index = 0;
        self.fields.retain(|field| {
            index += 1;
            index <= first + 1 || !text[field.name.clone()].eq_ignore_ascii_case(name)
        });
    }

    /// Sets a field if there is none with its name.
    pub fn insert_default(&mut self, name: impl FieldBytes, value: impl FieldBytes) {
        if !self.contains(&name) {
            self.append(name, value);
        }
    }

    /// Adds a field after those that are there, even if one has the same name, as `Set-Cookie` needs it.
    pub fn append(&mut self, name: impl FieldBytes, value: impl FieldBytes) {
        let place = self.put(name.field_bytes(), value.field_bytes());
        self.fields.push(place);
    }

    /// Removes all fields with this name. Returns whether there were any.
    pub fn remove(&mut self, name: impl FieldBytes) -> bool {
        let (before, text) = (self.fields.len(), &self.text);
        self.fields.retain(|field| !text[field.name.clone()].eq_ignore_ascii_case(name.field_bytes()));
        self.fields.len() < before
    }

    /// The names and values as bytes, in order.
    pub fn iter(&self) -> HeadersIter<'_> {
        HeadersIter { text: &self.text, fields: self.fields.iter() }
    }

    /// The number of fields.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    fn position(&self, name: &[u8]) -> Option<usize> {
        self.iter().position(|(key, _)| key.eq_ignore_ascii_case(name))
    }

    fn put(&mut self, name: &[u8], value: &[u8]) -> Place {
        let begin = self.text.len();
        self.text.extend_from_slice(name);
        let middle = self.text.len();
        self.text.extend_from_slice(value);
        Place { name: begin..middle, value: middle..self.text.len() }
    }
}

/// The names and values as bytes, in order.
impl<'a> IntoIterator for &'a Headers {
    type Item = (&'a [u8], &'a [u8]);
    type IntoIter = HeadersIter<'a>;

    fn into_iter(self) -> HeadersIter<'a> {
        self.iter()
    }
}

/// The names and values, in order, without a copy.
impl IntoIterator for Headers {
    type Item = (Bytes, Bytes);
    type IntoIter = IntoHeadersIter;

    fn into_iter(self) -> IntoHeadersIter {
        IntoHeadersIter { text: self.text.into(), fields: self.fields.into_iter() }
    }
}

/// The iterator of the fields of [`Headers`] by value.
#[derive(Clone)]
pub struct IntoHeadersIter {
    text: Bytes,
    fields: std::vec::IntoIter<Place>,
}

impl Iterator for IntoHeadersIter {
    type Item = (Bytes, Bytes);

    fn next(&mut self) -> Option<Self::Item> {
        let field = self.fields.next()?;
        Some((self.text.slice(field.name), self.text.slice(field.value)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.fields.size_hint()
    }
}

impl ExactSizeIterator for IntoHeadersIter {}

impl fmt::Debug for IntoHeadersIter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        shown(HeadersIter { text: &self.text, fields: self.fields.as_slice().iter() }, f)
    }
}

/// The iterator of [`Headers::iter`].
#[derive(Clone)]
pub struct HeadersIter<'a> {
    text: &'a [u8],
    fields: std::slice::Iter<'a, Place>,
}

impl<'a> Iterator for HeadersIter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let field = self.fields.next()?;
        Some((&self.text[field.name.clone()], &self.text[field.value.clone()]))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.fields.size_hint()
    }
}

impl ExactSizeIterator for HeadersIter<'_> {}

impl fmt::Debug for HeadersIter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        shown(self.clone(), f)
    }
}

/// Adds fields, also those whose names are there already.
impl<F: Field> Extend<F> for Headers {
    fn extend<I: IntoIterator<Item = F>>(&mut self, fields: I) {
        fields.into_iter().for_each(|field| self.append(field.name(), field.value()));
    }
}

impl<F: Field> FromIterator<F> for Headers {
    fn from_iter<I: IntoIterator<Item = F>>(fields: I) -> Self {
        let mut headers = Self::default();
        headers.extend(fields);
        headers
    }
}

/// As text, bytes outside ASCII as latin-1.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        shown(self.iter(), f)
    }
}

fn shown(fields: HeadersIter<'_>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.debug_map().entries(fields.map(|(name, value)| (latin1(name), latin1(value)))).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn insert_keeps_the_place_and_removes_the_others() {
        let mut headers: Headers =
            [("A", "1"), ("B", "2"), ("a", "3"), ("C", "4"), ("A", "5")].into_iter().collect();
        headers.insert("a", "6");
        headers.insert("D", "7");
        headers.insert_default("b", "8");
        headers.insert_default("E", "9");
        assert_eq!(format!("{headers:?}"), r#"{"a": "6", "B": "2", "C": "4", "D": "7", "E": "9"}"#);
    }
}
