//! The splitter against every cut, and the reading of single events.

use proptest::prelude::*;

use super::*;

/// Splits `input`, cut at the given places; the events and the tail.
fn split(input: &[u8], cuts: &[usize], limit: usize) -> (Vec<Event>, Bytes) {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut % (input.len() + 1)).collect();
    places.extend([0, input.len()]);
    places.sort_unstable();
    let whole = Bytes::copy_from_slice(input);
    let mut splitter = Splitter::new(limit);
    let mut events = Vec::new();
    for pair in places.windows(2) {
        splitter.push(&whole.slice(pair[0]..pair[1]), |event| events.push(event));
        assert!(splitter.held() <= limit + 1, "memory is bounded");
    }
    (events, splitter.finish())
}

/// The same events with the LF of a cut CRLF where it came from; parts left out.
fn settled((events, tail): &(Vec<Event>, Bytes)) -> (Vec<Vec<u8>>, Vec<u8>) {
    let mut texts: Vec<(Vec<u8>, bool)> = Vec::new();
    for event in events {
        let mut raw = &event.raw[..];
        if let Some((last, _)) = texts.last_mut().filter(|(last, _)| last.ends_with(b"\r"))
            && raw[0] == b'\n'
        {
            last.push(b'\n');
            raw = &raw[1..];
        }
        texts.push((raw.to_vec(), event.whole));
    }
    let mut tail = &tail[..];
    if let Some((last, _)) = texts.last_mut().filter(|(last, _)| last.ends_with(b"\r"))
        && tail.first() == Some(&b'\n')
    {
        last.push(b'\n');
        tail = &tail[1..];
    }
    (texts.into_iter().filter(|(_, whole)| *whole).map(|(text, _)| text).collect(), tail.to_vec())
}

/// Text in which line ends are frequent.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just("\n"),
        Just("\r"),
        Just("\r\n"),
        Just("\n\n"),
        Just("\r\n\r\n"),
        Just("data: a"),
        Just("data:"),
        Just("event: x"),
        Just(": hm"),
        Just("é\u{2028}"),
        Just("\u{feff}"),
        Just("b")
    ];
    prop::collection::vec(word, 0..40).prop_map(|words| words.concat().into_bytes())
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_events(
        input in stream(),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
        limit in prop_oneof![Just(usize::MAX - 1), 0..24_usize],
    ) {
        let (one, cut) = (split(&input, &[], limit), split(&input, &cuts, limit));
        if limit > 1000 {
            prop_assert_eq!(settled(&one), settled(&cut));
        } else {
            prop_assert_eq!(settled(&one).0, settled(&cut).0);
        }
        for (events, tail) in [&one, &cut] {
            let mut bytes: Vec<u8> = events.iter().flat_map(|event| event.raw.to_vec()).collect();
            bytes.extend_from_slice(tail);
            prop_assert_eq!(&bytes, &input);
        }
        let said = |(events, _): &(Vec<Event>, Bytes)| -> Vec<_> {
            let whole = events.iter().filter(|event| event.whole);
            whole.map(|event| (data(&event.raw).map(Cow::into_owned), name(&event.raw).map(<[u8]>::to_vec))).collect()
        };
        prop_assert_eq!(said(&one), said(&cut));
    }

    #[test]
    fn nothing_panics(input in prop::collection::vec(any::<u8>(), 0..200), cut in any::<usize>(), limit in 0..50_usize) {
        let (events, tail) = split(&input, &[cut], limit);
        for event in &events {
            let _ = (data(&event.raw), name(&event.raw));
        }
        let _ = (data(&tail), name(&input));
    }
}

#[test]
fn events_end_at_blank_lines_only() {
    let table: &[(&str, &[&str], &str)] = &[
        ("", &[], ""),
        ("data: a\n\n", &["data: a\n\n"], ""),
        ("data: a\r\rdata: b\r\n\r\nc", &["data: a\r\r", "data: b\r\n\r\n"], "c"),
        ("data: a\n\r\n\n", &["data: a\n\r\n", "\n"], ""),
        ("data: a\r\ndata: b\r\n", &[], "data: a\r\ndata: b\r\n"),
        (
            "data: {\"a\":\"\u{2028}\u{2029}\u{85}\"}\n\n",
            &["data: {\"a\":\"\u{2028}\u{2029}\u{85}\"}\n\n"],
            "",
        ),
        (": ping\n\ndata: x\n\n", &[": ping\n\n", "data: x\n\n"], ""),
    ];
    for (input, events, tail) in table {
        let (found, rest) = split(input.as_bytes(), &[], 1000);
        let found: Vec<&[u8]> = found.iter().map(|event| &event.raw[..]).collect();
        let events: Vec<&[u8]> = events.iter().map(|event| event.as_bytes()).collect();
        assert_eq!((found, &rest[..]), (events, tail.as_bytes()), "{input:?}");
    }
}

#[test]
fn an_event_is_not_held_for_the_lf_that_may_follow() {
    let mut splitter = Splitter::new(100);
    let mut events = Vec::new();
    for piece in ["data: a\r\n\r", "\n", "data: b\n\n"] {
        splitter.push(&Bytes::from_static(piece.as_bytes()), |event| {
            events.push(event.raw);
        });
        assert!(!events.is_empty());
    }
    assert_eq!(events, ["data: a\r\n\r", "\ndata: b\n\n"]);
    assert_eq!(data(&events[1]).as_deref(), Some(&b"b"[..]));
}

#[test]
fn an_event_inside_a_piece_is_not_copied() {
    let piece = Bytes::from_static(b"data: a\n\ndata: b\n\n");
    let mut at = piece.as_ptr();
    Splitter::new(100).push(&piece, |event| {
        assert_eq!(event.raw.as_ptr(), at);
        at = at.wrapping_add(event.raw.len());
    });
    assert_eq!(at, piece.as_ptr().wrapping_add(piece.len()));
}

#[test]
fn an_event_that_is_too_long_comes_in_parts() {
    let (events, tail) = split(b"data: 0123456789\n\ndata: b\n\n", &[4, 12, 14], 10);
    let found: Vec<_> = events.iter().map(|event| (&event.raw[..], event.whole)).collect();
    let parts: [(&[u8], bool); 4] =
        [(b"data: 012345", false), (b"67", false), (b"89\n\n", false), (b"data: b\n\n", true)];
    assert_eq!(found, parts);
    assert!(tail.is_empty());
}

#[test]
fn the_limit_does_not_count_the_lf_of_another_event() {
    let (events, _) = split(b"a\r\n\r\nbc\n\nd\r\n\r\n", &[4, 5], 4);
    let found: Vec<_> = events.iter().map(|event| (&event.raw[..], event.whole)).collect();
    let all: [(&[u8], bool); 3] = [(b"a\r\n\r", true), (b"\nbc\n\n", true), (b"d\r\n\r\n", true)];
    assert_eq!(found, all);
}

#[test]
fn fields_are_read_as_the_standard_says() {
    let table: &[(&str, Option<&str>, Option<&str>)] = &[
        ("data: a\n\n", Some("a"), None),
        ("data:a\r\n\r\n", Some("a"), None),
        ("data:  a \n\n", Some(" a "), None),
        ("\u{feff}data: a\n\n", Some("a"), None),
        ("\n\u{feff}data: a\n\n", Some("a"), None),
        ("data: a\r\ndata:\r\ndata: c\r\n\r\n", Some("a\n\nc"), None),
        ("data\n\n", Some(""), None),
        ("database: a\n\n", None, None),
        (": data: a\n\n", None, None),
        ("event: e\nevent: f\ndata: a\n\n", Some("a"), Some("f")),
        ("id: 1\nretry: 5\n\n", None, None),
        ("\n", None, None),
    ];
    for (event, says, called) in table {
        assert_eq!(data(event.as_bytes()).as_deref(), says.map(str::as_bytes), "{event:?}");
        assert_eq!(name(event.as_bytes()), called.map(str::as_bytes), "{event:?}");
    }
}
