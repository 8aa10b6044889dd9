//! Reads body bytes from the transport straight into the buffer of a blocking application.

use std::task::{Context, Poll};

use crate::connection::transfer::loss;
use crate::exchange::handle::Handle;
use crate::exchange::shared::WakeList;
use crate::io::blocking::unless_it_blocks;

/// The least number of bytes that are read this way. Fewer are read with what follows them, in one call of the system.
const LEAST: usize = 16 * 1024;

impl Handle {
    /// Reads the next bytes of the body into `space`, without the receive buffer. `None` if they have to be read as
    /// usual: they have arrived, are not certain to be body bytes, are few, or nothing can be read now.
    ///
    /// The lock is held from the question to the report, so no bytes of another exchange are read, and none are lost.
    pub(super) fn read_direct(&self, context: &Context<'_>, space: &mut [u8]) -> Option<usize> {
        if space.len() < LEAST {
            return None;
        }
        let transport = self.blocking_transport()?;
        let mut wake_list = WakeList::default();
        let mut inner = self.lock();
        let room = inner.direct_room(self.serial(), LEAST, || self.now()).min(space.len());
        if room < LEAST || !transport.is_readable() {
            return None;
        }
        let Poll::Ready(read) = unless_it_blocks(|| transport.read(&mut space[..room])) else { return None };
        let count = match read {
            Ok(0) => {
                inner.machine.recv_eof();
                None
            }
            Ok(count) => {
                inner.recv_direct(self.serial(), count);
                Some(count)
            }
            Err(error) => {
                inner.machine.lost(loss(&error));
                None
            }
        };
        // Other threads may wait for the same bytes, or for the end.
        inner.wake_application(context, &mut wake_list);
        inner.touch(&mut wake_list);
        count
    }
}
