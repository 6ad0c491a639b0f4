//! Every way aifd says no: one place, so that each sentence a client may read can be read here.
//!
//! Why one type: rooms decide, `edge/reply.rs` alone writes; the shape is OpenAI's error object
//! (`{"error":{"message","type","param","code"}}`, API reference, "Error codes").

use std::fmt::Display;
use std::time::Duration;

use serde::Serialize;

mod older;

pub use older::{Failed, Older};

/// An answer that aifd gives itself instead of the upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// `error.type`.
    pub kind: &'static str,
    /// `error.code`.
    pub code: &'static str,
    /// `error.param`.
    pub param: Option<&'static str>,
    /// `error.message`.
    pub message: String,
    /// When trying again makes sense.
    pub retry_after: Option<Duration>,
    /// How openai-forward said it.
    pub older: Option<Box<Older>>,
}

const INVALID: &str = "invalid_request_error";
const SERVER: &str = "server_error";
const LIMITED: &str = "rate_limit_exceeded";
const FLOOD: &str = "too_many_unknown_keys";

/// `value` for people: at most 100 characters, so that nobody's megabyte comes back.
fn clip(value: &str) -> String {
    match value.char_indices().nth(100) {
        Some((at, _)) => format!("{}…", &value[..at]),
        None => value.to_owned(),
    }
}

// === impl Refusal ===

impl Refusal {
    fn new(status: u16, kind: &'static str, code: &'static str, message: String) -> Self {
        Self { status, kind, code, param: None, message, retry_after: None, older: None }
    }

    fn invalid(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self::new(status, INVALID, code, message.into())
    }

    fn server(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self::new(status, SERVER, code, message.into())
    }

    fn about(mut self, param: &'static str) -> Self {
        self.param = Some(param);
        self
    }

    /// With what openai-forward said in its place.
    #[must_use]
    pub fn as_of_old(mut self, older: Older) -> Self {
        self.older = Some(Box::new(older));
        self
    }

    fn again_in(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The response body.
    #[must_use]
    pub fn body(&self) -> String {
        serde_json::to_string(&self.shape()).expect("strings always serialize")
    }

    /// The same object as one SSE event, for a stream that has already begun.
    #[must_use]
    pub fn event(&self) -> String {
        format!("data: {}\n\n", self.body())
    }

    fn shape(&self) -> Shape<'_> {
        Shape {
            error: Inner {
                message: &self.message,
                kind: self.kind,
                param: self.param,
                code: self.code,
            },
        }
    }

    // --- who may come in ---

    /// No key at all.
    #[must_use]
    pub fn no_key() -> Self {
        let message = "No API key was sent: put yours into the Authorization header, as \
                       `Authorization: Bearer YOUR_KEY`.";
        Self::invalid(401, "invalid_api_key", message)
    }

    /// A key that nobody here has.
    #[must_use]
    pub fn unknown_key() -> Self {
        let message = "The API key is not known to this server: check the key your client sends.";
        Self::invalid(401, "invalid_api_key", message)
    }

    /// Several credentials that disagree, or one that is no text.
    #[must_use]
    pub fn ambiguous_key() -> Self {
        let message = "The request carries more than one API key: send exactly one.";
        Self::invalid(401, "invalid_api_key", message)
    }

    // --- how much ---

    /// One request too many for a limit.
    #[must_use]
    pub fn requests(limit: &impl Display, wait: Option<Duration>) -> Self {
        let message = format!("Your limit of requests is reached: {limit}. Try again later.");
        let older = Older::Limit(format!("Rate limit exceeded: {limit}"));
        Self { retry_after: wait, ..Self::new(429, "requests", LIMITED, message) }.as_of_old(older)
    }

    /// Too many tokens for a limit.
    #[must_use]
    pub fn tokens(limit: &impl Display, wait: Option<Duration>) -> Self {
        let message = format!("Your limit of tokens is reached: {limit}. Try again later.");
        Self { retry_after: wait, ..Self::new(429, "tokens", LIMITED, message) }
    }

    /// More tokens than a limit ever lets through.
    #[must_use]
    pub fn too_many_tokens(limit: &impl Display, tokens: u64) -> Self {
        let message = format!(
            "The request is too large for your limit of tokens, {limit}: it may take {tokens}. \
             Send less, or ask for fewer with `max_tokens`."
        );
        Self::new(429, "tokens", LIMITED, message)
    }

    /// As many requests of one key are under way as may be.
    #[must_use]
    pub fn in_flight(most: usize) -> Self {
        let message = format!("{most} requests of yours are under way, and no more may be.");
        Self::new(429, "requests", LIMITED, message).again_in(Duration::from_secs(1))
    }

    /// The limits cannot be asked, and nobody is let in without.
    #[must_use]
    pub fn no_limiter() -> Self {
        let message = "Your limits cannot be checked at the moment: try again shortly.";
        Self::server(503, "limits_unavailable", message).again_in(Duration::from_secs(1))
    }

    /// Too many requests from one address, none of them with a known key.
    #[must_use]
    pub fn flood(wait: Duration) -> Self {
        let message = "Too many requests without a known API key come from your address.";
        Self::new(429, "requests", FLOOD, message.into()).again_in(wait)
    }

    /// Whether it is that one: nobody wants a line in a log for each.
    #[must_use]
    pub fn is_flood(&self) -> bool {
        self.code == FLOOD
    }

    /// An address that is not let in.
    #[must_use]
    pub fn address() -> Self {
        let words = "Your address may not use this server.";
        let older = Older::detail(403, "Forbidden Error");
        Self::invalid(403, "address_not_allowed", words).as_of_old(older)
    }

    /// A model outside the key's list.
    #[must_use]
    pub fn model(model: Option<&str>) -> Self {
        let message = match model {
            Some(name) => format!(
                "The model `{}` does not exist or your API key has no access to it.",
                clip(name)
            ),
            None => "Your API key is limited to certain models, and the request names none.".into(),
        };
        let refusal = Self::invalid(403, "model_not_found", message).about("model");
        match model.map(clip) {
            Some(name) => {
                refusal.as_of_old(Older::detail(403, format!("model: {name} is not allowed")))
            }
            None => refusal,
        }
    }

    /// A key of a level for which the upstream has no key.
    #[must_use]
    pub fn no_key_for(upstream: &str, level: u32) -> Self {
        let message =
            format!("Upstream `{upstream}` has no key for API keys of level {level}, as yours is.");
        Self::invalid(403, "no_key_for_level", message)
    }

    // --- what was asked ---

    /// No route covers the path.
    #[must_use]
    pub fn no_route(method: &str, path: &str) -> Self {
        let message = format!("No route here for {} {}.", clip(method), clip(path));
        Self::invalid(404, "unknown_url", message).as_of_old(Older::detail(404, "Not Found"))
    }

    /// A path that could mean another one to somebody else.
    #[must_use]
    pub fn bad_path(why: &str) -> Self {
        Self::invalid(400, "invalid_path", format!("The path of the request {why}."))
    }

    /// A body that is not the JSON it should be.
    #[must_use]
    pub fn bad_json(why: &str) -> Self {
        let message = format!("The body of the request is not a JSON object: {why}.");
        Self::invalid(400, "invalid_json", message)
    }

    /// A body in which the model cannot be read, for a key that may not use every model.
    #[must_use]
    pub fn unreadable_model() -> Self {
        let message = "Your API key is limited to certain models, and the model cannot be read \
                       from this kind of body: send plain JSON.";
        Self::invalid(415, "model_not_readable", message).about("model")
    }

    /// A body beyond the limit (bytes).
    #[must_use]
    pub fn too_large(limit: u64) -> Self {
        let message = format!("The body of the request is larger than {limit} bytes.");
        Self::invalid(413, "request_too_large", message)
    }

    /// A body that did not arrive in time.
    #[must_use]
    pub fn slow_body(limit: Duration) -> Self {
        let limit = humantime::format_duration(limit);
        let message = format!("The body of the request did not arrive within {limit}.");
        Self::invalid(408, "request_timeout", message)
    }

    /// A body that ended before its announced length, or whose framing is broken.
    #[must_use]
    pub fn cut_body() -> Self {
        let message = "The body of the request ended early or is framed wrongly.";
        Self::invalid(400, "incomplete_body", message)
    }

    /// All memory for bodies is in use.
    #[must_use]
    pub fn no_memory() -> Self {
        let message = "Too many large requests are being read at the moment: try again shortly.";
        Self::server(503, "body_memory_exhausted", message).again_in(Duration::from_secs(1))
    }

    // --- what the upstream did ---

    /// No host could be reached.
    #[must_use]
    pub fn unreachable(upstream: &str) -> Self {
        let message = format!("No host of upstream `{upstream}` could be reached.");
        Self::server(502, "upstream_unreachable", message)
    }

    /// No host name could be resolved.
    #[must_use]
    pub fn unresolved(upstream: &str) -> Self {
        let message = format!("No host name of upstream `{upstream}` could be resolved.");
        Self::server(502, "upstream_unresolved", message)
    }

    /// Every host has as much to do as it may, and those who wait are enough.
    #[must_use]
    pub fn busy(upstream: &str, wait: Duration) -> Self {
        let message = format!("Every host of upstream `{upstream}` is busy: try again later.");
        Self::server(503, "upstream_busy", message).again_in(wait)
    }

    /// The upstream asked to be left alone for a while.
    #[must_use]
    pub fn rate_limited(upstream: &str, wait: Duration) -> Self {
        let message = format!("Upstream `{upstream}` limits its rate: try again later.");
        Self::new(429, "requests", "upstream_rate_limited", message).again_in(wait)
    }

    /// What this server may spend at the upstream is spent.
    #[must_use]
    pub fn quota(upstream: &str, wait: Duration) -> Self {
        let message = format!("The quota of this server at upstream `{upstream}` is spent.");
        Self::new(429, "insufficient_quota", "upstream_quota", message).again_in(wait)
    }

    /// The upstream accepts no key of this server.
    #[must_use]
    pub fn key_refused(upstream: &str) -> Self {
        let message = format!("Upstream `{upstream}` does not accept the key of this server.");
        Self::server(502, "upstream_key_refused", message)
    }

    /// The host's certificate or handshake was refused.
    #[must_use]
    pub fn untrusted(upstream: &str) -> Self {
        let message = format!("The TLS handshake with a host of upstream `{upstream}` failed.");
        Self::server(502, "upstream_tls", message)
    }

    /// The host answered something that is no HTTP, or broke off.
    #[must_use]
    pub fn broken(upstream: &str) -> Self {
        let message = format!("Upstream `{upstream}` broke off its answer.");
        Self::server(502, "upstream_broken", message)
    }

    /// A timeout of the upstream's; `phase` says which.
    #[must_use]
    pub fn timeout(upstream: &str, phase: &str) -> Self {
        let message = format!("Upstream `{upstream}` took too long: {phase}.");
        Self::server(504, "upstream_timeout", message)
    }

    /// A request that cannot be passed on as it is (for instance a forbidden `Connection` list).
    #[must_use]
    pub fn unforwardable() -> Self {
        let message = "The headers of the request cannot be passed on.";
        Self::invalid(400, "invalid_headers", message)
    }

    /// Our own fault.
    #[must_use]
    pub fn internal() -> Self {
        Self::server(500, "internal_error", "The proxy failed: its log says why.")
    }
}

#[derive(Serialize)]
struct Shape<'a> {
    error: Inner<'a>,
}

#[derive(Serialize)]
struct Inner<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    param: Option<&'a str>,
    code: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_has_openais_shape() {
        let body: serde_json::Value =
            serde_json::from_str(&Refusal::model(Some("gpt \"9\"")).body()).unwrap();
        assert_eq!(body["error"]["code"], "model_not_found");
        assert_eq!(body["error"]["type"], "invalid_request_error");
        assert_eq!(body["error"]["param"], "model");
        assert!(body["error"]["message"].as_str().unwrap().contains("gpt \"9\""));
    }

    #[test]
    fn an_event_is_one_line_and_a_blank_one() {
        let event = Refusal::broken("a").event();
        assert!(event.starts_with("data: {") && event.ends_with("}\n\n"));
        assert_eq!(event.matches('\n').count(), 2);
    }

    #[test]
    fn nobodys_megabyte_comes_back() {
        let long = "ö".repeat(1 << 20);
        assert!(Refusal::model(Some(&long)).body().len() < 1000);
        assert!(Refusal::no_route("GET", &long).body().len() < 1000);
    }
}
