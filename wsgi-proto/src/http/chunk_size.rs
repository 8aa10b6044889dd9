//! Writes the line before the data of a chunk (RFC 9112, 7.1).

use alloc::vec::Vec;

/// Appends a chunk size in hexadecimal and CRLF.
#[inline]
pub(crate) fn push_size(out: &mut Vec<u8>, size: u64) {
    if size >= 1 << 24 {
        return push_large_size(out, size);
    }
    // At most eight bytes: a word, built from its end, whose copy is cheaper than that of a few bytes.
    let digit = |left: u64| u64::from(HEXADECIMAL[left as usize & 15]);
    let end = u64::from(u16::from_le_bytes(*b"\r\n"));
    let (mut word, mut length, mut left) = (end << 8 | digit(size), 3, size >> 4);
    while left > 0 {
        word = word << 8 | digit(left);
        length += 1;
        left >>= 4;
    }
    let length = out.len() + length;
    out.extend_from_slice(&word.to_le_bytes());
    out.truncate(length);
}

#[cold]
fn push_large_size(out: &mut Vec<u8>, size: u64) {
    let digits = size.ilog2() / 4 + 1;
    out.extend((0..digits).rev().map(|at| HEXADECIMAL[(size >> (4 * at)) as usize & 15]));
    out.extend_from_slice(b"\r\n");
}

const HEXADECIMAL: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn a_chunk_size_is_hexadecimal() {
        for size in [0, 9, 10, 15, 16, 255, 256, 4095, 4096, 0xff_ffff, 0x100_0000, 0x123_4567_89ab, u64::MAX]
        {
            let mut out = vec![b'a'];
            push_size(&mut out, size);
            assert_eq!(out, alloc::format!("a{size:x}\r\n").as_bytes());
        }
    }
}
