//! What Redis runs: the strategies a second time, in Lua.
//!
//! Why there: between a look at a counter and its charge nobody else can come.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{Client, FromRedisValue, RedisError, Script};

use crate::config::Strategy;
use crate::link::{self, Away, Opening};

/// The way to the counters.
pub(super) type Link = link::Link<Scripts>;

/// What Redis runs.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) admit: Script,
    pub(super) settle: Script,
}

/// The clock of the scripts.
const CLOCK: &str = "redis.call('TIME')";

/// What the scripts call a strategy.
pub(super) fn word(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::FixedWindow => "fixed",
        Strategy::FixedWindowElasticExpiry => "elastic",
        Strategy::MovingWindow => "moving",
    }
}

// === impl Scripts ===

impl Scripts {
    /// Those that ask `clock` for the time: seconds, and microseconds.
    pub(super) fn by(clock: &str) -> Self {
        let counters = include_str!("counters.lua").replace(CLOCK, clock);
        let script = |rest: &str| Script::new(&format!("{counters}{rest}"));
        Self {
            admit: script(include_str!("admit.lua")),
            settle: script(include_str!("settle.lua")),
        }
    }
}

impl Opening for Scripts {
    type Line = MultiplexedConnection;

    /// With the scripts there, each request needs one trip only; and it shows that Redis answers.
    async fn open(&self, client: &Client) -> Result<Self::Line, RedisError> {
        let mut connection = link::connect(client).await?;
        for script in [&self.admit, &self.settle] {
            script.load_async(&mut connection).await?;
        }
        Ok(connection)
    }
}

/// Looks at all limits of a request, and charges all or none.
pub(super) async fn admit(
    link: &Arc<Link>,
    names: &[&str],
    arguments: &[String],
) -> Result<Vec<i64>, Away> {
    call(link, &link.opening().admit, names, arguments).await
}

/// Books changes.
pub(super) async fn settle(
    link: &Arc<Link>,
    names: &[&str],
    arguments: &[String],
) -> Result<(), Away> {
    call(link, &link.opening().settle, names, arguments).await
}

async fn call<T: FromRedisValue>(
    link: &Arc<Link>,
    script: &Script,
    names: &[&str],
    arguments: &[String],
) -> Result<T, Away> {
    let mut call = script.prepare_invoke();
    for name in names {
        call.key(name);
    }
    for argument in arguments {
        call.arg(argument);
    }
    let answer = link.call(|mut line| async move { call.invoke_async(&mut line).await }).await;
    answer.inspect(|_| link.heard())
}

impl Default for Scripts {
    fn default() -> Self {
        Self::by(CLOCK)
    }
}
