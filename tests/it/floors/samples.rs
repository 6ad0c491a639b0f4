//! Good and bad samples for the law itself: a checker that finds nothing would please everybody.

use super::{faults, hooks};

/// A file, its text, and what its one fault must say; nothing for a good one.
const SAMPLES: &str = r##"
What is allowed.
src/wire/sse.rs     | use bytes::Bytes; use super::peek; use crate::wire::Event;
src/config/mod.rs   | use crate::secret::{KeyDigest, Secret}; pub struct Config;
src/limit/window.rs | use crate::config::Limits; use crate::{refusal, metrics::X};
src/limit/mod.rs    | use crate::config; fn build(c: &config::Limit) {} mod window;
src/edge/admit.rs   | use crate::{user::User, limit, edge::Ctx}; use pingora::Result;
src/cache/memory.rs | use pingora_cache::Storage;
src/server.rs       | use crate::config::Config; use crate::{edge, admin, pool};
src/demo/mod.rs     | use crate::{server, config::{self, Config}};
src/main.rs         | mod cli; use aifd::{config, demo, server::run, wire};
src/lib.rs          | pub mod wire; pub mod edge;
src/pool/tests.rs   | use super::*; use super::host::Host;
src/pace.rs         | fn a() {} #[cfg(test)] mod tests { use super::*; fn f() {} }

What only looks like an import.
src/route.rs        | //! See [`crate::pool`].\n/* crate::user /* crate::x */ crate::y */ fn f() {}
src/route.rs        | fn f() -> &'static str { "\" crate::user pingora " }
src/route.rs        | fn f<'a>(x: &'a str) -> char { '"' } // crate::user
src/route.rs        | const X: &str = r#"crate::user " pingora "#; pub(crate) fn f() {}
src/route.rs        | use http::{Uri, uri::self}; fn f<'a>() -> impl Sized + use<'a> { }

Upwards.
src/wire/sse.rs     | use crate::config::Sse;             | imports config: floor 2 lies above floor 1
src/secret.rs       | use crate::refusal::Refusal;        | imports refusal: rooms of floor 1 do not know
src/config/check.rs | fn f(_: crate::route::Table) {}     | imports route: floor 3 lies above floor 2
src/config/mod.rs   | use crate::wire;                    | imports wire: config/ imports secret alone
src/pool/mod.rs     | use crate::edge::Ctx;               | imports edge: floor 4 lies above floor 3
src/edge/ctx.rs     | use crate::server;                  | imports server: floor 5 lies above floor 4
src/server.rs       | fn f() { crate::demo::tour(); }     | imports demo: floor 6 lies above floor 5
src/demo.rs         | use crate::edge::Edge;              | imports edge: the demo sees what a user sees

Sideways, by every road.
src/limit/window.rs | use crate::user::Quota;             | imports user: rooms of floor 3 do not know each other; pass the value in from edge/
src/limit/a.rs      | use crate::{wire::{a, b::c}, config::{X, Y}, pool::{d}}; | imports pool: rooms of floor 3
src/limit/a.rs      | fn f() { Vec::<crate::pool::Host>::new(); }              | imports pool: rooms of floor 3
src/route.rs        | use super::pool::Host;              | imports pool: rooms of floor 3
src/route.rs        | mod inner { use crate::retry; }     | imports retry: rooms of floor 3
src/route.rs        | use aifd::retry;                    | imports retry: rooms of floor 3
src/pool/mod.rs     | mod tests { use crate::limit::X; }  | imports limit: rooms of floor 3
src/admin/mod.rs    | use crate::edge::Ctx;               | imports edge: rooms of floor 4

What hides a road.
src/pool/host.rs    | use super::super::user::User;       | says super::super::user::User: no path hides
src/pool/host.rs    | use super::*;                       | says use super::*: name what you use
src/pool/host.rs    | mod tests { } use super::*;         | says use super::*: name what you use
src/edge/mod.rs     | use crate::*;                       | says use crate::*: name the room
src/edge/mod.rs     | use crate::{limit, user as u};      | renames crate::user: a room keeps its name

The whole Config, Pingora, and names that say nothing.
src/edge/mod.rs     | use crate::config::{self, Config};  | names config::Config: take your own section
src/pool/mod.rs     | use crate::config; fn f(_: &config::Config) {} | names config::Config
src/chatlog/mod.rs  | use crate::config::*;               | names config::Config
src/pool/mod.rs     | fn f(_: pingora_core::Peer) {}      | names pingora: only edge, admin, server, cache may
src/edge/utils.rs   |                                     | calls a module utils: nobody can say
src/pool/mod.rs     | mod types { }                       | calls a module types: nobody can say
src/attic.rs        |                                     | attic stands on no floor; give it one
"##;

#[test]
fn each_sample_has_the_fault_it_was_written_for() {
    let mut samples = 0;
    for line in SAMPLES.lines().filter(|line| line.contains('|')) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let (path, text) = (cells[0], cells[1].replace("\\n", "\n"));
        let found = faults(&[(path, &text)]);
        match cells.get(2) {
            None => assert!(found.is_empty(), "{line}\nfound: {found:#?}"),
            Some(wanted) => assert!(
                found.len() == 1 && found[0].starts_with(path) && found[0].contains(wanted),
                "{line}\nfound: {found:#?}"
            ),
        }
        samples += 1;
    }
    assert_eq!(samples, 45, "a sample was not read as one");
}

#[test]
fn a_dialect_knows_itself_alone() {
    let tree = |path| {
        let others = [("src/provider/openai.rs", ""), ("src/provider/anthropic.rs", "")];
        let text = "use crate::provider::{anthropic::Event, Dialect};";
        faults(&[others[0], others[1], (path, text)])
    };
    assert_eq!(tree("src/provider/openai_to_anthropic.rs"), Vec::<String>::new());
    assert_eq!(tree("src/provider/mod.rs").len(), 0, "the table may know them all");
    let [fault] = &tree("src/provider/gemini.rs")[..] else {
        panic!("one fault wanted");
    };
    assert!(fault.contains("imports provider::anthropic: a dialect knows itself"), "{fault}");
}

#[test]
fn hooks_are_counted_as_a_reader_would() {
    let hook = |body: &str| {
        format!(
            "use x::ProxyHttp;\nimpl Edge {{ fn long() {{\n1;\n2;\n3;\n4;\n5;\n6;\n }} }}\n\
             #[async_trait]\nimpl ProxyHttp for Edge {{\n    type CTX = Ctx;\n    fn new_ctx(&self) \
             -> Ctx {{ Ctx::new() }}\n    async fn hook(&self) -> R\n    where\n        C: Send,\n    \
             {{\n{body}    }}\n}}\nfn after() {{\n1;\n2;\n3;\n4;\n5;\n6;\n}}\n"
        )
    };
    let line = "        stage(); // {\n";
    let table = [
        (hook(""), ""),
        (hook(&line.repeat(5)), ""),
        (hook(&("        // why\n\n".to_owned() + &line.repeat(5))), ""),
        (hook("        let x = if a { \"}\" } else { b };\n"), ""),
        (hook(&line.repeat(6)), "e.rs: hook has 6 lines; a hook has 5, call a stage"),
        (hook("        match x {\n1\n2\n3\n4\n        }\n"), "e.rs: hook has 6 lines"),
        (hook("") + &"\n".repeat(150), "e.rs has 177 lines: one screen of hooks is 150"),
        ("impl Other for Edge { fn f() { } }".to_owned(), "e.rs holds no hook"),
    ];
    for (text, wanted) in table {
        let found = hooks::faults("e.rs", &text).join("\n");
        let good = if wanted.is_empty() { found.is_empty() } else { found.starts_with(wanted) };
        assert!(good, "{text}\nwanted: {wanted}\nfound: {found}");
    }
}
