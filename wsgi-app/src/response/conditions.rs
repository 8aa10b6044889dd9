//! The conditions of a request on the version that would be sent (RFC 9110, 13).

use crate::application::environ::Environ;

/// What identifies the version that would be sent, as far as it is known (RFC 9110, 8.8).
pub(super) struct Validators<'a> {
    pub(super) etag: Option<&'a str>,
    /// The date of the last change, in seconds since 1970.
    pub(super) modified: Option<i64>,
}

/// The result of the conditions of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Send,
    /// The client has this version: 304.
    NotModified,
    /// The client requires another version: 412.
    Failed,
}

impl Validators<'_> {
    /// Checks the conditions of a GET or a HEAD, in the order of RFC 9110, 13.2.2.
    pub(super) fn check(&self, environ: &Environ) -> Outcome {
        if has(environ, "If-Match") {
            if !self.is_any_of(environ, "If-Match", is_same_strongly) {
                return Outcome::Failed;
            }
        } else if let Some((date, modified)) = date(environ, "If-Unmodified-Since").zip(self.modified)
            && modified > date
        {
            return Outcome::Failed;
        }
        let is_known = if has(environ, "If-None-Match") {
            self.is_any_of(environ, "If-None-Match", is_same_weakly)
        } else {
            let dates = date(environ, "If-Modified-Since").zip(self.modified);
            dates.is_some_and(|(date, modified)| modified <= date)
        };
        if is_known { Outcome::NotModified } else { Outcome::Send }
    }

    /// Whether the client has a part of this version: the condition `If-Range` (RFC 9110, 13.1.5).
    pub(super) fn may_continue(&self, environ: &Environ) -> bool {
        if !has(environ, "If-Range") {
            return true;
        }
        let Some(value) = single(environ, "If-Range") else { return false };
        match wsgi_proto::parse_date_time(&value) {
            Some(date) => self.modified == Some(date),
            None => self.etag.is_some_and(|etag| is_same_strongly(etag, &value)),
        }
    }

    /// Whether the tag is one of those of a field. `*` is any version.
    fn is_any_of(&self, environ: &Environ, name: &str, is_same: fn(&str, &str) -> bool) -> bool {
        environ.headers(name).any(|value| {
            value == "*"
                || self.etag.is_some_and(|etag| tags(&value).any(|candidate| is_same(etag, candidate)))
        })
    }
}

fn has(environ: &Environ, name: &str) -> bool {
    environ.head().value(name).is_some()
}

/// The value of a field that may only occur once.
pub(super) fn single(environ: &Environ, name: &str) -> Option<String> {
    let mut values = environ.headers(name);
    values.next().filter(|_| values.next().is_none()).map(Into::into)
}

/// The date of a field. One that is not a date is ignored (RFC 9110, 13.1.3 and 13.1.4).
fn date(environ: &Environ, name: &str) -> Option<i64> {
    wsgi_proto::parse_date_time(&single(environ, name)?)
}

/// The entity tags of a list, with their quotes and `W/`. They may contain commas (RFC 9110, 8.8.3). The list ends where
/// it is malformed.
fn tags(list: &str) -> impl Iterator<Item = &str> {
    let mut rest = list;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let quote = if rest.starts_with("W/") { 2 } else { 0 };
        let end = rest[quote..].strip_prefix('"')?.find('"')? + quote + 2;
        let (tag, after) = rest.split_at(end);
        rest = after;
        Some(tag)
    })
}

fn is_same_strongly(one: &str, other: &str) -> bool {
    !one.starts_with("W/") && one == other
}

fn is_same_weakly(one: &str, other: &str) -> bool {
    one.strip_prefix("W/").unwrap_or(one) == other.strip_prefix("W/").unwrap_or(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_tags_is_split_outside_of_their_quotes() {
        for (list, expected) in [
            (r#""a""#, &[r#""a""#][..]),
            (r#""a", W/"b,c" ,,"" "#, &[r#""a""#, r#"W/"b,c""#, r#""""#]),
            (r#""a""b""#, &[r#""a""#, r#""b""#]),
            (r#""a", b, "c""#, &[r#""a""#]),
            (r#""a", "c"#, &[r#""a""#]),
            (r#"w/"a""#, &[]),
            ("W/", &[]),
            ("", &[]),
            ("a", &[]),
        ] {
            assert_eq!(tags(list).collect::<Vec<_>>(), expected, "{list}");
        }
    }
}
