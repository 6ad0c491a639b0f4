//! What the pure rooms cost on the way of a request: `cargo bench`.
//!
//! Why here and not in a test: a figure of a noisy machine proves nothing, but its history does.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on must fail")]

use std::hint::black_box;

use aifd::config::{Key, Kind, Route};
use aifd::route::Routes;
use aifd::secret::KeyDigest;
use aifd::user::Users;
use aifd::wire::cost::Cost;
use aifd::wire::meter::Meter;
use aifd::wire::sse::{Splitter, data};
use aifd::wire::{delta, peek, usage};
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const CHUNK: &str = r#"{"id":"chatcmpl-123","object":"chat.completion.chunk","created":1700000000,"model":"qwen2.5-7b-instruct","system_fingerprint":"fp_0123456789","choices":[{"index":0,"delta":{"content":" token"},"logprobs":null,"finish_reason":null}]}"#;

fn stream(c: &mut Criterion) {
    let event = format!("data: {CHUNK}\n\n");
    let piece = Bytes::from(event.repeat(100));
    let mut group = c.benchmark_group("stream of 100 events");
    group.throughput(Throughput::Elements(100));
    group.bench_function("split", |b| {
        b.iter(|| {
            let mut splitter = Splitter::new(64 * 1024);
            splitter.push(black_box(&piece), |event| drop(black_box(event)));
        });
    });
    group.bench_function("split and read", |b| {
        b.iter(|| {
            let mut splitter = Splitter::new(64 * 1024);
            splitter.push(black_box(&piece), |event| {
                black_box(delta::read(&data(&event.raw).unwrap()));
            });
        });
    });
    group.bench_function("split, read and count", |b| {
        b.iter(|| {
            let mut meter = Meter::stream();
            meter.push(black_box(&piece));
            black_box(meter.finish())
        });
    });
    group.bench_function("look for usage alone", |b| {
        b.iter(|| (0..100).filter(|_| usage::is_only_usage(black_box(event.as_bytes()))).count());
    });
    group.finish();
}

fn body(c: &mut Criterion) {
    for size in [1024, 256 * 1024] {
        let text = "What is the weather like in Paris today? ".repeat(size / 41);
        let body = serde_json::json!({"model": "m", "stream": true,
            "messages": [{"role": "user", "content": text}]})
        .to_string();
        let mut group = c.benchmark_group(format!("body of {} KiB", size / 1024));
        group.throughput(Throughput::Bytes(body.len() as u64));
        group
            .bench_function("peek", |b| b.iter(|| peek::peek(black_box(body.as_bytes())).unwrap()));
        let ask = peek::peek(body.as_bytes()).unwrap();
        group.bench_function("cost", |b| b.iter(|| Cost::of(&ask, black_box(body.as_bytes()))));
        group.bench_function("ask for usage", |b| {
            b.iter(|| usage::ask(black_box(body.as_bytes())));
        });
        let whole = Bytes::from(body.clone());
        group.bench_function("count as an answer", |b| {
            b.iter(|| {
                let mut meter = Meter::body();
                meter.push(black_box(&whole));
                black_box(meter.finish())
            });
        });
        group.finish();
    }
}

fn tables(c: &mut Criterion) {
    let sections: Vec<Route> = (0..20)
        .map(|at| Route {
            prefix: format!("/upstream-{at}"),
            upstream: at,
            kind: Kind::Openai,
            keepalive: None,
            keepalive_before: false,
            hold: None,
        })
        .collect();
    let routes = Routes::build(&sections);
    c.bench_function("route among 20", |b| {
        b.iter(|| routes.find(black_box("/upstream-7/v1/chat/completions")).unwrap().0.index);
    });
    let keys: Vec<Key> = (0..10_000)
        .map(|at| Key {
            name: format!("key-{at}"),
            digest: KeyDigest::of(format!("fk-{at}").as_bytes()),
            origin: String::new(),
            level: 0,
            models: vec!["*".into()],
            requests: Vec::new(),
            tokens: Vec::new(),
            in_flight: None,
            pace: None,
        })
        .collect();
    let users = Users::build(&keys);
    c.bench_function("key among 10,000", |b| {
        b.iter(|| users.find(black_box(b"fk-7777")).unwrap());
    });
}

criterion_group!(rooms, stream, body, tables);
criterion_main!(rooms);
