//! Backslashes inside the quotes of a `.env` file.

/// What a backslash may stand before, and what the two become.
pub(super) type Escapes = &'static [(char, char)];

pub(super) const SINGLE: Escapes = &[('\\', '\\'), ('\'', '\'')];
pub(super) const DOUBLE: Escapes = &[
    ('\\', '\\'),
    ('\'', '\''),
    ('"', '"'),
    ('a', '\x07'),
    ('b', '\x08'),
    ('f', '\x0c'),
    ('n', '\n'),
    ('r', '\r'),
    ('t', '\t'),
    ('v', '\x0b'),
];

/// A text with its escapes replaced; a backslash before anything else stays.
pub(super) fn unescape(text: &str, escapes: Escapes) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let escaped = letters.peek().filter(|_| letter == '\\');
        match escaped.and_then(|next| escapes.iter().find(|(from, _)| from == next)) {
            Some(&(_, to)) => {
                letters.next();
                plain.push(to);
            }
            None => plain.push(letter),
        }
    }
    plain
}
