//! The outermost object of a response, read step by step.

use super::{Framing, Progress};
use crate::{
    contract::Message,
    transcode::response::{Members, ResponseError, Transcoder, check_set},
};

/// What has been read of the outermost object.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Envelope {
    place: Place,
    members: Members,
}

/// What is next. Fields and elements are indices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Start,
    Member,
    AfterMember,
    Element {
        field: usize,
        index: usize,
    },
    AfterElement {
        field: usize,
        index: usize,
    },
    End,
}

impl Envelope {
    /// Reads as many steps as the text has, or elements until they have as many bytes as
    /// `framing` says; counts these in `written`. `is_last` states that no text
    /// follows.
    ///
    /// # Errors
    ///
    /// The first problem in the text, or that there is no room for the next step.
    pub(super) fn read<'a, const N: usize>(
        &mut self,
        root: &'a Message,
        transcoder: &mut Transcoder<'a>,
        is_last: bool,
        framing: Option<Framing<N>>,
        written: &mut u64,
    ) -> Result<Progress, ResponseError> {
        loop {
            if self.place == Place::End {
                transcoder.json.end()?;
                return Ok(if is_last { Progress::End } else { Progress::Input });
            }
            // White space is not kept, however much there is. Its end is for the step.
            transcoder.json.peek();
            let consumed = transcoder.json.position();
            let start = transcoder.out.len();
            let is_element = matches!(self.place, Place::Element { .. });
            let message = framing.filter(|_| is_element);
            if message.is_some() {
                transcoder.out.extend([0; N]);
            }
            let mut next = *self;
            let step = next.step(root, transcoder);
            let is_certain = is_last || !is_open(&step, transcoder);
            match step {
                Ok(()) if is_certain => {
                    *self = next;
                    if let Some(Framing { prefix, most }) = message {
                        let length = transcoder.out.len() - start - N;
                        transcoder.out.replace(start, prefix(length));
                        *written += 1;
                        if transcoder.out.len() >= most {
                            return Ok(Progress::Elements(*written));
                        }
                    }
                }
                Err(error) if is_certain || error.is_too_large() => {
                    transcoder.roll_back(consumed, start);
                    return Err(error);
                }
                _ => {
                    transcoder.roll_back(consumed, start);
                    return Ok(Progress::Input);
                }
            }
        }
    }

    /// Reads what is next.
    fn step<'a>(
        &mut self,
        root: &'a Message,
        transcoder: &mut Transcoder<'a>,
    ) -> Result<(), ResponseError> {
        self.place = match self.place {
            Place::Start => {
                let more = transcoder.open()?;
                self.member_or_end(more, root, transcoder)?
            }
            Place::Member => self.member(root, transcoder)?,
            Place::AfterMember => {
                let more = transcoder.json.more(b'}')?;
                self.member_or_end(more, root, transcoder)?
            }
            Place::Element { field, index } => {
                let list = &root.fields[field];
                let element = transcoder.element(list, true);
                element.map_err(|error| error.at(index).within(&list.key))?;
                Place::AfterElement { field, index }
            }
            Place::AfterElement { field, index } => {
                if transcoder.json.more(b']')? {
                    Place::Element { field, index: index + 1 }
                } else {
                    Place::AfterMember
                }
            }
            Place::End => Place::End,
        };
        Ok(())
    }

    fn member_or_end(
        &self,
        more: bool,
        root: &Message,
        transcoder: &Transcoder<'_>,
    ) -> Result<Place, ResponseError> {
        if more {
            return Ok(Place::Member);
        }
        transcoder.close(root, &self.members)?;
        Ok(Place::End)
    }

    /// Reads a key, and its value or the opening byte of a list.
    fn member<'a>(
        &mut self,
        root: &'a Message,
        transcoder: &mut Transcoder<'a>,
    ) -> Result<Place, ResponseError> {
        let Some(index) = transcoder.member(root, &mut self.members)? else {
            transcoder.json.skip(&mut transcoder.out)?;
            return Ok(Place::AfterMember);
        };
        let field = &root.fields[index];
        // A packed list has one length, and so is one step.
        let is_list = field.repeated && !field.packed;
        let is_set = if is_list && transcoder.json.peek() == b'[' {
            if transcoder.json.open(b']')? {
                return Ok(Place::Element { field: index, index: 0 });
            }
            false
        } else {
            transcoder.field(field).map_err(|error| error.within(&field.key))?
        };
        check_set(root, index, is_set)?;
        Ok(Place::AfterMember)
    }
}

/// Reports whether more text could make another result of a step: a number may have more
/// digits, and any value a second part.
fn is_open(step: &Result<(), ResponseError>, transcoder: &Transcoder<'_>) -> bool {
    match step {
        Ok(()) => transcoder.json.ends_in_a_digit(),
        Err(error) => transcoder.json.is_at_end() || error.is_early_end(),
    }
}
