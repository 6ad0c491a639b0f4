//! The harness held to its word: what it claims to send, cut, reset, hold and notice, it does.
//!
//! Why first of all: a harness that lies makes every other test lie with it.

use crate::support::client::Client;
use crate::support::upstream::{Reply, Seen, Upstream};

mod answers;
mod leaving;
mod ledger;
mod steps;
mod wires;

/// Each claim is made for both protocols.
#[derive(Debug, Clone, Copy)]
enum Proto {
    H1,
    H2,
}

const BOTH: [Proto; 2] = [Proto::H1, Proto::H2];

// === impl Proto ===

impl Proto {
    async fn upstream(self, script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Upstream {
        match self {
            Self::H1 => Upstream::start(script).await,
            Self::H2 => Upstream::start_h2c(script).await,
        }
    }

    async fn client(self, up: &Upstream) -> Client {
        match self {
            Self::H1 => Client::h1(up.addr()).await,
            Self::H2 => Client::h2c(up.addr()).await,
        }
    }
}
