//! A response that is transcoded while its JSON arrives.
//!
//! The whole JSON is never in memory, only what is not transcoded yet. There is no
//! second reader of JSON: [`Elements`] has the transcoder read what has arrived, one
//! element of a list or one other member of the envelope after the other. If the text
//! ends within one of these, what was written of it is taken back, and it is read again
//! when more has arrived. One that is large is read again whenever its text has doubled,
//! so the work stays in proportion to the text.
//!
//! The result is that of [`response`](super::response), which has the whole JSON: the same
//! bytes, or the same first problem in the text.

mod arrival;
mod envelope;
#[cfg(test)]
mod tests;

use std::{mem, sync::Arc};

use bytes::Bytes;

use self::{arrival::Arrival, envelope::Envelope};
use super::response::{ResponseError, SLACK, Transcoder};
use crate::contract::Rpc;

/// Maximum bytes that one call transcodes, unless an element is larger. The slowest JSON,
/// a list of digits, takes 10 ns per byte: 0.7 ms in all.
pub const TURN: usize = 64 * 1024;

/// Bytes in which the next element is looked for at least.
const ELEMENT: usize = 8 * 1024;

/// Transcodes the JSON of one response, piece by piece.
///
/// A caller asks for more of the message with [`read`](Self::read), or for its next
/// elements with [`next`](Self::next), and does what the returned [`Progress`] says.
#[derive(Debug)]
pub struct Elements {
    rpc: Arc<Rpc>,
    arrival: Arrival,
    envelope: Envelope,
    /// Bytes that were transcoded in the turn.
    turn: usize,
}

/// How elements are written that are messages of a stream.
#[derive(Debug, Clone, Copy)]
pub struct Framing<const N: usize> {
    /// Returns what goes before a message of this length.
    pub prefix: fn(usize) -> [u8; N],
    /// Bytes of the output from which on no element follows.
    pub most: usize,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// So many elements were written. Only after [`Elements::next`].
    Elements(u64),
    /// The output needs this capacity in bytes, at least, for what comes next.
    Room(usize),
    /// All that has arrived was read: [`Elements::push`] more, or [`Elements::end`].
    Input,
    /// There is more to read; other tasks may run before. Only after [`Elements::read`].
    Turn,
    /// The message is whole.
    End,
}

impl Elements {
    /// Starts at the first byte of a response to `rpc`, of at most `largest` bytes.
    #[must_use]
    pub fn new(rpc: &Arc<Rpc>, largest: usize) -> Self {
        Self::start(rpc, Arrival::new(largest))
    }

    /// As [`new`](Self::new), of any length, with elements of at most `largest` bytes.
    #[must_use]
    pub fn of_stream(rpc: &Arc<Rpc>, largest: usize) -> Self {
        Self::start(rpc, Arrival::of_stream(largest))
    }

    fn start(rpc: &Arc<Rpc>, arrival: Arrival) -> Self {
        Self { rpc: Arc::clone(rpc), arrival, envelope: Envelope::default(), turn: 0 }
    }

    /// Returns how many bytes of JSON this may hold at most once a chunk of `chunk` bytes
    /// has been pushed.
    #[must_use]
    pub fn held_with(&self, chunk: usize) -> usize {
        self.arrival.held_with(chunk)
    }

    /// Returns how many bytes are kept of an element that was incomplete when it was read.
    #[must_use]
    pub fn incomplete(&self) -> usize {
        self.arrival.incomplete()
    }

    /// Returns how many bytes of JSON the next call looks at, at most. None, if it only
    /// asks for more, or ends a turn.
    #[must_use]
    pub fn window(&self) -> usize {
        if self.arrival.is_worth_reading() && !self.is_turn_over() {
            self.arrival.text(TURN).len()
        } else {
            0
        }
    }

    /// Reports whether the next bytes belong to another turn.
    fn is_turn_over(&self) -> bool {
        self.turn > 0 && self.turn + self.arrival.text(TURN).len() > TURN
    }

    /// Adds the next bytes of the response. Only after [`Progress::Input`], or as the
    /// first call.
    pub fn push(&mut self, chunk: Bytes) {
        self.arrival.push(chunk);
    }

    /// States that no more bytes will arrive.
    pub fn end(&mut self) {
        self.arrival.end();
    }

    /// Appends what has arrived of the message to `out`, up to [`TURN`] bytes of JSON at a
    /// time. Allocates nothing: see [`Progress::Room`].
    ///
    /// # Errors
    ///
    /// The first problem in the text, as [`response`](super::response) has it. What was
    /// written before is then no message.
    pub fn read(&mut self, out: &mut Vec<u8>) -> Result<Progress, ResponseError> {
        while self.arrival.is_worth_reading() {
            if self.is_turn_over() {
                self.turn = 0;
                return Ok(Progress::Turn);
            }
            let length = self.arrival.text(TURN).len();
            self.turn += length;
            if let Some(progress) = self.advance::<0>(out, length, None)? {
                return Ok(progress);
            }
        }
        Ok(Progress::Input)
    }

    /// Appends the next elements of a list to `out`, those that have arrived, as
    /// [`read`](Self::read) does. In the message of an envelope with one list, an element is
    /// a field with its tag: a message with one element.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read). The elements before were right.
    pub fn next<const N: usize>(
        &mut self,
        out: &mut Vec<u8>,
        framing: Framing<N>,
    ) -> Result<Progress, ResponseError> {
        while self.arrival.is_worth_reading() {
            let room = out.capacity().saturating_sub(out.len() + SLACK);
            let length = self.arrival.text(room.clamp(ELEMENT, TURN)).len();
            // What was incomplete is read without more of the chunk than it needs.
            let most = if self.arrival.incomplete() == 0 { framing.most } else { 0 };
            let framing = Framing { most, ..framing };
            if let Some(progress) = self.advance(out, length, Some(framing))? {
                return Ok(progress);
            }
        }
        Ok(Progress::Input)
    }

    /// Transcodes the next bytes of the text, `length` of them, in the frames of
    /// messages or without. Returns `None` if there is more to read.
    fn advance<const N: usize>(
        &mut self,
        out: &mut Vec<u8>,
        length: usize,
        framing: Option<Framing<N>>,
    ) -> Result<Option<Progress>, ResponseError> {
        // A string takes no more than in JSON, with its quotes.
        let needed = out.len() + length + SLACK;
        if out.capacity() < needed {
            return Ok(Some(Progress::Room(needed)));
        }
        let headroom = out.capacity() - length - SLACK;
        let text = self.arrival.text(length);
        let schema = &self.rpc.response;
        let mut transcoder = Transcoder::new(schema, text, mem::take(out), headroom);
        let is_last = self.arrival.is_last(length);
        let mut written = 0;
        let root = schema.root();
        let read =
            self.envelope.read(root, &mut transcoder, is_last, framing, &mut written);
        let consumed = transcoder.json.position();
        *out = transcoder.out.into_bytes();
        match read {
            Ok(Progress::Input) => {
                self.arrival.widen(length, consumed);
                Ok((written > 0).then_some(Progress::Elements(written)))
            }
            // What comes next will be read again.
            _ if written > 0 => {
                self.arrival.consume(consumed);
                Ok(Some(Progress::Elements(written)))
            }
            Ok(Progress::End) => match self.arrival.cut() {
                Some(cut) => Err(cut.into()),
                None => Ok(Some(Progress::End)),
            },
            Ok(progress) => {
                self.arrival.consume(consumed);
                Ok(Some(progress))
            }
            Err(error) if error.is_too_large() => {
                self.arrival.consume(consumed);
                // The text may be at its end.
                Ok(Some(Progress::Room(out.capacity() + length + SLACK)))
            }
            Err(error) => Err(self.explain(error)),
        }
    }

    /// Returns an error with its place in the whole text.
    #[cold]
    fn explain(&self, error: ResponseError) -> ResponseError {
        match self.arrival.cut() {
            Some(cut) if error.is_early_end() => cut.into(),
            _ => error.after(self.arrival.consumed()),
        }
    }
}
