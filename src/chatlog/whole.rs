//! The common whole answer, taken over in the host's own JSON.
//!
//! Why beside [`super::answer`]: a plain chat answer need not be taken apart and put together; its
//! texts stay as they stand, escapes and all. Whatever is not exactly that (tool calls, several
//! parts, an error, another type) is left to the reader that reads anything.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::wire::delta::Usage;

use super::capture::{Captured, Said};

#[derive(Deserialize)]
struct Whole<'a> {
    #[serde(borrow)]
    choices: Vec<Part<'a>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Part<'a> {
    index: u64,
    #[serde(borrow)]
    message: Message<'a>,
    #[serde(borrow)]
    finish_reason: &'a RawValue,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: &'a RawValue,
    #[serde(borrow)]
    content: &'a RawValue,
    #[serde(borrow)]
    refusal: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow)]
    function_call: Option<&'a RawValue>,
}

/// `answer`, with the members of [`super::answer::Answer`] in their order.
#[derive(Serialize)]
struct Logged<'a> {
    choices: Vec<Choice<'a>>,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u64,
    role: &'a RawValue,
    content: &'a RawValue,
    finish_reason: &'a RawValue,
}

/// What is captured of a common whole answer; `None` when it is anything else.
pub(super) fn read(text: &str) -> Option<Captured> {
    let whole: Whole<'_> = serde_json::from_str(text).ok()?;
    if whole.error.is_some() || whole.choices.is_empty() {
        return None;
    }
    let choices = whole.choices.iter().map(Part::choice).collect::<Option<_>>()?;
    let answer = serde_json::value::to_raw_value(&Logged { choices }).ok()?;
    let usage = whole.usage.and_then(Usage::read);
    Some(Captured {
        answer: Some(Said::Taken(answer)),
        usage: whole.usage.map(ToOwned::to_owned),
        prompt_tokens: usage.and_then(|usage| usage.prompt_tokens),
        completion_tokens: usage.and_then(|usage| usage.completion_tokens),
        truncated: false,
    })
}

// === impl Part ===

impl<'a> Part<'a> {
    fn choice(&self) -> Option<Choice<'a>> {
        let Message { role, content, .. } = self.message;
        let more = [
            self.message.refusal,
            self.message.reasoning_content,
            self.message.reasoning,
            self.message.tool_calls,
            self.message.function_call,
        ];
        let is_common = more.into_iter().flatten().all(|raw| raw.get() == "null")
            && [role, self.finish_reason].into_iter().all(is_short_text)
            && content.get().starts_with('"');
        is_common.then_some(Choice {
            index: self.index,
            role,
            content,
            finish_reason: self.finish_reason,
        })
    }
}

fn is_short_text(raw: &RawValue) -> bool {
    raw.get().starts_with('"') && raw.get().len() < 64
}
