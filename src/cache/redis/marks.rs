//! What was purged, as Redis has it, and the stamp by which an entry knows whether it was meant.
//!
//! Why one hash for all: Redis may evict a key alone. One that says "purged" must not go while the
//! entries that it speaks of stay; if all of it goes, no entry has a stamp that fits any longer.
//! The trap: no field means "never purged since the root was set", so a root is never used again.
//!
//! ```text
//! an entry in Redis:  entry | stamp: 16 bytes of BLAKE3 over root, key, labels and their marks
//!                           | label of the tenant u64, label of the model u64
//! ```

use std::collections::HashMap;

use bytes::Bytes;

use super::{Key, Labels};
use crate::cache::Purge;

/// What was purged: a mark for each thing, which no later purge of it has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Marks {
    /// Set anew when all is purged.
    root: Vec<u8>,
    rest: HashMap<Vec<u8>, Vec<u8>>,
}

/// What stands behind an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tail {
    stamp: [u8; STAMP],
    pub(super) labels: Labels,
}

/// The hash.
pub(super) const NAME: &str = "aifd:cache:1:purged";

/// Its one field that is always there.
pub(super) const ROOT: &str = "root";

/// The name of an entry is this and its key in hex. Another layout has another number.
pub(super) const PREFIX: &str = "aifd:cache:1:";

const STAMP: usize = 16;

/// How long a tail is, bytes.
pub(super) const TAIL: usize = STAMP + 16;

/// The name of an entry.
pub(super) fn name(key: &Key) -> String {
    format!("{PREFIX}{key}")
}

/// The key of an entry's name; `None` if it is none.
pub(super) fn key(name: &[u8]) -> Option<Key> {
    let hex = name.strip_prefix(PREFIX.as_bytes())?;
    let mut key = [0; 32];
    if hex.len() != 2 * key.len() {
        return None;
    }
    for (byte, digits) in key.iter_mut().zip(hex.chunks_exact(2)) {
        *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(Key::from_bytes(key)).filter(|key| self::name(key).as_bytes() == name)
}

/// The field of what is purged; `None` is all.
pub(super) fn field(what: Purge<'_>) -> Option<String> {
    match what {
        Purge::All => None,
        Purge::Key(key) => Some(of_key(&key)),
        Purge::Tenant(name) => Some(of_tenant(Labels::of(name, ""))),
        Purge::Model(name) => Some(of_model(Labels::of("", name))),
    }
}

/// A mark that was never there.
pub(super) fn fresh() -> String {
    format!("{:032x}", fastrand::u128(..))
}

fn of_key(key: &Key) -> String {
    format!("key:{key}")
}

fn of_tenant(labels: Labels) -> String {
    format!("tenant:{:016x}", labels.tenant)
}

fn of_model(labels: Labels) -> String {
    format!("model:{:016x}", labels.model)
}

// === impl Marks ===

impl Marks {
    /// As Redis told; `None` if it lost them, or never had any.
    pub(super) fn of(mut told: HashMap<Vec<u8>, Vec<u8>>) -> Option<Self> {
        let root = told.remove(ROOT.as_bytes()).filter(|root| !root.is_empty())?;
        Some(Self { root, rest: told })
    }

    /// The tail of an entry that was asked for when these were known.
    pub(super) fn tail(&self, key: &Key, labels: Labels) -> Tail {
        let mut hasher = blake3::Hasher::new();
        let mut add = |part: &[u8]| {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        };
        add(&self.root);
        add(key.as_bytes());
        add(&labels.tenant.to_le_bytes());
        add(&labels.model.to_le_bytes());
        for field in [of_key(key), of_tenant(labels), of_model(labels)] {
            add(self.rest.get(field.as_bytes()).map_or(&[], Vec::as_slice));
        }
        let mut stamp = [0; STAMP];
        hasher.finalize_xof().fill(&mut stamp);
        Tail { stamp, labels }
    }

    /// Whether an entry of this tail was not purged.
    pub(super) fn allow(&self, key: &Key, tail: &Tail) -> bool {
        self.tail(key, tail.labels) == *tail
    }

    /// The entry without its tail; `None` if it was purged, or is none.
    pub(super) fn open(&self, key: &Key, mut value: Bytes) -> Option<Bytes> {
        let tail = value.split_off(value.len().checked_sub(TAIL)?);
        Tail::read(&tail).filter(|tail| self.allow(key, tail)).map(|_| value)
    }
}

// === impl Tail ===

impl Tail {
    /// Reads what [`Tail::bytes`] wrote.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; TAIL] = bytes.try_into().ok()?;
        let (stamp, labels) = bytes.split_first_chunk()?;
        let (tenant, model) = labels.split_first_chunk()?;
        let labels = Labels {
            tenant: u64::from_le_bytes(*tenant),
            model: u64::from_le_bytes(model.try_into().ok()?),
        };
        Some(Self { stamp: *stamp, labels })
    }

    pub(super) fn bytes(&self) -> [u8; TAIL] {
        let mut bytes = [0; TAIL];
        let Labels { tenant, model } = self.labels;
        bytes[..STAMP].copy_from_slice(&self.stamp);
        bytes[STAMP..STAMP + 8].copy_from_slice(&tenant.to_le_bytes());
        bytes[STAMP + 8..].copy_from_slice(&model.to_le_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn marks(rest: &[(String, &str)]) -> Marks {
        let fields = rest.iter().map(|(field, mark)| (field.clone(), *mark));
        let told = fields.chain([(ROOT.to_owned(), "r")]);
        Marks::of(told.map(|(field, mark)| (field.into(), mark.into())).collect()).unwrap()
    }

    #[test]
    fn an_entry_is_good_until_one_of_its_own_marks_changes() {
        let (key, other) = (Key::from_bytes([7; 32]), Key::from_bytes([8; 32]));
        let labels = Labels::of("key:ann", "m");
        let before = marks(&[(field(Purge::Model("m")).unwrap(), "1")]);
        let tail = before.tail(&key, labels);
        assert!(before.allow(&key, &tail) && !before.allow(&other, &tail));
        for (what, mark, is_good) in [
            (Purge::Model("m"), "1", true),
            (Purge::Model("m"), "2", false),
            (Purge::Model("n"), "2", true),
            (Purge::Tenant("key:ann"), "2", false),
            (Purge::Tenant("m"), "2", true),
            (Purge::Key(key), "2", false),
            (Purge::Key(other), "2", true),
        ] {
            let mut rest = vec![(field(Purge::Model("m")).unwrap(), "1")];
            rest.push((field(what).unwrap(), mark));
            assert_eq!(marks(&rest).allow(&key, &tail), is_good, "{what:?}");
        }
        assert!(!marks(&[]).allow(&key, &tail), "a mark that is gone");
        assert!(Marks::of(HashMap::new()).is_none());
    }

    proptest! {
        #[test]
        fn tails_and_names_there_and_back(bytes: [u8; 32], tenant: u64, model: u64, at in 0..48_usize) {
            let key = Key::from_bytes(bytes);
            prop_assert_eq!(super::key(name(&key).as_bytes()), Some(key));
            let marks = marks(&[]);
            let tail = marks.tail(&key, Labels { tenant, model });
            prop_assert_eq!(Tail::read(&tail.bytes()), Some(tail));
            let mut value = [vec![7; 16], tail.bytes().to_vec()].concat();
            prop_assert_eq!(marks.open(&key, value.clone().into()), Some(vec![7; 16].into()));
            value[at] ^= 1;
            prop_assert_eq!(marks.open(&key, value.clone().into()).is_some(), at < 16);
            value.truncate(at);
            prop_assert_eq!(marks.open(&key, value.into()), None);
        }
    }

    #[test]
    fn what_is_no_name_of_an_entry() {
        for name in ["aifd:cache:1:purged", "aifd:cache:1:", "aifd:cache:1:0G", "x"] {
            assert_eq!(key(name.as_bytes()), None);
        }
        let upper = format!("{PREFIX}{}", "AB".repeat(32));
        assert_eq!(key(upper.as_bytes()), None, "no entry is called so");
    }
}
