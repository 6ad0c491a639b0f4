//! `POST /benchmark/v1/chat/completions`: answers that no host gives, to measure aifd by itself.
//!
//! Why on the way of kept answers: keys, limits, pace, the tap and the counting are those of any call,
//! so what is measured is what a call costs. Nothing here waits.
//! The trap: the text is cut once, not for each call; a stream is one piece, and only a pace cuts it.

use std::fmt::Write;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use pingora::Result;
use pingora::http::RequestHeader;
use pingora::proxy::Session;

use super::follow::Following;
use super::source::Source;
use crate::cache::pieces;
use crate::edge::Edge;
use crate::edge::ctx::Ctx;
use crate::wire::cost::Cost;
use crate::wire::tally::Tally;

/// Whose turn it is.
#[derive(Debug, Default)]
pub(in crate::edge) struct Canned(AtomicUsize);

/// One text, in JSON.
struct Text {
    whole: String,
    pieces: Vec<String>,
    tokens: u64,
}

/// What one answer says besides its text.
struct Said<'a> {
    id: &'a str,
    created: i64,
    /// In JSON.
    model: &'a str,
}

const PATH: &str = "/benchmark/v1/chat/completions";

/// The model of a request that names none.
const ROBOT: &str = "robot";

const TEXTS: [&str; 5] = [
    "小溪绕过石头，从不与它争辩；一百年后，石头变圆了，小溪还在唱歌。\n\"The brook goes round the stone \
     and never argues with it; a hundred years later the stone is round, and the brook is still singing.\"\n",
    "守灯塔的人不问船从哪里来，他只管把灯擦亮，让每一条船都找到回家的路。\n\"The keeper of the lighthouse \
     does not ask where a ship comes from; he polishes the lamp, and every ship finds its way home.\"\n",
    "老钟表匠说：慢一点没有关系，只要每一下都走得准，天亮总会按时来到。\n\"The old watchmaker said: it does \
     not matter to be slow, as long as every tick is true; the morning will come in time.\"\n",
    "桥不属于任何一边的岸，所以两岸的人都说它是自己的，也都在上面慢慢走。\n\"A bridge belongs to neither bank, \
     and so the people of both call it theirs, and all of them walk slowly when they cross it.\"\n",
    "下雪的夜里，邮差在每扇门前停一停，他带来的信不多，脚印却连成了一条街。\n\"On a night of snow the postman \
     stops at every door; he brings few letters, but his footprints make the houses a street.\"\n",
];

static CUT: LazyLock<Vec<Text>> =
    LazyLock::new(|| TEXTS.iter().map(|text| Text::of(text)).collect());

// === impl Edge ===

impl Edge {
    /// Whether a request is for the benchmark route, and there is one.
    pub(in crate::edge) fn is_canned(&self, request: &RequestHeader) -> bool {
        self.server.benchmark && request.method == Method::POST && request.uri.path() == PATH
    }

    /// Answers such a request.
    pub(in crate::edge) async fn canned(
        &self,
        session: &mut Session,
        ctx: &mut Ctx,
    ) -> Result<bool> {
        ctx.stage("canned");
        let following = Following::new(self.canned.answer(ctx), ctx, false);
        self.follow(session, ctx, following).await?;
        Ok(true)
    }
}

// === impl Canned ===

impl Canned {
    fn answer(&self, ctx: &Ctx) -> Source {
        let turn = self.0.fetch_add(1, Ordering::Relaxed);
        let text = &CUT[turn % CUT.len()];
        let ask = &ctx.heard.ask;
        let said = Said {
            id: ctx.visit.id.trim_start_matches("req_"),
            created: ctx.visit.arrived_at.as_second(),
            model: &json(ask.model.as_deref().unwrap_or(ROBOT)),
        };
        let mut headers = HeaderMap::new();
        let (media, body) = match ask.stream {
            true => ("text/event-stream", said.stream(text)),
            false => {
                let prompt = ctx.heard.body.as_deref().map_or(0, |body| Cost::of(ask, body).prompt);
                ("application/json", said.whole(text, prompt))
            }
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
        if !ask.stream {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        Source::canned(headers, ask.stream, Bytes::from(body))
    }
}

// === impl Said ===

impl Said<'_> {
    fn whole(&self, text: &Text, prompt: u64) -> String {
        let Self { id, created, model } = self;
        let Text { whole, tokens, .. } = text;
        format!(
            "{{\"id\":\"chatcmpl-{id}\",\"object\":\"chat.completion\",\"created\":{created},\"model\":{model},\
             \"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":{whole},\
             \"tool_calls\":null}},\"finish_reason\":\"stop\"}}],\"usage\":{{\"prompt_tokens\":{prompt},\
             \"completion_tokens\":{tokens},\"total_tokens\":{}}},\"system_fingerprint\":\"fp_0123456789\"}}\n",
            prompt + tokens
        )
    }

    fn stream(&self, text: &Text) -> String {
        let Self { id, created, model } = self;
        let before = format!(
            "data: {{\"id\":\"chatcmpl-{id}\",\"model\":{model},\"choices\":[{{\"index\":0,\"delta\":{{"
        );
        let after = format!(
            "}}],\"object\":\"chat.completion.chunk\",\"created\":{created},\
             \"system_fingerprint\":\"fp_0123456789\"}}\n\n"
        );
        let longest = before.len() + after.len() + 64;
        let mut events = String::with_capacity((text.pieces.len() + 3) * longest);
        let mut event = |delta: &str, finish: &str| {
            // A text takes all that is written to it.
            let _ = write!(events, "{before}{delta}}},\"finish_reason\":{finish}{after}");
        };
        event("\"role\":\"assistant\"", "null");
        for piece in &text.pieces {
            event(piece, "null");
        }
        event("", "\"stop\"");
        events.push_str("data: [DONE]\n\n");
        events
    }
}

// === impl Text ===

impl Text {
    fn of(text: &str) -> Self {
        let mut tally = Tally::default();
        tally.text(text.as_bytes());
        let whole = json(text);
        let pieces = pieces(&whole[1..whole.len() - 1]);
        let pieces = pieces.map(|piece| format!("\"content\":\"{piece}\"")).collect();
        Self { whole, pieces, tokens: tally.tokens() }
    }
}

fn json(text: &str) -> String {
    serde_json::to_string(text).expect("a text always serializes")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const SAID: Said<'static> = Said { id: "0f", created: 7, model: "\"m \\\"1\\\"\"" };

    #[test]
    fn texts_are_cut_as_a_host_might_say_them() {
        for (text, cut) in TEXTS.iter().zip(CUT.iter()) {
            let said = cut.pieces.iter().map(|piece| format!("{{{piece}}}"));
            let said = said.map(|piece| serde_json::from_str::<Value>(&piece).unwrap());
            let said: String = said.map(|it| it["content"].as_str().unwrap().to_owned()).collect();
            assert_eq!((&*said, cut.pieces.len() > 60), (*text, true));
        }
    }

    #[test]
    fn answers_have_the_shape_of_openai() {
        let text = Text::of("a b");
        assert_eq!(
            SAID.whole(&text, 3),
            "{\"id\":\"chatcmpl-0f\",\"object\":\"chat.completion\",\"created\":7,\"model\":\"m \\\"1\\\"\",\
            \"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"a b\",\
            \"tool_calls\":null},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,\
            \"completion_tokens\":1,\"total_tokens\":4},\"system_fingerprint\":\"fp_0123456789\"}\n"
        );
        let stream = SAID.stream(&text);
        let events: Vec<&str> = stream.split_terminator("\n\n").collect();
        let delta = |event: &str| -> Value {
            serde_json::from_str::<Value>(event.strip_prefix("data: ").unwrap()).unwrap()
        };
        assert_eq!(
            events[1],
            "data: {\"id\":\"chatcmpl-0f\",\"model\":\"m \\\"1\\\"\",\"choices\":[{\"index\":0,\
            \"delta\":{\"content\":\"a\"},\"finish_reason\":null}],\"object\":\"chat.completion.chunk\",\
            \"created\":7,\"system_fingerprint\":\"fp_0123456789\"}"
        );
        assert_eq!(delta(events[0])["choices"][0]["delta"]["role"], "assistant");
        assert_eq!(delta(events[3])["choices"][0]["finish_reason"], "stop");
        assert_eq!((events.len(), events[4]), (5, "data: [DONE]"));
    }
}
