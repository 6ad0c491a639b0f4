//! Limits, in each form they had; and the four ways in which openai-forward did not keep them.

use serde_json::json;

use super::{ask, lists, mirror, objects, send, with};
use crate::support::house::House;
use crate::support::openai::get;

async fn statuses(house: &House, path: &str, key: &str, count: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        let request = with(get(path), "authorization", &format!("Bearer {key}"));
        statuses.push(send(house, request).await.status);
    }
    statuses
}

/// With three targets each request counted for three.
#[tokio::test]
async fn a_request_counts_once_however_many_targets_there_are() {
    let up = mirror().await;
    let url = up.url();
    let env = format!(
        "OPENAI_BASE_URL={url},{url}/b\nOPENAI_ROUTE_PREFIX=/a,/b\nEXTRA_BASE_URL={url}/c\nEXTRA_ROUTE_PREFIX=/c\n\
         REQ_RATE_LIMIT='{{\"/a\": \"3/hour\", \"/c\": \"2/hour\"}}'\n"
    );
    let house = House::of_env(&env).await;
    assert_eq!(statuses(&house, "/a/v1/models", "x", 4).await, [200, 200, 200, 429]);
    assert_eq!(statuses(&house, "/c/v1/models", "x", 3).await, [200, 200, 429]);
    assert_eq!(statuses(&house, "/b/v1/models", "x", 5).await, [200; 5]);
}

/// After the first request to any other path all limits were off.
#[tokio::test]
async fn no_limit_for_all_does_not_lift_the_limits_of_some() {
    let up = mirror().await;
    for global in ["", "GLOBAL_RATE_LIMIT=inf\n", "GLOBAL_RATE_LIMIT=infinite\n"] {
        let env = format!("{global}REQ_RATE_LIMIT='{{\"/v1/models\": \"2/hour\"}}'");
        let house = House::of_env(&lists(&up, &env)).await;
        assert_eq!(statuses(&house, "/v1/other", "x", 3).await, [200; 3]);
        assert_eq!(statuses(&house, "/v1/models", "x", 3).await, [200, 200, 429]);
        assert_eq!(statuses(&house, "/v1/other", "x", 2).await, [200; 2]);
        assert_eq!(statuses(&house, "/v1/models", "x", 1).await, [429]);
    }
}

/// Levels never matched: every key had the limits of level 0.
#[tokio::test]
async fn a_level_has_its_own_limit() {
    let up = mirror().await;
    let rules =
        json!({"/v1/models": [{"level": 0, "limit": "1/hour"}, {"level": 1, "limit": "3/hour"}]});
    let env = format!(
        "OPENAI_API_KEY_CONFIG='{{\"sk-a1\": [0, 1, 2]}}'\nLEVEL_MODELS='{{\"1\": [\"m\"], \"2\": [\"m\"]}}'\n\
         FORWARD_KEY_CONFIG='{{\"fk-zero-key\": 0, \"fk-one-key\": 1, \"fk-two-key\": 2}}'\n\
         GLOBAL_RATE_LIMIT=2/hour\nREQ_RATE_LIMIT='{rules}'"
    );
    let house = House::of_env(&objects(&up, &env)).await;
    assert_eq!(statuses(&house, "/v1/models", "fk-zero-key", 2).await, [200, 429]);
    assert_eq!(statuses(&house, "/v1/models", "fk-one-key", 4).await, [200, 200, 200, 429]);
    assert_eq!(statuses(&house, "/v1/models", "fk-two-key", 3).await, [200, 200, 429]);
}

/// A comma in a key switched all limits off.
#[tokio::test]
async fn a_comma_in_a_key_lifts_no_limit() {
    let up = mirror().await;
    let env = "GLOBAL_RATE_LIMIT=2/hour\nFORWARD_KEY_CONFIG='{\"fk-one-key\": 0}'\n\
        OPENAI_API_KEY_CONFIG='{\"sk-a1\": [0]}'";
    let house = House::of_env(&objects(&up, env)).await;
    assert_eq!(statuses(&house, "/v1/models", "a,b", 3).await, [200, 200, 429]);
    // Nor does another key, as long as nobody knows it.
    assert_eq!(statuses(&house, "/v1/models", "c,d", 1).await, [429]);
}

#[tokio::test]
async fn until_0_7_addresses_are_counted_and_from_0_8_on_keys() {
    let up = mirror().await;
    let from = |ip: &str, key: &str| {
        let request = with(get("/v1/models"), "x-forwarded-for", ip);
        with(request, "authorization", &format!("Bearer {key}"))
    };
    let lists = lists(
        &up,
        "OPENAI_API_KEY=sk-a1\nFORWARD_KEY=fk-one-key,fk-two-key\nGLOBAL_RATE_LIMIT=1/hour",
    );
    let objects = objects(
        &up,
        "OPENAI_API_KEY_CONFIG='{\"sk-a1\": [0]}'\nGLOBAL_RATE_LIMIT=1/hour\n\
         FORWARD_KEY_CONFIG='{\"fk-one-key\": 0, \"fk-two-key\": 0}'",
    );
    for (env, expected) in [(lists, [200, 429, 200]), (objects, [200, 200, 429])] {
        let house = House::of_env(&env).await;
        let mut statuses = Vec::new();
        for (ip, key) in
            [("1.1.1.1", "fk-one-key"), ("1.1.1.1", "fk-two-key"), ("2.2.2.2", "fk-one-key")]
        {
            statuses.push(send(&house, from(ip, key)).await.status);
        }
        assert_eq!(statuses, expected);
    }
}

#[tokio::test]
async fn general_routes_are_limited_and_paths_decide_by_their_plain_form() {
    let up = mirror().await;
    let env = "REQ_RATE_LIMIT='{\"/raw/v1\": \"2/hour\", \"/v1/chat\": \"1/hour\"}'";
    let house = House::of_env(&objects(&up, env)).await;
    assert_eq!(statuses(&house, "/raw/v1/models", "x", 1).await, [200]);
    assert_eq!(statuses(&house, "//raw//%76%31/models/", "x", 2).await, [200, 429]);
    assert_eq!(send(&house, ask("m")).await.status, 200);
    assert_eq!(send(&house, ask("m")).await.status, 429);
    // Health is nobody's to limit.
    assert_eq!(statuses(&house, "/healthz", "x", 3).await, [200; 3]);
}
