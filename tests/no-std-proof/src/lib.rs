//! Compiles only if `wsgi-proto` and all its dependencies do not use `std`.
//!
//! A program has exactly one panic handler. `std` has one; this crate defines another. So rustc rejects this crate with
//! "found duplicate lang item `panic_impl`" as soon as any crate in its graph links `std`, even on a machine where
//! `std` is available. The features `with-std` and `with-std-below` prove that the check can fail.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "with-std")]
extern crate std;

pub extern crate wsgi_proto;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
