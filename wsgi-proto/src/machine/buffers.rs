//! The buffers of a busy connection, as the driver holds them.

use alloc::boxed::Box;

use crate::machine::memory::Memory;

/// Memory for one busy connection, initialised once and pooled by the driver.
///
/// A connection that waits for its next request holds no buffers: the driver takes them back with
/// `Connection::take_buffers` before it waits, and provides them again with `Connection::provide_buffers` when there is
/// something to read.
#[derive(Debug)]
pub struct Buffers(pub(crate) Box<Memory>);

impl Buffers {
    /// Creates a set with a receive buffer of 16 KiB. The other buffers grow when they are used.
    pub fn new() -> Self {
        Self(Memory::new())
    }

    /// Frees the extra memory of an unusually large exchange, so that a pool of these stays small.
    #[must_use]
    pub fn trimmed(mut self) -> Self {
        if self.0.is_large() {
            self.0.trim();
        }
        self
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Self::new()
    }
}
