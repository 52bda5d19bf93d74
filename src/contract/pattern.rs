//! The pattern that a string must match.
//!
//! It is compiled at start-up to an automaton with a table of all its states, so that a
//! request is checked with one look-up per byte, and no state of a search.

use std::{error::Error, fmt};

use regex_automata::{
    Input,
    dfa::{Automaton, StartKind, dense},
};

/// Maximum bytes of a table. That of a usual pattern has a few thousand.
const MAX_BYTES: usize = 1024 * 1024;

/// A regular expression, of which a match anywhere in a text counts.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    automaton: dense::DFA<Vec<u32>>,
}

impl Pattern {
    /// Compiles a regular expression.
    ///
    /// # Errors
    ///
    /// If it is none, or too large as an automaton, or has a Unicode word boundary, which
    /// an automaton cannot find. States the problem.
    pub(super) fn compile(text: &str) -> Result<Self, String> {
        let config = dense::Config::new()
            .start_kind(StartKind::Unanchored)
            .dfa_size_limit(Some(MAX_BYTES))
            .determinize_size_limit(Some(MAX_BYTES));
        let automaton =
            dense::Builder::new().configure(config).build(text).map_err(|error| {
                // The outer error only names the step that failed.
                let mut cause: &dyn Error = &error;
                while let Some(inner) = cause.source() {
                    cause = inner;
                }
                cause.to_string()
            })?;
        Ok(Self { text: text.to_owned(), automaton })
    }

    /// Reports whether a text matches.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        let input = Input::new(text).earliest(true);
        // An error is of an automaton that is anchored, or made to stop at some bytes.
        matches!(self.automaton.try_search_fwd(&input), Ok(Some(_)))
    }
}

/// Writes the regular expression.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.text).finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::LazyLock;

    use proptest::prelude::*;
    use regex::Regex;

    use super::*;

    const PATTERNS: [&str; 8] = [
        r"^\P{Cc}*$",
        "^[a-z][a-z0-9-]{0,62}$",
        "b+c?",
        "",
        "^$",
        "^(a|bc)*d$",
        r"^\pL+\s\d$",
        r"^[^\x00-\x1f\x{e9}]+\z",
    ];

    static COMPILED: LazyLock<Vec<(Pattern, Regex)>> = LazyLock::new(|| {
        let compile =
            |text: &&str| (Pattern::compile(text).unwrap(), Regex::new(text).unwrap());
        PATTERNS.iter().map(compile).collect()
    });

    proptest! {
        #[test]
        fn match_is_that_of_the_regular_expression(
            text in prop_oneof![any::<String>(), "[abcd\u{e9} 1\n\0-]{0,8}"],
        ) {
            for (pattern, regex) in &*COMPILED {
                let found = pattern.is_match(&text);
                prop_assert_eq!(found, regex.is_match(&text), "{}", pattern);
            }
        }
    }

    #[test]
    fn pattern_without_an_automaton_does_not_compile() {
        for (pattern, problem) in [
            ("(", "unclosed group"),
            (r"\bword\b", "word boundaries"),
            (r"^\pL{1,99}$", "limit"),
        ] {
            let found = Pattern::compile(pattern).unwrap_err();
            assert!(found.contains(problem), "{pattern}: {found}");
        }
    }

    #[test]
    fn pattern_is_written_as_declared() {
        let pattern = Pattern::compile("^a+$").unwrap();
        assert_eq!(pattern.to_string(), "^a+$");
        assert_eq!(format!("{pattern:?}"), r#"Pattern("^a+$")"#);
    }
}
