//! The only module with `unsafe`: calls of the interpreter and of the system for which there is no safe interface.
#![allow(unsafe_code, reason = "each block says why it is sound")]

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// Whether this is the interpreter that the process began with.
pub(crate) fn is_main_interpreter(_: Python<'_>) -> bool {
    // SAFETY: the thread is attached, so it has an interpreter.
    unsafe { ffi::PyInterpreterState_GetID(ffi::PyInterpreterState_Get()) == 0 }
}

/// Duplicates a descriptor that Python code has passed as a number.
///
/// # Errors
///
/// EBADF if it is not open.
pub(crate) fn duplicate(descriptor: RawFd) -> io::Result<OwnedFd> {
    if descriptor < 0 {
        return Err(io::Error::from_raw_os_error(9)); // EBADF
    }
    // SAFETY: it is borrowed for one system call, which fails if no such descriptor is open.
    unsafe { BorrowedFd::borrow_raw(descriptor) }.try_clone_to_owned()
}

/// The string that has a character for each byte.
///
/// # Errors
///
/// `MemoryError`.
pub(crate) fn latin1<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    // SAFETY: the pointer and the length are those of a slice, which has at most `isize::MAX` bytes, and is only read during
    // the call. The function returns a new reference to a string, or null with an exception.
    unsafe {
        let text = ffi::PyUnicode_DecodeLatin1(bytes.as_ptr().cast(), bytes.len() as isize, std::ptr::null());
        Bound::from_owned_ptr_or_err(py, text).map(|text| text.cast_into_unchecked())
    }
}

/// Runs `wait` detached from the interpreter. It must not use objects of Python.
pub(crate) fn detached(py: Python<'_>, wait: &mut dyn FnMut()) {
    struct OnThisThread<T>(T);
    // SAFETY: `detach` runs the closure on this thread. It requires `Send` so that nothing which needs the interpreter gets
    // in; the waits of the server are code of Rust that knows no such objects.
    unsafe impl<T> Send for OnThisThread<T> {}
    impl OnThisThread<&mut dyn FnMut()> {
        fn run(&mut self) {
            (self.0)();
        }
    }
    let mut wait = OnThisThread(wait);
    py.detach(move || wait.run());
}
