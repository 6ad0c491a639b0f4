//! What the JSON body of a request asks for, without building the document.
//!
//! Why so strict about doubles: a host whose parser reads another `model` than ours would let a
//! client past the list of models that its key may use.
//! The trap: hosts written in Go (Ollama, LocalAI) read `Model` as `model`; so that is refused too.

use serde_json::value::RawValue;

use super::fields::{Picked, pick, value};

/// How deep a body may nest: what serde_json, and with it many a host, can read.
const DEPTH: usize = 127;

const KEYS: [&str; 10] = [
    "model",
    "stream",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "user",
    "caching",
    "n",
    "best_of",
    "stream_options",
];
const MODEL: usize = 0;

/// What a body asks for. Members of an odd type count as absent, except `model`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ask {
    /// `model`; `None` when absent or null.
    pub model: Option<String>,
    /// `stream` is true.
    pub stream: bool,
    /// The largest of `max_completion_tokens`, `max_tokens` and `max_output_tokens`: hosts differ in
    /// which of them they read.
    pub max_tokens: Option<u64>,
    /// `user`.
    pub user: Option<String>,
    /// `caching`: the client's own wish about the cache.
    pub caching: Option<bool>,
    /// `stream_options.include_usage` is true.
    pub include_usage: bool,
    /// `n`: how many answers.
    pub n: Option<u64>,
    /// `best_of`: how many texts are made for them, in the older API.
    pub best_of: Option<u64>,
}

/// Why a body cannot be relied upon; each says it to the client.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// Nothing but white space.
    #[error("the body is empty")]
    Empty,
    /// Not JSON; the message tells line and column.
    #[error("the body is not valid JSON: {0}")]
    Syntax(serde_json::Error),
    /// Not UTF-8; both count from 1, the column in bytes.
    #[error("the body is not valid UTF-8 at line {line} column {column}")]
    NotUtf8 {
        /// The line of the first bad byte.
        line: usize,
        /// Its column.
        column: usize,
    },
    /// Deeper than the hosts' parsers can be expected to read.
    #[error("the body is nested deeper than 127 levels")]
    TooDeep,
    /// Valid JSON of another type.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// Two parsers could read two different values.
    #[error("`{0}` appears twice")]
    Twice(&'static str),
    /// `Model` or the like, which some hosts read as `model` and others do not.
    #[error("`model` is written in other letters: names of members are lower case")]
    Recased,
    /// `model` is a number, an array, a text that is no Unicode.
    #[error("`model` is not a string")]
    ModelType,
}

/// Reads what `body` asks for.
pub fn peek(body: &[u8]) -> Result<Ask, Broken> {
    if body.trim_ascii().is_empty() {
        return Err(Broken::Empty);
    }
    let text = str::from_utf8(body).map_err(|error| not_utf8(&body[..error.valid_up_to()]))?;
    if too_deep(body) {
        return Err(Broken::TooDeep);
    }
    let picked = pick(text, &KEYS)?;
    refuse_doubles(&picked, &KEYS)?;
    if picked.recased[MODEL] {
        return Err(Broken::Recased);
    }
    let [model, stream, chat, completion, output, user, caching, n, best_of, options] =
        picked.values;
    let model: Option<Option<String>> = model
        .map(|raw| serde_json::from_str(raw.get()))
        .transpose()
        .map_err(|_| Broken::ModelType)?;
    Ok(Ask {
        model: model.flatten(),
        stream: value(stream).unwrap_or_default(),
        max_tokens: [chat, completion, output].into_iter().filter_map(value).max(),
        user: value(user),
        caching: value(caching),
        include_usage: options.map_or(Ok(false), include_usage)?,
        n: value(n),
        best_of: value(best_of),
    })
}

fn include_usage(options: &RawValue) -> Result<bool, Broken> {
    const KEYS: [&str; 1] = ["include_usage"];
    let Ok(picked) = pick(options.get(), &KEYS) else {
        return Ok(false);
    };
    refuse_doubles(&picked, &KEYS)?;
    Ok(value(picked.values[0]).unwrap_or_default())
}

fn refuse_doubles<const N: usize>(
    picked: &Picked<'_, N>,
    keys: &[&'static str; N],
) -> Result<(), Broken> {
    let twice = picked.twice.iter().position(|twice| *twice);
    twice.map_or(Ok(()), |at| Err(Broken::Twice(keys[at])))
}

fn not_utf8(before: &[u8]) -> Broken {
    let line = 1 + memchr::memchr_iter(b'\n', before).count();
    let start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
    Broken::NotUtf8 { line, column: before.len() - start + 1 }
}

/// Counts brackets outside strings. The parser itself steps over any depth and would not mind.
fn too_deep(body: &[u8]) -> bool {
    // Few brackets cannot nest deep, wherever they stand.
    if memchr::memchr2_iter(b'[', b'{', body).nth(DEPTH).is_none() {
        return false;
    }
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = body.get(at) {
        at += 1;
        match byte {
            b'"' => at = after_string(body, at),
            b'[' | b'{' if depth == DEPTH => return true,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

fn after_string(body: &[u8], mut at: usize) -> usize {
    while let Some(n) = body.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += n + 1;
        if body[at - 1] == b'"' {
            return at;
        }
        at += 1;
    }
    body.len()
}

// === impl Ask ===

impl Ask {
    /// The most tokens that all answers may have together; `None` when nothing bounds them.
    #[must_use]
    pub fn completion_most(&self) -> Option<u64> {
        let answers = self.n.max(self.best_of).unwrap_or(1).max(1);
        self.max_tokens.map(|most| most.saturating_mul(answers))
    }
}

// === impl Broken ===

impl From<serde_json::Error> for Broken {
    fn from(error: serde_json::Error) -> Self {
        // The only thing of another type that stops the reading is the document itself.
        if error.is_data() { Self::NotAnObject } else { Self::Syntax(error) }
    }
}

#[cfg(test)]
mod tests;
