//! All integration tests, in one binary: each binary links Pingora anew.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod abort;
mod admin;
mod admit;
mod again;
mod body;
mod cache;
mod chatlog;
mod compat;
mod conf;
mod contract;
mod convert;
mod failure;
mod floors;
mod hold;
mod hooks;
mod idle;
mod leave;
mod limit;
mod log;
mod pace;
mod probe;
mod python;
mod queue;
mod service;
mod share;
mod steer;
mod stream;
mod support;
mod support_works;
mod tunnel;
mod wires;
