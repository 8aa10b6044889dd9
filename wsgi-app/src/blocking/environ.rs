//! WSGI's `environ` for blocking applications.

use std::ops::Deref;

use wsgi_proto::Record;

use crate::application::environ::Environ as AsyncEnviron;
use crate::blocking::input::Input;

/// WSGI's `environ`, with a blocking [`input`](Self::input). Everything else is that of
/// [`wsgi_app::Environ`](crate::Environ).
#[derive(Clone, Debug)]
pub struct Environ(pub(super) AsyncEnviron);

impl Environ {
    /// `wsgi.input`: the request body.
    pub fn input(&self) -> Input {
        Input::new(self.0.input())
    }

    /// As [`Environ::add_post_hook`](crate::Environ::add_post_hook).
    pub fn add_post_hook(&self, hook: impl FnOnce(&Self, &Record) + Send + 'static) {
        self.0.add_post_hook(move |environ, record| hook(&Self(environ.clone()), record));
    }
}

impl Deref for Environ {
    type Target = AsyncEnviron;

    fn deref(&self) -> &AsyncEnviron {
        &self.0
    }
}
