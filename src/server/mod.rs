//! The whole house: builds the rooms, opens the listeners, runs, asks the hosts how they are, ends.
//!
//! Why not Pingora's `Server`: its shutdown sleeps for the whole grace even when idle, it panics on
//! an address in use, and it cannot say which port it got. Its listeners, its HTTP and its proxy
//! are used as they are, on our own runtime, with sockets that we opened.

mod listen;
mod probe;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::admin::Admin;
use crate::cache::Shelf;
use crate::chatlog::ChatLog;
use crate::config::{self, Config};
use crate::drain::Drain;
use crate::edge::{Edge, Probe, Rooms};
use crate::limit::Limiter;
use crate::metrics::Metrics;
use crate::pace::Paces;
use crate::pool::Upstream;
use crate::route::Routes;
use crate::user::Users;
use listen::Public;

/// A house whose doors are open: it listens, but serves only once it [`House::run`]s.
pub struct House {
    public: Public,
    admin: Option<(TcpListener, Admin)>,
    probes: Vec<Probe>,
    chat_log: Option<ChatLog>,
    drain: Drain,
    grace: Duration,
}

/// What the operator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Nothing: serve.
    No,
    /// Let the live streams end, then end.
    Gently,
    /// End.
    Now,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every request had ended.
    Drained,
    /// So many requests were cut.
    Cut(usize),
}

/// How long the chat log may take to write what it still holds.
const LOG_PATIENCE: Duration = Duration::from_secs(10);

/// How long requests may take to end that wait for nobody any more.
const CUT_PATIENCE: Duration = Duration::from_secs(1);

// === impl House ===

impl House {
    /// Opens every socket and file.
    ///
    /// # Errors
    /// What could not be opened, in words for the operator.
    pub async fn open(config: &Config) -> anyhow::Result<Self> {
        let metrics = Metrics::default();
        let drain = Drain::default();
        let chat_log = open_log(&config.chat_log)?;
        let shelf = Shelf::open(&config.cache)?.map(Arc::new);
        let users = Arc::new(Users::build(&config.keys));
        let upstreams: Arc<[Upstream]> = Upstream::build_all(&config.upstreams).into();
        let limiter = Limiter::build(&config.limits, &config.keys).context("limits.store")?;
        let rooms = Rooms {
            server: config.server.clone(),
            access: config.access.clone(),
            shield: config.limits.shield,
            users: Arc::clone(&users),
            limiter: limiter.clone(),
            paces: Paces::build(&config.limits.rules),
            routes: Routes::build(&config.routes),
            upstreams: Arc::clone(&upstreams),
            chat_log: chat_log.clone(),
            shelf: shelf.clone(),
            drain: drain.clone(),
            metrics: metrics.clone(),
        };
        let edge = Edge::build(rooms, &config.upstreams)?;
        let probes = edge.probes(&config.upstreams).context("a path of health is none")?;
        let public = Public::open(&config.server, &config.upstreams, edge, &drain)?;
        let admin = match &config.admin {
            None => None,
            Some(section) => {
                let admin = Admin {
                    token: section.token.clone(),
                    users,
                    limiter,
                    upstreams,
                    metrics,
                    drain: drain.clone(),
                    chat_log: chat_log.clone(),
                    shelf,
                    started: tokio::time::Instant::now(),
                };
                Some((open_admin(section.listen).await?, admin))
            }
        };
        Ok(Self { public, admin, probes, chat_log, drain, grace: config.server.shutdown_grace })
    }

    /// Where it listens, as URLs (`unix:PATH` for a unix socket), with the ports it really got.
    #[must_use]
    pub fn addresses(&self) -> &[String] {
        &self.public.addresses
    }

    /// Where the admin listener listens.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().and_then(|(listener, _)| listener.local_addr().ok())
    }

    /// Serves until `stop` says otherwise; then no new connection comes in, and live requests may
    /// end for as long as the grace lasts.
    pub async fn run(self, mut stop: watch::Receiver<Stop>) -> Outcome {
        let Self { public, admin, probes, chat_log, drain, grace } = self;
        let (close, closing) = watch::channel(false);
        let serving = start(public.serve(closing));
        let admin = admin.map(|(listener, admin)| start(admin.serve(listener)));
        let probing = probe::start(probes);
        notify(NotifyState::Ready);
        let wanted = stop.wait_for(|stop| *stop != Stop::No).await.map_or(Stop::Now, |stop| *stop);
        notify(NotifyState::Stopping);
        drain.start();
        close.send_replace(true);
        let drained = match wanted {
            Stop::Now => false,
            _ => tokio::select! {
                drained = timeout(grace, drain.empty()) => drained.is_ok(),
                _ = stop.wait_for(|stop| *stop == Stop::Now) => false,
            },
        };
        let outcome = if drained { Outcome::Drained } else { cut(&drain).await };
        serving.abort();
        drop(probing);
        if let Some(admin) = admin {
            admin.abort();
        }
        if let Some(log) = chat_log {
            let closed = tokio::task::spawn_blocking(move || log.shutdown(LOG_PATIENCE)).await;
            if !closed.unwrap_or(false) {
                log::error!("the chat log was not written to its end within {LOG_PATIENCE:?}");
            }
        }
        outcome
    }
}

/// Ends what is still under way, so that the chat log tells of it before it is closed.
async fn cut(drain: &Drain) -> Outcome {
    let left = drain.under_way();
    if left == 0 {
        return Outcome::Drained;
    }
    drain.cut();
    if timeout(CUT_PATIENCE, drain.empty()).await.is_err() {
        log::error!("{} requests would not end", drain.under_way());
    }
    Outcome::Cut(left)
}

fn open_log(section: &config::ChatLog) -> anyhow::Result<Option<ChatLog>> {
    if !section.on && !section.print {
        return Ok(None);
    }
    let shown = section.dir.display();
    let opened = ChatLog::open(section).with_context(|| {
        format!("chat_log.dir = \"{shown}\" cannot be written: make it writable for this user")
    });
    opened.map(Some)
}

async fn open_admin(listen: SocketAddr) -> anyhow::Result<TcpListener> {
    let opened = TcpListener::bind(listen).await;
    opened.with_context(|| format!("admin.listen = \"{listen}\" cannot be opened"))
}

fn start<F>(task: F) -> tokio::task::JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    #[expect(clippy::disallowed_methods, reason = "the two listeners of the house begin here")]
    tokio::spawn(task)
}

/// Tells systemd, where there is one (`Type=notify`).
fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        log::debug!("systemd could not be told: {error}");
    }
}
