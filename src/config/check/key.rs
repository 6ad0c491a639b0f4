//! Rules of `[[key]]`.

use std::num::NonZeroUsize;

use super::level::{self, Levels};
use super::{limits, secret, value};
use crate::config::findings::Findings;
use crate::config::rate::Rates;
use crate::config::{Key, UnknownKeys, raw};
use crate::secret::{DOTS, KeyDigest};

/// Shorter secrets are guessed sooner or later, characters.
const GUESSED: usize = 8;

pub(super) fn keys(
    raw: &[raw::Key],
    levels: &Levels,
    unknown: UnknownKeys,
    findings: &mut Findings<'_>,
) -> Option<Vec<Key>> {
    if raw.is_empty() && unknown == UnknownKeys::Refuse {
        let fix = "add [[key]] name = \"me\", secret = \"env:NAME\", or write unknown_keys = \
            \"pass\" in [access]";
        findings.fault("key", "is missing: nobody could come in", fix);
    }
    let names: Vec<&str> = raw.iter().map(|one| one.name.as_str()).collect();
    value::names("key", &names, findings);
    let mut keys: Vec<Key> = Vec::with_capacity(raw.len());
    for (at, one) in raw.iter().enumerate() {
        let path = format!("key[{at}]");
        let Some(key) = key(&path, one, levels, findings) else {
            continue;
        };
        if let Some(other) = keys.iter().find(|other| other.digest == key.digest) {
            let what = format!("is also the secret of \"{}\"", other.name);
            findings.fault(&format!("{path}.secret"), what, "a secret of its own");
        }
        keys.push(key);
    }
    (keys.len() == raw.len()).then_some(keys)
}

fn key(path: &str, raw: &raw::Key, levels: &Levels, findings: &mut Findings<'_>) -> Option<Key> {
    let models = level::models_of(path, raw, levels, findings);
    let rates = |said: &Option<Rates>| said.clone().map_or_else(Vec::new, |Rates(rates)| rates);
    let (requests, tokens) = (rates(&raw.requests), rates(&raw.tokens));
    limits::shut(&format!("{path}.requests"), &requests, findings);
    limits::shut(&format!("{path}.tokens"), &tokens, findings);
    let pace = limits::pace(path, raw.pace, raw.pace_burst, findings);
    let (digest, origin) = digest(&format!("{path}.secret"), &raw.secret, findings)?;
    Some(Key {
        name: raw.name.clone(),
        digest,
        origin,
        level: raw.level,
        models,
        requests,
        tokens,
        in_flight: NonZeroUsize::new(raw.in_flight),
        pace: pace?,
    })
}

/// The digest of a forward key, and how the key may be shown.
fn digest(key: &str, said: &str, findings: &mut Findings<'_>) -> Option<(KeyDigest, String)> {
    if said.is_empty() {
        findings.missing(key);
        return None;
    }
    if let Some(hex) = said.strip_prefix("sha256:").filter(|_| !said.contains(DOTS)) {
        let digest = KeyDigest::from_hex(hex);
        if digest.is_none() {
            let fix = "64 hex digits: printf %s KEY | sha256sum";
            findings.fault(key, "is not a SHA-256", fix);
        }
        return digest.map(|digest| (digest, format!("sha256:{}", digest.to_hex())));
    }
    let secret = secret::header(key, said, findings)?;
    if secret.expose().contains(',') {
        // Clients send several keys with commas between them.
        findings.fault(key, "has a comma", "a key without commas");
        return None;
    }
    if secret.expose().len() < GUESSED {
        findings.notice(format!("{key}: shorter than {GUESSED} characters, easily guessed"));
    }
    Some((KeyDigest::of(secret.expose().as_bytes()), secret.origin().to_owned()))
}
