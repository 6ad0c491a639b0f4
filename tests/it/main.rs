//! All integration tests, in one binary: each binary links Pingora anew.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod conf;
