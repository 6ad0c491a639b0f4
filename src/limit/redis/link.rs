//! The connection to Redis: one for all requests, made anew in the background.
//!
//! Why a breaker: a Redis that is away must not cost every request 50 ms. Once it is known to be away
//! requests do not ask it at all, until the background has reached it again.
//! The trap: a Redis that hangs still takes connections, so it counts as back only when it has
//! answered; and a late failure of an old connection must not take down the new one.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, RedisError, Script};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::sleep;

use super::scripts::Scripts;
use crate::secret::Secret;

/// The way to one Redis.
#[derive(Debug)]
pub(super) struct Link {
    client: Client,
    scripts: Scripts,
    /// The URL, fit to be shown.
    shown: String,
    state: watch::Sender<State>,
    /// Answers in a row that did not come in time.
    strikes: AtomicU32,
}

/// Redis does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::limit) struct Away;

#[derive(Debug, Clone)]
enum State {
    /// Nobody has asked yet.
    New,
    /// For the first time: it is worth waiting for.
    Connecting,
    Up(Live),
    /// Somebody tries in the background.
    Down,
}

/// A connection that has answered, by its number.
#[derive(Debug, Clone)]
struct Live {
    number: u64,
    connection: MultiplexedConnection,
}

/// So many late answers in a row mean that Redis is away.
const STRIKES: u32 = 3;

/// No answer that comes later is heard; those who asked have long gone.
const ANSWER: Duration = Duration::from_secs(2);

/// Between two attempts to connect, at first and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Sets the state back if the background ends before it has reached Redis: with its runtime.
struct Watch(Weak<Link>);

/// Lets a task go on when the request that began it has gone.
///
/// # Errors
/// There is no runtime.
#[expect(clippy::disallowed_methods, reason = "an answer of Redis outlives the request that asked")]
pub(super) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Result<(), Away> {
    Handle::try_current().map_err(|_| Away)?;
    drop(tokio::spawn(task));
    Ok(())
}

// === impl Link ===

impl Link {
    /// # Errors
    /// What is wrong with the URL.
    pub(super) fn to(url: &Secret, scripts: Scripts) -> Result<Self, String> {
        let client = Client::open(url.expose()).map_err(|why| why.to_string())?;
        let (state, shown) = (watch::Sender::new(State::New), url.origin().to_owned());
        Ok(Self { client, scripts, shown, state, strikes: AtomicU32::new(0) })
    }

    pub(super) async fn admit(
        self: &Arc<Self>,
        names: &[&str],
        arguments: &[String],
    ) -> Result<Vec<i64>, Away> {
        self.call(&self.scripts.admit, names, arguments).await
    }

    pub(super) async fn settle(
        self: &Arc<Self>,
        names: &[&str],
        arguments: &[String],
    ) -> Result<(), Away> {
        self.call(&self.scripts.settle, names, arguments).await
    }

    /// Waits until it has reached Redis.
    #[cfg(test)]
    pub(super) async fn is_up(&self) {
        let mut state = self.state.subscribe();
        state.wait_for(|state| matches!(state, State::Up(_))).await.unwrap();
    }

    /// Whether it is known to be away.
    pub(super) fn is_down(&self) -> bool {
        matches!(*self.state.borrow(), State::Down)
    }

    /// An answer did not come in time.
    pub(super) fn strike(self: &Arc<Self>) {
        let live = match &*self.state.borrow() {
            State::Up(live) => live.number,
            _ => return,
        };
        if self.strikes.fetch_add(1, Ordering::Relaxed) + 1 >= STRIKES {
            self.lose(live, "its answers do not come in time");
        }
    }

    async fn call<T: FromRedisValue>(
        self: &Arc<Self>,
        script: &Script,
        names: &[&str],
        arguments: &[String],
    ) -> Result<T, Away> {
        let Live { number, mut connection } = self.live().await?;
        let mut call = script.prepare_invoke();
        for name in names {
            call.key(name);
        }
        for argument in arguments {
            call.arg(argument);
        }
        match call.invoke_async(&mut connection).await {
            Ok(answer) => {
                self.strikes.store(0, Ordering::Relaxed);
                Ok(answer)
            }
            Err(why) => {
                self.failed(number, &why);
                Err(Away)
            }
        }
    }

    fn failed(self: &Arc<Self>, number: u64, why: &RedisError) {
        if why.is_timeout() {
            return;
        }
        if why.is_io_error() || why.is_connection_dropped() || why.is_unrecoverable_error() {
            self.lose(number, &why.to_string());
        } else if self.strikes.fetch_add(1, Ordering::Relaxed) == 0 {
            log::warn!("the limits in {}: {why}", self.shown);
        }
    }

    /// The connection, waiting for the first one ever.
    async fn live(self: &Arc<Self>) -> Result<Live, Away> {
        let is_first = self.state.send_if_modified(|state| {
            let is_new = matches!(state, State::New);
            if is_new {
                *state = State::Connecting;
            }
            is_new
        });
        if is_first {
            self.connect(0)?;
        }
        let mut state = self.state.subscribe();
        let state = state.wait_for(|state| matches!(state, State::Up(_) | State::Down)).await;
        match state.as_deref() {
            Ok(State::Up(live)) => Ok(live.clone()),
            _ => Err(Away),
        }
    }

    /// Gives a connection up, if it is still the one in use.
    fn lose(self: &Arc<Self>, number: u64, why: &str) {
        let is_lost = self.state.send_if_modified(|state| {
            let is_it = matches!(state, State::Up(live) if live.number == number);
            if is_it {
                *state = State::Down;
            }
            is_it
        });
        if is_lost {
            log::warn!("the limits in {} are away: {why}", self.shown);
            let _ = self.connect(number + 1);
        }
    }
    /// Connects in the background, until it has an answer.
    fn connect(self: &Arc<Self>, number: u64) -> Result<(), Away> {
        let watch = Watch(Arc::downgrade(self));
        spawn(async move { watch.reach(number).await })
    }

    fn reached(&self, live: Live) {
        if self.is_down() {
            log::info!("the limits in {} are back", self.shown);
        }
        self.strikes.store(0, Ordering::Relaxed);
        self.state.send_replace(State::Up(live));
    }

    fn missed(&self, why: &RedisError) {
        if !self.is_down() {
            log::warn!("the limits in {} are away: {why}", self.shown);
            self.state.send_replace(State::Down);
        }
    }

    async fn open(&self) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new();
        let config = config.set_connection_timeout(Some(ANSWER)).set_response_timeout(Some(ANSWER));
        let mut connection =
            self.client.get_multiplexed_async_connection_with_config(&config).await?;
        // With the scripts there, each request needs one trip only; and it shows that Redis answers.
        for script in [&self.scripts.admit, &self.scripts.settle] {
            script.load_async(&mut connection).await?;
        }
        Ok(connection)
    }
}

// === impl Watch ===

impl Watch {
    async fn reach(mut self, number: u64) {
        let (mut wait, longest) = BACKOFF;
        while let Some(link) = self.0.upgrade() {
            match link.open().await {
                Ok(connection) => {
                    self.0 = Weak::new();
                    return link.reached(Live { number, connection });
                }
                Err(why) => link.missed(&why),
            }
            drop(link);
            sleep(wait.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            wait = longest.min(2 * wait);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(link) = self.0.upgrade() {
            link.state.send_replace(State::New);
        }
    }
}
