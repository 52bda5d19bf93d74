//! The message that is being written: a buffer, and a cursor in it.
//!
//! The bytes behind the cursor are initialised in advance. So a block of text is copied by
//! one store of constant size, however much of it is part of the message, and the cursor
//! stays in a register meanwhile.

/// Bytes that are initialised together, at most: the cost is small, and they are in the
/// nearest cache when they are written.
const STEP: usize = 64 * 1024;

/// Bytes by which a buffer grows that has no capacity left.
const LEAST: usize = 64;

/// The bytes of a message up to a cursor.
#[derive(Debug)]
pub(super) struct Output {
    /// The message, and behind its end bytes of any value.
    bytes: Vec<u8>,
    end: usize,
}

impl Output {
    /// Continues the message in a buffer, likely with about `more` bytes.
    pub(super) fn new(bytes: Vec<u8>, more: usize) -> Self {
        let end = bytes.len();
        let mut output = Self { bytes, end };
        output.initialise(more);
        output
    }

    /// Returns the buffer with the message.
    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.truncate(self.end);
        self.bytes
    }

    /// Returns the length of the message.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.end
    }

    /// Returns the message from a position on.
    #[inline]
    pub(super) fn since(&self, start: usize) -> &[u8] {
        &self.bytes[start..self.end]
    }

    /// Takes back what was written from a position on.
    #[inline]
    pub(super) fn truncate(&mut self, length: usize) {
        debug_assert!(length <= self.end, "only what was written is taken back");
        self.end = length;
    }

    /// Returns the initialised bytes behind the message.
    #[inline]
    pub(super) fn spare(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// Adds the first `bytes` of the spare bytes to the message.
    #[inline]
    pub(super) fn advance(&mut self, bytes: usize) {
        self.end += bytes;
    }

    /// Appends a byte.
    #[inline]
    pub(super) fn push(&mut self, byte: u8) {
        self.extend([byte]);
    }

    /// Appends a few bytes.
    #[inline]
    pub(super) fn extend<const N: usize>(&mut self, bytes: [u8; N]) {
        self.extend_from_block(bytes, N);
    }

    /// Appends the first `count` bytes of a block.
    #[inline]
    pub(super) fn extend_from_block<const N: usize>(
        &mut self,
        block: [u8; N],
        count: usize,
    ) {
        if let Some(place) = self.bytes.get_mut(self.end..self.end + N) {
            place.copy_from_slice(&block);
            self.end += count;
        } else {
            self.extend_from_slice(&block[..count]);
        }
    }

    /// Appends bytes.
    #[cold]
    pub(super) fn extend_from_slice(&mut self, bytes: &[u8]) {
        while self.spare().len() < bytes.len() {
            self.grow();
        }
        self.spare()[..bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    /// Replaces bytes at a position.
    #[inline]
    pub(super) fn replace<const N: usize>(&mut self, at: usize, bytes: [u8; N]) {
        self.bytes[at..at + N].copy_from_slice(&bytes);
    }

    /// Moves the message from a position on, so that it begins at another.
    pub(super) fn shift(&mut self, from: usize, to: usize) {
        let end = self.end - from + to;
        while self.bytes.len() < end {
            self.grow();
        }
        self.bytes.copy_within(from..self.end, to);
        self.end = end;
    }

    /// Initialises more bytes. Allocates only if the buffer has no capacity left.
    #[cold]
    pub(super) fn grow(&mut self) {
        self.initialise(STEP);
    }

    fn initialise(&mut self, more: usize) {
        let spare = self.bytes.capacity() - self.bytes.len();
        let more = if spare == 0 { LEAST } else { more.min(STEP).min(spare) };
        self.bytes.resize(self.bytes.len() + more, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffer_with_capacity_is_not_moved() {
        const CAPACITY: usize = 3 * STEP + 7;

        let buffer = Vec::with_capacity(CAPACITY);
        let start = buffer.as_ptr();
        let mut out = Output::new(buffer, 10);
        while out.len() + 16 <= CAPACITY {
            out.extend_from_block([b'a'; 16], 11);
            out.push(b'b');
        }
        out.extend_from_slice(&vec![b'c'; CAPACITY - out.len()]);
        let bytes = out.into_bytes();
        assert_eq!((bytes.as_ptr(), bytes.len()), (start, CAPACITY));
        assert!(bytes.starts_with(b"aaaaaaaaaaabaaaaaaaaaaab"));
    }

    #[test]
    fn buffer_without_capacity_grows() {
        let mut out = Output::new(Vec::new(), 0);
        for byte in 0..=u8::MAX {
            out.push(byte);
        }
        out.shift(255, 1000);
        assert_eq!(out.since(1000), [255]);
        out.shift(1000, 2);
        assert_eq!(out.into_bytes(), [0, 1, 255]);
    }

    #[test]
    fn what_is_taken_back_is_overwritten() {
        let mut out = Output::new(b"kept".to_vec(), 100);
        out.extend(*b"taken back");
        out.truncate(4);
        out.extend(*b"!");
        out.replace(0, *b"K");
        assert_eq!(out.into_bytes(), b"Kept!");
    }
}
