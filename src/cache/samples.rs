//! Keys and answers by number, for the tests of all stores.

use super::{Api, Chunk, Entry, Key, Labels};

/// Keys as they are: spread evenly.
pub(super) fn key(number: u64) -> Key {
    Key::from_bytes(blake3::hash(&number.to_le_bytes()).into())
}

/// Tenant and model.
pub(super) fn names(number: u64) -> (&'static str, &'static str) {
    (["key:a", "key:b"][(number % 2) as usize], ["m", "n", "o"][(number % 3) as usize])
}

pub(super) fn labels(number: u64) -> Labels {
    let (tenant, model) = names(number);
    Labels::of(tenant, model)
}

/// The answer of a number, up to 60 KB of it.
pub(super) fn entry(number: u64) -> Entry {
    let mut random = fastrand::Rng::with_seed(number);
    let most = *random.choice(&[100, 3000, 30_000]).unwrap();
    let mut data = || {
        let mut data = vec![0; random.usize(0..most)];
        random.fill(&mut data);
        Chunk { at: 7, data: data.into() }
    };
    let (tenant, model) = names(number);
    Entry {
        created: number,
        api: Api::Chat,
        stream: true,
        status: 200,
        headers: http::HeaderMap::new(),
        model: model.to_owned(),
        tenant: tenant.to_owned(),
        chunks: vec![data(), data()],
    }
}
