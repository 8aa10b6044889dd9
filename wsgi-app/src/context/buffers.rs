//! Buffers that idle connections do without.

use wsgi_proto::Buffers;

use crate::sync::{Mutex, lock};

/// Idle sets of buffers that are kept for the next busy connections.
const POOLED: usize = 64;

/// The buffers of one server.
#[derive(Default)]
pub(crate) struct BufferPool(Mutex<Vec<Buffers>>);

impl BufferPool {
    /// A set of buffers, used before if there is one.
    pub(crate) fn take(&self) -> Buffers {
        let pooled = lock(&self.0).pop();
        pooled.unwrap_or_default()
    }

    /// Keeps a set for the next connection, unless there are enough.
    pub(crate) fn put(&self, buffers: Buffers) {
        let mut pool = lock(&self.0);
        if pool.len() < POOLED {
            pool.push(buffers.trimmed());
        }
    }
}
