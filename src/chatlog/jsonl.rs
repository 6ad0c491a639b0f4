//! One record as one line of JSON.
//!
//! Why as sent: messages and parameters are copied as raw JSON, so numbers and escapes stay what
//! the client wrote.
//! The trap: raw JSON may be printed over many lines. White space between tokens is then left out
//! of the whole line; inside texts JSON allows no raw newline.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::capture::{Captured, Said};
use super::record::{Ended, Record};
use super::writer::{Form, Sink};
use crate::clock::Clock;

/// Everything in one file.
pub(super) struct Jsonl<S> {
    pub(super) sink: S,
    pub(super) clock: Clock,
}

/// The members of a line, in their order.
#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    time: &'a str,
    key: Option<&'a str>,
    client: Client,
    method: &'a str,
    path: &'a str,
    route: &'a str,
    upstream: Option<&'a str>,
    model: Option<&'a str>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<&'a Members<'a>>,
    body_bytes: u64,
    status: Option<u16>,
    answer: Option<&'a Said>,
    usage: Option<&'a RawValue>,
    ttft_ms: Option<f64>,
    duration_ms: f64,
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    attempts: u32,
    ended: &'static str,
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

/// Where a call came from.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Client {
    Unix,
    #[serde(untagged)]
    At(IpAddr),
}

/// Members of an object in their order, doubles too.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// Writes the line of a record, with its newline, behind what is in `lines`.
pub(super) fn write(mut record: Record, clock: &mut Clock, lines: &mut Vec<u8>) {
    let captured = std::mem::take(&mut record.capture).finish();
    let body = record.body.take();
    let mut parameters: Option<Members<'_>> =
        body.as_deref().and_then(|body| serde_json::from_slice(body).ok());
    let messages = parameters.as_mut().and_then(Members::part);
    let mut time = Vec::new();
    clock.write(record.call.time, &mut time);
    let time = str::from_utf8(&time).unwrap_or_default();
    let line =
        Line { messages, parameters: parameters.as_ref(), ..Line::of(&record, time, &captured) };
    let start = lines.len();
    serde_json::to_writer(&mut *lines, &line).expect("texts, numbers and raw JSON can be written");
    if memchr::memchr2(b'\n', b'\r', &lines[start..]).is_some() {
        let mut line = lines.split_off(start);
        compact(&mut line);
        lines.append(&mut line);
    }
    lines.push(b'\n');
}

impl<S: Sink> Form for Jsonl<S> {
    fn file(&mut self, _: &Record) -> usize {
        0
    }

    fn write(&mut self, record: Record, lines: &mut Vec<u8>) {
        write(record, &mut self.clock, lines);
    }

    fn sink(&mut self, _: usize) -> &mut dyn Sink {
        &mut self.sink
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}

/// Leaves out the white space between tokens.
fn compact(json: &mut Vec<u8>) {
    let (mut in_text, mut escaped) = (false, false);
    json.retain(|byte| {
        if in_text {
            in_text = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            return true;
        }
        in_text = *byte == b'"';
        !byte.is_ascii_whitespace()
    });
}

// === impl Line ===

impl<'a> Line<'a> {
    fn of(record: &'a Record, time: &'a str, captured: &'a Captured) -> Self {
        let call = &record.call;
        Self {
            id: &call.id,
            time,
            key: record.key.as_deref(),
            client: call.client.map_or(Client::Unix, Client::At),
            method: call.method.as_str(),
            path: &call.path,
            route: &call.route,
            upstream: record.upstream.as_deref(),
            model: record.model.as_deref(),
            stream: record.stream,
            messages: None,
            parameters: None,
            body_bytes: record.body_bytes,
            status: record.status,
            answer: captured.answer.as_ref(),
            usage: captured.usage.as_deref(),
            ttft_ms: record.ttft.map(milliseconds),
            duration_ms: milliseconds(record.duration),
            prompt_tokens: captured.prompt_tokens,
            completion_tokens: captured.completion_tokens,
            attempts: record.attempts,
            ended: record.ended.unwrap_or(Ended::Aborted).as_str(),
            error: record.error.as_deref(),
            truncated: captured.truncated,
        }
    }
}

// === impl Members ===

impl<'a> Members<'a> {
    /// Takes `messages` out, and what the line says elsewhere.
    fn part(&mut self) -> Option<&'a RawValue> {
        let messages = self.0.iter().rfind(|(name, _)| name == "messages").map(|(_, raw)| *raw);
        self.0.retain(|(name, _)| !matches!(&**name, "messages" | "model" | "stream"));
        messages
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((name, raw)) = map.next_entry::<Cow<'de, str>, _>()? {
                    members.push((name, raw));
                }
                Ok(Members(members))
            }
        }
        json.deserialize_map(Object)
    }
}

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        json.collect_map(self.0.iter().map(|(name, raw)| (name, raw)))
    }
}

#[cfg(test)]
mod tests;
