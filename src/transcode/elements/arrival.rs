//! The text that has arrived and is not transcoded yet.

use std::mem;

use bytes::{Buf, Bytes};

use super::TURN;
use crate::transcode::json;

/// Bytes by which the rest of a chunk grows at least, to be read with the next chunk.
const LEAST: usize = 4096;

/// Maximum bytes of the rest of a stream that is read again with every chunk that may end
/// an element, so that an element is read as soon as it has arrived. A larger one may need
/// the chunk after its last.
const SMALL: usize = 32 * 1024;

/// The part of such a rest by which it grows at least, to be read without an end.
const STEP: usize = 8;

/// A part of the text, in chunks.
#[derive(Debug)]
pub(super) struct Arrival {
    /// The latest chunk, without what was consumed.
    chunk: Bytes,
    /// What is before the chunk, if anything is, then a copy of its first bytes.
    pub(super) rest: Vec<u8>,
    /// How many bytes of the rest are a copy.
    copied: usize,
    /// From how many bytes on the rest is read.
    worth: usize,
    /// Bytes of the chunk to read together, if an element needs so many.
    wide: usize,
    /// The first bytes of a character that the next chunk ends.
    character: Bytes,
    /// Bytes of the text that have arrived, without those.
    received: usize,
    consumed: usize,
    largest: usize,
    /// Maximum bytes of an element of a stream.
    largest_element: Option<usize>,
    ended: bool,
    /// Why the text ends where it does, if that is an error.
    cut: Option<json::Error>,
}

impl Arrival {
    pub(super) fn new(largest: usize) -> Self {
        Self {
            chunk: Bytes::new(),
            rest: Vec::new(),
            copied: 0,
            worth: 0,
            wide: 0,
            character: Bytes::new(),
            received: 0,
            consumed: 0,
            largest,
            largest_element: None,
            ended: false,
            cut: None,
        }
    }

    /// Expects a text of any length, with elements of up to `largest` bytes.
    pub(super) fn of_stream(largest: usize) -> Self {
        Self { largest_element: Some(largest), ..Self::new(usize::MAX) }
    }

    pub(super) fn push(&mut self, mut chunk: Bytes) {
        debug_assert!(self.chunk.is_empty(), "the last chunk has been read");
        if self.ended {
            return;
        }
        if !self.character.is_empty() {
            chunk = [mem::take(&mut self.character), chunk].concat().into();
        }
        if let Err(error) = simdutf8::compat::from_utf8(&chunk) {
            let valid = error.valid_up_to();
            if error.error_len().is_some() {
                self.ended = true;
                self.cut = Some(json::Error::not_utf8(self.received + valid));
            } else {
                self.character = Bytes::copy_from_slice(&chunk[valid..]);
            }
            chunk.truncate(valid);
        }
        self.received += chunk.len();
        self.chunk = chunk;
        if !self.rest.is_empty() {
            let may_end = self.chunk.contains(&b'}') && self.rest.len() <= SMALL;
            self.extend_rest();
            if self.largest_element.is_some() && may_end {
                self.worth = 0;
            }
            if self.rest.len() < self.worth {
                self.forget_chunk();
            }
        }
    }

    pub(super) fn end(&mut self) {
        if !self.ended && !self.character.is_empty() {
            let end = self.received + self.character.len();
            self.cut = Some(json::Error::ends_early(end));
        }
        self.ended = true;
    }

    pub(super) fn cut(&self) -> Option<json::Error> {
        self.cut
    }

    /// Returns how many bytes have been consumed.
    pub(super) fn consumed(&self) -> usize {
        self.consumed
    }

    /// Returns how many bytes are kept of what was incomplete when it was read.
    pub(super) fn incomplete(&self) -> usize {
        self.rest.len()
    }

    /// Returns how many bytes this may hold once a chunk of `chunk` bytes is pushed.
    pub(super) fn held_with(&self, chunk: usize) -> usize {
        if self.rest.is_empty() {
            return chunk;
        }
        let arrived = self.rest.len() + chunk;
        self.rest.capacity().max(self.doubled(arrived)).max(arrived)
    }

    /// Reports whether the text has more than when it was read last: one of a large
    /// element, twice as much.
    pub(super) fn is_worth_reading(&self) -> bool {
        self.ended
            || if self.rest.is_empty() {
                !self.chunk.is_empty()
            } else {
                self.rest.len() >= self.worth
            }
    }

    /// Returns the next bytes of the text, of the chunk up to `most`.
    pub(super) fn text(&self, most: usize) -> &[u8] {
        if self.rest.is_empty() {
            &self.chunk[..self.chunk.len().min(most.max(self.wide))]
        } else {
            &self.rest
        }
    }

    /// Reports whether nothing follows the first `length` bytes.
    pub(super) fn is_last(&self, length: usize) -> bool {
        let has_more = if self.rest.is_empty() {
            self.chunk.len() > length
        } else {
            self.chunk.len() > self.copied
        };
        self.ended && !has_more
    }

    /// Consumes bytes of the text.
    pub(super) fn consume(&mut self, bytes: usize) {
        self.consumed += bytes;
        self.worth = 0;
        if self.rest.is_empty() {
            self.chunk.advance(bytes);
            if bytes > 0 && self.wide > TURN {
                self.wide = 0;
            }
            return;
        }
        let before = self.rest.len() - self.copied;
        if bytes < before {
            self.rest.drain(..bytes);
            return;
        }
        self.chunk.advance(bytes - before);
        self.copied = 0;
        if self.rest.capacity() > TURN {
            self.rest = Vec::new();
        }
        self.rest.clear();
    }

    /// Has more text at hand than the `length` bytes that were read, of which `consumed`
    /// were consumed: the rest ends within a step.
    pub(super) fn widen(&mut self, length: usize, consumed: usize) {
        let of_chunk = self.rest.is_empty();
        if of_chunk && length < self.chunk.len() {
            if consumed == 0 {
                self.wide = 2 * length;
            }
            self.consume(consumed);
            return;
        }
        self.consume(consumed);
        if of_chunk {
            self.rest.extend_from_slice(&self.chunk);
        } else if self.rest.is_empty() {
            return;
        } else if self.copied < self.chunk.len() {
            self.extend_rest();
            return;
        }
        self.forget_chunk();
        let length = self.rest.len();
        self.worth = match self.largest_element {
            Some(_) if length <= SMALL => length + length / STEP + 1,
            Some(largest) => (2 * length).min(largest.max(length + 1)),
            None => 2 * length,
        };
    }

    /// The rest has a copy of it.
    fn forget_chunk(&mut self) {
        self.chunk.clear();
        self.copied = 0;
    }

    /// Copies more of the chunk behind the rest.
    fn extend_rest(&mut self) {
        let more = &self.chunk[self.copied..];
        let more = &more[..more.len().min(self.rest.len().max(LEAST))];
        let length = self.rest.len() + more.len();
        if length > self.rest.capacity() {
            let capacity = self.doubled(self.rest.len()).max(length);
            self.rest.reserve_exact(capacity - self.rest.len());
        }
        self.rest.extend_from_slice(more);
        self.copied += more.len();
    }

    /// Returns twice as many bytes, as far as the text can have as many.
    fn doubled(&self, bytes: usize) -> usize {
        (2 * bytes).min(self.largest.saturating_sub(self.consumed))
    }
}
