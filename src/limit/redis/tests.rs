//! Against a real Redis, which each test starts and ends: in a time of its own for the strategies,
//! in real time for all else.

use proptest::prelude::{ProptestConfig, prop, proptest};
use tokio::runtime::Runtime;
use tokio::time::Instant;

use super::*;
use crate::config::{LimitStore, Limits, OnStoreError, Rate};
use crate::limit::tests::{ask, caller, key, rate, section};
use crate::limit::{Ask, Denied, KeyId, Limiter, Permit};
use crate::link::server::Server;

fn limits(server: &Server, strategy: Strategy, global: &[Rate]) -> Limits {
    let store = LimitStore::Redis(Secret::new(server.url()));
    Limits { store, on_store_error: OnStoreError::Refuse, ..section(strategy, global) }
}

const STRATEGIES: [Strategy; 3] =
    [Strategy::FixedWindow, Strategy::FixedWindowElasticExpiry, Strategy::MovingWindow];

fn mine(tokens: u64) -> Ask<'static> {
    ask(caller(Some(0), "10.0.0.1"), tokens)
}

/// A limiter that gives a noisy machine its time.
fn patient(limits: &Limits, keys: &[Key]) -> Limiter {
    let mut limiter = Limiter::build(limits, keys).unwrap();
    let inner = Arc::get_mut(&mut limiter.0).unwrap();
    inner.redis.as_mut().unwrap().deadline = Duration::from_secs(30);
    limiter
}

fn link(limiter: &Limiter) -> &Arc<Link> {
    &limiter.0.redis.as_ref().unwrap().link
}

/// A limiter in Redis whose time is what the test says: it stands in a list there.
struct Timed {
    runtime: Runtime,
    limiter: Limiter,
    clock: redis::Connection,
}

impl Timed {
    fn of(server: &Server, strategy: Strategy, global: &[Rate], keys: &[Key]) -> Self {
        let mut limiter = patient(&limits(server, strategy, global), keys);
        let inner = Arc::get_mut(&mut limiter.0).unwrap();
        let scripts = Scripts::by("redis.call('LRANGE', 'clock', 0, 1)");
        let link = Link::to(&server.url(), "the limits".to_owned(), scripts).unwrap();
        inner.redis.as_mut().unwrap().link = Arc::new(link);
        let client = redis::Client::open(server.url()).unwrap();
        let mut clock = client.get_connection().unwrap();
        redis::cmd("FLUSHALL").exec(&mut clock).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { runtime, limiter, clock }
    }

    /// Sets the time, in microseconds; long after what Redis itself believes.
    fn set(&mut self, now: u64) {
        let mut set = redis::pipe();
        set.del("clock").rpush("clock", 9_000_000 * 256 + now / 1_000_000);
        set.rpush("clock", now % 1_000_000).exec(&mut self.clock).unwrap();
    }

    fn admit(&mut self, ask: Ask<'_>, now: u64) -> Result<Permit, Box<Denied>> {
        self.set(now);
        self.runtime.block_on(self.limiter.admit(ask))
    }

    /// Settles and waits until Redis knows it.
    fn settle(&mut self, mut permit: Permit, tokens: u64, now: u64) {
        self.set(now);
        self.runtime.block_on(async {
            permit.settle(tokens);
            tokio::task::yield_now().await;
            // One connection: what is asked behind it is answered behind it.
            let _ = scripts::settle(link(&self.limiter), &[], &["fixed".into()]).await;
        });
    }
}

#[test]
fn the_sequences_measured_at_openai_forward() {
    let server = Server::start();
    let times = [2, 22, 42, 42, 52, 64, 64, 64, 84, 84, 106, 106, 130, 130, 130, 130];
    for (strategy, expected) in [
        (Strategy::FixedWindow, "ooo-- ooo -- -- ooo-"),
        (Strategy::MovingWindow, "ooo-- o-- o- o- o---"),
        (Strategy::FixedWindowElasticExpiry, "ooo-- --- -- -- ----"),
    ] {
        let mut timed = Timed::of(&server, strategy, &[rate(3, 6)], &[]);
        let asked = ask(caller(None, "10.0.0.1"), 0);
        let answer = |tenths: u64| match timed.admit(asked, tenths * 100_000) {
            Ok(_) => 'o',
            Err(denied) => {
                assert_eq!(denied.what, What::Requests(rate(3, 6)));
                '-'
            }
        };
        let answers: String = times.into_iter().map(answer).collect();
        assert_eq!(answers, expected.replace(' ', ""), "{strategy:?}");
    }
}

/// One call of a random history: its pause in milliseconds, tokens, and what they came to.
type Call = (u64, u64, Option<u64>);

/// Whether both stores say the same of every call, to the microsecond.
fn agree(server: &Server, strategy: Strategy, calls: &[Call]) {
    let keys = [key(&[rate(4, 1), rate(9, 3)], &[rate(60, 1), rate(100, 2)], 0)];
    let mut timed = Timed::of(server, strategy, &[rate(5, 2)], &keys);
    let limits = section(strategy, &[rate(5, 2)]);
    let memory = Limiter::build(&limits, &keys).unwrap();
    let (began, mut now) = (Instant::now() + Duration::from_secs(1), 1_000_000);
    for &(pause, tokens, settled) in calls {
        now += pause * 1_000;
        let at = began + Duration::from_micros(now);
        let (there, here) = (timed.admit(mine(tokens), now), memory.admit_at(mine(tokens), at));
        match (there, here) {
            (Ok(there), Ok(mut here)) => {
                assert_eq!(there.standing(), here.standing());
                if let Some(settled) = settled {
                    timed.settle(there, settled, now);
                    here.settle_at(settled, at);
                }
            }
            (Err(there), Err(here)) => assert_eq!(there, here),
            (there, here) => panic!("{strategy:?} at {now}: {there:?} but {here:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn every_decision_is_that_of_the_store_in_memory(
        calls in prop::collection::vec((0..700_u64, 0..70_u64, prop::option::of(0..150_u64)), 1..40),
        which in 0..3_usize,
    ) {
        use std::cell::LazyCell;
        thread_local!(static SERVER: LazyCell<Server> = LazyCell::new(Server::start));
        SERVER.with(|server| agree(server, STRATEGIES[which], &calls));
    }
}

#[test]
fn what_was_given_back_in_full_keeps_no_window_open() {
    let server = Server::start();
    for strategy in STRATEGIES {
        agree(&server, strategy, &[(0, 0, None), (0, 1, Some(0)), (0, 61, None)]);
        agree(&server, strategy, &[(0, 7, None), (300, 1, Some(0)), (0, 61, None)]);
    }
}

#[test]
fn a_moving_window_with_many_hits_is_exact_and_used_to_99_percent() {
    let server = Server::start();
    let mut timed = Timed::of(&server, Strategy::MovingWindow, &[rate(600, 1)], &[]);
    let asked = ask(caller(None, "10.0.0.1"), 0);
    let admits = |now: &u64| timed.admit(asked, *now).is_ok();
    let times: Vec<u64> = (0..4_000).map(|call| call * 997).filter(admits).collect();
    for window in times.windows(601) {
        assert!(window[600] - window[0] >= 1_000_000);
    }
    // The last of the four seconds is not over.
    assert!(times.len() * 100 >= 4 * 600 * 99, "{}", times.len());
    let key: String =
        redis::cmd("KEYS").arg("aifd:*").query::<Vec<String>>(&mut timed.clock).unwrap().remove(0);
    let fields: usize = redis::cmd("HLEN").arg(key).query(&mut timed.clock).unwrap();
    assert!(fields < 270, "{fields} fields for a counter");
}

/// Asks for tokens with the first key, and just asks with the second; gives what was let in.
async fn one_client(node: Limiter, number: u64) -> [u64; 2] {
    let mut admitted = [0, 0];
    for call in 0..10 {
        let tokens = (number + call) % 9 + 1;
        for (key, tokens, counted) in [(0, tokens, tokens), (1, 0, 1)] {
            match node.admit(ask(caller(Some(key), "10.0.0.1"), tokens)).await {
                Ok(_) => admitted[key as usize] += counted,
                Err(denied) => assert_ne!(denied.what, What::StoreAway),
            }
        }
    }
    admitted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_nodes_and_64_clients_never_have_one_too_many() {
    let server = Server::start();
    for strategy in STRATEGIES {
        let keys = [
            key(&[rate(1_000, 600)], &[rate(700, 600), rate(900, 6_000)], 0),
            Key { name: "bob".to_owned(), ..key(&[rate(100, 600)], &[], 0) },
        ];
        let limits = limits(&server, strategy, &[rate(900, 600)]);
        let nodes = [(); 2].map(|()| patient(&limits, &keys));
        let mut clients = tokio::task::JoinSet::new();
        for number in 0..64 {
            clients.spawn(one_client(nodes[number % 2].clone(), number as u64));
        }
        let admitted = clients.join_all().await;
        let sum = |of: usize| admitted.iter().map(|admitted| admitted[of]).sum::<u64>();
        let mut reserved = sum(0);
        while nodes[0].admit(mine(1)).await.is_ok() {
            reserved += 1;
        }
        assert_eq!((reserved, sum(1)), (700, 100), "{strategy:?}");
    }
}

#[tokio::test]
async fn all_or_nothing_and_what_is_left() {
    let server = Server::start();
    let keys = [key(&[rate(5, 60)], &[rate(100, 60)], 1)];
    let limiter = patient(&limits(&server, Strategy::FixedWindow, &[]), &keys);
    let permit = limiter.admit(mine(60)).await.unwrap();
    let full = limiter.admit(mine(1)).await.unwrap_err();
    assert!(matches!(full.what, What::InFlight(_)), "{full:?}");
    drop(permit);
    for (tokens, what) in [(41, What::Tokens(rate(100, 60))), (101, What::TooLarge(rate(100, 60)))]
    {
        let denied = limiter.admit(mine(tokens)).await.unwrap_err();
        assert_eq!(denied.what, what);
        assert_eq!(denied.retry_after.is_some(), tokens == 41);
        let left = denied.standing.requests.map(|level| (level.limit, level.remaining));
        assert_eq!(left, Some((5, 4)));
        assert_eq!(limiter.in_flight(KeyId(0)), 0);
    }
    assert!(limiter.admit(mine(40)).await.is_ok());
}

/// Requests and tokens that the first key has left.
async fn left(limiter: &Limiter) -> (u64, u64) {
    let standing = limiter.admit(mine(u64::MAX)).await.unwrap_err().standing;
    (standing.requests.unwrap().remaining, standing.tokens.unwrap().remaining)
}

#[tokio::test]
async fn a_charge_of_which_nobody_heard_is_given_back() {
    let server = Server::start();
    let keys = [key(&[rate(5, 600)], &[rate(100, 600)], 0)];
    let limiter = patient(&limits(&server, Strategy::MovingWindow, &[]), &keys);
    drop(limiter.admit(mine(10)).await.unwrap());
    assert_eq!(left(&limiter).await, (4, 90), "whoever was let in is charged");
    let redis = limiter.0.redis.as_ref().unwrap();
    let verdict = redis.admit(&limiter.0.rules.plan(&mine(20))).await.unwrap();
    assert_eq!(left(&limiter).await, (3, 70));
    drop(verdict);
    while left(&limiter).await != (4, 90) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_dies_costs_nothing_and_is_used_again_when_it_is_back() {
    let server = Server::start();
    let keys = [key(&[rate(3, 600)], &[], 0)];
    let refuse = patient(&limits(&server, Strategy::FixedWindow, &[]), &keys);
    let allow = limits(&server, Strategy::FixedWindow, &[]);
    let allow = Limits { on_store_error: OnStoreError::Allow, ..allow };
    let allow = patient(&allow, &keys);
    assert!(refuse.admit(mine(0)).await.is_ok() && allow.admit(mine(0)).await.is_ok());
    let port = server.port();
    drop(server);
    for limiter in [&refuse, &allow] {
        while !link(limiter).is_down() {
            drop(limiter.admit(mine(0)).await);
        }
    }
    let began = Instant::now();
    for _ in 0..1_000 {
        let denied = refuse.admit(mine(0)).await.unwrap_err();
        assert_eq!((denied.what, denied.retry_after), (What::StoreAway, None));
        if let Err(denied) = allow.admit(mine(0)).await {
            assert_eq!(denied.what, What::Requests(rate(3, 600)), "this node counts alone");
        }
    }
    assert!(began.elapsed() < 100 * DEADLINE, "{:?} for 2,000 requests", began.elapsed());
    let _server = Server::start_at(port, &[]);
    for limiter in [&refuse, &allow] {
        link(limiter).reached().await;
        assert!(limiter.admit(mine(0)).await.is_ok(), "an empty Redis");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_hangs_is_given_up_after_a_few_requests() {
    let server = Server::start();
    let keys = [key(&[rate(1_000, 600)], &[], 0)];
    let limiter = Limiter::build(&limits(&server, Strategy::FixedWindow, &[]), &keys).unwrap();
    // A first request may be too early on a slow machine; it begins to connect in any case.
    drop(limiter.admit(mine(0)).await);
    link(&limiter).reached().await;
    server.signal("-STOP");
    let began = Instant::now();
    for _ in 0..500 {
        assert_eq!(limiter.admit(mine(0)).await.unwrap_err().what, What::StoreAway);
    }
    assert!(began.elapsed() < 100 * DEADLINE, "{:?} for 500 requests", began.elapsed());
    assert!(link(&limiter).is_down());
    server.signal("-CONT");
    while limiter.admit(mine(0)).await.is_err() {
        link(&limiter).reached().await;
    }
}

#[tokio::test]
async fn a_debt_that_redis_cannot_be_told_counts_here() {
    let server = Server::start();
    let keys = [key(&[], &[rate(100, 600)], 0)];
    let limits = limits(&server, Strategy::MovingWindow, &[]);
    let limits = Limits { on_store_error: OnStoreError::Allow, ..limits };
    let limiter = patient(&limits, &keys);
    let mut permit = limiter.admit(mine(10)).await.unwrap();
    drop(server);
    permit.settle(500);
    loop {
        // Redis is away: the first ones may be let in, until the debt is booked.
        match limiter.admit(mine(1)).await {
            Err(denied) if denied.what == What::Tokens(rate(100, 600)) => break,
            _ => tokio::task::yield_now().await,
        }
    }
}
