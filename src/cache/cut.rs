//! Where a text is cut so that its pieces feel like tokens.
//!
//! Why on escaped text: what is cut is what stands between the quotes of a JSON text, so pieces go
//! out as they stand. Never cut is an escape, a surrogate pair, or what belongs to the character
//! before it: accents, skin tones, joined emoji, the two halves of a flag.
//! The trap: a text without spaces (base64, some scripts) is a single word; so words have an end.

/// Longest piece, in characters.
const MOST: usize = 16;

/// As much as is looked at for one piece, bytes; more than so many characters can take.
const WINDOW: usize = 512;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Space,
    Word,
    Mark,
    /// A script without spaces, a picture.
    Wide,
    /// It belongs to what is before it.
    Joined,
    /// It joins what is before it to what comes.
    Joiner,
    /// Half of a flag.
    Flag,
}

/// The pieces of a whole `text`, the inside of a JSON text.
pub fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (piece, more) = rest.split_at(next(rest.as_bytes()));
        rest = more;
        (!piece.is_empty()).then_some(piece)
    })
}

/// How many bytes of `text`, the inside of a JSON text, make up its next piece: 0 at its end only.
pub(super) fn next(text: &[u8]) -> usize {
    let window = &text[..text.len().min(WINDOW)];
    let window = match str::from_utf8(window) {
        Ok(window) => window,
        Err(error) => str::from_utf8(&window[..error.valid_up_to()]).unwrap_or_default(),
    };
    let (mut at, mut count) = (0, 0);
    let mut before = None;
    while let Some((length, class)) = unit(&window[at..]) {
        if let Some(before) = before
            && ends(before, class, count)
        {
            return at;
        }
        // A joined mark does not change what kind of piece it is.
        before = Some(if class == Class::Joined { before.unwrap_or(class) } else { class });
        at += length;
        count += 1;
    }
    // What is cut off at the end of the window is looked at again, unless it is all there is.
    if at == 0 { text.len() } else { at }
}

/// Whether a piece ends between two characters.
fn ends(before: Class, class: Class, count: usize) -> bool {
    match (before, class) {
        (_, Class::Joined | Class::Joiner) | (Class::Joiner, _) => false,
        (Class::Flag, Class::Flag) => count.is_multiple_of(2),
        (Class::Space, Class::Space | Class::Word | Class::Mark) => count >= MOST,
        (Class::Word, Class::Word) | (Class::Mark, Class::Mark) => count >= MOST,
        _ => true,
    }
}

/// The next character: how many bytes it takes, and what it is. `None` at the end, and when it is
/// not all there.
fn unit(text: &str) -> Option<(usize, Class)> {
    let char = text.chars().next()?;
    if char != '\\' {
        return Some((char.len_utf8(), class(char)));
    }
    match text.as_bytes().get(1)? {
        b'n' | b'r' | b't' => Some((2, Class::Space)),
        b'u' => {
            let high = hex(text)?;
            let low = text.get(6..).filter(|rest| rest.starts_with("\\u")).and_then(hex);
            let pair = low.and_then(|low| char::decode_utf16([high, low]).next()?.ok());
            let single = char::from_u32(u32::from(high));
            Some(match (single, pair) {
                (Some(char), _) => (6, class(char)),
                (None, Some(char)) => (12, class(char)),
                (None, None) => (6, Class::Wide),
            })
        }
        _ => Some((2, Class::Mark)),
    }
}

/// The number in `\u1234`.
fn hex(escape: &str) -> Option<u16> {
    u16::from_str_radix(escape.get(2..6)?, 16).ok()
}

fn class(char: char) -> Class {
    match u32::from(char) {
        0x200d => Class::Joiner,
        // Accents, variants, skin tones, tags; by block, which is enough for what is in use.
        0x300..=0x36f
        | 0x1ab0..=0x1aff
        | 0x1dc0..=0x1dff
        | 0x20d0..=0x20ff
        | 0xfe00..=0xfe0f
        | 0xfe20..=0xfe2f
        | 0x1f3fb..=0x1f3ff
        | 0xe0020..=0xe01ef => Class::Joined,
        0x1f1e6..=0x1f1ff => Class::Flag,
        // Radicals, kana, ideographs, full-width forms, pictures. Korean has spaces.
        0x2190..=0x2bff
        | 0x2e80..=0x312f
        | 0x31a0..=0xa4cf
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe4f
        | 0xff00..=0xffef
        | 0x1f000..=0x1faff
        | 0x20000..=0x3ffff => Class::Wide,
        _ if char.is_whitespace() => Class::Space,
        _ if char.is_alphanumeric() => Class::Word,
        // Vowel signs and the like of scripts that have them apart.
        0x900..=0x1cff => Class::Joined,
        _ => Class::Mark,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces(mut text: &str) -> Vec<&str> {
        let mut pieces = Vec::new();
        while !text.is_empty() {
            let (piece, rest) = text.split_at(next(text.as_bytes()));
            pieces.push(piece);
            text = rest;
        }
        pieces
    }

    #[test]
    fn pieces_feel_like_tokens() {
        let table: [(&str, &[&str]); 14] = [
            ("", &[]),
            ("Hello, world!", &["Hello", ",", " world", "!"]),
            (r"one  two\n\nthree", &["one", "  two", r"\n\nthree"]),
            (r#"{\"a\": 1.5}"#, &[r#"{\""#, "a", r#"\":"#, " 1", ".", "5", "}"]),
            ("你好，世界", &["你", "好", "，", "世", "界"]),
            ("日本 go", &["日", "本", " go"]),
            ("한국어 문장", &["한국어", " 문장"]),
            ("été e\u{301}te\u{301}", &["été", " e\u{301}te\u{301}"]),
            (r"\u00e9t\u00e9 \u4f60\u597d", &[r"\u00e9t\u00e9", " ", r"\u4f60", r"\u597d"]),
            ("😀😀👍🏽", &["😀", "😀", "👍🏽"]),
            ("👨‍👩‍👧!❤️", &["👨‍👩‍👧", "!", "❤️"]),
            ("🇩🇪🇫🇷", &["🇩🇪", "🇫🇷"]),
            (r"\ud83d\ude00\ud83d\ud83d\ude00", &[r"\ud83d\ude00", r"\ud83d", r"\ud83d\ude00"]),
            ("abcdefghijklmnopqrstuvwxyz", &["abcdefghijklmnop", "qrstuvwxyz"]),
        ];
        for (text, expected) in table {
            assert_eq!(pieces(text), expected, "{text}");
        }
    }

    #[test]
    fn a_character_without_end_has_one() {
        let text = "\u{200d}".repeat(5000);
        assert!(pieces(&text).len() > 1);
        // Half an escape is no JSON, and no reason to go on for ever.
        assert_eq!((next(b"\\u12"), next(b"\\"), next(b"\xff\xff")), (4, 1, 2));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_nor_cut_in_two(text in "[a-c ,\u{e9}\u{301}\u{4f60}\u{1f600}\u{1f1e6}\u{200d}\\\\\"\n]{0,900}", ascii: bool) {
            let mut json = serde_json::to_string(&text).unwrap();
            if ascii {
                json = json.chars().map(|char| if char.is_ascii() { char.to_string() } else {
                    char.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
                }).collect();
            }
            let inside = &json[1..json.len() - 1];
            let pieces = pieces(inside);
            prop_assert_eq!(pieces.concat(), inside);
            let texts = pieces.iter().map(|piece| {
                serde_json::from_str::<String>(&format!("\"{piece}\"")).unwrap()
            });
            prop_assert_eq!(texts.collect::<String>(), text);
        }
    }
}
