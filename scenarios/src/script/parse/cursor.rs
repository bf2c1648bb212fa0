//! Reading a script character by character, with a place for every complaint.

use std::collections::BTreeMap;

use crate::script::error::{Position, ScriptError};
use mptcp_model::suggest;

/// Words replaced by values given on the command line (`-D NAME=value`).
pub type Definitions = BTreeMap<String, String>;

pub(super) type Result<T> = core::result::Result<T, ScriptError>;

pub(super) struct Cursor<'a> {
    name: &'a str,
    text: &'a str,
    at: usize,
    line_starts: Vec<usize>,
    pub(super) definitions: &'a Definitions,
    /// The text stands for a word at this place.
    origin: Option<Position>,
    depth: u32,
}

/// How deep expressions may nest.
const MAX_DEPTH: u32 = 32;

pub(super) const fn is_word_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

pub(super) const fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

impl<'a> Cursor<'a> {
    pub(super) fn new(name: &'a str, text: &'a str, definitions: &'a Definitions) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { name, text, at: 0, line_starts, definitions, origin: None, depth: 0 }
    }

    /// A cursor over the value of a definition; complaints are about the word at `origin`.
    pub(super) fn within<'b>(&self, text: &'b str, origin: Position, none: &'b Definitions) -> Cursor<'b>
    where
        'a: 'b,
    {
        Cursor { origin: Some(origin), depth: self.depth, ..Cursor::new(self.name, text, none) }
    }

    pub(super) fn enter(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error("too many brackets within brackets", "nest at most 32 of them"));
        }
        Ok(())
    }

    pub(super) const fn leave(&mut self) {
        self.depth -= 1;
    }

    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub(super) const fn offset(&self) -> usize {
        self.at
    }

    /// Go back to a place got from [`Self::offset`].
    pub(super) const fn rewind(&mut self, offset: usize) {
        self.at = offset;
    }

    /// Passes `len` octets, up to a character boundary.
    pub(super) const fn advance(&mut self, len: usize) {
        self.at += len;
    }

    /// Passes blanks and comments. A comment without an end is left to be complained of.
    pub(super) fn skip(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            let comment = if trimmed.starts_with("//") || trimmed.starts_with('#') {
                trimmed.find('\n').unwrap_or(trimmed.len())
            } else if let Some(inner) = trimmed.strip_prefix("/*") {
                match inner.find("*/") {
                    Some(end) => end + 4,
                    None => return,
                }
            } else {
                return;
            };
            self.at += comment;
        }
    }

    /// The next character after blanks and comments.
    pub(super) fn peek(&mut self) -> Option<char> {
        self.skip();
        self.rest().chars().next()
    }

    /// Whether `token` is next, after blanks and comments.
    pub(super) fn looking_at(&mut self, token: &str) -> bool {
        self.skip();
        self.rest().starts_with(token)
    }

    /// Passes `token` if it is next, after blanks and comments.
    pub(super) fn eat(&mut self, token: &str) -> bool {
        let found = self.looking_at(token);
        if found {
            self.at += token.len();
        }
        found
    }

    pub(super) fn expect(&mut self, token: &str, help: &str) -> Result<()> {
        if self.eat(token) { Ok(()) } else { Err(self.found(&format!("write `{token}`: {help}"))) }
    }

    /// The word that is next, not passed.
    pub(super) fn peek_word(&mut self) -> Option<&'a str> {
        self.skip();
        let rest = self.rest();
        rest.starts_with(is_word_start).then(|| &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())])
    }

    pub(super) fn word(&mut self) -> Option<&'a str> {
        let word = self.peek_word()?;
        self.at += word.len();
        Some(word)
    }

    /// Passes `word` if it is the next whole word.
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let found = self.peek_word() == Some(word);
        if found {
            self.at += word.len();
        }
        found
    }

    /// Passes `name=`.
    pub(super) fn eat_assignment(&mut self, name: &str) -> bool {
        let start = self.at;
        if self.eat_word(name) && self.eat("=") {
            return true;
        }
        self.at = start;
        false
    }

    /// The run of letters and digits that is next.
    pub(super) fn alphanumeric(&mut self) -> &'a str {
        self.skip();
        let rest = self.rest();
        let run = &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())];
        self.at += run.len();
        run
    }

    /// A number in decimal, or in hexadecimal after `0x`; at most `most`.
    pub(super) fn number(&mut self, what: &str, most: u64) -> Result<u64> {
        self.skip();
        let start = self.at;
        let run = self.alphanumeric();
        let run = self.definitions.get(run).map_or(run, |value| value.trim());
        let value = match run.strip_prefix("0x").or_else(|| run.strip_prefix("0X")) {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None if run.starts_with(|c: char| c.is_ascii_digit()) => run.parse().ok(),
            None => None,
        };
        match value {
            Some(value) if value <= most => Ok(value),
            _ => {
                self.at = start;
                Err(self.found(&format!("write {what}, a number from 0 to {most}")))
            }
        }
    }

    pub(super) fn number_u8(&mut self, what: &str) -> Result<u8> {
        self.number(what, u64::from(u8::MAX)).map(|value| value as u8)
    }

    pub(super) fn number_u16(&mut self, what: &str) -> Result<u16> {
        self.number(what, u64::from(u16::MAX)).map(|value| value as u16)
    }

    pub(super) fn number_u32(&mut self, what: &str) -> Result<u32> {
        self.number(what, u64::from(u32::MAX)).map(|value| value as u32)
    }

    /// Octets in hexadecimal, two digits each, without a prefix; a defined word stands for its value.
    pub(super) fn hex(&mut self, what: &str) -> Result<Vec<u8>> {
        self.skip();
        let start = self.at;
        let run = self.alphanumeric();
        let digits = self.definitions.get(run).map_or(run, |value| value.trim());
        let octets = (digits.len().is_multiple_of(2) && digits.is_ascii())
            .then(|| {
                (0..digits.len())
                    .step_by(2)
                    .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok())
                    .collect::<Option<Vec<u8>>>()
            })
            .flatten()
            .filter(|octets| !octets.is_empty() && octets.len() <= 38 && !digits.contains('+'));
        octets.ok_or_else(|| {
            self.at = start;
            self.found(&format!("write {what}, two hexadecimal digits an octet"))
        })
    }

    pub(super) fn position(&self) -> Position {
        self.position_of(self.at)
    }

    pub(super) fn position_of(&self, at: usize) -> Position {
        if let Some(origin) = self.origin {
            return origin;
        }
        let line = self.line_starts.partition_point(|&start| start <= at);
        let start = self.line_starts[line - 1];
        Position { line, column: self.text[start..at].chars().count() + 1 }
    }

    /// A complaint about this place.
    pub(super) fn error(&self, message: impl Into<String>, help: impl Into<String>) -> ScriptError {
        self.error_at(self.at, message, help)
    }

    pub(super) fn error_at(
        &self,
        at: usize,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> ScriptError {
        let (message, help) = (message.into(), help.into());
        ScriptError { file: self.name.to_owned(), position: self.position_of(at), message, help }
    }

    /// A complaint about whatever is next.
    pub(super) fn found(&mut self, help: &str) -> ScriptError {
        self.skip();
        let rest = self.rest();
        let end = match rest.chars().next() {
            None => return self.error("the script ends here", help),
            Some(c) if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            Some(c) => c.len_utf8(),
        };
        let shown: String = rest[..end].chars().take(40).collect();
        self.error(format!("found `{shown}`"), help)
    }

    /// A complaint about the word before `at`, with the known word that was probably meant.
    pub(super) fn unknown(&self, at: usize, what: &str, word: &str, known: &[&str]) -> ScriptError {
        let help = match suggest::closest(word, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known: {}", known.join(", ")),
        };
        let shown: String = word.chars().take(40).collect();
        self.error_at(at, format!("unknown {what} `{shown}`"), help)
    }
}
