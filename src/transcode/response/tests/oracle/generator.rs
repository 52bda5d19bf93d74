//! Generates JSON for a schema, in all forms that JSON allows.

use std::{fmt::Write as _, slice::Iter};

use crate::contract::{Field, Kind, Message, Schema};

/// Decisions, taken from bytes. After the last byte, each decision is the first
/// choice, so that fewer and smaller bytes make a simpler text.
pub(super) struct Choices<'a>(Iter<'a, u8>);

/// Generates the text.
pub(super) struct Generator<'a> {
    schema: &'a Schema,
    choices: Choices<'a>,
    json: String,
}

/// Maximum nesting of values.
const DEPTH: usize = 4;

impl<'a> Choices<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes.iter())
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::from(*self.0.next().unwrap_or(&0)) % limit
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == times - 1
    }

    fn word<'w>(&mut self, words: &'w str) -> &'w str {
        let words: Vec<&str> = words.split_whitespace().collect();
        self.of(&words)
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

impl<'a> Generator<'a> {
    pub(super) fn new(schema: &'a Schema, choices: Choices<'a>) -> Self {
        Self { schema, choices, json: String::new() }
    }

    pub(super) fn response(mut self) -> String {
        self.space();
        self.message(self.schema.root(), DEPTH);
        self.space();
        self.json
    }

    fn message(&mut self, message: &Message, depth: usize) {
        let first = self.choices.below(message.fields.len());
        let fields = message.fields[first..].iter().chain(&message.fields[..first]);
        let mut members = Vec::new();
        for field in fields {
            if self.choices.one_in(2) {
                members.push(Some(field));
            }
            if self.choices.one_in(12) {
                members.push(None);
            }
        }
        self.list(['{', '}'], &members, |this, member| {
            if let Some(field) = member {
                this.string(&field.key);
                this.punctuation(':');
                this.field(field, depth);
            } else {
                let key =
                    this.choices.of(&["", "x", "Id", "data ", "é", "next_page_token"]);
                this.string(key);
                this.punctuation(':');
                this.any(depth);
            }
        });
    }

    fn field(&mut self, field: &Field, depth: usize) {
        if self.choices.one_in(10) {
            self.json.push_str("null");
        } else if field.repeated {
            let length = self.choices.below(4);
            self.list(['[', ']'], &vec![(); length], |this, ()| this.value(field, depth));
        } else {
            self.value(field, depth);
        }
    }

    fn value(&mut self, field: &Field, depth: usize) {
        match field.kind {
            Kind::Bool => self.word("true false"),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                self.integer("0 1 -1 300 2147483647 -2147483648 2147483648");
            }
            Kind::Uint32 | Kind::Fixed32 => {
                self.integer("0 1 127 128 4294967295 4294967296 -1");
            }
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                self.integer("0 1 -1 9223372036854775807 -9223372036854775808 1e19");
            }
            Kind::Uint64 | Kind::Fixed64 => {
                self.integer("0 1 128 9007199254740993 18446744073709551615 1e20 -1");
            }
            Kind::Float | Kind::Double => self.word(
                r#"0 -0 -0.0 1 0.1 1.5e1 -2.25E-3 1e-45 3.4028235e38 123456789.123456789
                16777217 9007199254740993 "1.5" "-1e5" "NaN" "Infinity" "-Infinity" 1e400"#,
            ),
            Kind::String => self.text(),
            Kind::Bytes => self.word(
                r#""" "AA==" "AA" "-_8=" "-_8" "+/8=" "\u002b\/8" "AB==" "AAA" "A" "-/8=""#,
            ),
            Kind::Timestamp => self.time(),
            Kind::Message(_) if depth == 0 => self.json.push_str("{}"),
            Kind::Message(index) => self.message(self.schema.message(index), depth - 1),
            Kind::Struct => self.object(depth),
            Kind::ListValue => self.values(depth),
            Kind::Value => self.any(depth),
        }
    }

    fn integer(&mut self, words: &str) {
        let digits = self.choices.word(words);
        // The oracle reads no exponent in a string, and with a fraction is exact
        // only up to 53 bits.
        let forms = if digits.contains('e') {
            1
        } else if digits.len() > 15 {
            2
        } else {
            4
        };
        match self.choices.below(forms) {
            0 => self.json.push_str(digits),
            1 => self.string(digits),
            2 => write!(self.json, "{digits}.00").unwrap(),
            _ => write!(self.json, "{digits}00e-2").unwrap(),
        }
    }

    fn time(&mut self) {
        let date = self.choices.word(
            "2024-01-15 1970-01-01 1969-12-31 2024-02-29 0001-01-01 9999-12-31 2000-02-29 \
             1900-02-28 2024-04-30 2023-02-29",
        );
        let time = self.choices.word("09:30:00 00:00:00 23:59:59 23:59:60");
        let fraction = self.choices.of(&["", ".5", ".000000001", ".123456789", ".120"]);
        let offset = self.choices.of(&["Z", "+00:00", "-00:00", "+05:30", "-23:59", ""]);
        self.string(&format!("{date}T{time}{fraction}{offset}"));
    }

    fn any(&mut self, depth: usize) {
        let kinds = if depth == 0 { 6 } else { 8 };
        match self.choices.below(kinds) {
            0 => self.json.push_str("null"),
            1 => self.word("true false"),
            2 | 3 => {
                self.word(
                    "0 -0 5432 -1.5 1e3 0.1 9007199254740993 -1234567890123456789.0 \
                     18446744073709551616 1e23 1e400",
                );
            }
            4 | 5 => self.text(),
            6 => self.object(depth - 1),
            _ => self.values(depth - 1),
        }
    }

    fn object(&mut self, depth: usize) {
        let length = self.choices.below(4);
        self.list(['{', '}'], &vec![(); length], |this, ()| {
            this.text();
            this.punctuation(':');
            this.any(depth);
        });
    }

    fn values(&mut self, depth: usize) {
        let length = self.choices.below(4);
        self.list(['[', ']'], &vec![(); length], |this, ()| this.any(depth));
    }

    fn list<T: Copy>(
        &mut self,
        [open, close]: [char; 2],
        members: &[T],
        write: impl Fn(&mut Self, T),
    ) {
        self.punctuation(open);
        for (index, member) in members.iter().enumerate() {
            if index > 0 {
                self.punctuation(',');
            }
            write(self, *member);
        }
        self.space();
        self.json.push(close);
    }

    fn text(&mut self) {
        let mut text = String::new();
        for _ in 0..self.choices.below(4) {
            text.push_str(self.choices.of(&[
                "healthy",
                "a",
                "é",
                "😀",
                "\"",
                "\\",
                "/",
                "\n\t\u{8}\u{c}\r",
                "\0",
                "\u{7f}",
                "248df4b7-aa70-47b8-a036-33ac447e668d",
                "\u{ffff}",
                "\u{10ffff}",
                "<&>",
            ]));
        }
        self.string(&text);
    }

    /// Writes a string, sometimes with an escape where none is needed.
    fn string(&mut self, text: &str) {
        self.json.push('"');
        let escapes = self.choices.one_in(3);
        for character in text.chars() {
            let needed = matches!(character, '"' | '\\' | ..' ');
            let form = if escapes { self.choices.below(8) } else { usize::from(needed) };
            match (form, character) {
                (0 | 3.., _) if !needed => self.json.push(character),
                (1, '\n') => self.json.push_str("\\n"),
                (1, '\t') => self.json.push_str("\\t"),
                (1, '\u{8}') => self.json.push_str("\\b"),
                (1, '\u{c}') => self.json.push_str("\\f"),
                (1, '\r') => self.json.push_str("\\r"),
                (1, '"' | '\\' | '/') => write!(self.json, "\\{character}").unwrap(),
                _ => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        write!(self.json, "\\u{unit:04x}").unwrap();
                    }
                }
            }
        }
        self.json.push('"');
    }

    fn word(&mut self, words: &str) {
        let word = self.choices.word(words);
        self.json.push_str(word);
    }

    fn punctuation(&mut self, character: char) {
        self.space();
        self.json.push(character);
        self.space();
    }

    fn space(&mut self) {
        if self.choices.one_in(16) {
            let space = self.choices.of(&[" ", "\n", "\t", "\r\n  "]);
            self.json.push_str(space);
        }
    }
}
