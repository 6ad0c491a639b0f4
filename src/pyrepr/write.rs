//! A value, as `repr` prints it.

use std::fmt::Write;

use super::{Value, printable};

/// Adds what `repr` prints for a value.
pub fn write(value: &Value, out: &mut String) {
    match value {
        Value::None => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Int(digits) => out.push_str(digits),
        Value::Float(number) => float(*number, out),
        Value::Text(text) => string(text, out),
        Value::List(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                write(item, out);
            }
            out.push(']');
        }
        Value::Dict(items) => {
            out.push('{');
            for (at, (key, value)) in items.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                write(key, out);
                out.push_str(": ");
                write(value, out);
            }
            out.push('}');
        }
    }
}

/// Adds a float as Python prints it: the shortest digits that are read as the same float.
pub fn float(number: f64, out: &mut String) {
    if !number.is_finite() {
        let sign = if number < 0.0 { "-" } else { "" };
        out.push_str(sign);
        out.push_str(if number.is_nan() { "nan" } else { "inf" });
        return;
    }
    let scientific = shortest(number);
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    // Writing to a String cannot fail.
    let _ = match exponent {
        16.. => write!(out, "{digits}e+{exponent:02}"),
        -4..=15 => plain(digits, exponent, out),
        _ => write!(out, "{digits}e-{:02}", exponent.unsigned_abs()),
    };
}

/// The shortest digits, as `d.ddde10`. Of two that are equally near Rust takes the greater one and
/// Python the even one, which is what rounding to so many digits gives.
fn shortest(number: f64) -> String {
    let found = format!("{number:e}");
    let digits = found.bytes().take_while(|&byte| byte != b'e').filter(u8::is_ascii_digit).count();
    let even = format!("{number:.*e}", digits.saturating_sub(1));
    if even.parse() == Ok(number) { even } else { found }
}

/// Digits with the point where the exponent says, and a digit behind it.
fn plain(digits: &str, exponent: i32, out: &mut String) -> std::fmt::Result {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
    let mut all: String = digits.chars().filter(char::is_ascii_digit).collect();
    let before = usize::try_from(exponent + 1).unwrap_or(0);
    if before == 0 {
        let zeros = exponent.unsigned_abs() as usize;
        return write!(out, "{sign}0.{all:0>width$}", width = all.len() + zeros - 1);
    }
    while all.len() <= before {
        all.push('0');
    }
    write!(out, "{sign}{}.{}", &all[..before], &all[before..])
}

fn string(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    let mut plain = 0;
    for (at, letter) in text.char_indices() {
        if letter != quote && letter != '\\' && printable::is(letter) {
            continue;
        }
        out.push_str(&text[plain..at]);
        plain = at + letter.len_utf8();
        escape(letter, out);
    }
    out.push_str(&text[plain..]);
    out.push(quote);
}

fn escape(letter: char, out: &mut String) {
    let code = u32::from(letter);
    // Writing to a String cannot fail.
    let _ = match letter {
        '\n' => out.write_str("\\n"),
        '\r' => out.write_str("\\r"),
        '\t' => out.write_str("\\t"),
        '\\' | '\'' | '"' => write!(out, "\\{letter}"),
        _ if code < 0x100 => write!(out, "\\x{code:02x}"),
        _ if code < 0x1_0000 => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
}
