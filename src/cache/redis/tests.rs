//! Against a real Redis, which each test starts and ends, and against what is none.

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use super::*;
use crate::cache::samples::{entry, key, names};
use crate::cache::{Entry, Purge};
use crate::link::server::Server;

const MINUTE: Duration = Duration::from_secs(60);
const ANSWER: usize = 64 << 10;

/// One that gives a noisy machine its time.
const LONG: Duration = Duration::from_secs(30);

fn node(url: &str, patience: Duration) -> Redis {
    let (epoch, lost) = (Arc::default(), Arc::default());
    let terms = Terms { answer: ANSWER, ttl: Some(MINUTE), patience, epoch, lost };
    Redis::open(&Secret::new(url), terms).unwrap()
}

/// One that knows what was purged.
async fn ready(server: &Server) -> Redis {
    let node = node(&server.url(), LONG);
    node.0.link.reached().await;
    until(|| node.0.marks.lock().is_some()).await;
    node
}

async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::task::yield_now().await;
    }
}

fn epoch(node: &Redis) -> u64 {
    node.0.epoch.load(Ordering::Acquire)
}

fn put_of(node: &Redis, number: u64, epoch: u64) -> bool {
    let (tenant, model) = names(number);
    let bytes = entry(number).encode(&key(number)).unwrap();
    node.put(key(number), Labels::of(tenant, model), bytes, epoch)
}

fn put(node: &Redis, number: u64) -> bool {
    put_of(node, number, epoch(node))
}

async fn written(node: &Redis) {
    until(|| node.0.queue.waiting() == (0, 0)).await;
}

/// Whether it is there; panics if it is not whole and right, or Redis is away.
async fn has(node: &Redis, number: u64) -> bool {
    let Some(bytes) = node.get(key(number)).await.unwrap() else { return false };
    assert_eq!(Entry::decode(&key(number), &bytes), Some(entry(number)), "{number}");
    true
}

async fn found(node: &Redis, numbers: std::ops::Range<u64>) -> u64 {
    let mut count = 0;
    for number in numbers {
        count += u64::from(has(node, number).await);
    }
    count
}

/// What the shelf does; off the runtime, as the admin listener does it.
async fn purge(node: &Redis, what: Purge<'static>) -> u64 {
    node.0.epoch.fetch_add(1, Ordering::AcqRel);
    let node = Redis(Arc::clone(&node.0));
    tokio::task::spawn_blocking(move || node.purge(what)).await.unwrap()
}

fn direct(server: &Server) -> redis::Connection {
    redis::Client::open(server.url()).unwrap().get_connection().unwrap()
}

fn lost(node: &Redis) -> [u64; 3] {
    node.0.lost.each().map(|(_, count)| count)
}

#[tokio::test]
async fn what_one_node_keeps_all_find() {
    let server = Server::start();
    let (one, other) = (ready(&server).await, ready(&server).await);
    for number in 0..30 {
        assert!(put(&one, number));
        assert!(has(&one, number).await, "also while it is on its way");
    }
    written(&one).await;
    assert_eq!((found(&one, 0..40).await, found(&other, 0..40).await), (30, 30));
    let left: i64 =
        redis::cmd("PTTL").arg(marks::name(&key(1))).query(&mut direct(&server)).unwrap();
    assert!(left > 0 && left <= MINUTE.as_millis() as i64, "{left}");
    assert_eq!((lost(&one), lost(&other)), ([0; 3], [0; 3]));
}

#[tokio::test]
async fn its_time_is_that_of_redis() {
    let server = Server::start();
    let node = ready(&server).await;
    put(&node, 1);
    written(&node).await;
    let name = marks::name(&key(1));
    redis::cmd("PEXPIRE").arg(&name).arg(1).exec(&mut direct(&server)).unwrap();
    while has(&node, 1).await {}
    assert_eq!(lost(&node), [0; 3]);
}

#[tokio::test]
async fn the_later_of_two_answers_stays() {
    let server = Server::start();
    let node = ready(&server).await;
    for number in 0..50 {
        let bytes = entry(number).encode(&key(0)).unwrap();
        assert!(node.put(key(0), Labels::of("t", "m"), bytes, epoch(&node)));
        if number % 3 == 0 {
            tokio::task::yield_now().await;
        }
    }
    for _ in 0..2 {
        let bytes = node.get(key(0)).await.unwrap().unwrap();
        assert_eq!(Entry::decode(&key(0), &bytes), Some(entry(49)));
        written(&node).await;
    }
}

#[tokio::test]
async fn a_purge_holds_on_every_node_at_once() {
    let server = Server::start();
    let (one, other) = (ready(&server).await, ready(&server).await);
    for (what, gone) in [
        (Purge::Key(key(7)), 1),
        (Purge::Key(key(60)), 0),
        (Purge::Tenant("key:a"), 15),
        (Purge::Model("o"), 10),
        (Purge::Model("m"), 10),
        (Purge::Tenant("m"), 0),
        (Purge::All, 30),
    ] {
        assert!((0..30).all(|number| put(&one, number)));
        written(&one).await;
        assert_eq!(purge(&other, what).await, gone, "{what:?}");
        assert_eq!(found(&one, 0..30).await, 30 - gone, "{what:?}");
        assert_eq!(found(&other, 0..30).await, 30 - gone, "{what:?}");
        let names: usize = redis::cmd("DBSIZE").query(&mut direct(&server)).unwrap();
        assert_eq!(names as u64, 30 - gone + 1, "{what:?}: what is purged takes no room");
    }
}

#[tokio::test]
async fn what_another_node_purged_on_its_way_is_not_kept() {
    let server = Server::start();
    let (one, other) = (ready(&server).await, ready(&server).await);
    for has_heard in [false, true] {
        let asked = epoch(&one);
        purge(&other, Purge::Model("m")).await;
        if has_heard {
            assert!(!has(&one, 3).await);
        }
        assert_eq!(put_of(&one, 0, asked), !has_heard);
        assert!(!has(&one, 0).await && !has(&other, 0).await, "heard: {has_heard}");
        written(&one).await;
        assert!(!has(&one, 0).await && !has(&other, 0).await, "heard: {has_heard}");
        assert!(put(&one, 0) && has(&one, 0).await);
        purge(&one, Purge::All).await;
        assert!(!has(&other, 0).await && !has(&one, 0).await);
    }
}

#[tokio::test]
async fn more_purges_than_marks_purge_too_much_and_never_too_little() {
    let server = Server::start();
    let (one, other) = (ready(&server).await, ready(&server).await);
    for number in 1000..1300 {
        put(&one, number);
        written(&one).await;
        purge(&other, Purge::Key(key(number))).await;
        assert!(!has(&one, number).await, "{number}");
    }
    let fields: usize = redis::cmd("HLEN").arg(marks::NAME).query(&mut direct(&server)).unwrap();
    assert!(fields < 100, "{fields}");
    assert!(put(&one, 1) && has(&one, 1).await);
}

#[tokio::test]
async fn marks_that_redis_loses_bring_nothing_back() {
    let server = Server::start();
    let node = ready(&server).await;
    put(&node, 0);
    put(&node, 1);
    written(&node).await;
    redis::cmd("DEL").arg(marks::NAME).exec(&mut direct(&server)).unwrap();
    assert_eq!(found(&node, 0..2).await, 0);
    until(|| node.0.marks.lock().is_some()).await;
    assert_eq!(found(&node, 0..2).await, 0);
    assert!(put(&node, 1));
    written(&node).await;
    assert_eq!((has(&node, 0).await, has(&node, 1).await), (false, true));
}

#[tokio::test]
async fn a_purge_that_redis_does_not_hear_is_owed() {
    let server = Server::start();
    let (one, other) = (ready(&server).await, ready(&server).await);
    put(&one, 0);
    written(&one).await;
    server.signal("-STOP");
    let purging = purge(&one, Purge::All);
    let while_owed = async {
        until(|| one.0.owed.load(Ordering::Acquire) == 1).await;
        assert_eq!(one.get(key(0)).await, Err(Away), "nobody knows what is still good");
        assert!(!put(&one, 1));
        server.signal("-CONT");
    };
    assert_eq!(tokio::join!(purging, while_owed).0, 1);
    assert_eq!(one.0.owed.load(Ordering::Acquire), 0);
    assert!(!has(&one, 0).await && !has(&other, 0).await);
}

#[tokio::test]
async fn what_is_too_large_is_not_kept_and_not_read() {
    let server = Server::start();
    let node = ready(&server).await;
    let large = vec![7; 2 * ANSWER + SLACK];
    assert!(!node.put(key(0), Labels::of("t", "m"), large, epoch(&node)));
    assert_eq!((node.0.queue.waiting(), lost(&node)), ((0, 0), [0; 3]));
    let mut huge = redis::cmd("SETRANGE");
    huge.arg(marks::name(&key(1))).arg(64 << 20).arg("x").exec(&mut direct(&server)).unwrap();
    let (read, _) = node.0.link.call(|lines| lines.look(key(1), node.0.most)).await.unwrap();
    assert_eq!(read.len(), node.0.most + 1);
    assert_eq!(node.get(key(1)).await, Ok(None));
}

#[tokio::test]
async fn a_full_redis_keeps_no_more_and_forgets_all_the_same() {
    let server = Server::start();
    let node = ready(&server).await;
    put(&node, 0);
    written(&node).await;
    redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(1).exec(&mut direct(&server)).unwrap();
    assert!(has(&node, 0).await);
    put(&node, 1);
    written(&node).await;
    assert_eq!((has(&node, 0).await, has(&node, 1).await), (true, false));
    assert_eq!(lost(&node), [0, 1, 0]);
    purge(&node, Purge::Model("m")).await;
    assert_eq!(found(&node, 0..2).await, 0);
}

#[tokio::test]
async fn what_redis_evicts_is_a_miss_and_the_rest_is_whole() {
    let server = Server::start();
    let mut direct = direct(&server);
    let mut set = |what, value| {
        redis::cmd("CONFIG").arg("SET").arg(what).arg(value).exec(&mut direct).unwrap();
    };
    let node = ready(&server).await;
    set("maxmemory", "4mb");
    // The one keeps the marks, whose time never ends; the other evicts them, and all with them.
    for (policy, least) in [("volatile-lru", 50), ("allkeys-random", 0)] {
        set("maxmemory-policy", policy);
        for number in 0..1500 {
            put(&node, number);
            if number % 50 == 0 {
                has(&node, number).await;
                written(&node).await;
            }
        }
        written(&node).await;
        let left = found(&node, 0..1500).await;
        assert!(left >= least && left < 1500, "{policy}: {left}");
    }
}

/// What came of a value that somebody changed.
fn harmed(runtime: &Runtime, server: &Server, node: &Redis, number: u64, harm: (u8, usize, u8)) {
    let name = marks::name(&key(number));
    let mut direct = direct(server);
    runtime.block_on(async {
        assert!(put(node, number) && has(node, number).await);
        written(node).await;
    });
    let mut value: Vec<u8> = redis::cmd("GET").arg(&name).query(&mut direct).unwrap();
    let (how, at, bits) = (harm.0, harm.1 % value.len(), harm.2.max(1));
    match how {
        0 => value[at] ^= bits,
        1 => value.truncate(at),
        2 => value.insert(at, bits),
        _ => drop(value.drain(..=at)),
    }
    redis::cmd("SET").arg(&name).arg(&value).exec(&mut direct).unwrap();
    let found = runtime.block_on(node.get(key(number))).unwrap();
    let entry = found.and_then(|bytes| Entry::decode(&key(number), &bytes));
    // A byte put before its equals is where it was.
    assert!(entry.is_none() || how == 2 && entry == Some(self::entry(number)), "{number} {harm:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn what_was_put_comes_back_whole_or_not_at_all(
        number in 0..1_000_u64, how in 0..4_u8, at: usize, bits: u8,
    ) {
        thread_local!(static SERVER: (Runtime, Server, Redis) = {
            let (runtime, server) = (Runtime::new().unwrap(), Server::start());
            let node = runtime.block_on(ready(&server));
            (runtime, server, node)
        });
        SERVER.with(|(runtime, server, node)| {
            harmed(runtime, server, node, number, (how, at, bits));
        });
    }
}

// === a Redis that is none, or none any more ===

const PATIENCE: Duration = Duration::from_millis(50);

/// A server that takes all connections and answers whatever comes with `answer`.
async fn speaker(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://:sk-secret@{}", listener.local_addr().unwrap());
    let serve = async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let talk = async move {
                let mut heard = [0; 1024];
                while stream.read(&mut heard).await.is_ok_and(|length| length > 0) {
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            };
            let _ = spawn(talk);
        }
    };
    spawn(serve).unwrap();
    url
}

#[tokio::test(start_paused = true)]
async fn what_says_nothing_costs_three_waits_and_then_none() {
    let node = node(&speaker(b"").await, PATIENCE);
    let began = Instant::now();
    for _ in 0..3 {
        assert_eq!(node.get(key(0)).await, Err(Away));
    }
    assert!(began.elapsed() < 4 * PATIENCE, "{:?}", began.elapsed());
    let began = Instant::now();
    for number in 0..1000 {
        assert_eq!(node.get(key(number)).await, Err(Away));
        assert!(!put(&node, number));
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn what_talks_nonsense_is_away() {
    let all: [&[u8]; 8] = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"+OK\r\n",
        b":1\r\n",
        b"$-1\r\n",
        b"*-1\r\n*2\r\n$1\r\nx\r\n",
        b"-ERR no\r\n",
        b"$9999999999\r\nx",
        b"\x00\xff\xfe*",
    ];
    for nonsense in all {
        let node = node(&speaker(nonsense).await, PATIENCE);
        for number in 0..20 {
            let found = node.get(key(number)).await;
            assert!(matches!(found, Err(Away) | Ok(None)), "{nonsense:?}: {found:?}");
            let _ = put(&node, number);
        }
    }
}

#[tokio::test]
async fn a_wrong_password_is_a_store_that_is_away_and_a_right_one_is_not_shown() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let _server = Server::start_at(port, &["--requirepass", "sk-right"]);
    let wrong = node(&format!("redis://:sk-wrong@127.0.0.1:{port}"), LONG);
    until(|| wrong.0.link.is_down()).await;
    assert_eq!(wrong.get(key(0)).await, Err(Away));
    let right = node(&format!("redis://:sk-right@127.0.0.1:{port}"), LONG);
    right.0.link.reached().await;
    assert_eq!(right.get(key(0)).await, Ok(None));
    let shown = format!("{wrong:?} {right:?}");
    assert!(!shown.contains("sk-"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_dies_is_used_again_when_it_is_back() {
    let server = Server::start();
    let node = ready(&server).await;
    put(&node, 0);
    written(&node).await;
    let port = server.port();
    drop(server);
    while !node.0.link.is_down() {
        assert_eq!(node.get(key(0)).await, Err(Away));
    }
    let began = Instant::now();
    for number in 0..1000 {
        assert_eq!(node.get(key(number)).await, Err(Away));
        assert!(!put(&node, number));
    }
    assert!(began.elapsed() < 100 * PATIENCE, "{:?} for 1,000 requests", began.elapsed());
    assert_eq!(lost(&node)[2], 1000);
    let server = Server::start_at(port, &[]);
    node.0.link.reached().await;
    // The first lookup finds no marks, and has them set.
    while !has(&node, 1).await {
        put(&node, 1);
        written(&node).await;
    }
    assert!(!has(&node, 0).await);
    drop(server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_hangs_is_given_up_after_a_few_lookups() {
    let server = Server::start();
    let node = node(&server.url(), PATIENCE);
    node.0.link.reached().await;
    server.signal("-STOP");
    let began = Instant::now();
    for number in 0..500 {
        assert_eq!(node.get(key(number)).await, Err(Away));
    }
    assert!(began.elapsed() < 100 * PATIENCE, "{:?} for 500 lookups", began.elapsed());
    assert!(node.0.link.is_down());
    server.signal("-CONT");
    while node.get(key(0)).await.is_err() {
        node.0.link.reached().await;
    }
}
