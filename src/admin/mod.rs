//! The second listener: health, readiness, metrics and status, never on the public port.
//!
//! Why axum: it is not a proxy's path, and a well-kept router beats our own.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::cache::Shelf;
use crate::chatlog::ChatLog;
use crate::drain::Drain;
use crate::limit::{KeyId, Limiter};
use crate::metrics::{LogState, Metrics};
use crate::pool::{HostState, HostView, Upstream};
use crate::secret::Secret;
use crate::user::Users;

mod cache;

/// What the admin listener shows.
#[derive(Clone)]
pub struct Admin {
    /// Asked of callers of `/status` and `/metrics`, if any.
    pub token: Option<Secret>,
    /// Whose keys are known.
    pub users: Arc<Users>,
    /// How much each of them may do.
    pub limiter: Limiter,
    /// The upstreams and their hosts.
    pub upstreams: Arc<[Upstream]>,
    /// All counters.
    pub metrics: Metrics,
    /// Requests under way, and whether the process is ending.
    pub drain: Drain,
    /// The chat log, when it is on.
    pub chat_log: Option<ChatLog>,
    /// The answer cache, when it is on.
    pub shelf: Option<Arc<Shelf>>,
    /// When the house was opened.
    pub started: Instant,
}

// === impl Admin ===

impl Admin {
    /// Serves the listener until it is dropped.
    pub async fn serve(self, listener: TcpListener) {
        if let Err(error) = axum::serve(listener, self.router()).await {
            log::error!("the admin listener ended: {error}");
        }
    }

    fn router(self) -> Router {
        let inside = Router::new()
            .route("/status", get(status))
            .route("/metrics", get(metrics))
            .route("/cache/purge", post(cache::purge))
            .layer(from_fn_with_state(self.clone(), guard));
        Router::new()
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(ready))
            .merge(inside)
            .with_state(self)
    }

    fn log_state(&self) -> LogState {
        self.chat_log.as_ref().map_or_else(LogState::default, |log| LogState {
            records: log.queued_records(),
            bytes: log.queued_bytes(),
            dropped: log.dropped(),
        })
    }

    /// Requests under way of the keys that have a limit of them, where there are any.
    fn busy_keys(&self) -> BTreeMap<&str, usize> {
        let users = self.users.each();
        let busy = users.map(|user| (&*user.name, self.limiter.in_flight(KeyId(user.place))));
        busy.filter(|(_, in_flight)| *in_flight > 0).collect()
    }

    fn status(&self) -> Value {
        let log = self.log_state();
        let upstreams: Vec<Value> = self.upstreams.iter().map(upstream_status).collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_seconds": self.started.elapsed().as_secs(),
            "draining": self.drain.is_draining(),
            "in_flight": self.drain.under_way(),
            "upstreams": upstreams,
            "keys": self.users.names(),
            "limits": { "counters": self.limiter.counters(), "in_flight": self.busy_keys() },
            "cache": cache::status(self.shelf.as_deref()),
            "chat_log": {
                "on": self.chat_log.is_some(),
                "queued_records": log.records,
                "queued_bytes": log.bytes,
                "written": self.chat_log.as_ref().map_or(0, ChatLog::written),
                "dropped": log.dropped,
            },
        })
    }
}

fn upstream_status(upstream: &Upstream) -> Value {
    json!({
        "name": upstream.name,
        "hosts": upstream.hosts().iter().map(|host| host_status(&host.view())).collect::<Vec<_>>(),
        "queued": upstream.queued(),
        "keys": upstream.key_count(),
        "keys_resting": upstream.keys_resting(),
    })
}

fn host_status(view: &HostView) -> Value {
    json!({
        "host": view.label,
        "tls": view.tls,
        "in_flight": view.in_flight,
        "state": view.state.name(),
        "since_seconds": view.since.elapsed().as_secs(),
        "first_byte_ms": view.first_byte_ms,
    })
}

async fn guard(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    match &admin.token {
        Some(token) if !carries(request.headers(), token) => {
            let body = "a bearer token is asked here (admin.token in the configuration)\n";
            (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], body).into_response()
        }
        _ => next.run(request).await,
    }
}

fn carries(headers: &HeaderMap, token: &Secret) -> bool {
    let value = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    value.and_then(|value| value.strip_prefix(b"Bearer ")).is_some_and(|key| token.matches(key))
}

async fn ready(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    match admin.drain.is_draining() {
        true => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        false => (StatusCode::OK, "ready\n"),
    }
}

async fn status(State(admin): State<Admin>) -> Json<Value> {
    Json(admin.status())
}

async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    admin.metrics.note_log(admin.log_state());
    admin.metrics.note_limits(admin.limiter.counters());
    if let Some(shelf) = &admin.shelf {
        let counts = shelf.counts().unwrap_or_default();
        admin.metrics.note_cache(shelf.served.each(), counts.entries, counts.bytes);
        admin.metrics.note_cache_errors(shelf.lost.each());
    }
    for upstream in admin.upstreams.iter() {
        admin.metrics.note_queue(&upstream.name, upstream.queued());
        for host in upstream.hosts() {
            let view = host.view();
            let up = matches!(view.state, HostState::Up | HostState::Resting);
            admin.metrics.host(&upstream.name, &host.label).note(view.in_flight, up);
        }
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], admin.metrics.text())
}
