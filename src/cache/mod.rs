//! The answer cache: what makes two requests equal, and what is kept of an answer.
//!
//! Why so strict: a wrong hit is an answer to a question that nobody asked, or somebody else's.
//! Whatever is not understood in full counts as different, and what is damaged as absent.

mod canon;
mod key;

pub use self::key::{Api, Asked, Key, Tenant};
