//! One choice of a whole answer, on its way to be told chunk by chunk.
//!
//! Why in this order: it is that of a model at work. The role first, with all that is not told in
//! pieces; then reasoning, text, refusal, calls; then why it ended, with the host's own members.
//! The trap: `logprobs` belong to tokens, and tokens are texts only together. Where theirs are not
//! the text, all of them go with the first chunk.

use std::borrow::Cow;
use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::wire::fields::{all, filled, items};

use super::cut;
use super::join::quoted;
use super::parts::{arguments, inside, is_object, is_text, one_line, tokens};

/// Members of a message that are told in pieces, in the order of their telling.
const TEXTS: [&str; 4] = ["reasoning_content", "reasoning", "content", "refusal"];

/// A choice that is being told.
#[derive(Debug)]
pub(super) struct Track {
    index: u64,
    steps: VecDeque<Step>,
    /// The `logprobs` of the first chunk, and of those that have none of their own; `None` if the
    /// answer has no such member.
    logprobs: Option<(String, String)>,
    /// What the last chunk says, and the members behind it.
    last: (&'static str, String),
    is_text: bool,
    over: bool,
}

/// Something to tell, in one chunk or many.
#[derive(Debug)]
enum Step {
    /// In one.
    Once(String),
    /// A text, between what stands before and behind each piece of it.
    Cut { before: String, rest: Bytes, behind: &'static str },
    /// A token and its `logprobs`.
    Token { said: String, logprobs: String },
}

// === impl Track ===

impl Track {
    /// Reads a choice; `None` if it has no end, is of no known kind or cannot be told in chunks.
    pub(super) fn of(body: &Bytes, choice: &RawValue, place: u64) -> Option<Self> {
        let mut track = Self {
            index: place,
            steps: VecDeque::new(),
            logprobs: None,
            last: ("", String::new()),
            is_text: false,
            over: false,
        };
        let (mut said, mut logprobs, mut reason) = (None, None, None);
        for (name, raw) in all(choice.get())? {
            match &*name {
                "index" => track.index = serde_json::from_str(raw.get()).ok()?,
                "message" | "text" if said.is_some() => return None,
                "message" => said = Some(raw),
                "text" => {
                    track.is_text = true;
                    said = Some(raw);
                }
                "logprobs" => logprobs = Some(raw),
                "finish_reason" => reason = Some(raw).filter(|raw| filled(raw)),
                name => {
                    track.last.1.push_str(&format!(",{}:{}", quoted(name), one_line(raw)));
                }
            }
        }
        let more = std::mem::take(&mut track.last.1);
        track.last.1 = format!(",\"finish_reason\":{}{more}", one_line(reason?));
        track.read(body, said?, logprobs)?;
        Some(track)
    }

    fn read(&mut self, body: &Bytes, said: &RawValue, logprobs: Option<&RawValue>) -> Option<()> {
        let null = || "null".to_owned();
        self.logprobs = logprobs.map(|raw| (one_line(raw).into_owned(), null()));
        if self.is_text {
            self.last.0 = "\"text\":\"\"";
            let rest = inside(body, said)?;
            self.cut("\"text\":\"".to_owned(), rest, "\"");
            return Some(());
        }
        self.last.0 = "\"delta\":{}";
        let message = all(said.get())?;
        let tokens = logprobs.and_then(|logprobs| {
            let (_, content) = message.iter().find(|(name, _)| name == "content")?;
            tokens(logprobs, content)
        });
        self.begin(&message)?;
        for name in TEXTS {
            let told = message.iter().find(|(known, _)| known == name);
            let Some(rest) = told.and_then(|(_, raw)| inside(body, raw)) else { continue };
            match &tokens {
                Some(tokens) if name == "content" => {
                    self.logprobs = Some((null(), null()));
                    self.steps.extend(tokens.iter().map(Step::token));
                }
                _ => self.cut(format!("\"delta\":{{{}:\"", quoted(name)), rest, "\"}"),
            }
        }
        for (name, raw) in &message {
            match &**name {
                "function_call" if is_object(raw) => {
                    self.function(body, raw, "\"delta\":{\"function_call\":{", "}}")?;
                }
                "tool_calls" if filled(raw) => {
                    if !raw.get().starts_with('[') {
                        return None;
                    }
                    for (call, index) in items(raw).into_iter().zip(0..) {
                        self.call(body, call, index)?;
                    }
                }
                _ => {}
            }
        }
        Some(())
    }

    /// The first chunk: the role, and what is not told in pieces.
    fn begin(&mut self, message: &[(Cow<'_, str>, &RawValue)]) -> Option<()> {
        let mut said = String::new();
        if !message.iter().any(|(name, _)| name == "role") {
            said.push_str(",\"role\":\"assistant\"");
        }
        for (name, raw) in message {
            let is_in_pieces = match &**name {
                // No stream has it as a whole answer does.
                "audio" if filled(raw) => return None,
                "function_call" => is_object(raw),
                "tool_calls" => filled(raw),
                name => TEXTS.contains(&name) && is_text(raw) && filled(raw),
            };
            if !is_in_pieces {
                said.push_str(&format!(",{}:{}", quoted(name), one_line(raw)));
            } else if name == "content" {
                said.push_str(",\"content\":\"\"");
            }
        }
        self.steps.push_back(Step::Once(format!("\"delta\":{{{}}}", &said[1..])));
        Some(())
    }

    /// A call: all of it but its arguments, then those.
    fn call(&mut self, body: &Bytes, call: &RawValue, index: u64) -> Option<()> {
        let mut before = format!("\"delta\":{{\"tool_calls\":[{{\"index\":{index}");
        let lead = before.clone();
        let mut function = None;
        for (name, raw) in all(call.get())? {
            match &*name {
                "index" => {}
                "function" | "custom" if is_object(raw) => {
                    if function.replace((name, raw)).is_some() {
                        return None;
                    }
                }
                name => before.push_str(&format!(",{}:{}", quoted(name), one_line(raw))),
            }
        }
        let Some((name, raw)) = function else {
            self.steps.push_back(Step::Once(before + "}]}"));
            return Some(());
        };
        let open = format!(",{}:{{", quoted(&name));
        let (first, rest) = arguments(body, raw)?;
        self.steps.push_back(Step::Once(format!("{before}{open}{first}}}}}]}}")));
        for (name, rest) in rest {
            self.cut(format!("{lead}{open}{}:\"", quoted(name)), rest, "\"}}]}");
        }
        Some(())
    }

    fn function(
        &mut self,
        body: &Bytes,
        function: &RawValue,
        before: &str,
        behind: &str,
    ) -> Option<()> {
        let (first, rest) = arguments(body, function)?;
        self.steps.push_back(Step::Once(format!("{before}{first}{behind}")));
        for (name, rest) in rest {
            self.cut(format!("{before}{}:\"", quoted(name)), rest, "\"}}");
        }
        Some(())
    }

    fn cut(&mut self, before: String, rest: Bytes, behind: &'static str) {
        if !rest.is_empty() {
            self.steps.push_back(Step::Cut { before, rest, behind });
        }
    }

    pub(super) fn index(&self) -> u64 {
        self.index
    }

    /// Everything has been told.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// The choice of its next chunk.
    pub(super) fn next(&mut self) -> String {
        let mut own = None;
        let said = match self.steps.pop_front() {
            None => {
                self.over = true;
                self.last.0.to_owned()
            }
            Some(Step::Once(said)) => said,
            Some(Step::Token { said, logprobs }) => {
                own = Some(logprobs);
                said
            }
            Some(Step::Cut { before, mut rest, behind }) => {
                let piece = rest.split_to(cut::next(&rest));
                let said = [&before, str::from_utf8(&piece).unwrap_or_default(), behind].concat();
                if !rest.is_empty() {
                    self.steps.push_front(Step::Cut { before, rest, behind });
                }
                said
            }
        };
        let index = self.index;
        let mut choice = if self.is_text {
            format!("{{{said},\"index\":{index}")
        } else {
            format!("{{\"index\":{index},{said}")
        };
        if let Some((first, others)) = &mut self.logprobs {
            let first = std::mem::replace(first, others.clone());
            choice.push_str(&format!(",\"logprobs\":{}", own.unwrap_or(first)));
        }
        choice.push_str(if self.over { &self.last.1 } else { ",\"finish_reason\":null" });
        choice.push('}');
        choice
    }
}

// === impl Step ===

impl Step {
    fn token((said, logprobs): &(String, String)) -> Self {
        let said = format!("\"delta\":{{\"content\":{said}}}");
        Self::Token { said, logprobs: logprobs.clone() }
    }
}
