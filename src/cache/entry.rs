//! What is kept of an answer, as bytes that any store can hold.
//!
//! Why bytes with a seal: stores lose power, share a server with others and are written to by other
//! versions. What does not bear the seal of its own key is a miss, never an error.
//! The trap: headers tell of one client and one moment. So the few that speak of the body are
//! named, and every other is left out.
//!
//! ```text
//! "aifd-answer" version | seal: 16 bytes of BLAKE3 over key and rest | rest:
//! created u64, api u8, stream u8, status u16, model, tenant, headers, chunks, all their bytes
//! ```
//! Numbers are little-endian; a text has its length before it, a list its count.

use bytes::{Buf, Bytes};
use http::header::{CONTENT_LANGUAGE, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Api, Key, whole};

/// An answer as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When it began, milliseconds from the epoch.
    pub created: u64,
    /// Which API it answers.
    pub api: Api,
    /// It is an event stream.
    pub stream: bool,
    /// Its status.
    pub status: u16,
    /// Of its headers those of [`kept`].
    pub headers: HeaderMap,
    /// The model that answered, or was asked.
    pub model: String,
    /// Whose it is: [`Tenant::label`](super::Tenant::label).
    pub tenant: String,
    /// Its body.
    pub chunks: Vec<Chunk>,
}

/// A piece of a body, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// How long after the first piece, milliseconds.
    pub at: u32,
    /// Its bytes.
    pub data: Bytes,
}

/// What an entry begins with; the last byte is the version.
const MAGIC: &[u8; 12] = b"aifd-answer\x01";

/// How long the seal is, bytes.
const SEAL: usize = 16;

/// What a chunk takes besides its bytes.
const MARK: usize = 8;

/// Of these headers those that an entry keeps: what its body is, and in which language.
#[must_use]
pub fn kept(headers: &HeaderMap) -> HeaderMap {
    let names = [CONTENT_TYPE, CONTENT_LANGUAGE];
    let found = names.into_iter().filter_map(|name| {
        let value = headers.get(&name)?.clone();
        Some((name, value))
    });
    found.collect()
}

// === impl Entry ===

impl Entry {
    /// Its body in one piece; put together if it is a stream, `None` if that cannot be.
    #[must_use]
    pub fn body(&self) -> Option<Bytes> {
        let pieces = self.chunks.iter().map(|chunk| chunk.data.clone());
        if self.stream {
            return whole(pieces);
        }
        match &self.chunks[..] {
            [only] => Some(only.data.clone()),
            _ => Some(pieces.collect::<Vec<_>>().concat().into()),
        }
    }

    /// Its bytes under `key`; `None` if a part of it is 4 GiB or longer.
    #[must_use]
    pub fn encode(&self, key: &Key) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(self.encoded_len());
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[0; SEAL]);
        out.extend_from_slice(&self.created.to_le_bytes());
        out.extend_from_slice(&[self.api.tag(), u8::from(self.stream)]);
        out.extend_from_slice(&self.status.to_le_bytes());
        put(&mut out, self.model.as_bytes())?;
        put(&mut out, self.tenant.as_bytes())?;
        put_count(&mut out, self.headers.len())?;
        for (name, value) in &self.headers {
            put(&mut out, name.as_str().as_bytes())?;
            put(&mut out, value.as_bytes())?;
        }
        put_count(&mut out, self.chunks.len())?;
        for chunk in &self.chunks {
            out.extend_from_slice(&chunk.at.to_le_bytes());
            put_count(&mut out, chunk.data.len())?;
        }
        for chunk in &self.chunks {
            out.extend_from_slice(&chunk.data);
        }
        let seal = seal(key, &out);
        out[MAGIC.len()..][..SEAL].copy_from_slice(&seal);
        Some(out)
    }

    /// How many bytes [`Entry::encode`] makes.
    fn encoded_len(&self) -> usize {
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| 8 + name.as_str().len() + value.len());
        let chunks = self.chunks.iter().map(|chunk| MARK + chunk.data.len());
        let texts = 4 + self.model.len() + 4 + self.tenant.len();
        MAGIC.len() + SEAL + 12 + texts + 4 + headers.sum::<usize>() + 4 + chunks.sum::<usize>()
    }

    /// Reads what was kept under `key`; `None` if it is torn, another's or of another version.
    /// Its chunks are parts of `bytes`.
    #[must_use]
    pub fn decode(key: &Key, bytes: &Bytes) -> Option<Self> {
        if !bytes.starts_with(MAGIC) || bytes.len() < MAGIC.len() + SEAL {
            return None;
        }
        if seal(key, bytes) != bytes[MAGIC.len()..][..SEAL] {
            return None;
        }
        Self::read(bytes)
    }

    /// Reads what this process has kept in its own memory, where no seal needs to be looked at: that
    /// would be a fifteenth of what a hit costs.
    #[must_use]
    pub fn read(bytes: &Bytes) -> Option<Self> {
        if bytes.len() < MAGIC.len() + SEAL {
            return None;
        }
        let mut rest = bytes.slice(MAGIC.len() + SEAL..);
        let created = rest.try_get_u64_le().ok()?;
        let api = Api::of_tag(rest.try_get_u8().ok()?)?;
        let stream = rest.try_get_u8().ok()? == 1;
        let status = rest.try_get_u16_le().ok()?;
        let model = text(&mut rest)?;
        let tenant = text(&mut rest)?;
        let mut headers = HeaderMap::new();
        for _ in 0..rest.try_get_u32_le().ok()? {
            let name = HeaderName::from_bytes(&take(&mut rest)?).ok()?;
            let value = HeaderValue::from_maybe_shared(take(&mut rest)?).ok()?;
            headers.try_append(name, value).ok()?;
        }
        let chunks = chunks(&mut rest)?;
        Some(Self { created, api, stream, status, headers, model, tenant, chunks })
    }
}

/// The chunks, which are all that is left.
fn chunks(rest: &mut Bytes) -> Option<Vec<Chunk>> {
    let count = usize::try_from(rest.try_get_u32_le().ok()?).ok()?;
    let marks = count.checked_mul(MARK).filter(|marks| *marks <= rest.len())?;
    let mut marks = rest.split_to(marks);
    let mut chunks = Vec::with_capacity(count);
    for _ in 0..count {
        let (at, length) = (marks.get_u32_le(), marks.get_u32_le());
        chunks.push(Chunk { at, data: split(rest, length)? });
    }
    rest.is_empty().then_some(chunks)
}

/// Over the key too: an entry that got under another key is nobody's.
fn seal(key: &Key, entry: &[u8]) -> [u8; SEAL] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(key.as_bytes()).update(&entry[MAGIC.len() + SEAL..]);
    let mut seal = [0; SEAL];
    hasher.finalize_xof().fill(&mut seal);
    seal
}

fn put(out: &mut Vec<u8>, part: &[u8]) -> Option<()> {
    put_count(out, part.len())?;
    out.extend_from_slice(part);
    Some(())
}

fn put_count(out: &mut Vec<u8>, count: usize) -> Option<()> {
    out.extend_from_slice(&u32::try_from(count).ok()?.to_le_bytes());
    Some(())
}

fn take(rest: &mut Bytes) -> Option<Bytes> {
    let length = rest.try_get_u32_le().ok()?;
    split(rest, length)
}

fn split(rest: &mut Bytes, length: u32) -> Option<Bytes> {
    let length = usize::try_from(length).ok().filter(|length| *length <= rest.len())?;
    Some(rest.split_to(length))
}

fn text(rest: &mut Bytes) -> Option<String> {
    Some(str::from_utf8(&take(rest)?).ok()?.to_owned())
}

#[cfg(test)]
mod tests;
