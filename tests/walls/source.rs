//! A file of Rust as the tokens that count.

use std::ops::Range;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A source file without its comments and its tests.
pub(crate) struct Source {
    /// The path below `src`.
    pub(crate) file: String,
    tokens: Vec<Token>,
    lines: usize,
}

/// A name, a mark or a literal.
struct Token {
    text: String,
    line: usize,
}

impl Source {
    pub(crate) fn new(file: &str, text: &str) -> Self {
        let stream: TokenStream = text.parse().unwrap();
        let mut tokens = Vec::new();
        flatten(stream, &mut tokens);
        let mut lines = text.lines().count();
        // From the end, so that what is still to be removed stays where it is.
        for attribute in (0..tokens.len()).rev() {
            if let Some(range) = left_out(&tokens, attribute) {
                lines -= test_lines(&tokens, &range);
                tokens.drain(range);
            }
        }
        Self { file: file.to_owned(), tokens, lines }
    }

    /// Returns the number of lines, tests not counted.
    pub(crate) fn lines(&self) -> usize {
        self.lines
    }

    /// Reports whether the whole file is for tests.
    pub(crate) fn is_test(&self) -> bool {
        self.file.split('/').any(|part| ["tests", "tests.rs"].contains(&part))
    }

    /// Returns the room: the first part of the path.
    pub(crate) fn room(&self) -> &str {
        let first = self.file.split('/').next().unwrap();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Returns the path of the module that the file is.
    pub(crate) fn module(&self) -> Vec<String> {
        match self.room() {
            "lib" | "main" => Vec::new(),
            _ => {
                let path = self.file.strip_suffix(".rs").unwrap();
                path.split('/').map(str::to_owned).collect()
            }
        }
    }

    /// Returns the paths within this crate that the file names, from the root of
    /// the crate.
    pub(crate) fn paths(&self) -> Vec<Vec<String>> {
        let mut paths = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            let root = match self.text(at) {
                "crate" | "polytomic_gateway" => Some(Vec::new()),
                "self" => Some(self.module()),
                "super" => {
                    let mut module = self.module();
                    module.pop();
                    Some(module)
                }
                _ => None,
            };
            match root {
                Some(root) if self.is_path_separator(at + 1) => {
                    at = self.path(root, at + 3, &mut paths);
                }
                _ => at += 1,
            }
        }
        paths
    }

    /// Reads what follows `prefix ::`; returns where it ends.
    fn path(
        &self,
        mut prefix: Vec<String>,
        at: usize,
        paths: &mut Vec<Vec<String>>,
    ) -> usize {
        match self.text(at) {
            "{" => {
                let mut at = at + 1;
                while !["}", ""].contains(&self.text(at)) {
                    at = match self.text(at) {
                        "," => at + 1,
                        _ => self.path(prefix.clone(), at, paths),
                    };
                }
                return at + 1;
            }
            "self" => {}
            "super" => {
                prefix.pop();
            }
            name => prefix.push(name.to_owned()),
        }
        let mut next = at + 1;
        if self.is_path_separator(next) && self.text(next + 2) != "<" {
            return self.path(prefix, next + 2, paths);
        }
        if self.text(next) == "as" {
            next += 2;
        }
        paths.push(prefix);
        next
    }

    /// Returns the first line that has this code.
    pub(crate) fn find(&self, code: &str) -> Option<usize> {
        let code = code.replace("::", ": :");
        let wanted: Vec<&str> = code.split(' ').collect();
        let is_same = |token: &Token, wanted: &str| match wanted {
            "fn" => token.text.starts_with(|first: char| first.is_ascii_lowercase()),
            _ => token.text == wanted,
        };
        let mut windows = self.tokens.windows(wanted.len());
        let found = windows.find(|window| {
            window.iter().zip(&wanted).all(|(token, word)| is_same(token, word))
        });
        found.map(|window| window[0].line)
    }

    /// Returns the first line with a name or a text that has this word.
    pub(crate) fn find_word(&self, word: &str) -> Option<usize> {
        let has_word = |token: &&Token| {
            let mut found = token.text.match_indices(word);
            found.any(|(at, _)| {
                let rest = &token.text[at + word.len()..];
                !rest.starts_with(|next: char| next.is_ascii_lowercase())
            })
        };
        self.tokens.iter().find(has_word).map(|token| token.line)
    }

    fn is_path_separator(&self, at: usize) -> bool {
        self.text(at) == ":" && self.text(at + 1) == ":"
    }

    fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &token.text)
    }
}

fn flatten(stream: TokenStream, tokens: &mut Vec<Token>) {
    for tree in stream {
        let line = tree.span().start().line;
        let mut push = |text: String, line| tokens.push(Token { text, line });
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                push(open.to_owned(), line);
                flatten(group.stream(), tokens);
                let end = group.span_close().end().line;
                tokens.push(Token { text: close.to_owned(), line: end });
            }
            TokenTree::Ident(ident) => push(ident.to_string(), line),
            TokenTree::Punct(punct) => push(punct.as_char().to_string(), line),
            TokenTree::Literal(literal) => push(joined(&literal.to_string()), line),
        }
    }
}

/// Returns a text as it is read: a backslash at the end of a line joins it with the
/// next.
fn joined(literal: &str) -> String {
    let mut lines = literal.split("\\\n");
    let first = lines.next().unwrap_or_default().to_owned();
    lines.fold(first, |text, line| text + line.trim_start())
}

/// Returns the tokens of a doc comment, or of an item for tests, that begins here.
fn left_out(tokens: &[Token], at: usize) -> Option<Range<usize>> {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let starts = |at: usize, code: &str| {
        code.split(' ').enumerate().all(|(index, wanted)| text(at + index) == wanted)
    };
    if starts(at, "# [ doc =") || starts(at, "# ! [ doc =") {
        return Some(at..after_group(tokens, at));
    }
    if !starts(at, "# [ cfg ( test ) ]") {
        return None;
    }
    let mut end = at;
    while text(end) == "#" {
        end = after_group(tokens, end);
    }
    // To the end of the item: a semicolon, or its block.
    while !["", ";", "{"].contains(&text(end)) {
        end = if ["(", "["].contains(&text(end)) {
            after_group(tokens, end)
        } else {
            end + 1
        };
    }
    Some(at..if text(end) == "{" { after_group(tokens, end) } else { end + 1 })
}

/// Returns where the next group of brackets has ended.
fn after_group(tokens: &[Token], from: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(from) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" if depth == 1 => return at + 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
    }
    tokens.len()
}

/// Returns how many lines an item for tests has. A doc comment has none: it counts.
fn test_lines(tokens: &[Token], range: &Range<usize>) -> usize {
    let is_test = tokens[range.start..].iter().take(7).any(|token| token.text == "cfg");
    let (first, last) = (&tokens[range.start], &tokens[range.end.min(tokens.len()) - 1]);
    if is_test { last.line + 1 - first.line } else { 0 }
}
