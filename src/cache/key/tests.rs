//! Requests that are one, and requests that must never be.

use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const CHAT: &str = "/v1/chat/completions";

fn asked(body: &[u8]) -> Asked<'_> {
    Asked {
        api: Api::Chat,
        tenant: Tenant::Key("alice"),
        route: "/openai",
        upstream: "openai",
        path: CHAT,
        body,
    }
}

fn key(body: &Value) -> Key {
    Key::of(&asked(body.to_string().as_bytes())).unwrap()
}

/// A body with every member that openai-forward looks at, and those that it forgets.
fn full() -> Value {
    json!({
        "model": "m", "messages": [{"role": "user", "content": "hi"}], "n": 1, "max_tokens": 10,
        "response_format": {"type": "text"}, "seed": 1, "tools": [{"type": "function"}],
        "tool_choice": "auto", "temperature": 0.5, "top_p": 0.5, "stop": ["x"],
        "presence_penalty": 0.5, "frequency_penalty": 0.5, "logit_bias": {"1": 2},
        "logprobs": true, "top_logprobs": 2, "max_completion_tokens": 11,
        "parallel_tool_calls": true, "reasoning_effort": "low", "modalities": ["text"],
        "prediction": {"type": "content"}, "guided_json": {"type": "object"}, "top_k": 4,
        "chat_template_kwargs": {"enable_thinking": false}, "nobody_knows": [1]
    })
}

#[test]
fn every_member_counts_but_the_few_that_do_not() {
    let before = key(&full());
    let mut keys = HashSet::from([before]);
    for (name, value) in full().as_object().unwrap() {
        let mut other = full();
        other[name] = json!({ "was": value });
        assert!(keys.insert(key(&other)), "{name} changed");
        other.as_object_mut().unwrap().remove(name);
        assert!(keys.insert(key(&other)), "{name} gone");
    }
    for name in NEVER_COUNT {
        let mut other = full();
        other[name] = json!(true);
        assert_eq!(key(&other), before, "{name}");
        // The same name further down is something else.
        let mut deeper = full();
        deeper["tools"][0][name] = json!(true);
        assert!(keys.insert(key(&deeper)), "{name}");
    }
}

#[test]
fn null_is_absent_where_openai_says_so() {
    for (api, nullable, not) in [
        (Api::Chat, &CHAT_NULLABLE[..], "suffix"),
        (Api::Completions, &COMPLETIONS_NULLABLE, "top_logprobs"),
        (Api::Embeddings, &[], "dimensions"),
        (Api::Other, &[], "temperature"),
    ] {
        let of = |body: Value| Key::of(&Asked { api, ..asked(body.to_string().as_bytes()) });
        let bare = of(json!({"model": "m"}));
        for name in nullable {
            assert_eq!(of(json!({"model": "m", *name: null})), bare, "{name}");
            assert_ne!(of(json!({"model": "m", *name: 0})), bare, "{name}");
            assert_ne!(
                of(json!({"model": "m", "x": {*name: null}})),
                of(json!({"model": "m", "x": {}}))
            );
        }
        assert_ne!(of(json!({"model": "m", not: null})), bare, "{not}");
    }
}

#[test]
fn of_other_apis_nothing_is_known() {
    let of =
        |body: Value| Key::of(&Asked { api: Api::Other, ..asked(body.to_string().as_bytes()) });
    let bare = of(json!({"model": "m"}));
    for name in NEVER_COUNT {
        assert_eq!(of(json!({"model": "m", name: true})) == bare, name == "caching", "{name}");
    }
}

#[test]
fn who_and_where_count_and_none_runs_into_the_next() {
    let bare = asked(b"{}");
    let all = [
        bare,
        Asked { tenant: Tenant::Group("alice"), ..bare },
        Asked { tenant: Tenant::Key("alic"), route: "e/openai", ..bare },
        Asked { tenant: Tenant::Key("alice/"), route: "openai", ..bare },
        Asked { route: "/openai2", ..bare },
        Asked { upstream: "openai2", ..bare },
        Asked { route: "/openaiopenai", upstream: "", ..bare },
        Asked { path: "/v1/chat/completions?api-version=2", ..bare },
        Asked { api: Api::Completions, ..bare },
        Asked { api: Api::Embeddings, ..bare },
        Asked { api: Api::Other, ..bare },
        Asked { body: b"{\"a\":1}", ..bare },
    ];
    let keys: HashSet<_> = all.iter().map(|asked| Key::of(asked).unwrap()).collect();
    assert_eq!(keys.len(), all.len());
}

#[test]
fn what_cannot_be_relied_upon_has_no_key() {
    for body in ["", "[]", "{", r#"{"user":"a","user":"b"}"#, r#"{"n":1,"\u006e":1}"#] {
        assert_eq!(Key::of(&asked(body.as_bytes())), None, "{body}");
    }
}

#[test]
fn a_key_stays_the_same_from_version_to_version() {
    // What stands in a store on disk is found by it. If this changes, CONTEXT must.
    let body = br#"{"model":"m","messages":[{"role":"user","content":"h\u00e9"}],"n":1.0}"#;
    let key = Key::of(&asked(body)).unwrap();
    assert_eq!(key.to_string(), "86111ac7104e91266b55569af855df23540c236a97ed254df96311fded82fc06");
    assert_eq!(Key::from_bytes(*key.as_bytes()), key);
}

#[test]
fn apis_by_path() {
    for (path, api) in [
        (CHAT, Api::Chat),
        ("/openai/deployments/x/chat/completions?api-version=/embeddings", Api::Chat),
        ("/v1/completions", Api::Completions),
        ("/v1/embeddings", Api::Embeddings),
        ("/v1/chatcompletions", Api::Other),
        ("/v1/responses", Api::Other),
    ] {
        assert_eq!(Api::of_path(path), api, "{path}");
    }
}

proptest! {
    #[test]
    fn two_tenants_never_share(one in "[ab]{0,3}", other in "[ab]{0,3}", route in "[ab]{0,3}", body in "[a-c]{0,3}") {
        let body = json!({"user": body, "model": body, "messages": []}).to_string();
        let of = |tenant| Key::of(&Asked { tenant, route: &route, ..asked(body.as_bytes()) }).unwrap();
        prop_assert_eq!(of(Tenant::Key(&one)) == of(Tenant::Key(&other)), one == other);
        prop_assert_ne!(of(Tenant::Key(&one)), of(Tenant::Group(&other)));
    }
}
