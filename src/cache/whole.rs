//! A stream's answer as one body: what the same host would have said without `stream`.
//!
//! Why it may fail: an answer that cannot be put together exactly is a miss, which costs a call;
//! one that is put together wrong costs trust.
//! The trap: hosts put `usage` and members of their own into the first chunk, the last, all, or one
//! without choices. So each chunk is laid over those before it, and what is empty changes nothing.

use bytes::Bytes;

use crate::wire::sse::{self, Splitter};

use super::join::{Object, Rule, Rules, Value};

/// An answer that comes in chunks.
#[derive(Debug, Default)]
pub struct Whole {
    answer: Object,
    broken: bool,
}

static CHUNK: Rules = Rules {
    known: &[
        ("choices", Rule::Choices(&CHOICE)),
        ("error", Rule::Unknown),
        // Padding against those who measure the length of encrypted chunks.
        ("obfuscation", Rule::Left),
    ],
    other: Rule::Last,
};

static CHOICE: Rules = Rules {
    known: &[
        ("index", Rule::Left),
        ("delta", Rule::Object(&MESSAGE)),
        ("text", Rule::Text),
        ("logprobs", Rule::Object(&LOGPROBS)),
        ("finish_reason", Rule::Last),
        // Several in a stream: pieces, or the state so far.
        ("token_ids", Rule::List),
        ("prompt_token_ids", Rule::Once),
        ("content_filter_results", Rule::Last),
        // No stream has it; who sends one means something else.
        ("message", Rule::Unknown),
    ],
    other: Rule::Once,
};

static MESSAGE: Rules = Rules {
    known: &[
        ("role", Rule::First),
        ("content", Rule::Text),
        ("refusal", Rule::Text),
        ("reasoning_content", Rule::Text),
        ("reasoning", Rule::Text),
        ("tool_calls", Rule::Calls(&CALL)),
        ("function_call", Rule::Object(&FUNCTION)),
        ("audio", Rule::Unknown),
    ],
    other: Rule::Once,
};

static CALL: Rules = Rules {
    known: &[
        ("index", Rule::Left),
        ("function", Rule::Object(&FUNCTION)),
        ("custom", Rule::Object(&FUNCTION)),
    ],
    // Two ids with one index are two calls of a host that cannot count.
    other: Rule::Once,
};

static FUNCTION: Rules = Rules {
    known: &[("name", Rule::Name), ("arguments", Rule::Text), ("input", Rule::Text)],
    other: Rule::Once,
};

static LOGPROBS: Rules = Rules { known: &[], other: Rule::List };

/// The body of a whole answer that says what this stream said; `None` if it did not end well, or
/// cannot be put together exactly.
#[must_use]
pub fn whole(pieces: impl IntoIterator<Item = Bytes>) -> Option<Bytes> {
    let mut whole = Whole::default();
    let mut splitter = Splitter::new(usize::MAX);
    for piece in pieces {
        splitter.push(&piece, |event| whole.event(&event.raw));
    }
    whole.event(&splitter.finish());
    whole.finish()
}

// === impl Whole ===

impl Whole {
    /// Takes the next event of the stream.
    pub fn event(&mut self, event: &[u8]) {
        let Some(data) = sse::data(event) else { return };
        let data = data.trim_ascii();
        if data != b"[DONE]" {
            let is_error = sse::name(event) == Some(b"error");
            self.broken |= is_error || self.add(data).is_none();
        }
    }

    fn add(&mut self, data: &[u8]) -> Option<()> {
        self.answer.add(str::from_utf8(data).ok()?, &CHUNK)
    }

    /// The body.
    #[must_use]
    pub fn finish(mut self) -> Option<Bytes> {
        let Some(Value::Indexed(mut choices)) =
            self.answer.take("choices").filter(|_| !self.broken)
        else {
            return None;
        };
        // A refused prompt, or nothing at all.
        if choices.is_empty() {
            return None;
        }
        for (index, choice) in &mut choices {
            finish_choice(*index, choice)?;
        }
        self.answer.0.push(("choices".to_owned(), Value::Indexed(choices)));
        if let Some((_, object)) = self.answer.0.iter_mut().find(|(name, _)| name == "object")
            && matches!(object, Value::Raw(raw) if raw == "\"chat.completion.chunk\"")
        {
            *object = Value::Raw("\"chat.completion\"".to_owned());
        }
        let mut body = String::new();
        self.answer.write(&mut body);
        Some(body.into())
    }
}

/// Makes the choice of a whole answer of one of a stream; `None` if it has no end.
fn finish_choice(index: u64, choice: &mut Object) -> Option<()> {
    choice.0.insert(0, ("index".to_owned(), Value::Raw(index.to_string())));
    choice.get("finish_reason").filter(|reason| reason.is_filled())?;
    let delta = choice.take("delta");
    match (delta, choice.get("text")) {
        (Some(Value::Object(mut message)), None) => {
            // What the API demands and a host left out.
            for (name, value) in [("content", "null"), ("role", "\"assistant\"")] {
                if message.get(name).is_none() {
                    message.0.insert(0, (name.to_owned(), Value::Raw(value.to_owned())));
                }
            }
            choice.0.insert(1, ("message".to_owned(), Value::Object(message)));
            Some(())
        }
        (None, Some(_)) => Some(()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
