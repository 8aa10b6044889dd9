//! A handle with the functions of middleware that change the heads of responses.

use crate::exchange::handle::Handle;
use crate::head::headers::Headers;
use crate::head::maps::Maps;
use crate::head::status::Status;

/// The upper bits of a serial: the number of the functions. The lower ones are the number of the exchange.
const SHIFT: u32 = 40;

/// A handle of one exchange that may have functions.
///
/// Few have some, so a handle is not larger for them: they are in a table of the exchange, and their number is in the
/// serial, 0 for none.
#[derive(Clone, Debug)]
pub(crate) struct MappedHandle(Handle);

impl MappedHandle {
    #[inline]
    pub(crate) fn new(handle: Handle) -> Self {
        Self(handle)
    }

    /// The handle; `None` if it has functions.
    #[inline]
    pub(crate) fn unmapped(&self) -> Option<&Handle> {
        if self.0.serial >> SHIFT == 0 { Some(&self.0) } else { None }
    }

    /// The handle without its functions.
    pub(crate) fn plain(&self) -> Handle {
        Handle { serial: self.serial(), ..self.0.clone() }
    }

    fn serial(&self) -> u64 {
        self.0.serial & ((1 << SHIFT) - 1)
    }

    /// Its functions; none after the exchange.
    pub(crate) fn maps(&self) -> Maps {
        let inner = self.0.lock();
        let number = (self.0.serial >> SHIFT) as usize;
        if inner.serial != self.serial() {
            return Maps::default();
        }
        number.checked_sub(1).and_then(|index| inner.maps.get(index)).cloned().unwrap_or_default()
    }

    /// A handle of the same exchange with another function. No effect after the exchange.
    ///
    /// # Panics
    ///
    /// The exchange has 16 million functions.
    pub(crate) fn map(&self, map: impl Fn(&mut Status, &mut Headers) + Send + Sync + 'static) -> Self {
        let maps = self.maps().with(map);
        let mut inner = self.0.lock();
        let number = inner.maps.len() as u64 + 1;
        // After the end of the connection, no one drops the functions.
        let is_over = inner.exchange(self.serial()).is_none() || inner.is_over();
        if is_over || number >> (u64::BITS - SHIFT) > 0 {
            drop(inner);
            assert!(number >> (u64::BITS - SHIFT) == 0, "too many functions of `StartResponse::map`");
            return self.clone();
        }
        inner.maps.push(maps);
        drop(inner);
        Self(Handle { serial: self.serial() | number << SHIFT, ..self.0.clone() })
    }
}
