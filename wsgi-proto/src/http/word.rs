//! Searches that look at eight bytes at a time.
//!
//! A search marks each byte that it finds by its highest bit. Only the lowest mark of a word is certain, because the
//! subtraction that finds it may borrow from the bytes above.

/// The number of bytes in a word.
pub(crate) const SIZE: usize = size_of::<u64>();

const ONES: u64 = repeat(1);
const HIGH: u64 = repeat(0x80);

/// Converts `bytes` to a word. There have to be eight of them.
pub(crate) fn of(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

/// Marks the bytes of `word` that equal `byte`.
pub(crate) const fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ repeat(byte), 1)
}

/// Marks the bytes of `word` that are less than `byte`, which is at most 0x80.
pub(crate) const fn below(word: u64, byte: u8) -> u64 {
    word.wrapping_sub(repeat(byte)) & !word & HIGH
}

/// Marks the bytes of `word` that are 0x7f or more.
pub(crate) const fn from_delete(word: u64) -> u64 {
    (word.wrapping_add(ONES) | word) & HIGH
}

/// Marks the bytes of `word` that are neither ASCII letters nor hyphens.
pub(crate) const fn no_letter_or_hyphen(word: u64) -> u64 {
    let lower = word | repeat(0x20);
    let letter = lower.wrapping_add(repeat(0x80 - b'a')) & !lower.wrapping_add(repeat(0x80 - b'z' - 1));
    let other = (word ^ repeat(b'-')).wrapping_add(repeat(0x7f));
    (!letter & other | word) & HIGH
}

/// Converts a part of a field's name to that of a variable's name: in upper case, with `_` for `-`. Also marks each `_`
/// that was sent. Both are undefined for the bytes from the first on that is not ASCII.
pub(crate) const fn variable_name(word: u64) -> (u64, u64) {
    let lower = word.wrapping_add(repeat(0x80 - b'a')) & !word.wrapping_add(repeat(0x80 - b'z' - 1)) & HIGH;
    let hyphen = exactly(word, b'-') >> 7;
    let variable = word ^ (lower >> 2) ^ (hyphen * (b'-' ^ b'_') as u64);
    (variable, exactly(word, b'_'))
}

/// Marks the bytes of `word` that equal `byte`, and no other bytes if all are ASCII.
const fn exactly(word: u64, byte: u8) -> u64 {
    !(word ^ repeat(byte)).wrapping_add(repeat(0x7f)) & HIGH
}

/// The position of the first marked byte, or [`SIZE`] if no byte is marked.
pub(crate) const fn first(marks: u64) -> usize {
    marks.trailing_zeros() as usize / 8
}

const fn repeat(byte: u8) -> u64 {
    u64::from_le_bytes([byte; SIZE])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_mark_is_right_for_every_byte_at_every_place() {
        for at in 0..SIZE {
            for after in [0, 1, b' ', b'!', b'#', b'~', 0x7f, 0x80, 0xff] {
                for byte in 0..=255_u8 {
                    let mut bytes = [b'a'; SIZE];
                    bytes[at..].fill(after);
                    bytes[at] = byte;
                    let word = of(&bytes);
                    let place = |is: fn(u8) -> bool| bytes.iter().position(|&byte| is(byte)).unwrap_or(SIZE);
                    assert_eq!(first(equal(word, b'#')), place(|byte| byte == b'#'), "{bytes:?}");
                    assert_eq!(first(below(word, b'!')), place(|byte| byte < b'!'), "{bytes:?}");
                    assert_eq!(first(from_delete(word)), place(|byte| byte >= 0x7f), "{bytes:?}");
                    let other = place(|byte| !byte.is_ascii_alphabetic() && byte != b'-');
                    assert_eq!(first(no_letter_or_hyphen(word)), other, "{bytes:?}");
                }
            }
        }
    }
}
