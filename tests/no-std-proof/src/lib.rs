//! Compiles exactly when `wsgi-proto` and all that it depends on do without `std`.
//!
//! A program has one panic handler. `std` brings one; this crate defines one too. So rustc refuses this crate, with
//! "found duplicate lang item `panic_impl`", as soon as any crate in its graph links `std`, also on a machine
//! where `std` is there. The features `with-std` and `with-std-below` show that it does refuse.

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
