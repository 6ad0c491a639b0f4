//! `CACHE_*` as `[cache]`.
//!
//! Why one group for all forward keys: openai-forward served a kept answer to whoever asked the
//! same. All who have a forward key share still; who has none takes no part.
//! The trap: its own folder below the same root holds another program's tables, so ours has
//! another name.

use std::path::Path;

use super::Place;
use crate::config::compat::forward::{Forward, Paths};
use crate::config::human::OrOff;
use crate::config::raw;

/// The folder below `CACHE_ROOT_PATH_OR_URL`.
const FOLDER: &str = "CACHE_AIFD";

/// The group of all forward keys.
const GROUP: &str = "forward";

impl Place<'_> {
    pub(super) fn cache(&mut self, forward: &Forward) -> raw::Cache {
        self.origins.add("cache.path", &["CACHE_ROOT_PATH_OR_URL"]);
        self.origins.add("cache.routes", &["CACHE_ROUTES"]);
        self.origins.add("cache.default", &["DEFAULT_REQUEST_CACHING_VALUE"]);
        let said = &forward.cache;
        if !said.is_on() {
            return raw::Cache::default();
        }
        let path = match said.is_memory() {
            true => raw::Cache::default().path,
            false => Path::new(&said.root).join(FOLDER),
        };
        raw::Cache {
            store: if said.is_memory() { "memory" } else { "lmdb" }.to_owned(),
            routes: routes(forward),
            default: said.default_caching,
            // Nothing ever grew old there.
            ttl: OrOff(None),
            path,
            ..Default::default()
        }
    }

    /// With whom a forward key shares answers.
    pub(super) fn cache_group(forward: &Forward) -> Option<String> {
        forward.cache.is_on().then(|| GROUP.to_owned())
    }
}

/// The paths, without their prefix, whose answers are kept.
fn routes(forward: &Forward) -> Vec<String> {
    let cache = &forward.cache;
    let mut routes: Vec<String> = Vec::new();
    let own = [
        (cache.chat, &forward.paths.chat, Paths::CHAT),
        (cache.embedding, &forward.paths.embedding, Paths::EMBEDDING),
    ];
    for (_, path, usual) in own.into_iter().filter(|(on, ..)| *on) {
        // Its own example wrote the prefix before it.
        routes.push(if path.ends_with(usual) { usual.to_owned() } else { path.clone() });
    }
    // Only those of 0.7 and later could say more.
    for said in &cache.routes {
        let route = format!("/{}", said.trim_matches('/'));
        if !routes.contains(&route) {
            routes.push(route);
        }
    }
    routes
}
