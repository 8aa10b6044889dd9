//! Memory of busy connections that is not in use: idle connections hold none, and a request on a warm thread allocates
//! none.
//!
//! Each thread keeps its own. Connections of all servers on a thread share it without a lock.

use std::any::Any;
use std::cell::{Cell, RefCell};

use wsgi_proto::Buffers;

/// The largest number of unused values that a thread keeps, of each kind. A thread serves one connection at a time; the
/// others are for requests that wait.
const KEPT: usize = 8;

thread_local! {
    static BUFFERS: Pool<Buffers> = const { Pool::new() };
    static OTHERS: Pool<Box<dyn Any>> = const { Pool::new() };
}

/// Returns a set of buffers that this thread kept, or a new one.
#[inline]
pub(crate) fn take_buffers() -> Buffers {
    // A thread that is about to end has no pool.
    BUFFERS.try_with(|pool| pool.take_as(Ok)).ok().flatten().unwrap_or_default()
}

/// Keeps a set of buffers for the next connection that this thread serves.
#[inline]
pub(crate) fn put_buffers(buffers: Buffers) {
    let _ = BUFFERS.try_with(|pool| pool.put(buffers.trimmed()));
}

/// Returns a value of this type that this thread kept.
#[inline]
pub(crate) fn take<T: 'static>() -> Option<Box<T>> {
    OTHERS.try_with(|pool| pool.take_as(|value| value.downcast())).ok().flatten()
}

/// Keeps a value for a later [`take`] on this thread. No effect if it keeps enough of them.
#[inline]
pub(crate) fn put<T: 'static>(value: Box<T>) {
    // Loom's locks belong to one run of a model.
    if cfg!(not(all(test, loom))) {
        let _ = OTHERS.try_with(|pool| pool.put(value));
    }
}

/// The values of one thread. Usually one is enough.
struct Pool<T> {
    last: Cell<Option<T>>,
    others: RefCell<Vec<T>>,
}

impl<T> Pool<T> {
    const fn new() -> Self {
        Self { last: Cell::new(None), others: RefCell::new(Vec::new()) }
    }

    /// Takes a value that `convert` accepts; it returns the others.
    #[inline(always)]
    fn take_as<R>(&self, convert: impl Fn(T) -> Result<R, T>) -> Option<R> {
        match self.last.take().map(&convert) {
            Some(Ok(last)) => Some(last),
            Some(Err(last)) => {
                self.last.set(Some(last));
                self.take_other(convert)
            }
            None => self.take_other(convert),
        }
    }

    #[cold]
    fn take_other<R>(&self, convert: impl Fn(T) -> Result<R, T>) -> Option<R> {
        let mut others = self.others.borrow_mut();
        for at in (0..others.len()).rev() {
            match convert(others.swap_remove(at)) {
                Ok(value) => return Some(value),
                Err(other) => others.push(other),
            }
        }
        None
    }

    #[inline(always)]
    fn put(&self, value: T) {
        if let Some(other) = self.last.replace(Some(value)) {
            self.put_other(other);
        }
    }

    #[cold]
    fn put_other(&self, value: T) {
        let mut others = self.others.borrow_mut();
        if others.len() + 1 < KEPT {
            others.push(value);
        } else {
            // Its drop may use the pool.
            drop(others);
            drop(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_keeps_a_few_values_and_returns_them_by_type() {
        assert_eq!(take::<u8>(), None);
        put(Box::new(1_u8));
        put(Box::new("two"));
        put(Box::new(3_u8));
        assert_eq!(take::<&str>(), Some(Box::new("two")));
        assert_eq!(take::<&str>(), None);
        assert_eq!((take::<u8>(), take::<u8>(), take::<u8>()), (Some(Box::new(3)), Some(Box::new(1)), None));
        (0..2 * KEPT as u16).for_each(|number| put(Box::new(number)));
        let numbers: Vec<_> = std::iter::from_fn(take::<u16>).collect();
        assert_eq!(numbers.len(), KEPT);
    }

    #[test]
    fn each_thread_has_its_own() {
        put(Box::new(1_u8));
        assert!(std::thread::spawn(|| take::<u8>().is_none()).join().expect("it does not panic"));
        assert!(take::<u8>().is_some());
    }
}
