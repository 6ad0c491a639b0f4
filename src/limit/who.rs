//! Who is counted: a key, or an address.
//!
//! Why a /64 for IPv6: whoever has one such address has all of them.

use std::net::IpAddr;

use super::KeyId;

/// Whom a counter belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Who {
    pub(super) kind: Kind,
    pub(super) value: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// All who have neither key nor address: there is such a client behind a unix socket.
    Nobody,
    /// A key, by its place in the configuration.
    Key,
    /// An IPv4 address.
    V4,
    /// The first half of an IPv6 address.
    V6,
    /// Addresses that came when there was no place for a counter of their own.
    Shared,
}

// === impl Who ===

impl Who {
    pub(super) const NOBODY: Self = Self { kind: Kind::Nobody, value: 0 };

    pub(super) fn key(key: KeyId) -> Self {
        Self { kind: Kind::Key, value: key.0.into() }
    }

    /// Whoever comes from this address: an IPv6 one stands for its /64.
    #[must_use]
    pub fn address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self { kind: Kind::V4, value: v4.to_bits().into() },
            IpAddr::V6(v6) => {
                let [first, second, third, fourth, ..] = v6.segments().map(u64::from);
                let value = first << 48 | second << 32 | third << 16 | fourth;
                Self { kind: Kind::V6, value }
            }
        }
    }
}

// === impl Kind ===

impl Kind {
    /// Whether there can be any number of its like.
    pub(super) fn is_address(self) -> bool {
        matches!(self, Self::V4 | Self::V6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_counted_as_its_network() {
        for (one, other, same) in [
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("10.0.0.1", "::ffff:10.0.0.1", true),
            ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("::a00:1", "10.0.0.1", false),
        ] {
            let who = |text: &str| Who::address(text.parse().unwrap());
            assert_eq!(who(one) == who(other), same, "{one} {other}");
        }
    }
}
