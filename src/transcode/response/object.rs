//! Objects: the messages of a schema.

use super::{ResponseError, Transcoder};
use crate::contract::Message;

/// The keys of an error, or of another version's envelope, in a success response.
const ERROR_KEYS: [&str; 6] = ["error", "errors", "message", "status", "key", "result"];

/// The members of an object that have been read.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::transcode) struct Members {
    /// A bit for each field.
    seen: u64,
    /// The likely index of the next field.
    next: usize,
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
        if self.json.peek()? != b'{' {
            return Err(self.expected("an object"));
        }
        Ok(self.json.open(b'}')?)
    }

    /// Reads a key and returns the index of its field, if there is one.
    #[inline]
    pub(in crate::transcode) fn member(
        &mut self,
        message: &Message,
        members: &mut Members,
    ) -> Result<Option<usize>, ResponseError> {
        let Some(index) = self.key(message, members.next)? else { return Ok(None) };
        let bit = 1 << index;
        if members.seen & bit != 0 {
            let key = &message.fields[index].key;
            return Err(ResponseError::new("occurs twice").within(key));
        }
        members.seen |= bit;
        members.next = index + 1;
        Ok(Some(index))
    }

    /// Checks the members of an object that has ended.
    #[inline]
    pub(in crate::transcode) fn close(
        &self,
        message: &Message,
        members: &Members,
    ) -> Result<(), ResponseError> {
        let is_error = members.seen == 0 && self.level == 0;
        if let Some(key) = self.error_key.filter(|_| is_error) {
            return Err(ResponseError::error_form(message, key));
        }
        let missing = message.required & !members.seen;
        if missing == 0 { Ok(()) } else { Err(ResponseError::missing(message, missing)) }
    }

    /// Reads a key and returns the index of its field. `next` is the likely index,
    /// since Polytomic sends keys in the order of the schema, and may omit one.
    #[inline]
    fn key(
        &mut self,
        message: &Message,
        next: usize,
    ) -> Result<Option<usize>, ResponseError> {
        for likely in [next, next + 1] {
            let field = message.fields.get(likely);
            if field.is_some_and(|field| self.json.take(field.literal.as_bytes())) {
                return Ok(Some(likely));
            }
        }
        let mark = self.out.len();
        self.json.key(&mut self.out)?;
        let key = &self.out[mark..];
        let index = message.fields.iter().position(|field| field.key.as_bytes() == key);
        // A message without fields is that of a response without content.
        let is_envelope = self.level == 0 && !message.fields.is_empty();
        if index.is_none() && is_envelope && self.error_key.is_none() {
            self.error_key = ERROR_KEYS.into_iter().find(|error| error.as_bytes() == key);
        }
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
    if message.fields[index].rules.required && !is_set {
        return Err(ResponseError::missing(message, 1 << index));
    }
    Ok(())
}
