//! A Rust file with its comments and literals blanked, so that what is left is code.
//!
//! The trap: a quote opens a char or a lifetime, and only what follows tells which.

/// The text with comments and the insides of literals blanked; lines stay where they are.
pub(super) fn blank(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after_name = code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let size = literal(rest, after_name);
        let (taken, after) = rest.split_at(size.max(first.len_utf8()));
        match size {
            0 => code.push_str(taken),
            _ => code.extend(taken.chars().map(|c| if c == '\n' { '\n' } else { ' ' })),
        }
        // A literal leaves its quote, so that its line still counts as code.
        if size > 0 && !taken.starts_with('/') {
            code.push('"');
        }
        rest = after;
    }
    code
}

/// How many bytes of comment or literal `rest` begins with.
fn literal(rest: &str, after_name: bool) -> usize {
    let upto = |end: Option<usize>| end.unwrap_or(rest.len());
    if rest.starts_with("//") {
        return upto(rest.find('\n'));
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    if rest.starts_with('r') && !after_name {
        let hashes = rest[1..].bytes().take_while(|&b| b == b'#').count();
        if rest[1 + hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let open = hashes + 2;
            return upto(rest[open..].find(&end).map(|at| open + at + end.len()));
        }
    }
    match rest.as_bytes()[0] {
        b'"' => quoted(rest, '"'),
        b'\'' if is_char(rest) => quoted(rest, '\''),
        _ => 0,
    }
}

/// A char literal, and not a lifetime.
fn is_char(rest: &str) -> bool {
    let mut inside = rest.chars().skip(1);
    inside.next() == Some('\\') || inside.next() == Some('\'')
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}
