//! JSON as Python's `json.dump(..., ensure_ascii=False, indent=n)` lays it out.

use std::fmt::Write;

use crate::pyrepr::{Value, float};

use super::layout::Item;

/// Adds an item of the outermost list.
pub(super) fn item(item: &Item, indent: usize, out: &mut String) {
    out.push('{');
    for (at, (name, value)) in item.iter().enumerate() {
        out.push_str(if at > 0 { "," } else { "" });
        line(2 * indent, out);
        string(name, out);
        out.push_str(": ");
        write(value, (indent, 2), out);
    }
    line(indent, out);
    out.push('}');
}

/// Starts a line so many blanks in.
pub(super) fn line(blanks: usize, out: &mut String) {
    out.push('\n');
    out.extend(std::iter::repeat_n(' ', blanks));
}

fn write(value: &Value, step: (usize, usize), out: &mut String) {
    match value {
        Value::None => out.push_str("null"),
        Value::Bool(yes) => out.push_str(if *yes { "true" } else { "false" }),
        Value::Int(digits) => out.push_str(digits),
        Value::Float(number) => number_as_json(*number, out),
        Value::Text(text) => string(text, out),
        Value::List(items) => {
            let write_item = |item: &Value, step, out: &mut String| write(item, step, out);
            nested(items, ['[', ']'], step, out, write_item);
        }
        Value::Dict(items) => {
            nested(items, ['{', '}'], step, out, |(key, value): &(Value, Value), step, out| {
                name(key, out);
                out.push_str(": ");
                write(value, step, out);
            });
        }
    }
}

fn nested<T>(
    items: &[T],
    [open, close]: [char; 2],
    (indent, depth): (usize, usize),
    out: &mut String,
    write: impl Fn(&T, (usize, usize), &mut String),
) {
    out.push(open);
    for (at, item) in items.iter().enumerate() {
        out.push_str(if at > 0 { "," } else { "" });
        line(indent * (depth + 1), out);
        write(item, (indent, depth + 1), out);
    }
    if !items.is_empty() {
        line(indent * depth, out);
    }
    out.push(close);
}

/// A key; JSON has texts only.
fn name(key: &Value, out: &mut String) {
    if let Value::Text(text) = key {
        return string(text, out);
    }
    let mut text = String::new();
    match key {
        Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
            write(key, (0, 0), &mut text);
        }
        _ => text = key.to_string(),
    }
    string(&text, out);
}

fn number_as_json(number: f64, out: &mut String) {
    match number {
        _ if number.is_nan() => out.push_str("NaN"),
        f64::INFINITY => out.push_str("Infinity"),
        f64::NEG_INFINITY => out.push_str("-Infinity"),
        _ => float(number, out),
    }
}

fn string(text: &str, out: &mut String) {
    out.push('"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[plain..at]);
        plain = at + 1;
        // Writing to a String cannot fail.
        let _ = match byte {
            b'"' => out.write_str("\\\""),
            b'\\' => out.write_str("\\\\"),
            b'\n' => out.write_str("\\n"),
            b'\r' => out.write_str("\\r"),
            b'\t' => out.write_str("\\t"),
            0x08 => out.write_str("\\b"),
            0x0c => out.write_str("\\f"),
            _ => write!(out, "\\u{byte:04x}"),
        };
    }
    out.push_str(&text[plain..]);
    out.push('"');
}
