//! An answer put together from its chunks, choice by choice.
//!
//! Why by index: choices and tool calls come interleaved, and each grows on its own.
//! The trap: everything here is decided by a host, so texts, choices and calls all spend the same
//! budget; once it is spent no text is added any more, and finishes and usage still are.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::wire::{delta, sse};

/// What a choice or a call costs besides its texts, bytes.
const ITEM: usize = 256;

/// Longest role, id, type or reason that is kept, bytes.
const NAME: usize = 256;

/// Longest `usage` that is kept, bytes.
const USAGE: usize = 16 * 1024;

/// An answer so far, as the log writes it.
#[derive(Debug, Default, Serialize)]
pub(super) struct Answer {
    pub(super) choices: Vec<Choice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<Box<RawValue>>,
    #[serde(skip)]
    pub(super) usage: Option<Box<RawValue>>,
    #[serde(skip)]
    pub(super) prompt_tokens: Option<u64>,
    #[serde(skip)]
    pub(super) completion_tokens: Option<u64>,
    /// Data of events of other APIs, one a line.
    #[serde(skip)]
    pub(super) other: Option<String>,
    #[serde(skip)]
    budget: Budget,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Choice {
    index: u64,
    role: Option<String>,
    pub(super) content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tool_calls: Vec<ToolCall>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_call: Option<Function>,
    finish_reason: Option<String>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct ToolCall {
    pub(super) index: u64,
    pub(super) id: Option<String>,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) function: Function,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Function {
    pub(super) name: Option<String>,
    pub(super) arguments: Option<String>,
}

/// Bytes that may still be kept.
#[derive(Debug, Default)]
struct Budget {
    left: usize,
    spent: usize,
    /// Something did not fit; what comes later would leave a hole.
    over: bool,
}

// === impl Answer ===

impl Answer {
    pub(super) fn new(limit: usize) -> Self {
        Self { budget: Budget { left: limit, ..Budget::default() }, ..Self::default() }
    }

    /// The memory it holds, bytes.
    pub(super) fn weight(&self) -> usize {
        self.budget.spent + self.usage.as_ref().map_or(0, |usage| usage.get().len())
    }

    /// Something had to be left out.
    pub(super) fn truncated(&self) -> bool {
        self.budget.over
    }

    /// Takes the next event of the stream.
    pub(super) fn event(&mut self, event: &sse::Event) {
        if !event.whole {
            self.budget.over = true;
            return;
        }
        let Some(data) = sse::data(&event.raw) else {
            return;
        };
        if data.trim_ascii() == b"[DONE]" {
            return;
        }
        let failed = sse::name(&event.raw) == Some(b"error");
        match delta::read(&data) {
            Some(read) if read.known && !(failed && read.error.is_none()) => self.add(&read),
            _ => self.keep_other(&data, failed),
        }
    }

    /// Takes what came after the last blank line.
    pub(super) fn tail(&mut self, raw: Bytes) {
        let readable = sse::data(&raw).is_some_and(|data| delta::read(&data).is_some());
        if readable {
            self.event(&sse::Event { raw, whole: true });
        }
    }

    /// Takes a chunk, or a whole answer.
    pub(super) fn add(&mut self, read: &delta::Answer<'_>) {
        for choice in &read.choices {
            self.add_choice(choice);
        }
        if let Some(usage) = &read.usage {
            self.prompt_tokens = usage.prompt_tokens.or(self.prompt_tokens);
            self.completion_tokens = usage.completion_tokens.or(self.completion_tokens);
            self.usage = Some(usage.raw.to_owned()).filter(|raw| raw.get().len() <= USAGE);
        }
        if let Some(error) = read.error
            && self.budget.take(error.get().len())
        {
            self.error = Some(error.to_owned());
        }
    }

    fn add_choice(&mut self, read: &delta::Choice<'_>) {
        let at = self.choices.iter().position(|choice| choice.index == read.index);
        let Some(at) = at.or_else(|| {
            let new = Choice { index: read.index, ..Choice::default() };
            self.budget.take(ITEM).then(|| add_sorted(&mut self.choices, new, |it| it.index))
        }) else {
            return;
        };
        let (choice, budget) = (&mut self.choices[at], &mut self.budget);
        set(&mut choice.role, read.role.as_deref());
        budget.grow(&mut choice.content, read.content.as_deref());
        budget.grow(&mut choice.reasoning, read.reasoning.as_deref());
        budget.grow(&mut choice.refusal, read.refusal.as_deref());
        for call in &read.tool_calls {
            add_call(&mut choice.tool_calls, call, budget);
        }
        if let Some(function) = &read.function_call
            && (choice.function_call.is_some() || budget.take(ITEM))
        {
            choice.function_call.get_or_insert_default().add(function, budget);
        }
        if let Some(reason) = &read.finish_reason {
            choice.finish_reason = Some(short(reason));
        }
    }

    fn keep_other(&mut self, data: &[u8], failed: bool) {
        let text = String::from_utf8_lossy(data);
        if failed && self.error.is_none() && self.budget.take(text.len()) {
            let error =
                serde_json::from_str(&text).or_else(|_| serde_json::value::to_raw_value(&text));
            self.error = error.ok();
        } else {
            let gap = if self.other.is_some() { "\n" } else { "" };
            self.budget.grow(&mut self.other, Some(gap));
            self.budget.grow(&mut self.other, Some(&text));
        }
    }
}

fn add_call(calls: &mut Vec<ToolCall>, read: &delta::ToolCall<'_>, budget: &mut Budget) {
    let known = match (read.index, &read.id) {
        (Some(index), _) => calls.iter().position(|call| call.index == index),
        (None, Some(id)) => calls.iter().position(|call| call.id.as_deref() == Some(id)),
        (None, None) => calls.len().checked_sub(1),
    };
    let next = calls.last().map_or(0, |call| call.index.saturating_add(1));
    let new = ToolCall { index: read.index.unwrap_or(next), ..ToolCall::default() };
    let added = || budget.take(ITEM).then(|| add_sorted(calls, new, |call| call.index));
    let Some(at) = known.or_else(added) else {
        return;
    };
    let call = &mut calls[at];
    set(&mut call.id, read.id.as_deref());
    set(&mut call.kind, read.kind.as_deref());
    call.function.add(&read.function, budget);
}

/// Puts a new item where its index belongs; its place.
fn add_sorted<T>(list: &mut Vec<T>, item: T, index: impl Fn(&T) -> u64) -> usize {
    let at = list.partition_point(|other| index(other) < index(&item));
    list.insert(at, item);
    at
}

/// Sets what is said once; hosts that say it again with every chunk change nothing.
fn set(slot: &mut Option<String>, text: Option<&str>) {
    if let Some(text) = text
        && slot.as_deref().is_none_or(str::is_empty)
    {
        *slot = Some(short(text));
    }
}

fn short(text: &str) -> String {
    cut(text, NAME).to_owned()
}

/// As much of a text as fits into `most` bytes.
pub(super) fn cut(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

// === impl Function ===

impl Function {
    fn add(&mut self, read: &delta::Function<'_>, budget: &mut Budget) {
        // A name comes whole or in pieces; some hosts repeat it with every piece of the arguments.
        if self.name.is_none() || self.name.as_deref() != read.name.as_deref() {
            budget.grow(&mut self.name, read.name.as_deref());
        }
        budget.grow(&mut self.arguments, read.arguments.as_deref());
    }
}

// === impl Budget ===

impl Budget {
    /// Takes so much at once, or nothing.
    fn take(&mut self, bytes: usize) -> bool {
        self.over |= bytes > self.left;
        if !self.over {
            self.left -= bytes;
            self.spent += bytes;
        }
        !self.over
    }

    /// Adds as much of `text` as there is room for.
    fn grow(&mut self, slot: &mut Option<String>, text: Option<&str>) {
        let Some(text) = text else { return };
        let fits = if self.over { "" } else { cut(text, self.left) };
        self.over |= fits.len() < text.len();
        self.left -= fits.len();
        self.spent += fits.len();
        slot.get_or_insert_default().push_str(fits);
    }
}
