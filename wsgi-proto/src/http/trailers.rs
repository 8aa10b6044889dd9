//! The trailer fields of a chunked request body (RFC 9112, 7.1.2).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::error::RequestError;
use crate::http::head::Span;
use crate::http::token::trim;

/// The trailer fields of a chunked body. They are never merged with the head's fields (RFC 9110, 6.5.1).
#[derive(Clone, Default)]
pub struct Trailers {
    bytes: Arc<[u8]>,
    fields: Vec<(Span, Span)>,
}

impl Trailers {
    /// The name and value of each field, in the order sent.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = (&str, &[u8])> + Clone {
        self.fields.iter().map(|(name, value)| {
            (core::str::from_utf8(name.get(&self.bytes)).unwrap_or_default(), value.get(&self.bytes))
        })
    }

    pub(crate) fn read(section: &[u8], count: usize) -> Result<Self, RequestError> {
        if count == 0 {
            return Ok(Self::default());
        }
        let mut fields = alloc::vec![httparse::EMPTY_HEADER; count];
        match httparse::parse_headers(section, &mut fields) {
            Ok(httparse::Status::Complete((used, parsed))) if used == section.len() => Ok(Self {
                fields: parsed
                    .iter()
                    .map(|field| {
                        (Span::of(field.name.as_bytes(), section), Span::of(trim(field.value), section))
                    })
                    .collect(),
                bytes: section.into(),
            }),
            _ => Err(RequestError::Trailer),
        }
    }
}

impl fmt::Debug for Trailers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trailers").field("fields", &self.fields.len()).finish_non_exhaustive()
    }
}
