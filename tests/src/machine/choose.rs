//! Sequences of choices: from a seed, or from bytes of a fuzzer or `proptest`.
//!
//! Choice 0 is the plain one, so that a shorter or smaller sequence of choices means a simpler case.

/// A sequence of choices.
pub trait Choose {
    /// A number below `bound`, which is at least 1.
    fn below(&mut self, bound: usize) -> usize;

    /// True with probability 1 / `times`; choice 0 is false.
    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == times - 1
    }

    /// One of `items`.
    fn of<'i, T: ?Sized>(&mut self, items: &[&'i T]) -> &'i T
    where
        Self: Sized,
    {
        items[self.below(items.len())]
    }
}

/// Choices from a seed: SplitMix64.
#[derive(Clone, Copy, Debug)]
pub struct Seeded(pub u64);

impl Seeded {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
}

impl Choose for Seeded {
    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.bits()) * bound as u128) >> 64) as usize
    }
}

/// Choices from bytes, one byte each; 0 when they are used up.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a>(pub &'a [u8]);

impl Choose for Given<'_> {
    fn below(&mut self, bound: usize) -> usize {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        match (bound, rest.split_first()) {
            (257.., Some((&second, rest))) => {
                self.0 = rest;
                usize::from(u16::from_le_bytes([first, second])) % bound
            }
            _ => usize::from(first) % bound,
        }
    }
}
