//! The fields of a query or a form as a value of any type that serde can make.

use std::fmt::{self, Write as _};
use std::vec::IntoIter;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

use crate::application::environ::Environ;
use crate::response::Response;
use crate::response::into_response::IntoResponse;

/// Feature `serde`. Why the fields of a query or a form are not a value of the type, made by [`Environ::query_as`] and
/// [`Environ::form_as`].
///
/// As a response it is 400 with a text that names the field; also inside an [`Error`](crate::Error), when a function of a
/// [`site`](crate::site) returns it. In other applications it is an error like any other.
///
/// The text includes what the client sent, shortened if it is long.
#[derive(Debug)]
pub struct FieldsError {
    /// The field, unless all of them together are not the value.
    field: Option<String>,
    reason: String,
}

/// The longest name or value in an error, in bytes.
const LONGEST_VALUE: usize = 100;

/// The longest reason, in bytes: it may list the names of an enum.
const LONGEST_REASON: usize = 1000;

impl fmt::Display for FieldsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "field `{field}`: {}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

impl std::error::Error for FieldsError {}

/// The text of a value, up to `longest` bytes. No more of it is written, since a form can have values of megabytes.
fn shortened(value: &impl fmt::Display, longest: usize) -> String {
    struct Short {
        text: String,
        left: usize,
    }

    impl fmt::Write for Short {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let end = (0..=text.len().min(self.left)).rev().find(|&end| text.is_char_boundary(end));
            let (fits, rest) = text.split_at(end.unwrap_or(0));
            self.text.push_str(fits);
            self.left -= fits.len();
            if rest.is_empty() { Ok(()) } else { Err(fmt::Error) }
        }
    }

    let mut short = Short { text: String::new(), left: longest };
    let is_whole = write!(short, "{value}").is_ok();
    short.text + if is_whole { "" } else { "…" }
}

impl serde::de::Error for FieldsError {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        Self { field: None, reason: shortened(&reason, LONGEST_REASON) }
    }
}

impl IntoResponse for FieldsError {
    fn into_response(self) -> Response {
        (400, format!("{self}\n")).into_response()
    }
}

impl Environ {
    /// Feature `serde`. The value that the query has as the fields of a struct, or as a map.
    ///
    /// ```
    /// use wsgi_app::{Environ, Result};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Search {
    ///     text: String,
    ///     page: Option<u32>,
    ///     #[serde(default)]
    ///     tag: Vec<String>,
    /// }
    ///
    /// /// `?text=a+b&page=2&tag=x&tag=y`. For `?page=two` the response is 400.
    /// async fn search(environ: Environ) -> Result<String> {
    ///     let search: Search = environ.query_as()?;
    ///     Ok(format!("{} on page {}\n", search.text, search.page.unwrap_or(1)))
    /// }
    /// # fn is_an_application(_: impl wsgi_app::Application) {}
    /// # is_an_application(wsgi_app::site(search));
    /// ```
    ///
    /// Names and values are decoded as [`query_pairs`](Self::query_pairs) decodes them.
    ///
    /// | the type of a field | value |
    /// | --- | --- |
    /// | text, a number, `bool`, `char` | a single one, as its `FromStr` reads it: `true` or `false` for `bool` |
    /// | an enum of names | one of the names |
    /// | `Option<T>` | `None` if the field is missing or empty, as browsers send an input that is not filled in |
    /// | `Vec<T>`, or another sequence | all values with this name, in order; with `#[serde(default)]` there may be none |
    ///
    /// Other fields are ignored, unless the type denies them. Several values are an error for the type of a single one. Within
    /// `#[serde(flatten)]`, and in enums that are untagged or have their tag inside, serde gets a single value as text and several
    /// as a sequence of texts: numbers are errors there.
    ///
    /// # Errors
    ///
    /// [`FieldsError`], which is a response of a [`site`](crate::site): 400.
    pub fn query_as<T: DeserializeOwned>(&self) -> Result<T, FieldsError> {
        value(self.query_pairs())
    }
}

/// The value that these fields make.
pub(super) fn value<T: DeserializeOwned>(
    pairs: impl Iterator<Item = (String, String)>,
) -> Result<T, FieldsError> {
    let mut fields: Vec<(String, Vec<String>)> = pairs.map(|(name, value)| (name, vec![value])).collect();
    // Values of one name stay in their order, since the sort is stable.
    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
    fields.dedup_by(|(name, values), (before, all)| {
        let is_same = name == before;
        if is_same {
            all.append(values);
        }
        is_same
    });
    T::deserialize(Fields { rest: fields.into_iter(), values: None })
}

/// All fields, each with its values.
struct Fields {
    rest: IntoIter<(String, Vec<String>)>,
    /// Those of the field whose name was read last.
    values: Option<(String, Vec<String>)>,
}

impl<'de> Deserializer<'de> for Fields {
    type Error = FieldsError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldsError> {
        visitor.visit_map(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldsError> {
        if self.rest.len() == 0 { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, FieldsError> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> MapAccess<'de> for Fields {
    type Error = FieldsError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, FieldsError> {
        let Some((name, values)) = self.rest.next() else { return Ok(None) };
        let key = seed.deserialize(Value(vec![name.clone()]));
        self.values = Some((name, values));
        key.map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, FieldsError> {
        let (name, values) =
            self.values.take().ok_or_else(|| FieldsError::custom("a value without a name"))?;
        seed.deserialize(Value(values)).map_err(|error| FieldsError {
            field: Some(shortened(&name.escape_debug(), LONGEST_VALUE)),
            ..error
        })
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

/// The values of one field, at least one. A type that does not say what it is gets several as a sequence.
struct Value(Vec<String>);

impl Value {
    /// The value of a type that has one.
    fn single(mut self) -> Result<String, FieldsError> {
        match self.0.len() {
            1 => Ok(self.0.remove(0)),
            count => Err(FieldsError::custom(format_args!("{count} values (expected one)"))),
        }
    }
}

macro_rules! parsed {
    ($($method:ident $visit:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldsError> {
            let text = self.single()?;
            match text.parse() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(FieldsError::invalid_value(Unexpected::Str(&shortened(&text, LONGEST_VALUE)), &visitor)),
            }
        }
    )*};
}

macro_rules! text {
    ($($method:ident($($argument:ty),*))*) => {$(
        fn $method<V: Visitor<'de>>(self, $(_: $argument,)* visitor: V) -> Result<V::Value, FieldsError> {
            visitor.visit_string(self.single()?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Value {
    type Error = FieldsError;

    parsed! {
        deserialize_bool visit_bool
        deserialize_i8 visit_i8
        deserialize_i16 visit_i16
        deserialize_i32 visit_i32
        deserialize_i64 visit_i64
        deserialize_i128 visit_i128
        deserialize_u8 visit_u8
        deserialize_u16 visit_u16
        deserialize_u32 visit_u32
        deserialize_u64 visit_u64
        deserialize_u128 visit_u128
        deserialize_f32 visit_f32
        deserialize_f64 visit_f64
    }

    text! {
        deserialize_char()
        deserialize_str()
        deserialize_string()
        deserialize_bytes()
        deserialize_byte_buf()
        deserialize_unit()
        deserialize_unit_struct(&'static str)
        deserialize_map()
        deserialize_struct(&'static str, &'static [&'static str])
        deserialize_identifier()
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldsError> {
        // Not an error: `flatten` reads all fields in this way, including those that it ignores.
        if self.0.len() > 1 { self.deserialize_seq(visitor) } else { self.deserialize_string(visitor) }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldsError> {
        if self.0 == [""] { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, FieldsError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldsError> {
        let count = self.0.len();
        let mut values = Values(self.0.into_iter());
        let value = visitor.visit_seq(&mut values)?;
        match values.0.len() {
            0 => Ok(value),
            left => Err(FieldsError::custom(format_args!("{count} values (expected {})", count - left))),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, FieldsError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, FieldsError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FieldsError> {
        visitor.visit_enum(self.single()?.into_deserializer())
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldsError> {
        visitor.visit_unit()
    }
}

struct Values(IntoIter<String>);

impl<'de> SeqAccess<'de> for Values {
    type Error = FieldsError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, FieldsError> {
        self.0.next().map(|value| seed.deserialize(Value(vec![value]))).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}
