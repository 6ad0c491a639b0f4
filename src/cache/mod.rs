//! The answer cache: what makes two requests equal, and what is kept of an answer.
//!
//! Why so strict: a wrong hit is an answer to a question that nobody asked, or somebody else's.
//! Whatever is not understood in full counts as different, and what is damaged as absent.

mod canon;
mod cut;
mod ending;
mod entry;
pub mod fill;
mod join;
mod key;
mod lmdb;
mod memory;
mod parts;
mod redis;
#[cfg(test)]
mod samples;
mod shelf;
mod store;
mod stream;
mod track;
mod whole;

pub use self::cut::pieces;
pub use self::ending::{Ending, is_whole_body};
pub use self::entry::{Chunk, Entry, kept};
pub use self::key::{Api, Asked, Key, Tenant};
pub use self::lmdb::Lmdb;
pub use self::memory::Memory;
pub use self::shelf::{Served, Shelf};
pub use self::store::{Counts, Labels, Lost, Purge, Store};
pub use self::stream::Stream;
pub use self::whole::{Whole, whole};
