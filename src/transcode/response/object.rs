//! Objects: the messages of a schema.

use super::{ResponseError, Transcoder};
use crate::contract::Message;

/// The members of an object that have been read.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::transcode) struct Members {
    /// A bit for each field.
    seen: u64,
    /// The likely index of the next field.
    next: usize,
    /// Whether there was a key of no field.
    has_others: bool,
}

impl Members {
    /// Notes that the key of a field has been read, and returns its index.
    #[inline]
    fn see(&mut self, message: &Message, index: usize) -> Result<usize, ResponseError> {
        let bit = 1 << index;
        if self.seen & bit != 0 {
            let key = &message.fields[index].key;
            return Err(ResponseError::new("occurs twice").within(key));
        }
        self.seen |= bit;
        self.next = index + 1;
        Ok(index)
    }
}

impl<'a> Transcoder<'a> {
    /// Reads an object into the fields of a message.
    pub(super) fn message(&mut self, message: &'a Message) -> Result<(), ResponseError> {
        let mut members = Members::default();
        let mut more = self.open()?;
        while more {
            if let Some(index) = self.member(message, &mut members)? {
                let field = &message.fields[index];
                let is_set =
                    self.field(field).map_err(|error| error.within(&field.key))?;
                check_set(message, index, is_set)?;
            } else {
                self.json.skip(&mut self.out)?;
            }
            more = self.json.more(b'}')?;
        }
        self.close(message, &members)
    }

    /// Begins an object. Reports whether it has members.
    #[inline]
    pub(in crate::transcode) fn open(&mut self) -> Result<bool, ResponseError> {
        if self.json.peek() != b'{' {
            return Err(self.expected("an object"));
        }
        Ok(self.json.open(b'}')?)
    }

    /// Reads a key and returns the index of its field, if there is one. The likely one is
    /// that after the last.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "it is a few instructions if it is likely")]
    pub(in crate::transcode) fn member(
        &mut self,
        message: &Message,
        members: &mut Members,
    ) -> Result<Option<usize>, ResponseError> {
        let likely = members.next;
        if self.take_key_of(message, likely) {
            return members.see(message, likely).map(Some);
        }
        let index = self.other_key(message, likely + 1)?;
        members.has_others |= index.is_none();
        index.map(|index| members.see(message, index)).transpose()
    }

    /// Consumes the key of a field if it is next. Reports whether it was.
    #[inline]
    fn take_key_of(&mut self, message: &Message, index: usize) -> bool {
        let field = message.fields.get(index);
        field.is_some_and(|field| self.json.take(field.literal.as_bytes()))
    }

    /// Checks the members of an object that has ended.
    #[inline]
    pub(in crate::transcode) fn close(
        &self,
        message: &Message,
        members: &Members,
    ) -> Result<(), ResponseError> {
        // An error, or another version's envelope. A message without fields is that of a
        // response without content.
        let is_foreign = members.seen == 0 && members.has_others;
        if is_foreign && self.level == 0 && !message.fields.is_empty() {
            return Err(ResponseError::foreign(message));
        }
        let missing = message.required & !members.seen;
        if missing == 0 { Ok(()) } else { Err(ResponseError::missing(message, missing)) }
    }

    /// Reads a key that is not the likely one, and returns the index of its field. `second`
    /// is the second likely index: Polytomic sends keys in the order of the schema, and may
    /// omit one.
    #[inline(never)]
    fn other_key(
        &mut self,
        message: &Message,
        second: usize,
    ) -> Result<Option<usize>, ResponseError> {
        if self.take_key_of(message, second) {
            return Ok(Some(second));
        }
        let mark = self.out.len();
        self.json.key(&mut self.out)?;
        let key = self.out.since(mark);
        let index = message.fields.iter().position(|field| field.key.as_bytes() == key);
        self.out.truncate(mark);
        Ok(index)
    }
}

/// Checks that a field is set if it must be.
#[inline]
pub(in crate::transcode) fn check_set(
    message: &Message,
    index: usize,
    is_set: bool,
) -> Result<(), ResponseError> {
    if !is_set && message.required >> index & 1 == 1 {
        return Err(ResponseError::missing(message, 1 << index));
    }
    Ok(())
}
