//! The pool by its behaviour: turns, names, keys, and loads that come back.

use std::time::Duration;

use super::*;
use crate::config::{HttpVersion, Timeouts};

fn upstream(hosts: &[&str], keys: &[&str]) -> Upstream {
    let second = Duration::from_secs(1);
    Upstream::build(&config::Upstream {
        name: "up".into(),
        hosts: hosts
            .iter()
            .map(|host| config::Host {
                tls: false,
                host: (*host).into(),
                port: 80,
                base_path: String::new(),
            })
            .collect(),
        keys: keys.iter().map(|key| Secret::new(*key)).collect(),
        timeouts: Timeouts { connect: second, first_byte: second, idle: second, total: second },
        http: HttpVersion::Auto,
        ca: None,
        keepalive_idle: second,
    })
}

#[tokio::test]
async fn hosts_and_keys_take_turns() {
    let up = upstream(&["127.0.0.1", "::1"], &["a", "b", "c"]);
    let mut labels = Vec::new();
    for _ in 0..4 {
        labels.push(up.pick(&[]).await.unwrap().load.host().label.clone());
    }
    assert_eq!(labels, ["127.0.0.1:80", "[::1]:80", "127.0.0.1:80", "[::1]:80"]);
    let keys: Vec<&str> = (0..4).map(|_| up.next_key().unwrap().expose()).collect();
    assert_eq!(keys, ["a", "b", "c", "a"]);
    assert!(upstream(&["127.0.0.1"], &[]).next_key().is_none());
}

#[tokio::test]
async fn a_tried_host_is_left_out_and_none_left_is_an_error() {
    let up = upstream(&["127.0.0.1", "127.0.0.2"], &[]);
    let first = up.pick(&[]).await.unwrap();
    let tried = [Arc::clone(first.load.host())];
    let second = up.pick(&tried).await.unwrap();
    assert_ne!(first.address, second.address);
    let both = [Arc::clone(first.load.host()), Arc::clone(second.load.host())];
    assert!(up.pick(&both).await.is_err());
}

#[tokio::test]
async fn a_load_comes_back_when_it_is_dropped() {
    let up = upstream(&["127.0.0.1"], &[]);
    let picks = [up.pick(&[]).await.unwrap(), up.pick(&[]).await.unwrap()];
    assert_eq!(up.hosts()[0].in_flight(), 2);
    drop(picks);
    assert_eq!(up.hosts()[0].in_flight(), 0);
}

#[tokio::test]
async fn names_are_resolved_and_failures_are_answers() {
    let up = upstream(&["localhost"], &[]);
    let pick = up.pick(&[]).await.unwrap();
    assert!(pick.address.ip().is_loopback());
    up.hosts()[0].forget_address();
    assert!(up.pick(&[]).await.unwrap().address.ip().is_loopback());

    let up = upstream(&["does-not-exist.invalid", "127.0.0.1"], &[]);
    for _ in 0..2 {
        let pick = up.pick(&[]).await.unwrap();
        assert_eq!(pick.load.host().label, "127.0.0.1:80");
    }
    assert!(upstream(&["does-not-exist.invalid"], &[]).pick(&[]).await.is_err());
}
