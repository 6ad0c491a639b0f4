//! aifd stands between OpenAI clients and several LLM hosts: it checks forward keys, routes by path
//! prefix, relays streams as they come, and keeps the chat log. One binary on Cloudflare Pingora.
//!
//! # The house
//!
//! A *room* is one concern, a file or a folder. A *floor* is what a room may lean on: it imports
//! rooms of lower floors only, and the rooms of floor 3 do not know each other. `edge` introduces
//! them by passing plain values. `tests/it/floors.rs` holds all of this.
//!
//! ```text
//! 6  main (the binary), demo     the command line; a tour
//!    console                     the process's own log
//!    convert                     chat logs, openai-forward's too, as JSON
//! 5  server                      builds the rooms, opens the listeners, probes, drains; sees all of Config
//! 4  edge                        TIME: what happens to a request, phase by phase
//!    admin                       the second listener: health, metrics, status
//! 3  user limit route retry pool pace cache chatlog
//! 2  config                      raw (serde) -> check (every rule, all faults at once) -> Config
//! 1  wire refusal metrics secret drain clock link pyrepr
//! ```
//!
//! # One request
//!
//! ```text
//! client ─► edge/mod.rs      (Pingora's hooks, one stage each)
//!  request_filter            admit: address, own endpoints, key ─► user
//!                            steer::aim: path ─► route
//!                            may: all limits, at once ─► limit, pace
//!                            hear: the body, held ─► wire::peek; the tap goes in
//!                            recall: kept, or on its way for another? ─► cache; else an errand
//!  upstream_peer             steer::peer: route ─► pool ─► host, address      ◄─┐ again
//!  fail_to_connect, error_while_proxy                        steer ─► retry    ─┘
//!  upstream_request_filter   shape::outbound: path, Host, key
//!  upstream_response_filter  shape::inbound: cookies, Location
//!  response_filter, _body_   relay: first byte, first content ─► wire, chatlog
//!  (between Pingora and the client: tap::flow, which holds a stream until it says something)
//!  fail_to_proxy             settle::failed ─► refusal ─► reply
//!  logging                   settle: metrics, chatlog, access line
//! ```
//!
//! # What it never does
//!
//! - It never parses and writes again a byte that nobody has to change.
//! - It never admits one request more than a limit says, nor charges one that it refuses.
//! - It never tries again after the first content of an answer has gone to the client.
//! - It never takes an upstream's address, or its key's way, from a request.
//! - It never lets a broken answer end clean, nor logs it as whole.
//! - It never waits for a disk or a terminal on the way of a stream.
//! - It never starts with a configuration that has a fault.

// floor 6
pub mod console;
pub mod convert;
pub mod demo;
// floor 5
pub mod server;
// floor 4
pub mod admin;
pub mod edge;
// floor 3
pub mod cache;
pub mod chatlog;
pub mod limit;
pub mod pace;
pub mod pool;
pub mod retry;
pub mod route;
pub mod user;
// floor 2
pub mod config;
// floor 1
pub mod clock;
pub mod drain;
pub mod link;
pub mod metrics;
pub mod pyrepr;
pub mod refusal;
pub mod secret;
pub mod wire {
    //! What goes over the wire, read without being changed: event streams, bodies, chunks.
    //!
    //! Why apart from every room: all of them need it and it needs none of them.

    pub mod after;
    pub mod cost;
    pub mod delta;
    pub mod edit;
    pub mod fields;
    pub mod meter;
    pub mod peek;
    mod quick;
    mod scan;
    pub mod sse;
    pub mod tally;
    pub mod usage;
}
