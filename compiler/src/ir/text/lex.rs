//! Text → tokens. May import: the rest of `ir`.

use super::super::shape::invalid;
use super::is_plain;
use crate::error::{Error, Result};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'a> {
    /// `%name`
    Value(String),
    /// `@3`
    Constant(u32),
    /// `"text"`
    Text(String),
    /// `# path` up to the end of the line
    Path(String),
    /// A keyword, number, range or shape.
    Word(&'a str),
    /// One of `= : { } [ ] ,` or `->`.
    Mark(&'static str),
    End,
}

impl Token<'_> {
    pub(super) fn show(&self) -> String {
        match self {
            Token::Value(name) => format!("value `%{name}`"),
            Token::Constant(id) => format!("constant `@{id}`"),
            Token::Text(text) => format!("text `{text}`"),
            Token::Path(path) => format!("path `{path}`"),
            Token::Word(word) => format!("`{word}`"),
            Token::Mark(mark) => format!("`{mark}`"),
            Token::End => "the end".to_owned(),
        }
    }
}

const MARKS: [&str; 8] = ["->", "=", ":", "{", "}", "[", "]", ","];

#[derive(Clone)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Adds line and column of a byte offset to an error.
    pub(super) fn locate(&self, error: Error, offset: usize) -> Error {
        let before = &self.text[..offset.min(self.text.len())];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        error.at_line(line, column)
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Takes characters as long as they satisfy `keep`.
    fn take(&mut self, keep: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let len = rest.find(|c| !keep(c)).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    fn skip_blank(&mut self) {
        loop {
            self.take(char::is_whitespace);
            if !self.rest().starts_with(';') {
                return;
            }
            self.take(|c| c != '\n');
        }
    }

    /// The next token and its byte offset.
    pub(super) fn next(&mut self) -> Result<(Token<'a>, usize)> {
        self.skip_blank();
        let start = self.at;
        let token = self.token().map_err(|error| self.locate(error, start))?;
        Ok((token, start))
    }

    fn token(&mut self) -> Result<Token<'a>> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(Token::End) };
        if let Some(mark) = MARKS.iter().find(|mark| rest.starts_with(**mark)) {
            self.at += mark.len();
            return Ok(Token::Mark(mark));
        }
        match first {
            '"' => self.quoted().map(Token::Text),
            '#' => {
                self.at += 1;
                self.take(|c| c == ' ');
                if self.rest().starts_with('"') {
                    return self.quoted().map(Token::Path);
                }
                Ok(Token::Path(self.take(|c| c != '\n').trim_end().to_owned()))
            }
            '%' => {
                self.at += 1;
                if self.rest().starts_with('"') {
                    return self.quoted().map(Token::Value);
                }
                match self.take(is_plain) {
                    "" => Err(invalid("a value without a name").expected("a name after `%`").got("none")),
                    name => Ok(Token::Value(name.to_owned())),
                }
            }
            '@' => {
                self.at += 1;
                let digits = self.take(|c| c.is_ascii_digit());
                digits.parse().map(Token::Constant).map_err(|_| {
                    invalid("a constant without a number")
                        .expected("a number after `@`")
                        .got(format!("`{digits}`"))
                })
            }
            _ => {
                let plain = rest.find(|c| !is_plain(c) && c != '+').unwrap_or(rest.len());
                let len = rest[..plain].len()
                    - usize::from(rest[plain..].starts_with('>') && rest[..plain].ends_with('-'));
                self.at += len;
                match &rest[..len] {
                    "" => Err(invalid("unexpected character")
                        .expected("a token")
                        .got(format!("`{}`", first.escape_debug()))),
                    word => Ok(Token::Word(word)),
                }
            }
        }
    }

    /// A text in quotes; the lexer stands on the opening one.
    fn quoted(&mut self) -> Result<String> {
        let mut text = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((i, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += i + 1;
                    return Ok(text);
                }
                '\\' => text.push(match chars.next() {
                    Some((_, c @ ('"' | '\\'))) => c,
                    Some((_, 'u')) => code_point(&mut chars)?,
                    other => return Err(bad_escape(other.map(|(_, c)| c))),
                }),
                c => text.push(c),
            }
        }
        Err(invalid("text without an end").expected("`\"`").got("the end"))
    }
}

/// What follows `\u`: `{` hexadecimal `}`.
fn code_point(chars: &mut impl Iterator<Item = (usize, char)>) -> Result<char> {
    match chars.next() {
        Some((_, '{')) => {}
        other => return Err(bad_escape(other.map(|(_, c)| c))),
    }
    let mut code = 0u32;
    for _ in 0..7 {
        match chars.next() {
            Some((_, '}')) => return char::from_u32(code).ok_or_else(|| bad_escape(None)),
            Some((_, c)) if c.is_ascii_hexdigit() => code = code * 16 + c.to_digit(16).unwrap_or_default(),
            other => return Err(bad_escape(other.map(|(_, c)| c))),
        }
    }
    Err(bad_escape(None))
}

fn bad_escape(got: Option<char>) -> Error {
    invalid("broken escape in a text")
        .expected("`\\\"`, `\\\\` or `\\u{...}`")
        .got(got.map_or("something else".to_owned(), |c| format!("`{}`", c.escape_debug())))
}
