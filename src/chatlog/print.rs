//! Chats on the console, as they end.
//!
//! Why a thread of its own: a terminal that is stopped must not hold up the log, let alone a call.
//! What finds the queue full is left out and counted.
//! The trap: a text may hold what steers a terminal; nothing of it gets there but its line ends.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use super::answer::cut;
use super::api::Api;
use super::first;
use super::record::Record;
use crate::pyrepr::Value;
use crate::wire::fields::members;

/// Chats that may wait.
const QUEUE: usize = 256;

/// As much of one is shown, bytes.
const MOST: usize = 64 * 1024;

/// How long the end of the process waits for what is still to be printed.
const PATIENCE: Duration = Duration::from_secs(1);

/// Prints chats.
pub(super) struct Printer {
    /// `None` once there is no more to print.
    queue: Option<SyncSender<String>>,
    lost: Arc<AtomicU64>,
    colours: bool,
    /// Closed when the thread has ended.
    ended: Receiver<()>,
}

/// Who speaks.
#[derive(Clone, Copy)]
enum Voice {
    System,
    User,
    Assistant,
    Other,
}

// === impl Printer ===

impl Printer {
    pub(super) fn stdout() -> io::Result<Self> {
        let colours = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self::start(io::stdout(), colours)
    }

    fn start(mut out: impl Write + Send + 'static, colours: bool) -> io::Result<Self> {
        let (queue, chats) = sync_channel::<String>(QUEUE);
        let (end, ended) = sync_channel(0);
        let lost = Arc::new(AtomicU64::new(0));
        let left_out = Arc::clone(&lost);
        std::thread::Builder::new().name("chat-print".to_owned()).spawn(move || {
            let _end: SyncSender<()> = end;
            for mut chat in chats {
                let lost = left_out.swap(0, Relaxed);
                if lost > 0 {
                    let _ = writeln!(chat, "({lost} chats were not printed: stdout was full)");
                }
                // A stdout that is closed is nobody's fault.
                let _ = out.write_all(chat.as_bytes()).and_then(|()| out.flush());
            }
        })?;
        Ok(Self { queue: Some(queue), lost, colours, ended })
    }

    /// Prints a call, if it is a chat.
    pub(super) fn tell(&self, record: &Record) {
        let Some(text) = text(record, self.colours) else { return };
        if let Some(queue) = &self.queue
            && queue.try_send(text).is_err()
        {
            self.lost.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for Printer {
    fn drop(&mut self) {
        self.queue = None;
        if let Err(RecvTimeoutError::Timeout) = self.ended.recv_timeout(PATIENCE) {
            log::warn!("some chats were not printed: stdout is stuck");
        }
    }
}

/// What is printed of a call.
fn text(record: &Record, colours: bool) -> Option<String> {
    if record.api != Some(Api::Chat) {
        return None;
    }
    let body = str::from_utf8(record.body.as_deref()?).ok()?;
    let [messages, model] = members(body, &["messages", "model"])?;
    let Value::List(messages) = first::value(messages?)? else { return None };
    let mut page = Page { text: String::new(), colours };
    page.line(Voice::Other, &"-".repeat(50));
    for message in &messages {
        page.message(message);
    }
    let model = model.and_then(first::value).unwrap_or(Value::None);
    let client = record.call.client.map_or_else(|| "unix".to_owned(), |client| client.to_string());
    let line = format!("{client}@{} uid: {}", model.as_str(), record.uid());
    page.line(Voice::Other, &line);
    page.line(Voice::Other, &"-".repeat(50));
    let answer = record.capture.kept().filter(|_| record.succeeded()).and_then(first::of_chat);
    if let Some(answer) = answer {
        page.line(Voice::Assistant, &"=".repeat(77));
        page.said(Voice::Assistant, "assistant", &answer.said.as_str());
        page.line(Voice::Other, &format!("uid: {}", record.uid()));
        page.line(Voice::Assistant, &"=".repeat(77));
    }
    Some(page.text)
}

struct Page {
    text: String,
    colours: bool,
}

// === impl Page ===

impl Page {
    fn message(&mut self, message: &Value) {
        let role = message.get("role").map_or_else(|| "message".into(), Value::as_str);
        let voice = match &*role {
            "system" | "developer" => Voice::System,
            "user" => Voice::User,
            "assistant" => Voice::Assistant,
            _ => Voice::Other,
        };
        let content = message.get("content").filter(|content| **content != Value::None);
        // An answer of before may be calls alone.
        let content = content.or_else(|| message.get("tool_calls")).unwrap_or(message);
        self.said(voice, &role, &content.as_str());
    }

    fn said(&mut self, voice: Voice, who: &str, what: &str) {
        let room = MOST.saturating_sub(self.text.len());
        let shown = cut(what, room);
        let rest = what.len() - shown.len();
        let more = if rest > 0 { format!(" ... ({rest} bytes more)") } else { String::new() };
        self.line(voice, &format!("{who}: {shown}{more}"));
    }

    fn line(&mut self, voice: Voice, line: &str) {
        let colour = match voice {
            _ if !self.colours => None,
            Voice::System => Some("31"),
            Voice::User => Some("33"),
            Voice::Assistant => Some("35"),
            Voice::Other => Some("34"),
        };
        // Writing to a String cannot fail.
        let _ = match colour {
            Some(colour) => writeln!(self.text, "\x1b[{colour}m{}\x1b[0m", Harmless(line)),
            None => writeln!(self.text, "{}", Harmless(line)),
        };
    }
}

/// A text of several lines without anything that steers a terminal.
struct Harmless<'t>(&'t str);

impl std::fmt::Display for Harmless<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '\n' | '\t' => f.write_char(letter)?,
                _ if letter.is_control() => write!(f, "{}", letter.escape_default())?,
                _ => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
