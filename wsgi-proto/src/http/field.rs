//! Header and trailer fields, in the types that applications use.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

/// An empty list of header or trailer fields.
///
/// Use it instead of `[]`, which would need a type annotation because an empty array does not determine its element
/// type.
///
/// ```
/// # use wsgi_proto::*;
/// # fn handle(exchange: &mut Exchange<'_>) -> Result<(), AnswerError> {
/// exchange.answer("204 No Content", NO_HEADERS, "")
/// # }
/// ```
///
/// ```compile_fail,E0283
/// # use wsgi_proto::*;
/// # fn handle(exchange: &mut Exchange<'_>) -> Result<(), AnswerError> {
/// exchange.answer("204 No Content", [], "")
/// # }
/// ```
pub const NO_HEADERS: [(&str, &str); 0] = [];

/// One header or trailer field: a pair of a name and a value, or a reference to one.
///
/// Name and value may be of any type that implements [`FieldBytes`]. A list of fields is anything that can be iterated
/// over:
///
/// ```
/// # use wsgi_proto::*;
/// # use std::borrow::Cow;
/// # fn is_a_list_of_fields(_: impl IntoIterator<Item = impl Field>) {}
/// const PLAIN: [(&str, &str); 1] = [("Content-Type", "text/plain")];
/// is_a_list_of_fields(PLAIN);
/// is_a_list_of_fields(&PLAIN);
///
/// let cookies: Vec<(Cow<'static, str>, String)> =
///     vec![("Set-Cookie".into(), "a=b".to_owned())];
/// is_a_list_of_fields(&cookies);
/// is_a_list_of_fields(cookies);
///
/// let tags = ["one", "two"];
/// is_a_list_of_fields(tags.iter().map(|tag| ("X-Tag", tag)));
/// ```
///
/// ```compile_fail,E0277
/// # use wsgi_proto::*;
/// # fn is_a_list_of_fields(_: impl IntoIterator<Item = impl Field>) {}
/// is_a_list_of_fields(["Content-Type: text/plain"]);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a header field",
    label = "expected pairs of a name and a value, such as `[(\"Content-Type\", \"text/plain\")]`",
    note = "for a response without header fields, write `NO_HEADERS`"
)]
pub trait Field: sealed::Sealed {
    /// The name of the field, unchecked.
    fn name(&self) -> &[u8];

    /// The value of the field, unchecked.
    fn value(&self) -> &[u8];
}

/// The name or the value of a field: `&str`, `String`, `Cow<str>`, `&[u8]`, `Vec<u8>`, `[u8; N]`, `Cow<[u8]>`,
/// [`Bytes`], and references to them.
///
/// Convert other types to text first:
///
/// ```
/// # use wsgi_proto::*;
/// # fn is_a_field(_: impl Field) {}
/// is_a_field(("Age", 5.to_string()));
/// ```
///
/// ```compile_fail,E0277
/// # use wsgi_proto::*;
/// # fn is_a_field(_: impl Field) {}
/// is_a_field(("Age", 5));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the name or the value of a header field",
    label = "expected text or bytes",
    note = "a name or value is a `&str`, `String`, `Cow<str>`, `&[u8]`, `Vec<u8>`, `[u8; N]`, `Cow<[u8]>`, \
            `Bytes`, or a reference to one of them",
    note = "convert other types to text first, such as `5.to_string()`"
)]
pub trait FieldBytes: sealed::Sealed {
    /// The bytes, unchanged.
    fn field_bytes(&self) -> &[u8];
}

impl<N: FieldBytes, V: FieldBytes> Field for (N, V) {
    fn name(&self) -> &[u8] {
        self.0.field_bytes()
    }

    fn value(&self) -> &[u8] {
        self.1.field_bytes()
    }
}

impl<F: Field + ?Sized> Field for &F {
    fn name(&self) -> &[u8] {
        (**self).name()
    }

    fn value(&self) -> &[u8] {
        (**self).value()
    }
}

impl<B: FieldBytes + ?Sized> FieldBytes for &B {
    fn field_bytes(&self) -> &[u8] {
        (**self).field_bytes()
    }
}

impl<const N: usize> FieldBytes for [u8; N] {
    fn field_bytes(&self) -> &[u8] {
        self
    }
}

macro_rules! field_bytes {
    ($($bytes:ty),*) => {
        $(
            impl FieldBytes for $bytes {
                // Called for each header of each response, from other crates.
                #[inline]
                fn field_bytes(&self) -> &[u8] {
                    self.as_ref()
                }
            }

            impl sealed::Sealed for $bytes {}
        )*
    };
}

field_bytes!(str, String, [u8], Vec<u8>, Bytes, Cow<'_, [u8]>);

impl FieldBytes for Cow<'_, str> {
    #[inline]
    fn field_bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// Seals both traits, so that more types can be added later.
mod sealed {
    use alloc::borrow::Cow;

    pub trait Sealed {}

    impl<N: super::FieldBytes, V: super::FieldBytes> Sealed for (N, V) {}
    impl<T: Sealed + ?Sized> Sealed for &T {}
    impl<const N: usize> Sealed for [u8; N] {}
    impl Sealed for Cow<'_, str> {}
}

#[cfg(test)]
#[expect(clippy::needless_borrows_for_generic_args, reason = "references are part of what is tested")]
mod tests {
    use super::*;
    use alloc::borrow::ToOwned;

    fn read(fields: impl IntoIterator<Item = impl Field>) -> Vec<(Vec<u8>, Vec<u8>)> {
        fields.into_iter().map(|field| (field.name().to_owned(), field.value().to_owned())).collect()
    }

    #[test]
    fn names_and_values_are_text_or_bytes_of_any_common_type() {
        fn check(name: impl FieldBytes, value: impl FieldBytes) {
            assert_eq!((name.field_bytes(), value.field_bytes()), (&b"a"[..], &b"b"[..]));
        }
        check("a", &&"b");
        check("a".to_owned(), &"b".to_owned());
        check(Cow::Borrowed("a"), &Cow::<str>::Owned("b".to_owned()));
        check(&b"a"[..], *b"b");
        check(b"a", b"b".to_vec());
        check(&b"a".to_vec(), Bytes::from_static(b"b"));
        check(&Bytes::from_static(b"a"), Cow::Borrowed(&b"b"[..]));
    }

    #[test]
    fn fields_are_pairs_by_value_or_by_reference() {
        const PAIRS: [(&str, &str); 2] = [("a", "b"), ("c", "d")];
        let wanted = [(b"a".to_vec(), b"b".to_vec()), (b"c".to_vec(), b"d".to_vec())];
        let owned: Vec<(String, Vec<u8>)> =
            PAIRS.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        assert_eq!(read(PAIRS), wanted);
        assert_eq!(read(&PAIRS), wanted);
        assert_eq!(read(&PAIRS[..]), wanted);
        assert_eq!(read(PAIRS.iter().filter(|(name, _)| !name.is_empty())), wanted);
        assert_eq!(read(&owned), wanted);
        assert_eq!(read(owned.iter().map(|(name, value)| (name, value))), wanted);
        assert_eq!(read(owned), wanted);
        assert_eq!(read(NO_HEADERS), []);
    }
}
