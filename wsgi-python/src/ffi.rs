//! The only module with `unsafe`: calls of the interpreter and of the system for which there is no safe interface.
#![allow(unsafe_code, reason = "each block says why it is sound")]

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::thread;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyIterator, PyList, PyString, PyTuple};

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

/// The number of references to an object.
pub(crate) fn references(object: &Bound<'_, PyAny>) -> ffi::Py_ssize_t {
    // SAFETY: the object lives, since there is a reference, and the thread is attached.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) }
}

/// A `bytes` object of at most `size` bytes. `fill` writes them from the beginning on, and returns their number.
///
/// The memory is not cleared before, which would cost as much as a copy of it.
///
/// # Errors
///
/// `MemoryError`, and those of `fill`.
pub(crate) fn filled_bytes<'py>(
    py: Python<'py>,
    size: usize,
    fill: impl FnOnce(&mut [u8]) -> PyResult<usize>,
) -> PyResult<Bound<'py, PyBytes>> {
    let size = isize::try_from(size).map_err(|_| pyo3::exceptions::PyMemoryError::new_err(()))?;
    // SAFETY: with a null pointer, the function returns a new object with room for `size` bytes, or null with an exception.
    // No other code has it before it is returned here, so its content may change. The allocator is one of another
    // language, so the compiler does not assume anything about the content; any byte is a `u8`. What `fill` has not
    // written leaves this function only below if `fill` returned a wrong number.
    unsafe {
        let object = ffi::PyBytes_FromStringAndSize(std::ptr::null(), size);
        let bytes: Bound<'py, PyBytes> = Bound::from_owned_ptr_or_err(py, object)?.cast_into_unchecked();
        let start = ffi::PyBytes_AsString(object).cast::<u8>();
        let filled = fill(std::slice::from_raw_parts_mut(start, size as usize))?;
        if filled == size as usize { Ok(bytes) } else { Ok(PyBytes::new(py, &bytes.as_bytes()[..filled])) }
    }
}

/// The contents of the `bytes` objects in a list, one after the other. `None` if an item is of another type, or if they
/// have more than `most` bytes together.
pub(crate) fn joined(list: &Bound<'_, PyList>, most: usize) -> Option<Vec<u8>> {
    let length = list.len();
    let mut joined = Vec::new();
    for index in 0..length {
        let (mut start, mut size) = (std::ptr::null_mut(), 0);
        // SAFETY: the thread is attached, and the list has an item with this index: nothing in this loop runs code of
        // Python that might change it, so neither is a reference needed to keep the item. Its content is read before the
        // next round.
        let block = unsafe {
            let item = ffi::PyList_GetItem(list.as_ptr(), index as isize);
            if ffi::PyBytes_Check(item) == 0 || ffi::PyBytes_AsStringAndSize(item, &mut start, &mut size) != 0
            {
                return None;
            }
            std::slice::from_raw_parts(start.cast::<u8>(), size as usize)
        };
        if joined.len() + block.len() > most {
            return None;
        }
        if joined.capacity() == 0 {
            // Blocks are often of similar length.
            joined.reserve(block.len().saturating_mul(length).min(most));
        }
        joined.extend_from_slice(block);
    }
    Some(joined)
}

/// A pair of texts, as bytes.
pub(crate) struct Pair<'py> {
    /// Keeps the texts alive.
    _tuple: Bound<'py, PyTuple>,
    texts: [(*const u8, usize); 2],
}

impl<'py> Pair<'py> {
    /// `None` if the tuple is not a pair of `str` objects with ASCII characters only.
    pub(crate) fn of_ascii(tuple: &Bound<'py, PyTuple>) -> Option<Self> {
        let text = |index| {
            let text = tuple.get_borrowed_item(index).ok()?;
            let text = text.cast::<PyString>().ok()?;
            let text = text.to_str().ok()?;
            text.is_ascii().then_some((text.as_ptr(), text.len()))
        };
        let texts = if tuple.len() == 2 { [text(0)?, text(1)?] } else { return None };
        Some(Self { texts, _tuple: tuple.clone() })
    }

    /// # Errors
    ///
    /// `MemoryError`.
    pub(crate) fn of_bytes(pair: [Bound<'py, PyBytes>; 2]) -> PyResult<Self> {
        let texts = pair.each_ref().map(|text| (text.as_bytes().as_ptr(), text.as_bytes().len()));
        let [name, value] = pair;
        Ok(Self { texts, _tuple: PyTuple::new(name.py(), [&name, &value])? })
    }

    pub(crate) fn name(&self) -> &[u8] {
        self.text(0)
    }

    pub(crate) fn value(&self) -> &[u8] {
        self.text(1)
    }

    fn text(&self, index: usize) -> &[u8] {
        let (start, length) = self.texts[index];
        // SAFETY: they are the content of an item of the tuple, which cannot change: `str` and `bytes` are immutable. The
        // item lives at least as long as the tuple, since a tuple to which others have references is immutable, too.
        unsafe { std::slice::from_raw_parts(start, length) }
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

/// Calls of the interpreter that run code of the application, and that a thread may not return from.
///
/// At the end of the interpreter, CPython before 3.14 ends each other thread that wants its lock by `pthread_exit`. That
/// unwinds the stack of the thread, and a call that is declared as `extern "C"` aborts the process then. PyO3 declares only
/// `PyGILState_Ensure` and `PyEval_RestoreThread` differently, but an application that has not returned when the server
/// stopped takes the lock in the middle of one of these.
mod unwinding {
    use pyo3::ffi::PyObject;

    type Object = *mut PyObject;

    unsafe extern "C-unwind" {
        fn PyObject_Call(callable: Object, args: Object, kwargs: Object) -> Object;
        fn PyObject_CallFunctionObjArgs(callable: Object, ...) -> Object;
        fn PyObject_GetIter(object: Object) -> Object;
        fn PyIter_Next(iterator: Object) -> Object;
        fn PyObject_GetAttr(object: Object, name: Object) -> Object;
        fn Py_DecRef(object: Object);
    }

    // Link-time optimization merges these declarations with those of PyO3, and then takes a direct call for one that does not
    // unwind. So each call goes through `indirect`.
    pub(super) static CALL: unsafe extern "C-unwind" fn(Object, Object, Object) -> Object = PyObject_Call;
    pub(super) static CALL_WITH: unsafe extern "C-unwind" fn(Object, ...) -> Object =
        PyObject_CallFunctionObjArgs;
    pub(super) static ITERATOR: unsafe extern "C-unwind" fn(Object) -> Object = PyObject_GetIter;
    pub(super) static NEXT: unsafe extern "C-unwind" fn(Object) -> Object = PyIter_Next;
    pub(super) static ATTRIBUTE: unsafe extern "C-unwind" fn(Object, Object) -> Object = PyObject_GetAttr;
    pub(super) static RELEASE: unsafe extern "C-unwind" fn(Object) = Py_DecRef;

    /// The value of a static, which the optimizer may not know.
    pub(super) fn indirect<F: Copy>(function: &'static F) -> F {
        // SAFETY: it is a reference to an initialized value that never changes.
        unsafe { std::ptr::read_volatile(function) }
    }
}

/// Stops the unwinding of its thread: the thread waits for the end of the process, as in CPython from 3.14 on.
struct Hang;

impl Hang {
    fn over<R>(call: impl FnOnce() -> R) -> R {
        let hang = Self;
        let result = call();
        // Not dropped: nothing has unwound.
        let _ = ManuallyDrop::new(hang);
        result
    }
}

impl Drop for Hang {
    fn drop(&mut self) {
        loop {
            thread::park();
        }
    }
}

/// Calls code of the application.
///
/// # Errors
///
/// The exception that it raises.
pub(crate) fn call<'py>(
    callable: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let kwargs = kwargs.map_or(std::ptr::null_mut(), Bound::as_ptr);
    // SAFETY: the objects are of the types that the function requires and live during the call. It returns a new reference,
    // or null with an exception.
    unsafe {
        let function = unwinding::indirect(&unwinding::CALL);
        let result = Hang::over(|| function(callable.as_ptr(), args.as_ptr(), kwargs));
        Bound::from_owned_ptr_or_err(callable.py(), result)
    }
}

/// Calls a function of the application with two arguments, without a tuple for them.
///
/// # Errors
///
/// The exception that it raises.
pub(crate) fn call_with_two<'py>(
    function: &Bound<'py, PyAny>,
    first: &Bound<'py, PyAny>,
    second: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let (object, end) = (function.as_ptr(), std::ptr::null_mut::<ffi::PyObject>());
    // SAFETY: the thread is attached, there are references to all objects during the call, and null ends the arguments.
    // The function returns a new reference, or null with an exception.
    unsafe {
        let call_with = unwinding::indirect(&unwinding::CALL_WITH);
        let result = Hang::over(|| call_with(object, first.as_ptr(), second.as_ptr(), end));
        Bound::from_owned_ptr_or_err(function.py(), result)
    }
}

/// The iterator of an iterable of the application.
///
/// # Errors
///
/// The exception of `__iter__`, or `TypeError`.
pub(crate) fn iterator<'py>(iterable: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyIterator>> {
    // SAFETY: the function returns a new reference to an iterator, or null with an exception.
    unsafe {
        let function = unwinding::indirect(&unwinding::ITERATOR);
        let iterator = Hang::over(|| function(iterable.as_ptr()));
        Bound::from_owned_ptr_or_err(iterable.py(), iterator).map(|iterator| iterator.cast_into_unchecked())
    }
}

/// The next item of an iterator of the application; `None` at its end.
///
/// # Errors
///
/// The exception of `__next__`.
pub(crate) fn next<'py>(iterator: &Bound<'py, PyIterator>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = iterator.py();
    // SAFETY: it is an iterator. The function returns a new reference, or null, with an exception if it is not the end.
    let item = unsafe {
        let function = unwinding::indirect(&unwinding::NEXT);
        let item = Hang::over(|| function(iterator.as_ptr()));
        Bound::from_owned_ptr_or_opt(py, item)
    };
    match item {
        Some(item) => Ok(Some(item)),
        None => PyErr::take(py).map_or(Ok(None), Err),
    }
}

/// An attribute of an object of the application.
///
/// # Errors
///
/// `AttributeError`, and what code behind the attribute raises.
pub(crate) fn attribute<'py>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: both objects live during the call. The function returns a new reference, or null with an exception.
    unsafe {
        let function = unwinding::indirect(&unwinding::ATTRIBUTE);
        let value = Hang::over(|| function(object.as_ptr(), name.as_ptr()));
        Bound::from_owned_ptr_or_err(object.py(), value)
    }
}

/// Drops a reference to an object of the application. If it is the last one, that runs finalizers.
pub(crate) fn release<T>(object: Bound<'_, T>) {
    let object = object.into_ptr();
    // SAFETY: the thread is attached, and the reference is one that nothing uses after this call.
    unsafe {
        let function = unwinding::indirect(&unwinding::RELEASE);
        Hang::over(|| function(object));
    }
}
