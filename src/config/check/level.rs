//! Rules of `[[level]]`: the models of all keys of a level that name none of their own.

use std::collections::BTreeMap;

use crate::config::findings::Findings;
use crate::config::raw;

/// The models of each level that has a table.
pub(super) type Levels = BTreeMap<u32, Vec<String>>;

pub(super) fn levels(raw: &[raw::Level], findings: &mut Findings<'_>) -> Levels {
    let mut levels = Levels::new();
    for (at, one) in raw.iter().enumerate() {
        let key = format!("level[{at}].level");
        if !findings.written.has(&key) {
            findings.missing(&key);
        } else if one.level == 0 {
            findings.fault(&key, "is the level of those who may use every model", "1 or more");
        } else if levels.contains_key(&one.level) {
            findings.fault(&key, "has a table before this one", "one table for each level");
        }
        models(&format!("level[{at}].models"), &one.models, findings);
        levels.insert(one.level, one.models.clone());
    }
    levels
}

/// The models of a key: those it names, else those of its level.
pub(super) fn models_of(
    path: &str,
    raw: &raw::Key,
    levels: &Levels,
    findings: &mut Findings<'_>,
) -> Vec<String> {
    let key = format!("{path}.models");
    if findings.written.has(&key) || levels.is_empty() || raw.level == 0 {
        models(&key, &raw.models, findings);
        return raw.models.clone();
    }
    let models = levels.get(&raw.level).cloned();
    if models.is_none() {
        let fix = "[[level]] for it, models of the key's own, or another level";
        findings.fault(&format!("{path}.level"), "has no [[level]], though others have", fix);
    }
    models.unwrap_or_default()
}

fn models(key: &str, models: &[String], findings: &mut Findings<'_>) {
    if models.is_empty() {
        findings.fault(key, "is empty: no model may be used", "[\"*\"], or patterns of some");
    }
    for (at, model) in models.iter().enumerate() {
        if model.is_empty() || model.contains(is_blank) {
            let fix = "a pattern like \"llama-*\", without spaces";
            findings.fault(&format!("{key}[{at}]"), "is not a pattern of a model", fix);
        }
    }
}

fn is_blank(letter: char) -> bool {
    letter.is_whitespace() || letter.is_control()
}
