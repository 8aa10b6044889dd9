//! The chunks of a response that are still being sent. They tell framing from body when the connection is lost.

use alloc::vec::Vec;

/// The last chunks, at least those that were not transmitted completely.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    /// The position of the first of these chunks in the output of the whole connection.
    from: u64,
    /// The number of body bytes before it.
    body: u64,
    /// The first `done` of them were transmitted, and do not count any more.
    lengths: Vec<u64>,
    done: usize,
}

impl Chunks {
    /// Adds a chunk of `length` body bytes after `body` bytes of the same body. Of the connection's output before it,
    /// `transmitted` bytes were transmitted and `queued` bytes were not.
    #[inline]
    pub(crate) fn add(&mut self, length: u64, body: u64, queued: u64, transmitted: u64) {
        if body == 0 || queued == 0 || self.lengths.len() == self.lengths.capacity() {
            self.prepare(body, queued, transmitted);
        }
        self.lengths.push(length);
    }

    #[inline(never)]
    fn prepare(&mut self, body: u64, queued: u64, transmitted: u64) {
        if body == 0 || queued == 0 {
            // The first chunk of a response, or everything before it was transmitted.
            self.lengths.clear();
            (self.from, self.body, self.done) = (transmitted.saturating_add(queued), body, 0);
        } else {
            // Before the list grows, it forgets the chunks that were transmitted, unless they are few.
            self.advance(transmitted);
            if 2 * self.done >= self.lengths.len() {
                self.lengths.drain(..self.done);
                self.done = 0;
            }
        }
    }

    /// The number of body bytes in the first `transmitted` bytes of the connection's output.
    pub(crate) fn body_in(&self, transmitted: u64) -> u64 {
        let (mut from, mut body) = (self.from, self.body);
        for &length in &self.lengths[self.done..] {
            let line = size_line_length(length);
            body = body.saturating_add(transmitted.saturating_sub(from).saturating_sub(line).min(length));
            from = from.saturating_add(line + length + 2);
        }
        body
    }

    /// Removes chunks that were transmitted completely.
    fn advance(&mut self, transmitted: u64) {
        while let Some(&length) = self.lengths.get(self.done) {
            let end = self.from.saturating_add(size_line_length(length) + length + 2);
            if end > transmitted {
                break;
            }
            self.done += 1;
            self.from = end;
            self.body = self.body.saturating_add(length);
        }
    }

    /// Frees the memory of an unusually long queue.
    pub(crate) fn trim(&mut self) {
        if self.lengths.capacity() > 1024 {
            (self.lengths, self.done) = (Vec::new(), 0);
        }
    }
}

/// The length of the size line of a chunk, with its CRLF.
fn size_line_length(length: u64) -> u64 {
    u64::from(length.max(1).ilog2() / 4) + 3
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn the_body_in_any_part_of_the_output_is_exact() {
        let lengths = [1, 15, 16, 255, 256, 4095, 4096, 1, 2, 70_000];
        // `true` for each byte of the body, after a head of 100 bytes.
        let mut output = [false; 100].to_vec();
        let ends: Vec<usize> = lengths
            .map(|length| {
                output.extend(format!("{length:x}\r\n").bytes().map(|_| false));
                output.extend((0..length).map(|_| true));
                output.extend([false; 2]);
                output.len()
            })
            .to_vec();
        let body_in = |count: usize| output[..count].iter().filter(|is_body| **is_body).count() as u64;
        for lag in [0, 1, 20, 300, 5000, 100_000] {
            let mut chunks = Chunks::default();
            let (mut from, mut body) = (100_usize, 0);
            for (length, end) in lengths.into_iter().zip(&ends) {
                chunks.add(length as u64, body, lag.min(from) as u64, from.saturating_sub(lag) as u64);
                (from, body) = (*end, body + length as u64);
                let chunks = Chunks { lengths: chunks.lengths.clone(), ..chunks };
                for transmitted in
                    (from.saturating_sub(length + 10).max(from.saturating_sub(lag))..=from).step_by(7)
                {
                    assert_eq!(
                        chunks.body_in(transmitted as u64),
                        body_in(transmitted),
                        "{transmitted}, {lag}"
                    );
                }
                assert_eq!(chunks.body_in(from as u64), body_in(from));
            }
        }
    }

    #[test]
    fn transmitted_chunks_are_forgotten() {
        let mut chunks = Chunks::default();
        for index in 0..100_000_u64 {
            // A chunk of 16 bytes takes 22; ten of them are in flight.
            chunks.add(16, 22 * index, 16 * index, (22 * index).saturating_sub(220));
        }
        assert!(chunks.lengths.capacity() <= 64, "{}", chunks.lengths.capacity());
        assert_eq!(chunks.body_in(22 * 99_995 + 5), 16 * 99_995 + 1);
        chunks.trim();
        chunks.add(16, 0, 0, 0);
        assert_eq!(chunks.body_in(22), 16);
    }
}
