//! The handles of an exchange: what an application can do with them, how long they live, and what happens when it
//! fails.
//!
//! One runtime is enough for that, because these handles are the same on every one.

mod applications;
mod handles;
mod hooks;
mod panics;
mod take_over;
