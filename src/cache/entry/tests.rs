//! Entries as stores give them back: whole, torn, or somebody else's.

use http::header::SET_COOKIE;
use proptest::prelude::*;

use super::*;

const KEY: Key = Key::from_bytes([7; 32]);

fn entry() -> impl Strategy<Value = Entry> {
    let chunk = (any::<u32>(), prop::collection::vec(any::<u8>(), 0..20));
    let chunk = chunk.prop_map(|(at, data)| Chunk { at, data: data.into() });
    let api = prop::sample::select(vec![Api::Chat, Api::Completions, Api::Embeddings, Api::Other]);
    let headers = prop::collection::vec(("[a-z]{1,5}", "[ -~]{0,9}"), 0..4).prop_map(|headers| {
        let pairs = headers.iter().map(|(name, value)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
        });
        pairs.collect::<HeaderMap>()
    });
    let head = (any::<u64>(), api, any::<bool>(), any::<u16>(), headers);
    (head, ".{0,9}", ".{0,9}", prop::collection::vec(chunk, 0..6)).prop_map(
        |((created, api, stream, status, headers), model, tenant, chunks)| Entry {
            created,
            api,
            stream,
            status,
            headers,
            model,
            tenant,
            chunks,
        },
    )
}

/// Bytes that bear a good seal, whatever they are.
fn sealed(rest: &[u8]) -> Bytes {
    let mut bytes = [&MAGIC[..], &[0; SEAL], rest].concat();
    let seal = seal(&KEY, &bytes);
    bytes[MAGIC.len()..][..SEAL].copy_from_slice(&seal);
    bytes.into()
}

#[test]
fn of_headers_those_that_speak_of_the_body_are_kept() {
    let mut headers = HeaderMap::new();
    for name in [
        "content-type",
        "content-language",
        "set-cookie",
        "x-request-id",
        "openai-organization",
        "openai-processing-ms",
        "x-ratelimit-limit-requests",
        "cf-ray",
        "cf-cache-status",
        "date",
        "server",
        "age",
        "etag",
        "last-modified",
        "content-length",
        "transfer-encoding",
        "content-encoding",
        "vary",
        "alt-svc",
        "connection",
        "x-nobody-knows",
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static("x"));
    }
    headers.append(SET_COOKIE, HeaderValue::from_static("y"));
    let kept = kept(&headers);
    let mut names: Vec<_> = kept.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-language", "content-type"]);
}

#[test]
fn hostile_counts_take_no_memory() {
    // Up to the counts: no model, no tenant.
    let head = [0; 20];
    let many = u32::MAX.to_le_bytes();
    for rest in [
        [&head[..16], &many].concat(),
        [&head[..], &many].concat(),
        [&head[..], &[0; 4], &many].concat(),
        [&head[..], &[0; 4], &many, &[0; 64]].concat(),
        [&head[..], &[0; 4], &[1, 0, 0, 0], &[0; 4], &many].concat(),
    ] {
        assert_eq!(Entry::decode(&KEY, &sealed(&rest)), None);
    }
}

#[test]
fn bytes_are_the_same_from_version_to_version() {
    // What stands in a store on disk is read by the next version. If this changes, MAGIC must.
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("a"))]);
    let entry = Entry {
        created: 1,
        api: Api::Embeddings,
        stream: true,
        status: 200,
        headers,
        model: "m".to_owned(),
        tenant: "t".to_owned(),
        chunks: vec![Chunk { at: 5, data: Bytes::from_static(b"xy") }],
    };
    let rest =
        b"\x01\0\0\0\0\0\0\0\x02\x01\xc8\0\x01\0\0\0m\x01\0\0\0t\x01\0\0\0\x0c\0\0\0content-type\
        \x01\0\0\0a\x01\0\0\0\x05\0\0\0\x02\0\0\0xy";
    assert_eq!(entry.encode(&KEY).unwrap(), sealed(rest));
    let seal = u128::from_be_bytes(seal(&KEY, &sealed(rest)));
    assert_eq!(seal, 198_077_295_482_439_473_079_214_235_202_371_524_348);
}

#[test]
fn the_body_of_an_entry() {
    let entry = |stream, chunks: &[&'static str]| Entry {
        created: 0,
        api: Api::Chat,
        stream,
        status: 200,
        headers: HeaderMap::new(),
        model: String::new(),
        tenant: String::new(),
        chunks: chunks.iter().map(|data| Chunk { at: 0, data: Bytes::from(*data) }).collect(),
    };
    let choice = "data: {\"choices\":[{\"text\":\"a\",\"finish_reason\":";
    let whole = "{\"choices\":[{\"index\":0,\"text\":\"a\",\"finish_reason\":\"stop\"}]}";
    for (entry, body) in [
        (entry(false, &[]), Some("")),
        (entry(false, &["{}"]), Some("{}")),
        (entry(false, &["{\"a\"", ":1}"]), Some("{\"a\":1}")),
        (entry(true, &[choice, "\"stop\"}]}\n\n"]), Some(whole)),
        (entry(true, &[choice, "null}]}\n\n"]), None),
    ] {
        assert_eq!(entry.body(), body.map(Bytes::from));
    }
}

proptest! {
    #[test]
    fn there_and_back_is_the_same(entry in entry()) {
        let bytes = entry.encode(&KEY).unwrap();
        prop_assert_eq!(bytes.len(), entry.encoded_len());
        prop_assert_eq!(bytes.capacity(), bytes.len());
        prop_assert_eq!(Entry::decode(&KEY, &bytes.into()), Some(entry));
    }

    #[test]
    fn what_is_torn_or_changed_or_under_another_key_is_a_miss(entry in entry(), at: prop::sample::Index, bit in 0..8_u8) {
        let bytes = Bytes::from(entry.encode(&KEY).unwrap());
        let at = at.index(bytes.len());
        prop_assert_eq!(Entry::decode(&KEY, &bytes.slice(..at)), None);
        let mut changed = bytes.to_vec();
        changed[at] ^= 1 << bit;
        prop_assert_eq!(Entry::decode(&KEY, &changed.into()), None);
        let longer = [&bytes[..], &[0]].concat();
        prop_assert_eq!(Entry::decode(&KEY, &longer.into()), None);
        prop_assert_eq!(Entry::decode(&Key::from_bytes([8; 32]), &bytes), None);
    }

    #[test]
    fn nothing_that_bears_a_seal_does_harm(rest in prop::collection::vec(prop_oneof![4 => Just(0), 1 => 0..4_u8, 1 => any::<u8>()], 0..80)) {
        let bytes = sealed(&rest);
        if let Some(entry) = Entry::decode(&KEY, &bytes) {
            prop_assert!(entry.chunks.len() * MARK <= rest.len());
        }
    }

    #[test]
    fn a_changed_entry_with_a_new_seal_does_no_harm(entry in entry(), at: prop::sample::Index, byte: u8) {
        let mut rest = entry.encode(&KEY).unwrap().split_off(MAGIC.len() + SEAL);
        let at = at.index(rest.len());
        rest[at] = byte;
        if let Some(entry) = Entry::decode(&KEY, &sealed(&rest)) {
            prop_assert!(entry.chunks.len() * MARK <= rest.len());
        }
    }
}
