//! `[limits]` as it is written, and its defaults.
//!
//! Why apart: what limits say of a key stands with the key; this is what holds for all.

use serde::{Deserialize, Serialize};

use crate::config::limits::{CountBy, OnStoreError, Strategy};
use crate::config::rate::{One, OneOrOff, RatesOrInf};

#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Limits {
    pub(in crate::config) strategy: Strategy,
    pub(in crate::config) store: String,
    pub(in crate::config) on_store_error: OnStoreError,
    pub(in crate::config) by: CountBy,
    pub(in crate::config) global: Option<RatesOrInf>,
    pub(in crate::config) addresses: usize,
    /// What is meant when nothing is written depends on who may come in.
    pub(in crate::config) shield: Option<OneOrOff>,
    pub(in crate::config) rule: Vec<Rule>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Rule {
    pub(in crate::config) path: String,
    pub(in crate::config) level: Option<u32>,
    pub(in crate::config) requests: Option<RatesOrInf>,
    pub(in crate::config) pace: Option<One>,
    pub(in crate::config) pace_burst: Option<u32>,
}

// === the defaults ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            strategy: Strategy::MovingWindow,
            store: "memory".to_owned(),
            on_store_error: OnStoreError::Allow,
            by: CountBy::Key,
            global: None,
            addresses: 1_000_000,
            shield: None,
            rule: Vec::new(),
        }
    }
}
