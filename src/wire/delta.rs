//! Chunks and answers in OpenAI's shapes, read as far as they can be read.
//!
//! Why so lenient: hosts differ in every corner, and a field of an odd type must not hide the rest.
//! Each member is picked as raw text and decoded alone; what borrows from the input stays borrowed.
//! The trap: [`has_content`] errs on the side of "yes", because holding back what a person waits for is
//! worse than sending on a chunk that says nothing.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::fields::{filled, items, members, text, value};
use super::quick;

/// A chat, text or Responses chunk, or a whole answer.
#[derive(Debug, Default)]
pub struct Answer<'a> {
    /// `id`.
    pub id: Option<Cow<'a, str>>,
    /// `model`: the one that answered.
    pub model: Option<Cow<'a, str>>,
    /// `choices`. An event of the Responses API that carries text is choice 0.
    pub choices: Vec<Choice<'a>>,
    /// `usage`, wherever this API puts it.
    pub usage: Option<Usage<'a>>,
    /// `error`, when it is there and not null.
    pub error: Option<&'a RawValue>,
    /// It is a list of embedding vectors.
    pub embeddings: bool,
    /// It was of a known kind: a chunk, an answer, an error or an event of the Responses API.
    pub known: bool,
}

/// One choice: the `delta` of a chunk or the `message` of an answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Choice<'a> {
    /// `index`; its place in the list when absent.
    pub index: u64,
    /// `role`.
    pub role: Option<Cow<'a, str>>,
    /// `content` (the texts of its parts joined), or `text` of a text completion.
    pub content: Option<Cow<'a, str>>,
    /// `reasoning_content` or `reasoning`.
    pub reasoning: Option<Cow<'a, str>>,
    /// `refusal`.
    pub refusal: Option<Cow<'a, str>>,
    /// `tool_calls`.
    pub tool_calls: Vec<ToolCall<'a>>,
    /// `function_call`, the older form.
    pub function_call: Option<Function<'a>>,
    /// `finish_reason`.
    pub finish_reason: Option<Cow<'a, str>>,
}

/// One tool call or a piece of one.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ToolCall<'a> {
    /// `index`: which call a piece belongs to; absent in whole answers.
    pub index: Option<u64>,
    /// `id`.
    pub id: Option<Cow<'a, str>>,
    /// `type`.
    pub kind: Option<Cow<'a, str>>,
    /// `function`.
    pub function: Function<'a>,
}

/// The function of a call.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Function<'a> {
    /// `name`.
    pub name: Option<Cow<'a, str>>,
    /// `arguments`; the JSON text of them if a host sends an object.
    pub arguments: Option<Cow<'a, str>>,
}

/// `usage`.
#[derive(Debug, Clone, Copy)]
pub struct Usage<'a> {
    /// `prompt_tokens` or `input_tokens`.
    pub prompt_tokens: Option<u64>,
    /// `completion_tokens` or `output_tokens`.
    pub completion_tokens: Option<u64>,
    /// `total_tokens`.
    pub total_tokens: Option<u64>,
    /// All of it as it came.
    pub raw: &'a RawValue,
}

// === impl Choice ===

impl Choice<'_> {
    fn says_something(&self) -> bool {
        let texts = [&self.content, &self.reasoning, &self.refusal];
        texts.into_iter().flatten().any(|text| !text.is_empty())
    }
}

/// Reads a chunk or an answer; `None` if it is not a JSON object.
#[must_use]
pub fn read(json: &[u8]) -> Option<Answer<'_>> {
    let text = str::from_utf8(json).ok()?;
    quick::read(text).or_else(|| read_any(text))
}

fn read_any(json: &str) -> Option<Answer<'_>> {
    let [id, model, choices, usage, error, kind, list] =
        members(json, &["id", "model", "choices", "usage", "error", "type", "data"])?;
    let error = error.filter(|raw| filled(raw));
    let mut answer = Answer {
        id: text(id),
        model: text(model),
        usage: usage.and_then(read_usage),
        error,
        known: choices.is_some() || usage.is_some() || error.is_some(),
        ..Answer::default()
    };
    if let Some(choices) = choices {
        answer.choices = items(choices).into_iter().zip(0..).filter_map(read_choice).collect();
    } else if let Some(kind) = text(kind).filter(|kind| kind.starts_with("response.")) {
        answer.known = true;
        read_event(&kind, json, &mut answer);
    } else if let Some(first) = list.and_then(|raw| items(raw).first().copied()) {
        answer.embeddings = members(first.get(), &["embedding"]).is_some_and(|[v]| v.is_some());
    }
    Some(answer)
}

/// Whether the data of a stream event carries something for the user: text, reasoning, a refusal, a
/// call, an error. False for a role alone, a finish, usage, a comment, `[DONE]`. What cannot be read
/// counts as content.
#[must_use]
pub fn has_content(data: &[u8]) -> bool {
    let data = data.trim_ascii();
    if data.is_empty() || data == b"[DONE]" || data[0] == b':' {
        return false;
    }
    let json = str::from_utf8(data).ok();
    if let Some(answer) = json.and_then(quick::read) {
        return answer.choices.iter().any(Choice::says_something);
    }
    let read = json.and_then(|json| members(json, &["choices", "type", "usage", "error"]));
    let Some([choices, kind, usage, error]) = read else {
        return true;
    };
    if error.is_some_and(filled) {
        return true;
    }
    if let Some(choices) = choices {
        let choices = serde_json::from_str::<Vec<&RawValue>>(choices.get());
        return choices.map_or(true, |list| list.into_iter().any(choice_has_content));
    }
    match text(kind) {
        Some(kind) if kind.starts_with("response.") => kind.ends_with(".delta"),
        Some(_) => true,
        None => usage.is_none(),
    }
}

fn choice_has_content(choice: &RawValue) -> bool {
    let Some([delta, message, text]) = members(choice.get(), &["delta", "message", "text"]) else {
        return true;
    };
    if text.is_some_and(filled) {
        return true;
    }
    let Some(said) = delta.or(message).filter(|raw| filled(raw)) else {
        return false;
    };
    let said = members(
        said.get(),
        &[
            "content",
            "reasoning_content",
            "reasoning",
            "refusal",
            "tool_calls",
            "function_call",
            "audio",
        ],
    );
    said.is_none_or(|said| said.into_iter().flatten().any(filled))
}

fn read_choice<'a>((choice, place): (&'a RawValue, u64)) -> Option<Choice<'a>> {
    let [index, delta, message, bare, finish_reason] =
        members(choice.get(), &["index", "delta", "message", "text", "finish_reason"])?;
    let said = delta.filter(|raw| filled(raw)).or(message).and_then(|raw| {
        members(
            raw.get(),
            &[
                "role",
                "content",
                "reasoning_content",
                "reasoning",
                "refusal",
                "tool_calls",
                "function_call",
            ],
        )
    });
    let [role, content, reasoning_content, reasoning, refusal, tool_calls, function_call] =
        said.unwrap_or_default();
    Some(Choice {
        index: value(index).unwrap_or(place),
        role: text(role),
        content: content.and_then(read_content).or_else(|| text(bare)),
        reasoning: text(reasoning_content).or_else(|| text(reasoning)),
        refusal: text(refusal),
        tool_calls: tool_calls
            .map(|raw| items(raw).into_iter().filter_map(read_tool_call).collect())
            .unwrap_or_default(),
        function_call: function_call.filter(|raw| filled(raw)).and_then(read_function),
        finish_reason: text(finish_reason),
    })
}

fn read_content(raw: &RawValue) -> Option<Cow<'_, str>> {
    if !raw.get().starts_with('[') {
        return text(Some(raw));
    }
    let parts = items(raw).into_iter().filter_map(|part| {
        let [said] = members(part.get(), &["text"])?;
        text(said)
    });
    Some(Cow::Owned(parts.collect()))
}

fn read_tool_call(raw: &RawValue) -> Option<ToolCall<'_>> {
    let [index, id, kind, function] = members(raw.get(), &["index", "id", "type", "function"])?;
    Some(ToolCall {
        index: value(index),
        id: text(id),
        kind: text(kind),
        function: function.and_then(read_function).unwrap_or_default(),
    })
}

fn read_function(raw: &RawValue) -> Option<Function<'_>> {
    let [name, arguments] = members(raw.get(), &["name", "arguments"])?;
    let arguments = arguments.and_then(|raw| match raw.get().as_bytes()[0] {
        b'{' | b'[' => Some(Cow::Borrowed(raw.get())),
        _ => text(Some(raw)),
    });
    Some(Function { name: text(name), arguments })
}

// === impl Usage ===

impl<'a> Usage<'a> {
    /// Reads a `usage` object; `None` if it is none.
    #[must_use]
    pub fn read(raw: &'a RawValue) -> Option<Self> {
        read_usage(raw)
    }
}

pub(super) fn read_usage(raw: &RawValue) -> Option<Usage<'_>> {
    let [prompt, input, completion, output, total] = members(
        raw.get(),
        &["prompt_tokens", "input_tokens", "completion_tokens", "output_tokens", "total_tokens"],
    )?;
    Some(Usage {
        prompt_tokens: value(prompt).or_else(|| value(input)),
        completion_tokens: value(completion).or_else(|| value(output)),
        total_tokens: value(total),
        raw,
    })
}

/// An event of the Responses API: pieces of text, whole function calls, usage at the end.
fn read_event<'a>(kind: &str, json: &'a str, answer: &mut Answer<'a>) {
    let Some([delta, item, response]) = members(json, &["delta", "item", "response"]) else {
        return;
    };
    let mut choice = Choice::default();
    match kind {
        "response.output_text.delta" => choice.content = text(delta),
        "response.refusal.delta" => choice.refusal = text(delta),
        "response.reasoning_text.delta" | "response.reasoning_summary_text.delta" => {
            choice.reasoning = text(delta);
        }
        "response.output_item.done" => {
            choice.tool_calls.extend(item.and_then(read_called_function));
        }
        _ => {
            let inside = response.and_then(|raw| members(raw.get(), &["usage", "error"]));
            if let Some([usage, error]) = inside {
                answer.usage = usage.and_then(read_usage);
                answer.error = error.filter(|raw| filled(raw));
            }
        }
    }
    if choice != Choice::default() {
        answer.choices.push(choice);
    }
}

fn read_called_function(item: &RawValue) -> Option<ToolCall<'_>> {
    let [kind, id] = members(item.get(), &["type", "call_id"])?;
    text(kind).filter(|kind| kind == "function_call")?;
    let function = read_function(item)?;
    Some(ToolCall { index: None, id: text(id), kind: Some("function".into()), function })
}

#[cfg(test)]
mod tests;
