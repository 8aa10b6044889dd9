//! A head is read alike in one pass, in parts, and by `Head::parse`.
//!
//! Input: a byte that chooses the limits, then the client's bytes.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use wsgi_proto::{Config, Limits};

use machine::generate::SMALL;
use machine::heads::compare;

#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../../tests/src/machine/mod.rs"]
mod machine;

fuzz_target!(|data: &[u8]| {
    let Some((&limits, input)) = data.split_first() else { return };
    let limits = if limits & 1 == 0 { Limits::default() } else { SMALL };
    compare(&Arc::new(Config::default().limits(limits)), input);
});
