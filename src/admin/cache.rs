//! The answer cache as its operator sees it: what it did, what it holds, and how to make it forget.
//!
//! The trap: a purge that was meant for one key must never be one of all, so exactly one thing to
//! forget must be named, and `all` says `true`.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Admin;
use crate::cache::{Purge, Shelf, Tenant};

/// What shall be forgotten.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct What {
    key: Option<String>,
    model: Option<String>,
    all: Option<bool>,
}

type Refused = (StatusCode, &'static str);

const NOT_ONE: Refused =
    (StatusCode::BAD_REQUEST, "name one of: key=NAME of a key, model=NAME, all=true\n");

pub(super) fn status(shelf: Option<&Shelf>) -> Value {
    let Some(shelf) = shelf else { return json!({ "on": false }) };
    let (counts, [hit, miss, coalesced]) = (shelf.counts(), shelf.served.each());
    let [read, write, dropped] = shelf.lost.each();
    json!({
        "on": true,
        "up": shelf.is_up(),
        "entries": counts.map(|counts| counts.entries),
        "bytes": counts.map(|counts| counts.bytes),
        "evicted": counts.map(|counts| counts.evicted),
        "hits": hit.1,
        "misses": miss.1,
        "coalesced": coalesced.1,
        "store_errors": { "read": read.1, "write": write.1, "dropped": dropped.1 },
    })
}

/// `POST /cache/purge`: forgets what is kept for a key (for its whole group, if it is in one), of a
/// model, or everything.
pub(super) async fn purge(
    State(admin): State<Admin>,
    what: Result<Query<What>, QueryRejection>,
) -> Result<Json<Value>, Refused> {
    let Ok(Query(what)) = what else { return Err(NOT_ONE) };
    let Some(shelf) = admin.shelf.clone() else {
        return Err((StatusCode::CONFLICT, "there is no cache (cache.store = \"off\")\n"));
    };
    let label = what.key.as_deref().map(|name| label(&admin, name)).transpose()?;
    let purge: Box<dyn FnOnce(&Shelf) -> u64 + Send> = match (label, what.model, what.all) {
        (Some(label), None, None) => Box::new(move |shelf| shelf.purge(Purge::Tenant(&label))),
        (None, Some(model), None) => Box::new(move |shelf| shelf.purge(Purge::Model(&model))),
        (None, None, Some(true)) => Box::new(|shelf| shelf.purge(Purge::All)),
        _ => return Err(NOT_ONE),
    };
    let purged = tokio::task::spawn_blocking(move || purge(&shelf)).await;
    Ok(Json(json!({ "purged": purged.unwrap_or(0) })))
}

fn label(admin: &Admin, name: &str) -> Result<String, Refused> {
    let user = admin.users.each().find(|user| user.name == name);
    let user = user.ok_or((StatusCode::NOT_FOUND, "there is no key of this name\n"))?;
    Ok(Tenant::of_key(&user.name, user.cache_group.as_deref()).label())
}
