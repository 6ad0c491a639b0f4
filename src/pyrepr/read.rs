//! A literal, read.
//!
//! Why our own: no crate that is kept reads Python literals, and a line of a log must never bring
//! the reader down, whatever it holds. Its depth is bounded, as Python's is.

use memchr::memchr2;

use super::{DEEPEST, Value};

/// Why a text is no literal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at}")]
pub struct Unreadable {
    /// Where, bytes from the start.
    pub at: usize,
    /// What was found there, or was not.
    pub what: &'static str,
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

type Read<T> = Result<T, Unreadable>;

/// Reads a text that is one literal and nothing else.
///
/// # Errors
/// Where and why it is none.
pub fn read(text: &str) -> Result<Value, Unreadable> {
    let mut reader = Reader { text, at: 0, depth: 0 };
    let value = reader.value()?;
    match reader.peek() {
        None => Ok(value),
        Some(_) => reader.fail("something behind the value"),
    }
}

// === impl Reader ===

impl Reader<'_> {
    fn fail<T>(&self, what: &'static str) -> Read<T> {
        Err(Unreadable { at: self.at, what })
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|byte| b" \t\r\n\x0c".contains(byte)).count();
        self.text.as_bytes().get(self.at).copied()
    }

    /// Steps over a byte, if it is the next one.
    fn step(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self) -> Read<Value> {
        match self.peek() {
            Some(b'{') => self.nested(b'}', Self::dict),
            Some(b'[') => self.nested(b']', Self::list),
            Some(b'(') => self.nested(b')', Self::list),
            Some(quote @ (b'\'' | b'"')) => self.string(quote).map(Value::Text),
            Some(b'-' | b'+' | b'.' | b'0'..=b'9') => self.number(),
            Some(byte) if byte.is_ascii_alphabetic() => self.word(),
            Some(_) => self.fail("no value"),
            None => self.fail("the end, and no value"),
        }
    }

    fn nested(&mut self, end: u8, inside: fn(&mut Self, u8) -> Read<Value>) -> Read<Value> {
        if self.depth == DEEPEST {
            return self.fail("too many brackets in brackets");
        }
        self.at += 1;
        self.depth += 1;
        let value = inside(self, end);
        self.depth -= 1;
        value
    }

    fn list(&mut self, end: u8) -> Read<Value> {
        let mut items = Vec::new();
        while !self.step(end) {
            items.push(self.value()?);
            self.separator(end)?;
        }
        Ok(Value::List(items))
    }

    fn dict(&mut self, end: u8) -> Read<Value> {
        let mut items = Vec::new();
        while !self.step(end) {
            let key = self.value()?;
            if !self.step(b':') {
                return self.fail("no colon behind a key");
            }
            items.push((key, self.value()?));
            self.separator(end)?;
        }
        Ok(Value::Dict(items))
    }

    /// A comma, or the end, which stays.
    fn separator(&mut self, end: u8) -> Read<()> {
        if self.step(b',') || self.peek() == Some(end) {
            return Ok(());
        }
        self.fail("no comma behind a value")
    }

    fn word(&mut self) -> Read<Value> {
        let value = match self.token() {
            "None" => Value::None,
            "True" => Value::Bool(true),
            "False" => Value::Bool(false),
            "inf" => Value::Float(f64::INFINITY),
            "nan" => Value::Float(f64::NAN),
            _ => return self.fail("a word that is no value"),
        };
        self.at += self.token().len();
        Ok(value)
    }

    /// Letters, digits and what stands in numbers.
    fn token(&self) -> &str {
        let rest = &self.text[self.at..];
        let mut before = b' ';
        let length = rest.bytes().take_while(|&byte| {
            let sign = b"+-".contains(&byte) && matches!(before, b'e' | b'E' | b' ');
            before = byte;
            byte.is_ascii_alphanumeric() || byte == b'.' || sign
        });
        &rest[..length.count()]
    }

    fn number(&mut self) -> Read<Value> {
        let token = self.token();
        let (minus, digits) = match token.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, token.strip_prefix('+').unwrap_or(token)),
        };
        let value = match digits {
            "inf" if minus => Some(Value::Float(f64::NEG_INFINITY)),
            "inf" => Some(Value::Float(f64::INFINITY)),
            _ if digits.is_empty()
                || digits.bytes().any(|it| !b"0123456789.eE+-".contains(&it)) =>
            {
                None
            }
            _ if digits.bytes().all(|byte| byte.is_ascii_digit()) => integer(minus, digits),
            _ => token.parse().ok().map(Value::Float),
        };
        let Some(value) = value else { return self.fail("no number") };
        self.at += token.len();
        Ok(value)
    }

    fn string(&mut self, quote: u8) -> Read<String> {
        self.at += 1;
        let mut text = String::new();
        loop {
            let rest = &self.text[self.at..];
            let Some(end) = memchr2(quote, b'\\', rest.as_bytes()) else {
                return self.fail("a text without its end");
            };
            text.push_str(&rest[..end]);
            self.at += end + 1;
            if rest.as_bytes()[end] == quote {
                return Ok(text);
            }
            self.escape(&mut text)?;
        }
    }

    /// What stands behind a backslash.
    fn escape(&mut self, text: &mut String) -> Read<()> {
        let Some(letter) = self.text[self.at..].chars().next() else {
            return self.fail("a backslash before the end");
        };
        self.at += letter.len_utf8();
        text.push(match letter {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            '\\' | '\'' | '"' => letter,
            'a' => '\x07',
            'b' => '\x08',
            'f' => '\x0c',
            'v' => '\x0b',
            'x' => self.hex(2).map(char::from_u32)?.unwrap_or(char::REPLACEMENT_CHARACTER),
            'u' => self.unit()?,
            'U' => match self.hex(8)? {
                code if code > 0x10_ffff => return self.fail("no character has this number"),
                code => char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER),
            },
            '0'..='7' => self.octal(),
            _ => return self.fail("a backslash before something that it does not escape"),
        });
        Ok(())
    }

    /// `\uXXXX`; two halves of a surrogate pair are one character.
    fn unit(&mut self) -> Read<char> {
        let first = self.hex(4)?;
        let pair = matches!(first, 0xd800..0xdc00) && self.text[self.at..].starts_with("\\u");
        if pair {
            let back = self.at;
            self.at += 2;
            if let Ok(second @ 0xdc00..0xe000) = self.hex(4) {
                let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = back;
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex(&mut self, digits: usize) -> Read<u32> {
        let found = self
            .text
            .get(self.at..self.at + digits)
            .filter(|found| found.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let Some(code) = found.and_then(|found| u32::from_str_radix(found, 16).ok()) else {
            return self.fail("not the digits of a character");
        };
        self.at += digits;
        Ok(code)
    }

    /// One to three octal digits, the first of which is the byte before.
    fn octal(&mut self) -> char {
        let from = self.at - 1;
        let digits =
            self.text[from..].bytes().take(3).take_while(|byte| matches!(byte, b'0'..=b'7'));
        self.at = from + digits.count();
        let code = u32::from_str_radix(&self.text[from..self.at], 8).ok();
        code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
    }
}

/// Digits as an integer; Python has none with a 0 before others.
fn integer(minus: bool, digits: &str) -> Option<Value> {
    let zeros = digits.len() - digits.trim_start_matches('0').len();
    match zeros {
        0 if minus => Some(Value::Int(format!("-{digits}"))),
        0 => Some(Value::Int(digits.to_owned())),
        _ if zeros == digits.len() => Some(Value::Int("0".to_owned())),
        _ => None,
    }
}
