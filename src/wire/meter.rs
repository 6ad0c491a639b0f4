//! How many tokens an answer had: what its host tells, else an estimate of the text that went out.
//!
//! Why both: not every host tells, and none does when a client leaves in the middle. Nothing of the
//! answer is kept but an unfinished event and the last `usage`.
//! The trap: a `usage` of nothing but zeros is no news (LocalAI puts one into every chunk), and the
//! parts of one may come apart (Anthropic's prompt at the start, its answer at the end).

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::delta::{self, Answer, Choice, Usage};
use super::scan::{Scan, Within};
use super::sse::{self, Splitter};
use super::tally::Tally;

/// Watches one answer go by.
#[derive(Debug)]
pub struct Meter {
    form: Form,
    said: Tally,
    told: Told,
}

/// The tokens of an answer.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// What the host told; none of it if it told nothing.
    pub told: Told,
    /// The estimate of what was said.
    pub said: u64,
}

/// What a host told.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Of the prompt.
    pub prompt: Option<u64>,
    /// Of the answer.
    pub completion: Option<u64>,
    /// Of both.
    pub total: Option<u64>,
}

#[derive(Debug)]
enum Form {
    Stream {
        splitter: Splitter,
        /// Reads an event that is too long to be gathered.
        long: Option<Box<Scan>>,
    },
    Body(Box<Scan>),
}

/// Longest event that is gathered, bytes.
const EVENT: usize = 64 * 1024;

// === impl Meter ===

impl Meter {
    /// A meter for a stream of events.
    #[must_use]
    pub fn stream() -> Self {
        let form = Form::Stream { splitter: Splitter::new(EVENT), long: None };
        Self { form, said: Tally::default(), told: Told::default() }
    }

    /// A meter for a JSON body, or for several, one after the other.
    #[must_use]
    pub fn body() -> Self {
        let form = Form::Body(Box::new(Scan::new(member)));
        Self { form, said: Tally::default(), told: Told::default() }
    }

    /// Takes the next piece of the answer, cut anywhere.
    pub fn push(&mut self, piece: &Bytes) {
        let Self { form, said, told } = self;
        match form {
            Form::Body(scan) => {
                scan.push(piece);
                told.take(scan);
            }
            Form::Stream { splitter, long } => splitter.push(piece, |event| {
                if event.whole {
                    end_of(long, said);
                    read(&event.raw, said, told);
                } else {
                    let scan = long.get_or_insert_with(|| Box::new(Scan::new(member)));
                    scan.push(&event.raw);
                    told.take(scan);
                }
            }),
        }
    }

    /// The tokens, at the end of the answer, wherever it ended.
    #[must_use]
    pub fn finish(self) -> Spent {
        let Self { form, mut said, mut told } = self;
        match form {
            Form::Body(scan) => said.join(scan.tally()),
            Form::Stream { splitter, mut long } => {
                end_of(&mut long, &mut said);
                // Some hosts leave out the last blank line.
                read(&splitter.finish(), &mut said, &mut told);
            }
        }
        Spent { told, said: said.tokens() }
    }
}

/// An event that was too long has ended.
fn end_of(long: &mut Option<Box<Scan>>, said: &mut Tally) {
    if let Some(scan) = long.take() {
        said.join(scan.tally());
    }
}

fn read(event: &[u8], said: &mut Tally, told: &mut Told) {
    let Some(data) = sse::data(event) else {
        return;
    };
    match delta::read(&data) {
        Some(answer) if answer.known => saw(&answer, said, told),
        Some(_) => {
            let mut scan = Scan::new(member);
            scan.push(&data);
            told.begin(&mut scan);
            said.join(scan.tally());
        }
        None => {}
    }
}

fn saw(answer: &Answer<'_>, said: &mut Tally, told: &mut Told) {
    for choice in &answer.choices {
        for text in texts(choice) {
            said.text(text.as_bytes());
        }
    }
    if let Some(usage) = &answer.usage {
        told.hear(usage);
    }
}

/// Everything that a choice says.
fn texts<'c>(choice: &'c Choice<'_>) -> impl Iterator<Item = &'c Cow<'c, str>> {
    let calls = choice.tool_calls.iter().map(|call| &call.function);
    let calls = calls.chain(&choice.function_call);
    let called = calls.flat_map(|function| [&function.name, &function.arguments]);
    let plain = [&choice.content, &choice.reasoning, &choice.refusal];
    plain.into_iter().chain(called).flatten()
}

/// Which members of an answer are said.
fn member(within: Within, name: &[u8]) -> Within {
    match (within, name) {
        (Within::Root, b"choices" | b"content" | b"delta" | b"message" | b"output") => Within::Said,
        (Within::Root, b"response") => Within::Envelope,
        (_, b"usage") => Within::Usage,
        (
            Within::Said,
            b"content" | b"text" | b"reasoning" | b"reasoning_content" | b"refusal" | b"message"
            | b"delta" | b"tool_calls" | b"function" | b"function_call" | b"name" | b"summary"
            | b"thinking" | b"partial_json",
        ) => Within::Said,
        (Within::Said, b"arguments" | b"input") => Within::Call,
        _ => Within::Skip,
    }
}

// === impl Spent ===

impl Spent {
    /// The tokens of the answer.
    #[must_use]
    pub fn completion(&self) -> u64 {
        let Told { prompt, completion, total } = self.told;
        let rest = || Some(total?.saturating_sub(prompt?));
        completion.or_else(rest).unwrap_or(self.said)
    }

    /// The tokens of prompt and answer together; `prompt` is the estimate of the prompt, for a host
    /// that does not tell.
    #[must_use]
    pub fn total(&self, prompt: u64) -> u64 {
        let told = self.told.prompt.unwrap_or(prompt);
        self.told.total.unwrap_or_else(|| told.saturating_add(self.completion()))
    }
}

// === impl Told ===

impl Told {
    /// Takes one more `usage`: the last one counts, and what it leaves out stays.
    fn hear(&mut self, usage: &Usage<'_>) {
        let Usage { prompt_tokens: prompt, completion_tokens: completion, total_tokens, .. } =
            *usage;
        let numbers = [prompt, completion, total_tokens];
        if numbers.into_iter().flatten().all(|number| number == 0) {
            return;
        }
        // A total without parts of its own stands for itself; one before it is out of date.
        let total = total_tokens.filter(|total| *total > 0);
        *self = Self {
            prompt: prompt.or(self.prompt),
            completion: completion.or(self.completion),
            total,
        };
    }

    fn take(&mut self, scan: &mut Scan) {
        let usage = scan.usage();
        let raw = usage.as_deref().and_then(|raw| serde_json::from_slice::<&RawValue>(raw).ok());
        if let Some(usage) = raw.and_then(Usage::read) {
            self.hear(&usage);
        }
    }

    /// Takes the usage of an event that opens an answer: of the answer it knows nothing yet.
    fn begin(&mut self, scan: &mut Scan) {
        let mut opening = Self::default();
        opening.take(scan);
        self.prompt = opening.prompt.or(self.prompt);
    }
}

#[cfg(test)]
mod tests;
