//! Every variable that openai-forward ever read, once, as data.
//!
//! Why a table: whether there is anything to read, where the YAML file says it, and whether it may
//! be shown, all come from one place.

use Tells::{InFile, Json, Nothing, Presence};

/// A variable.
pub(super) struct Known {
    pub(super) name: &'static str,
    /// Its path in the YAML file; several, where the file and the program disagreed.
    pub(super) yaml: &'static [&'static str],
    pub(super) tells: Tells,
    pub(super) shows: Shows,
}

/// What it tells that a variable is set.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tells {
    /// Nothing: other programs read it, too.
    Nothing,
    /// That there is a configuration, if it stands in the `.env`: OpenAI's own client reads it, too.
    InFile,
    /// That there is a configuration.
    Presence,
    /// The same, and that it is one of 0.7 or later.
    Json,
}

/// How its value may be shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shows {
    Value,
    /// All but a login in a URL.
    NoLogin,
    Nothing,
}

const fn known(name: &'static str, tells: Tells, yaml: &'static [&'static str]) -> Known {
    Known { name, yaml, tells, shows: Shows::Value }
}

const fn url(name: &'static str, tells: Tells, yaml: &'static [&'static str]) -> Known {
    Known { name, yaml, tells, shows: Shows::NoLogin }
}

const fn secret(name: &'static str, tells: Tells, yaml: &'static [&'static str]) -> Known {
    Known { name, yaml, tells, shows: Shows::Nothing }
}

#[rustfmt::skip]
pub(super) const KNOWN: &[Known] = &[
    url("OPENAI_BASE_URL", Presence, &[]),
    known("OPENAI_ROUTE_PREFIX", Presence, &[]),
    known("ROUTE_PREFIX", InFile, &[]),
    url("EXTRA_BASE_URL", Presence, &[]),
    known("EXTRA_ROUTE_PREFIX", Presence, &[]),
    url("FORWARD_CONFIG", Json, &["forward"]),
    secret("OPENAI_API_KEY", InFile, &[]),
    secret("OPENAI_API_KEY_CONFIG", Json, &["api_key.openai_key"]),
    secret("FORWARD_KEY", Presence, &[]),
    secret("FORWARD_KEY_CONFIG", Json, &["api_key.forward_key"]),
    known("LEVEL_MODELS", Json, &["api_key.level"]),
    known("ROUTE_RATE_LIMIT", Presence, &[]),
    known("REQ_RATE_LIMIT", Presence, &["rate_limit.req_rate_limit", "req_rate_limit"]),
    known("GLOBAL_RATE_LIMIT", Presence, &["rate_limit.global_rate_limit"]),
    known("RATE_LIMIT_STRATEGY", Presence, &["rate_limit.strategy"]),
    url("REQ_RATE_LIMIT_BACKEND", Presence, &["rate_limit.req_rate_limit_backend", "req_rate_limit_backend", "rate_limit.backend"]),
    known("TOKEN_RATE_LIMIT", Presence, &["rate_limit.token_rate_limit"]),
    known("TIMEOUT", Nothing, &["timeout"]),
    known("ITER_CHUNK_TYPE", Presence, &["rate_limit.iter_chunk"]),
    known("CHAT_COMPLETION_ROUTE", Presence, &["chat_completion_route"]),
    known("COMPLETION_ROUTE", Presence, &["completion_route"]),
    known("EMBEDDING_ROUTE", Presence, &["embedding_route"]),
    known("CUSTOM_GENERAL_ROUTE", Json, &["custom_general_route"]),
    known("CUSTOM_MODEL_CONFIG", Json, &["custom_model_config"]),
    known("LOG_CHAT", Presence, &[]),
    known("LOG_OPENAI", Json, &["log.openai"]),
    known("LOG_GENERAL", Json, &["log.general"]),
    known("PRINT_CHAT", Presence, &["print_chat"]),
    known("CACHE_CHAT_COMPLETION", Presence, &[]),
    known("CACHE_EMBEDDING", Presence, &[]),
    known("CACHE_OPENAI", Json, &["cache.openai"]),
    known("CACHE_GENERAL", Json, &["cache.general"]),
    known("CACHE_ROUTES", Json, &["cache.routes"]),
    known("CACHE_BACKEND", Presence, &["cache.backend"]),
    url("CACHE_ROOT_PATH_OR_URL", Presence, &["cache.root_path_or_url"]),
    known("DEFAULT_REQUEST_CACHING_VALUE", Presence, &["cache.default_request_caching_value"]),
    known("LOG_CACHE_DB_INFO", Presence, &["log_cache_db_info"]),
    known("DEFAULT_STREAM_RESPONSE", Json, &["default_stream_response"]),
    url("PROXY", Nothing, &["proxy"]),
    known("IP_WHITELIST", Presence, &["ip_whitelist"]),
    known("IP_BLACKLIST", Presence, &["ip_blacklist"]),
    known("BENCHMARK_MODE", Presence, &["benchmark_mode"]),
    known("TZ", Nothing, &["tz"]),
    known("ssl_keyfile", Nothing, &[]),
    known("ssl_certfile", Nothing, &[]),
    known("WEBUI_RESTART_PORT", Presence, &["webui_restart_port"]),
    known("WEBUI_LOG_PORT", Presence, &["webui_log_port"]),
    known("OPENAI_FORWARD_WEBUI", Presence, &[]),
    known("OPENAI_FORWARD_HOST", Presence, &[]),
    known("RATELIMIT_ENABLED", Nothing, &[]),
    known("RATELIMIT_HEADERS_ENABLED", Nothing, &[]),
    url("RATELIMIT_STORAGE_URL", Nothing, &[]),
    known("RATELIMIT_DEFAULT", Nothing, &[]),
    known("RATELIMIT_APPLICATION", Nothing, &[]),
    known("RATELIMIT_STRATEGY", Nothing, &[]),
    known("RATELIMIT_KEY_PREFIX", Nothing, &[]),
    known("RATELIMIT_SWALLOW_ERRORS", Nothing, &[]),
    known("RATELIMIT_IN_MEMORY_FALLBACK", Nothing, &[]),
    known("RATELIMIT_IN_MEMORY_FALLBACK_ENABLED", Nothing, &[]),
];

pub(super) fn find(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == name)
}
