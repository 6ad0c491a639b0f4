//! The common chunk, read in one pass.
//!
//! Why beside the lenient reader: nine chunks of ten are a role, a text and a finish, and stepping
//! through each level on its own costs four passes over every chunk of every stream. Whatever is
//! not exactly that (another type, a member twice, a tool call, half a surrogate) is left to
//! [`super::delta`], which reads anything; a test holds the two to the same answer.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::delta::{Answer, Choice, read_usage};
use super::fields::{Text, filled};

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow)]
    choices: Vec<Part<'a>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Part<'a> {
    index: Option<u64>,
    #[serde(borrow)]
    delta: Option<Said<'a>>,
    #[serde(borrow)]
    message: Option<Said<'a>>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Text<'a>>,
}

#[derive(Deserialize, Default)]
struct Said<'a> {
    #[serde(borrow)]
    role: Option<Text<'a>>,
    #[serde(borrow)]
    content: Option<Text<'a>>,
    #[serde(borrow)]
    reasoning_content: Option<Text<'a>>,
    #[serde(borrow)]
    reasoning: Option<Text<'a>>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
    #[serde(borrow)]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow)]
    function_call: Option<&'a RawValue>,
    #[serde(borrow)]
    audio: Option<&'a RawValue>,
}

/// Reads a common chunk; `None` when it is anything else.
pub(super) fn read(json: &str) -> Option<Answer<'_>> {
    let chunk: Chunk<'_> = serde_json::from_str(json).ok()?;
    if chunk.error.is_some() {
        return None;
    }
    let choices = chunk.choices.into_iter().zip(0..).map(choice).collect::<Option<_>>()?;
    Some(Answer {
        id: text(chunk.id),
        model: text(chunk.model),
        choices,
        usage: chunk.usage.and_then(read_usage),
        known: true,
        ..Answer::default()
    })
}

fn choice<'a>((part, place): (Part<'a>, u64)) -> Option<Choice<'a>> {
    let said = match (part.delta, part.message) {
        (Some(_), Some(_)) => return None,
        (delta, message) => delta.or(message).unwrap_or_default(),
    };
    let odd = [said.tool_calls, said.function_call, said.audio];
    if odd.into_iter().flatten().any(filled) {
        return None;
    }
    Some(Choice {
        index: part.index.unwrap_or(place),
        role: text(said.role),
        content: text(said.content).or_else(|| text(part.text)),
        reasoning: text(said.reasoning_content).or_else(|| text(said.reasoning)),
        refusal: text(said.refusal),
        finish_reason: text(part.finish_reason),
        ..Choice::default()
    })
}

fn text(text: Option<Text<'_>>) -> Option<Cow<'_, str>> {
    text.map(|Text(text)| text)
}
