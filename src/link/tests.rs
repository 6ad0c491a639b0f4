//! The breaker, in a time of its own.

use std::future::pending;

use tokio::net::TcpListener;

use super::seeker::BACKOFF;
use super::*;

const PATIENCE: Duration = Duration::from_millis(50);

/// Opens at once, and needs no Redis.
#[derive(Debug)]
struct AtOnce;

impl Opening for AtOnce {
    type Line = ();

    async fn open(&self, _: &Client) -> Result<(), RedisError> {
        Ok(())
    }
}

/// A real connection that has answered.
#[derive(Debug)]
struct Ping;

impl Opening for Ping {
    type Line = MultiplexedConnection;

    async fn open(&self, client: &Client) -> Result<Self::Line, RedisError> {
        let mut connection = connect(client).await?;
        redis::cmd("PING").exec_async(&mut connection).await?;
        Ok(connection)
    }
}

fn link<O: Opening>(url: &str, opening: O) -> Arc<Link<O>> {
    Arc::new(Link::to(url, "the things".to_owned(), opening).unwrap())
}

async fn stall<O: Opening>(link: &Arc<Link<O>>) -> Duration {
    let began = Instant::now();
    assert_eq!(link.within(PATIENCE, |_| pending::<Result<(), _>>()).await, Err(Away));
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn what_takes_connections_and_says_nothing_costs_three_waits() {
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let link = link(&format!("redis://{}", deaf.local_addr().unwrap()), Ping);
    for _ in 0..STRIKES {
        let took = stall(&link).await;
        assert!(took >= PATIENCE && took < 2 * PATIENCE, "{took:?}");
    }
    assert!(link.is_down());
    for _ in 0..1000 {
        assert_eq!(stall(&link).await, Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_time_forgives_late_ones() {
    let link = link("redis://h", AtOnce);
    for _ in 0..10 {
        stall(&link).await;
        stall(&link).await;
        assert_eq!(link.within(PATIENCE, |()| async { Ok(7) }).await, Ok(7));
    }
    assert!(!link.is_down());
}

/// Strikes it down, and how long it stays away.
async fn away(link: &Arc<Link<AtOnce>>) -> Duration {
    link.reached().await;
    for _ in 0..STRIKES {
        stall(link).await;
    }
    assert!(link.is_down());
    let began = Instant::now();
    link.reached().await;
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn what_hangs_again_and_again_is_asked_less_and_less() {
    let link = link("redis://h", AtOnce);
    let waits = [50, 100, 200, 400, 800, 1000, 1000].map(Duration::from_millis);
    for most in waits {
        let wait = away(&link).await;
        assert!(
            wait >= most / 2 && wait <= most + Duration::from_millis(2),
            "{wait:?} of {most:?}"
        );
    }
    tokio::time::advance(STEADY).await;
    assert!(away(&link).await <= Duration::from_millis(2), "it had been good for a while");
    assert!(away(&link).await >= BACKOFF.0 / 2);
}
