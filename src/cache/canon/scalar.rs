//! Texts, numbers and words: each spelling of a value gives the same bytes.
//!
//! Why digits and an exponent: doubles would make large numbers equal that are not.
//! The trap: half a surrogate pair is legal JSON and no Unicode. It is written as the three bytes
//! that UTF-8 forbids, so no text can have them otherwise.

use super::Canon;

/// What ends a text: no UTF-8 has this byte, nor has what is written for half a pair.
const TEXT_END: u8 = 0xff;

// === impl Canon ===

impl<'a> Canon<'a> {
    /// Reads a value that is neither array nor object; `first` of it is read.
    pub(super) fn scalar(&mut self, first: u8) -> Option<()> {
        match first {
            b'"' => self.text(),
            b'-' | b'0'..=b'9' => self.number(first),
            b'n' => self.word(b"ull", b'n'),
            b't' => self.word(b"rue", b't'),
            b'f' => self.word(b"alse", b'f'),
            _ => None,
        }
    }

    fn word(&mut self, rest: &[u8], tag: u8) -> Option<()> {
        if !self.json[self.at..].starts_with(rest) {
            return None;
        }
        self.at += rest.len();
        self.form.push(tag);
        Some(())
    }

    // === texts ===

    /// Reads on behind the opening quote.
    pub(super) fn text(&mut self) -> Option<()> {
        self.form.push(b's');
        loop {
            let rest = &self.json[self.at..];
            let end = memchr::memchr2(b'"', b'\\', rest)?;
            let run = &rest[..end];
            // A fold, not `any`: it looks at many bytes at once.
            if run.iter().fold(false, |control, byte| control | (*byte < b' ')) {
                return None;
            }
            self.form.extend_from_slice(run);
            self.at += end + 1;
            if rest[end] == b'"' {
                self.form.push(TEXT_END);
                return Some(());
            }
            self.escape()?;
        }
    }

    fn escape(&mut self) -> Option<()> {
        let plain = match self.next()? {
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => return self.unicode(),
            _ => return None,
        };
        self.form.push(plain);
        Some(())
    }

    fn unicode(&mut self) -> Option<()> {
        let mut point = self.unit()?;
        let behind = self.at;
        if (0xd800..0xdc00).contains(&point) && self.json[behind..].starts_with(b"\\u") {
            self.at += 2;
            let low = self.unit()?;
            if (0xdc00..0xe000).contains(&low) {
                point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
            } else {
                self.at = behind;
            }
        }
        if let Some(char) = char::from_u32(point) {
            self.form.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            let [_, _, high, low] = point.to_be_bytes();
            let middle = 0x80 | (high & 0x0f) << 2 | low >> 6;
            self.form.extend_from_slice(&[0xe0 | high >> 4, middle, 0x80 | low & 0x3f]);
        }
        Some(())
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Option<u32> {
        let mut unit = 0;
        for _ in 0..4 {
            unit = unit << 4 | char::from(self.next()?).to_digit(16)?;
        }
        Some(unit)
    }

    // === numbers ===

    /// Writes sign, digits without the zeros around them, and the power of ten of the last one.
    fn number(&mut self, first: u8) -> Option<()> {
        let negative = first == b'-';
        self.at -= usize::from(!negative);
        let whole = self.digits()?;
        if whole.len() > 1 && whole[0] == b'0' {
            return None;
        }
        let part = if self.expect(b'.').is_some() { self.digits()? } else { &[] };
        let mut power = self.power()?.checked_sub(i64::try_from(part.len()).ok()?)?;

        self.form.push(if negative { b'-' } else { b'+' });
        let start = self.form.len();
        self.form.extend_from_slice(whole);
        self.form.extend_from_slice(part);
        let zeros = self.form[start..].iter().take_while(|digit| **digit == b'0').count();
        self.form.drain(start..start + zeros);
        while self.form.len() > start && self.form.last() == Some(&b'0') {
            self.form.pop();
            power = power.checked_add(1)?;
        }
        if self.form.len() == start {
            // Zero has neither sign nor power.
            self.form[start - 1] = b'+';
        } else if power != 0 {
            self.form.push(b'e');
            self.form.extend_from_slice(power.to_string().as_bytes());
        }
        self.form.push(b';');
        Some(())
    }

    /// One digit or more.
    fn digits(&mut self) -> Option<&'a [u8]> {
        let rest = &self.json[self.at..];
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += length;
        (length > 0).then(|| &rest[..length])
    }

    /// What stands behind the `e`, 0 if there is none; `None` if it is no number that counts.
    fn power(&mut self) -> Option<i64> {
        if !matches!(self.json.get(self.at), Some(b'e' | b'E')) {
            return Some(0);
        }
        self.at += 1;
        let start = self.at;
        if let Some(b'+' | b'-') = self.json.get(self.at) {
            self.at += 1;
        }
        self.digits()?;
        str::from_utf8(&self.json[start..self.at]).ok()?.parse().ok()
    }
}
