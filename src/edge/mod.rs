//! What happens to a request, by phase. Open this file first: each hook calls one named stage.
//!
//! Why so thin: Pingora decides the order (it is printed by the hook-order test); what is done in
//! each phase stands in the file of that phase. Here is no header name, no arithmetic, no `if`.
//!
//! - `admit`: who calls (`shield`). `may`: how much. `hear`: what they ask. `steer`: where it goes.
//! - `shape`: headers to and from the upstream. `relay`: the answer on its way to the client.
//! - `again`: which ends of an attempt are the host's fault, and what follows from them.
//! - `settle`: how it ended. `reply`: aifd's own answers. `tap`: the client's session.

mod admit;
mod again;
mod build;
mod ctx;
mod ended;
mod front;
mod hear;
mod may;
mod prompt;
mod relay;
mod reply;
mod settle;
mod shape;
mod shield;
mod steer;
mod tap;
mod wire;

use async_trait::async_trait;
use bytes::Bytes;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, Result};

pub use build::{Edge, Rooms};
pub use ctx::Ctx;
pub use front::Door;
pub use wire::Probe;

#[async_trait]
impl ProxyHttp for Edge {
    type CTX = Ctx;

    fn new_ctx(&self) -> Ctx {
        Ctx::arrived(self.drain.enter())
    }

    async fn early_request_filter(&self, session: &mut Session, ctx: &mut Ctx) -> Result<()> {
        self.greet(session, ctx);
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Ctx) -> Result<bool> {
        match self.admitted(session, ctx).await {
            Ok(goes_on) => Ok(!goes_on),
            Err(refusal) => reply::refuse(session, ctx, refusal).await,
        }
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut Ctx) -> Result<Box<HttpPeer>> {
        self.peer(session, ctx).await
    }

    async fn connected_to_upstream(
        &self,
        session: &mut Session,
        reused: bool,
        peer: &HttpPeer,
        socket: std::os::fd::RawFd,
        _: Option<&pingora::protocols::Digest>,
        ctx: &mut Ctx,
    ) -> Result<()> {
        ctx.connected(session, peer, socket, reused)
    }

    fn fail_to_connect(
        &self,
        session: &mut Session,
        _: &HttpPeer,
        ctx: &mut Ctx,
        error: Box<Error>,
    ) -> Box<Error> {
        self.not_connected(session, ctx, error)
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        ctx: &mut Ctx,
        reused: bool,
    ) -> Box<Error> {
        self.broke_off(session, ctx, error, reused)
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        shape::outbound(session, request, ctx)
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        self.judged(session, response, ctx)?;
        shape::inbound(response, ctx)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        relay::head(session, response, ctx)
    }

    fn response_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut Ctx,
    ) -> Result<Option<std::time::Duration>> {
        again::refused(body.as_ref(), ctx);
        relay::piece(body, end, ctx);
        Ok(None)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        ctx: &mut Ctx,
    ) -> FailToProxy {
        self.failed(session, error, ctx).await
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Ctx) {
        self.settle(session, error, ctx).await;
    }
}
