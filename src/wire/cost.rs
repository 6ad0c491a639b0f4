//! What a request will cost in tokens, estimated from its body before it goes out.
//!
//! Why: a limit of tokens has to hold back what it will be charged later, or many requests at once
//! would each find room. What was really used is settled when the answer has ended.

use super::peek::Ask;
use super::scan::{Scan, Within};

/// The estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// The prompt: texts, messages, tools, images.
    pub prompt: u64,
    /// The most that the answers may have together; `None` when the request does not bound them.
    pub completion: Option<u64>,
}

/// What the template of a chat adds to each message, about.
const MESSAGE: u64 = 4;

// === impl Cost ===

impl Cost {
    /// Estimates a body that asks for this. One walk over it; what cannot be read costs nothing.
    #[must_use]
    pub fn of(ask: &Ask, body: &[u8]) -> Self {
        let mut scan = Scan::new(member);
        scan.push(body);
        let messages = scan.items().saturating_mul(MESSAGE);
        let prompt = scan.tally().tokens().saturating_add(messages);
        Self { prompt, completion: ask.completion_most() }
    }

    /// All of it, where an answer that is not bounded is taken for one of `usual` tokens.
    #[must_use]
    pub fn total(&self, usual: u64) -> u64 {
        self.prompt.saturating_add(self.completion.unwrap_or(usual))
    }
}

fn member(within: Within, name: &[u8]) -> Within {
    match (within, name) {
        (
            Within::Root,
            b"messages" | b"prompt" | b"input" | b"system" | b"instructions" | b"suffix",
        ) => Within::Said,
        (Within::Root, b"tools" | b"functions") => Within::Raw,
        (
            Within::Said,
            b"content" | b"text" | b"name" | b"output" | b"refusal" | b"reasoning"
            | b"reasoning_content" | b"thinking" | b"summary",
        ) => Within::Said,
        (Within::Said, b"tool_calls" | b"function_call") => Within::Raw,
        (Within::Said, b"arguments" | b"input") => Within::Call,
        (
            Within::Said,
            b"image_url" | b"image" | b"source" | b"input_audio" | b"audio" | b"audio_url"
            | b"video" | b"video_url" | b"file" | b"file_id" | b"file_url" | b"file_data",
        ) => Within::Media,
        _ => Within::Skip,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::peek::peek;

    fn cost(body: &str) -> Cost {
        Cost::of(&peek(body.as_bytes()).unwrap(), body.as_bytes())
    }

    #[test]
    fn prompts_of_every_api() {
        for (body, prompt) in [
            ("{}", 0),
            // "Hello, world!" is 13 bytes, a message 4 tokens.
            (r#"{"messages":[{"role":"user","content":"Hello, world!"}]}"#, 8),
            (r#"{"messages":[{"content":"four"},{"name":"anna","content":"你好"}]}"#, 12),
            (r#"{"messages":[{"content":null},{"content":""},"four"]}"#, 9),
            (
                r#"{"messages":[{"content":[{"type":"text","text":"What is"},{"type":"image_url",
                "image_url":{"url":"data:image/png;base64,AAAAAAAAAAAAAAAAAAAAAAAAA","detail":"low"}}]}]}"#,
                4 + 2 + 85,
            ),
            (r#"{"messages":[{"content":[{"type":"text","text":"a","image_url":null}]}]}"#, 5),
            // Tools are text, but for the white space between their values: 16 bytes.
            (r#"{"tools":[ {"a": 1, "bc":[true]} ]}"#, 6),
            (r#"{"functions":[{}]}"#, 1),
            (r#"{"messages":[{"tool_calls":[{"id":1}]}]}"#, 4 + 3),
            (r#"{"messages":[{"tool_calls":null,"function_call":null,"arguments":null}]}"#, 4),
            (r#"{"tools":null,"functions":[null]}"#, 2),
            (r#"{"prompt":"once upon a time"}"#, 4),
            (r#"{"prompt":["four","four"],"suffix":"four"}"#, 3),
            (r#"{"prompt":[1,22,333]}"#, 3),
            (r#"{"prompt":[[1,22],[333],[]]}"#, 3),
            (r#"{"input":"four"}"#, 1),
            (r#"{"input":[9906,11,1917]}"#, 3),
            (r#"{"input":["four","four"],"encoding_format":"float"}"#, 2),
            (
                r#"{"instructions":"four","input":[{"role":"user","content":[{"type":"input_text",
                "text":"four"},{"type":"input_image","file_id":"f"}]},{"type":"function_call",
                "name":"four","arguments":"{\"a\":1}"},{"type":"function_call_output","output":"four"}]}"#,
                // 4 + 4 + (4 + 7) + 4 bytes, and three items.
                12 + 6 + 85,
            ),
            (
                r#"{"system":[{"type":"text","text":"four"}],"messages":[{"content":[{"type":"image",
                "source":{"type":"base64","data":"AAAA"}},{"type":"tool_use","id":"x","input":{"a":"b"}}]}]}"#,
                // 4 + 9 bytes, a message and a part of the system's.
                4 + 8 + 85,
            ),
            // Names as hosts may read them.
            (r#"{"mess\u0061ges":[{"Content":"four"}]}"#, 5),
            (r#"{"a_very_long_name_that_goes_on_and_on":"four","metadata":{"prompt":"four"}}"#, 0),
            (r#"{"prompt":"\u00e9\ud83d\ude00\n\u0041\ud83d"}"#, 4),
            (r#"{"prompt":"\udc00\udc00"}"#, 2),
            (r#"{"prompt":"\ud83da\ude00"}"#, 3),
            (r#"{"prompt":["\ud83d","\ude00"]}"#, 2),
            (r#"{"prompt":["\"","\\","}","]"],"x":"\"prompt\":"}"#, 1),
        ] {
            assert_eq!(cost(body).prompt, prompt, "{body}");
        }
    }

    #[test]
    fn bounds_of_the_answer() {
        for (body, most) in [
            ("{}", None),
            (r#"{"max_tokens":9}"#, Some(9)),
            (r#"{"max_tokens":0}"#, Some(0)),
            (r#"{"max_completion_tokens":9,"n":3}"#, Some(27)),
            (r#"{"max_tokens":9,"max_completion_tokens":5}"#, Some(9)),
            (r#"{"max_output_tokens":9}"#, Some(9)),
            (r#"{"max_tokens":9,"n":2,"best_of":5}"#, Some(45)),
            (r#"{"max_tokens":9,"n":0,"best_of":null}"#, Some(9)),
            (r#"{"max_tokens":18446744073709551615,"n":2}"#, Some(u64::MAX)),
            (r#"{"max_tokens":-1}"#, None),
            (r#"{"max_tokens":"9"}"#, None),
            (r#"{"max_tokens":9.5}"#, None),
            (r#"{"max_tokens":1e999,"n":2}"#, None),
            (r#"{"n":4}"#, None),
        ] {
            let cost = cost(body);
            assert_eq!(cost.completion, most, "{body}");
            assert_eq!(cost.total(256), most.unwrap_or(256), "{body}");
        }
        let all = Cost { prompt: 1, completion: Some(u64::MAX) };
        assert_eq!(all.total(0), u64::MAX);
    }

    #[test]
    fn what_is_no_json_costs_what_can_be_read() {
        for (body, prompt) in [
            ("", 0),
            ("hello", 0),
            ("]]}}", 0),
            (r#"{"prompt":"four"#, 1),
            (r#"{"prompt":"four\u00"#, 1),
            (r#"}{"prompt":"four"}"#, 1),
        ] {
            assert_eq!(Cost::of(&Ask::default(), body.as_bytes()).prompt, prompt, "{body}");
        }
        for open in ["[", "{\"messages\":", "{\"prompt\":[", "{\"tools\":["] {
            let deep = open.repeat(100_000);
            assert!(Cost::of(&Ask::default(), deep.as_bytes()).prompt <= 400_000);
        }
    }

    proptest! {
        #[test]
        fn a_text_costs_the_same_however_it_is_written(text in ".*", escaped: bool) {
            let mut tally = crate::wire::tally::Tally::default();
            tally.text(text.as_bytes());
            let written: String = match escaped {
                true => text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect(),
                false => {
                    let json = serde_json::to_string(&text).unwrap();
                    json[1..json.len() - 1].to_owned()
                }
            };
            let body = format!(r#"{{"prompt":"{written}"}}"#);
            prop_assert_eq!(Cost::of(&Ask::default(), body.as_bytes()).prompt, tally.tokens());
        }

        #[test]
        fn no_body_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Cost::of(&Ask::default(), &body);
        }
    }
}
