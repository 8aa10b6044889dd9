//! The handles of an exchange: what an application can do with them, how long they live, and what happens when the
//! application fails.
//!
//! One runtime is enough, because these handles are the same on every one.

mod applications;
mod handles;
mod hooks;
mod panics;
mod take_over;
