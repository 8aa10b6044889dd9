//! The functions of middleware that change the head of a response: a chain, from the innermost to the outermost.

use std::fmt;
use std::sync::Arc;

use crate::head::headers::Headers;
use crate::head::status::Status;

/// The functions of [`StartResponse::map`](crate::StartResponse::map) of one handle; none by default.
#[derive(Clone, Default)]
pub(crate) struct Maps(Option<Arc<Link>>);

type Map = dyn Fn(&mut Status, &mut Headers) + Send + Sync;

struct Link<F: ?Sized = Map> {
    outer: Maps,
    map: F,
}

impl Maps {
    /// These functions, after `map`.
    pub(crate) fn with(&self, map: impl Fn(&mut Status, &mut Headers) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(Link { outer: self.clone(), map })))
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Calls all functions, the outermost last. They are the application's code: call it without a lock.
    pub(crate) fn apply(&self, status: &mut Status, headers: &mut Headers) {
        let mut next = &self.0;
        while let Some(link) = next {
            (link.map)(status, headers);
            next = &link.outer.0;
        }
    }
}

impl fmt::Debug for Maps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let links = std::iter::successors(self.0.as_ref(), |link| link.outer.0.as_ref());
        write!(f, "Maps({})", links.count())
    }
}
