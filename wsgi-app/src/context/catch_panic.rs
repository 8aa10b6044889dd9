//! Confines an application's panic to its own request.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    /// The location of this thread's last panic, until `catch` takes it.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `code`. A panic is returned as its message and location.
pub(crate) fn catch<R>(code: impl FnOnce() -> R) -> Result<R, String> {
    panic::catch_unwind(AssertUnwindSafe(code)).map_err(|payload| describe(&*payload))
}

/// Runs `code`, on a thread that must survive a panic.
pub(crate) fn catch_for_another_thread<R>(code: impl FnOnce() -> R) -> Result<R, Panic> {
    panic::catch_unwind(AssertUnwindSafe(code)).map_err(|payload| Panic { payload, place: PLACE.take() })
}

/// A panic that continues on another thread.
pub(crate) struct Panic {
    payload: Box<dyn Any + Send>,
    place: Option<String>,
}

impl Panic {
    /// Continues on this thread, where [`catch`] returns the location of the original panic.
    pub(crate) fn resume(self) -> ! {
        PLACE.set(self.place);
        panic::resume_unwind(self.payload)
    }
}

fn describe(payload: &(dyn Any + Send)) -> String {
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    match PLACE.take() {
        Some(place) => format!("panicked at {place}: {message}"),
        None => format!("panicked: {message}"),
    }
}

/// Installs a panic hook, once, that records the location of each panic for [`catch`] and then calls the previous hook.
pub(crate) fn note_places() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let earlier = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PLACE.set(info.location().map(ToString::to_string));
            earlier(info);
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message_and_place() {
        note_places();
        assert_eq!(catch(|| 1), Ok(1));
        let caught = catch(|| panic!("number {}", 7)).unwrap_err();
        assert!(caught.starts_with("panicked at ") && caught.ends_with(": number 7"), "{caught}");
        assert!(caught.contains("catch_panic.rs"), "{caught}");
    }

    #[test]
    fn a_panic_that_continues_on_another_thread_keeps_its_place() {
        note_places();
        let thread = std::thread::spawn(|| catch_for_another_thread(|| panic!("number {}", 7)).err());
        let panic = thread.join().expect("the panic is caught").expect("it panics");
        let caught = catch(|| panic.resume()).unwrap_err();
        assert!(caught.starts_with("panicked at ") && caught.ends_with(": number 7"), "{caught}");
        assert!(caught.contains("catch_panic.rs"), "{caught}");
    }
}
