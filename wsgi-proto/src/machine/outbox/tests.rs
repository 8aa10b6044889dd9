//! Tests of the order and the number of the bytes that come out.

use alloc::vec;

use super::*;

#[test]
fn bytes_come_out_in_order_however_they_are_written() {
    for step in [1, 7, 4096, 4097, 9000, 100_000] {
        let mut outbox = Outbox::default();
        let mut wanted = Vec::new();
        for (byte, len) in [(b'a', 3), (b'b', 5000), (b'c', 0), (b'd', 4097), (b'e', 9000), (b'f', 1)] {
            let block = vec![byte; len];
            wanted.extend_from_slice(&block);
            outbox.push(if byte == b'e' { Piece::Borrowed(&block) } else { block.into() });
        }
        assert_eq!(outbox.len(), wanted.len() as u64);
        let mut got = Vec::new();
        while !outbox.is_empty() {
            let flat = outbox.transmit().slices().concat();
            let part = step.min(flat.len());
            got.extend_from_slice(&flat[..part]);
            outbox.transmitted(part);
        }
        assert_eq!(got, wanted, "in steps of {step}");
        assert_eq!(outbox.total(), wanted.len() as u64);
        assert!(outbox.transmit().slices().is_empty());
    }
}

#[test]
fn bytes_of_the_driver_come_out_in_order_however_they_are_written() {
    for step in [1, 7, 4096, 9000, 100_000] {
        for supplied in [0, 1, 5000, 20_000] {
            let mut outbox = Outbox::default();
            outbox.copy(b"aaa");
            outbox.push(vec![b'b'; 5000].into());
            outbox.push_external(10_000);
            outbox.copy(b"d");
            outbox.push(vec![b'e'; 5000].into());
            outbox.supply_external(vec![b'c'; supplied].into());
            assert_eq!(outbox.external_left(), 10_000_u64.saturating_sub(supplied as u64));
            let mut got = Vec::new();
            while !outbox.is_empty() {
                let flat = outbox.transmit().slices().concat();
                let external = outbox.external();
                assert_eq!(flat.is_empty(), external > 0);
                let part = step.min(flat.len() + external as usize);
                got.extend_from_slice(&flat[..part.min(flat.len())]);
                got.resize(got.len() + part - part.min(flat.len()), b'c');
                outbox.transmitted(part);
            }
            let wanted: Vec<u8> = [(b'a', 3), (b'b', 5000), (b'c', 10_000), (b'd', 1), (b'e', 5000)]
                .iter()
                .flat_map(|&(byte, count)| core::iter::repeat_n(byte, count))
                .collect();
            assert!(got == wanted, "in steps of {step}, {supplied} supplied");
            assert_eq!(outbox.total(), wanted.len() as u64);
        }
    }
}

#[test]
fn a_cut_leaves_what_precedes_the_bytes_of_the_driver() {
    for sent in [0, 1, 3, 5000, 5003, 5004, 12_000] {
        let mut outbox = Outbox::default();
        outbox.copy(b"aaa");
        outbox.push(vec![b'b'; 5000].into());
        outbox.push_external(10_000);
        outbox.copy(b"d");
        outbox.push(vec![b'e'; 5000].into());
        outbox.transmitted(sent);
        outbox.cut_external();
        assert_eq!(outbox.total(), sent.max(5003) as u64);
        assert_eq!(outbox.transmit().slices().concat().len() as u64, outbox.len());
        assert_eq!(outbox.is_empty(), sent >= 5003);
        outbox.copy(b"f");
        assert!(outbox.transmit().slices().concat().ends_with(b"f"));
    }
}

#[test]
fn many_large_pieces_fill_several_transmits() {
    let mut outbox = Outbox::default();
    for _ in 0..40 {
        outbox.copy(b"1388\r\n");
        outbox.push(vec![b'x'; 5000].into());
    }
    let (mut writes, mut bytes) = (0, 0);
    while !outbox.is_empty() {
        let all: usize = outbox.transmit().slices().iter().map(|slice| slice.len()).sum();
        outbox.transmitted(all);
        (writes, bytes) = (writes + 1, bytes + all);
    }
    assert_eq!((writes, bytes), (5, 40 * 5006));
}
