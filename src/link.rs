//! The way to a Redis that requests share: connected once, and made anew in the background.
//!
//! Why a breaker: a Redis that is away must not cost every request 50 ms. Once it is known to be away
//! requests do not ask it at all, until the background has reached it again.
//! The trap: a Redis that hangs still takes connections, so it counts as back only when it has
//! answered; one that hangs again at once is waited for longer; and a late failure of an old
//! connection must not take down the new one.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use self::seeker::{Seeker, longer};

mod seeker;
#[cfg(test)]
pub(crate) mod server;

/// How a room begins to speak with its Redis.
pub trait Opening: Debug + Send + Sync + 'static {
    /// What it speaks over.
    type Line: Clone + Debug + Send + Sync + 'static;

    /// Connects (see [`connect`]), and hears an answer: a Redis that hangs takes connections, too.
    fn open(&self, client: &Client) -> impl Future<Output = Result<Self::Line, RedisError>> + Send;
}

/// The way to one Redis.
#[derive(Debug)]
pub struct Link<O: Opening> {
    client: Client,
    opening: O,
    /// What is there, for logs.
    what: String,
    state: watch::Sender<State<O::Line>>,
    /// Answers in a row that did not come in time.
    strikes: AtomicU32,
}

/// Redis does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Away;

#[derive(Debug, Clone)]
enum State<L> {
    /// Nobody has asked yet.
    New,
    /// For the first time: it is worth waiting for.
    Connecting,
    Up(Live<L>),
    /// Somebody tries in the background.
    Down,
}

/// A line over which an answer has come, by its number.
#[derive(Debug, Clone)]
struct Live<L> {
    number: u64,
    line: L,
    since: Instant,
    /// How long was waited before it was opened.
    wait: Duration,
}

/// So many late answers in a row mean that Redis is away.
const STRIKES: u32 = 3;

/// No answer that comes later is heard; those who asked have long gone.
const ANSWER: Duration = Duration::from_secs(2);

/// A line that lasted so long was a good one.
const STEADY: Duration = Duration::from_secs(10);

/// Lets a task go on when the request that began it has gone.
///
/// # Errors
/// There is no runtime.
#[expect(clippy::disallowed_methods, reason = "an answer of Redis outlives the request that asked")]
pub fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Result<(), Away> {
    Handle::try_current().map_err(|_| Away)?;
    drop(tokio::spawn(task));
    Ok(())
}

/// A connection, within two seconds; its answers have as long.
///
/// # Errors
/// What the address, the login or the time ran into.
pub async fn connect(client: &Client) -> Result<MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new();
    let config = config.set_connection_timeout(Some(ANSWER)).set_response_timeout(Some(ANSWER));
    client.get_multiplexed_async_connection_with_config(&config).await
}

// === impl Link ===

impl<O: Opening> Link<O> {
    /// `what` is there, for logs: "the limits in redis://..."; never with a login.
    ///
    /// # Errors
    /// What is wrong with the URL.
    pub fn to(url: &str, what: String, opening: O) -> Result<Self, String> {
        let client = Client::open(url).map_err(|why| why.to_string())?;
        let state = watch::Sender::new(State::New);
        Ok(Self { client, opening, what, state, strikes: AtomicU32::new(0) })
    }

    /// How it is opened.
    pub fn opening(&self) -> &O {
        &self.opening
    }

    /// Whether Redis has answered, and was not lost since.
    pub fn is_up(&self) -> bool {
        matches!(*self.state.borrow(), State::Up(_))
    }

    /// Whether it is known to be away.
    pub fn is_down(&self) -> bool {
        matches!(*self.state.borrow(), State::Down)
    }

    /// Waits until it has reached Redis.
    pub async fn reached(self: &Arc<Self>) {
        let _ = self.begin();
        // It holds the sender itself.
        let _ = self.state.subscribe().wait_for(|state| matches!(state, State::Up(_))).await;
    }

    /// An answer did not come in time.
    pub fn strike(self: &Arc<Self>) {
        if self.strikes.fetch_add(1, Ordering::Relaxed) + 1 < STRIKES {
            return;
        }
        let (why, number) = match &*self.state.borrow() {
            State::Up(live) => ("its answers do not come in time", Some(live.number)),
            State::Connecting => ("connecting takes too long", None),
            _ => return,
        };
        self.lose(number, why);
    }

    /// An answer came in time.
    pub fn heard(&self) {
        self.strikes.store(0, Ordering::Relaxed);
    }

    /// Asks, and has the answer within `patience`.
    ///
    /// # Errors
    /// As [`Link::call`], or there was no answer in time.
    pub async fn within<T, F>(
        self: &Arc<Self>,
        patience: Duration,
        ask: impl FnOnce(O::Line) -> F,
    ) -> Result<T, Away>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        match timeout(patience, self.call(ask)).await {
            Ok(answer) => answer.inspect(|_| self.heard()),
            Err(_) => {
                self.strike();
                Err(Away)
            }
        }
    }

    /// Asks over the line, waiting for the first one ever. What it says of time, the caller tells.
    ///
    /// # Errors
    /// There is no line, or it broke, or Redis would not.
    pub async fn call<T, F>(self: &Arc<Self>, ask: impl FnOnce(O::Line) -> F) -> Result<T, Away>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        let Live { number, line, .. } = self.live().await?;
        ask(line).await.map_err(|why| {
            self.failed(number, &why);
            Away
        })
    }

    fn failed(self: &Arc<Self>, number: u64, why: &RedisError) {
        if why.is_timeout() {
            return;
        }
        if why.is_io_error() || why.is_connection_dropped() || why.is_unrecoverable_error() {
            self.lose(Some(number), &why.to_string());
        } else if self.strikes.fetch_add(1, Ordering::Relaxed) == 0 {
            log::warn!("{}: {why}", self.what);
        }
    }

    /// The line, waiting for the first one ever.
    async fn live(self: &Arc<Self>) -> Result<Live<O::Line>, Away> {
        self.begin()?;
        let mut state = self.state.subscribe();
        let state = state.wait_for(|state| matches!(state, State::Up(_) | State::Down)).await;
        match state.as_deref() {
            Ok(State::Up(live)) => Ok(live.clone()),
            _ => Err(Away),
        }
    }

    /// Connects, if nobody has begun to.
    fn begin(self: &Arc<Self>) -> Result<(), Away> {
        let is_first = self.state.send_if_modified(|state| {
            let is_new = matches!(state, State::New);
            if is_new {
                *state = State::Connecting;
            }
            is_new
        });
        if is_first { self.open(0, Duration::ZERO) } else { Ok(()) }
    }

    /// Gives a line up, if it is still the one in use; `None` is the first, which is not there yet.
    fn lose(self: &Arc<Self>, number: Option<u64>, why: &str) {
        let mut next = None;
        let is_lost = self.state.send_if_modified(|state| {
            match state {
                State::Up(live) if Some(live.number) == number => {
                    let is_steady = live.since.elapsed() >= STEADY;
                    let wait = if is_steady { Duration::ZERO } else { longer(live.wait) };
                    next = Some((live.number + 1, wait));
                }
                // It goes on connecting, and nobody waits.
                State::Connecting if number.is_none() => {}
                _ => return false,
            }
            *state = State::Down;
            true
        });
        if is_lost {
            log::warn!("{} are away: {why}", self.what);
        }
        if let Some((number, wait)) = next {
            let _ = self.open(number, wait);
        }
    }

    /// Connects in the background after a wait, until it has an answer.
    fn open(self: &Arc<Self>, number: u64, wait: Duration) -> Result<(), Away> {
        let seeker = Seeker::over(self);
        spawn(async move { seeker.reach(number, wait).await })
    }

    fn is_reached(&self, live: Live<O::Line>) {
        if self.is_down() {
            log::info!("{} are back", self.what);
        }
        self.heard();
        self.state.send_replace(State::Up(live));
    }

    fn is_missed(&self, why: &RedisError) {
        if !self.is_down() {
            log::warn!("{} are away: {why}", self.what);
            self.state.send_replace(State::Down);
        }
    }
}

#[cfg(test)]
mod tests;
