//! The buffer pool: idle connections hold no buffers.

use wsgi_proto::Buffers;

use crate::sync::{Mutex, lock};

/// The largest number of unused buffer sets that are kept.
const POOLED: usize = 64;

/// The buffer pool of one server.
#[derive(Default)]
pub(crate) struct BufferPool(Mutex<Vec<Buffers>>);

impl BufferPool {
    /// Returns a pooled set of buffers, or a new one if the pool is empty.
    pub(crate) fn take(&self) -> Buffers {
        let pooled = lock(&self.0).pop();
        pooled.unwrap_or_default()
    }

    /// Keeps a set of buffers for the next connection, unless the pool is full.
    pub(crate) fn put(&self, buffers: Buffers) {
        let mut pool = lock(&self.0);
        if pool.len() < POOLED {
            pool.push(buffers.trimmed());
        }
    }
}
