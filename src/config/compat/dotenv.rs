//! A `.env` file, by the rules of python-dotenv.
//!
//! Why our own: those who move here have files that python-dotenv read, with JSON over several
//! lines inside quotes, and the readers that exist for Rust keep to other rules.
//! The trap: what it cannot read it skips, and so may skip a key; the caller is told of each.

use super::escape::{DOUBLE, SINGLE, unescape};

/// What a file says, in its order; a variable without `=` has no value.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct DotEnv {
    pub(super) variables: Vec<Variable>,
    pub(super) unread: Vec<Unread>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) value: Option<String>,
    /// Its line, from 1.
    pub(super) line: usize,
}

/// A line that is no variable.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unread {
    pub(super) line: usize,
    /// The name that it begins with, if it has one.
    pub(super) name: String,
}

struct Reader<'t> {
    rest: &'t str,
    line: usize,
}

/// The line is no variable; how much of it was read is not taken back.
struct NoVariable;

/// Reads a file. Values that name others (`${NAME}`, `${NAME:-default}`) get what `env` says of
/// them, else what the file said before.
pub(super) fn read(text: &str, env: &dyn Fn(&str) -> Option<String>) -> DotEnv {
    // Python opens the file as text: one kind of line end.
    let text =
        text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n");
    let mut reader = Reader { rest: &text, line: 1 };
    let mut read = DotEnv::default();
    while !reader.rest.is_empty() {
        reader.skip(is_space);
        let (line, start) = (reader.line, reader.rest);
        if start.is_empty() {
            break;
        }
        match reader.variable() {
            Ok(Some((name, value))) => {
                let value = value.map(|value| resolve(&value, &read.variables, env));
                read.variables.push(Variable { name, value, line });
            }
            Ok(None) => {}
            Err(NoVariable) => {
                reader.skip(|letter| letter != '\n');
                reader.take("\n");
                let begin = start
                    .strip_prefix("export")
                    .map_or(start, |rest| rest.trim_start_matches(is_blank));
                let end = begin.find(|letter| !(is_word(letter))).unwrap_or(begin.len());
                read.unread.push(Unread { line, name: begin[..end].to_owned() });
            }
        }
    }
    read
}

// === impl Reader ===

impl<'t> Reader<'t> {
    /// Steps over a text, if it comes next.
    fn take(&mut self, text: &str) -> bool {
        let found = self.rest.starts_with(text);
        if found {
            self.step(text.len());
        }
        found
    }

    /// Steps over so many bytes.
    fn step(&mut self, bytes: usize) -> &'t str {
        let (stepped, rest) = self.rest.split_at(bytes);
        self.line += stepped.matches('\n').count();
        self.rest = rest;
        stepped
    }

    /// Steps over characters of a kind.
    fn skip(&mut self, is: impl Fn(char) -> bool) -> &'t str {
        let end = self.rest.find(|letter| !is(letter)).unwrap_or(self.rest.len());
        self.step(end)
    }

    /// The next variable; nothing for a comment.
    fn variable(&mut self) -> Result<Option<(String, Option<String>)>, NoVariable> {
        if let Some(rest) = self.rest.strip_prefix("export")
            && rest.starts_with(is_blank)
        {
            self.step("export".len());
            self.skip(is_blank);
        }
        let name = self.name()?;
        self.skip(is_blank);
        let value = if self.take("=") {
            let blank = !self.skip(is_blank).is_empty();
            let comment = blank && self.rest.starts_with('#');
            Some(if comment { String::new() } else { self.value()? })
        } else {
            None
        };
        let before = self.rest;
        self.skip(is_blank);
        if self.rest.starts_with('#') {
            self.skip(|letter| letter != '\n');
        } else {
            self.rest = before;
        }
        self.skip(is_blank);
        if !self.take("\n") && !self.rest.is_empty() {
            return Err(NoVariable);
        }
        Ok(name.map(|name| (name, value)))
    }

    /// The name; nothing before a comment.
    fn name(&mut self) -> Result<Option<String>, NoVariable> {
        if self.rest.starts_with('#') {
            return Ok(None);
        }
        let name = if let Some(rest) = self.rest.strip_prefix('\'') {
            let end = rest.find('\'').filter(|end| *end > 0).ok_or(NoVariable)?;
            let name = &self.step(end + 2)[1..=end];
            return Ok(Some(name.to_owned()));
        } else {
            self.skip(|letter| !is_space(letter) && letter != '=' && letter != '#')
        };
        if name.is_empty() { Err(NoVariable) } else { Ok(Some(name.to_owned())) }
    }

    fn value(&mut self) -> Result<String, NoVariable> {
        match self.rest.chars().next() {
            Some('\'') => self.quoted('\'').map(|inside| unescape(inside, SINGLE)),
            Some('"') => self.quoted('"').map(|inside| unescape(inside, DOUBLE)),
            None | Some('\n') => Ok(String::new()),
            Some(_) => {
                let line = self.skip(|letter| letter != '\n');
                Ok(without_comment(line).trim_end_matches(is_space).to_owned())
            }
        }
    }

    /// What stands between quotes; a backslash keeps the next character from ending it.
    fn quoted(&mut self, quote: char) -> Result<&'t str, NoVariable> {
        let mut escaped = false;
        for (at, letter) in self.rest.char_indices().skip(1) {
            if escaped {
                escaped = false;
            } else if letter == '\\' {
                escaped = true;
            } else if letter == quote {
                return Ok(&self.step(at + 1)[1..at]);
            }
        }
        Err(NoVariable)
    }
}

/// A line up to the first `#` that has a space before it.
fn without_comment(line: &str) -> &str {
    let mut before = ' ';
    for (at, letter) in line.char_indices() {
        if letter == '#' && at > 0 && is_space(before) {
            return &line[..at];
        }
        before = letter;
    }
    line
}

/// A value with the variables in it replaced.
fn resolve(value: &str, said: &[Variable], env: &dyn Fn(&str) -> Option<String>) -> String {
    let mut resolved = String::new();
    let mut rest = value;
    while let Some(start) = rest.find("${") {
        let (before, inside) = rest.split_at(start);
        let Some((name, default, after)) = named(&inside[2..]) else {
            // Only these two: the next variable may begin behind them.
            resolved.push_str(&rest[..start + 2]);
            rest = &rest[start + 2..];
            continue;
        };
        resolved.push_str(before);
        let in_file = said.iter().rfind(|variable| variable.name == name);
        match (env(name), in_file) {
            (Some(value), _) => resolved.push_str(&value),
            (None, Some(variable)) => {
                resolved.push_str(variable.value.as_deref().unwrap_or_default());
            }
            (None, None) => resolved.push_str(default),
        }
        rest = after;
    }
    resolved + rest
}

/// The name and the default behind `${`, and what follows the bracket.
fn named(text: &str) -> Option<(&str, &str, &str)> {
    let end = text.find(['}', ':'])?;
    let (name, rest) = text.split_at(end);
    if let Some(after) = rest.strip_prefix('}') {
        return Some((name, "", after));
    }
    let (default, after) = rest.strip_prefix(":-")?.split_once('}')?;
    Some((name, default, after))
}

/// White space as Python counts it.
fn is_space(letter: char) -> bool {
    letter.is_whitespace() || ('\x1c'..='\x1f').contains(&letter)
}

fn is_blank(letter: char) -> bool {
    is_space(letter) && letter != '\n'
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

#[cfg(test)]
mod tests;
