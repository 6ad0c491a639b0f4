//! Keys of the design that this version reads and checks, but does not act on.
//!
//! Why not silently: who writes a key relies on it. Where that would be dangerous (a request that
//! goes around a proxy) the key is refused; where it is only less than hoped, it is said. Defaults
//! are passed over: nobody asked for them.

use crate::config::Kind;
use crate::config::findings::Findings;
use crate::config::raw::{self, Raw};

pub(super) fn refuse_or_say(raw: &Raw, findings: &mut Findings<'_>) {
    for (index, said) in raw.upstream.iter().enumerate() {
        let path = format!("upstream[{index}]");
        refuse(&format!("{path}.proxy"), said.proxy.is_some(), findings);
    }
    let usual = raw::Route::default();
    // A general route has none of these, so what is shown of it is always "off".
    let read = |route: &&raw::Route| route.kind == Kind::Openai;
    for (index, said) in raw.route.iter().enumerate().filter(|(_, route)| read(route)) {
        let path = format!("route[{index}]");
        say(&format!("{path}.keepalive"), said.keepalive != usual.keepalive, findings);
        let before = said.keepalive_before != usual.keepalive_before;
        say(&format!("{path}.keepalive_before"), before, findings);
        say(&format!("{path}.hold"), said.hold != usual.hold, findings);
    }
}

fn refuse(key: &str, written: bool, findings: &mut Findings<'_>) {
    if written {
        findings.fault(key, "is not served by this version yet", "drop it");
    }
}

fn say(key: &str, unusual: bool, findings: &mut Findings<'_>) {
    if unusual {
        findings.notice(format!("{key}: checked, not yet enforced by this version"));
    }
}
