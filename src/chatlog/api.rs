//! Which calls are which: chats, completions, embeddings, speech.
//!
//! Why by path: so openai-forward does it, and only these have files of their own.
//! The trap: its own example wrote the prefix before the path, so both forms count.

use std::borrow::Cow;

use crate::config::ChatPaths;

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Api {
    Chat,
    Completion,
    Embedding,
    /// Speech that becomes text, or the other way round.
    Audio,
}

const AUDIO: &str = "/v1/audio/";

// === impl Api ===

impl Api {
    pub(super) const ALL: [Self; 4] = [Self::Chat, Self::Completion, Self::Embedding, Self::Audio];

    /// What the path of a call leads to; `route` is the prefix of its route.
    pub(super) fn of(path: &str, route: &str, paths: &ChatPaths) -> Option<Self> {
        let path = path.split('?').next().unwrap_or_default();
        let path = plain(path);
        let behind = path.strip_prefix(route).filter(|_| route != "/").unwrap_or(&path);
        let is = |wanted: &str| path == wanted || behind == wanted;
        match () {
            () if is(plain(&paths.chat).as_ref()) => Some(Self::Chat),
            () if is(plain(&paths.completion).as_ref()) => Some(Self::Completion),
            () if is(plain(&paths.embedding).as_ref()) => Some(Self::Embedding),
            () if path.starts_with(AUDIO) || behind.starts_with(AUDIO) => Some(Self::Audio),
            () => None,
        }
    }
}

/// With one `/` for several, and none at the end.
fn plain(path: &str) -> Cow<'_, str> {
    let path = path.trim_end_matches('/');
    if !path.contains("//") {
        return Cow::Borrowed(path);
    }
    let mut plain = path.to_owned();
    while plain.contains("//") {
        plain = plain.replace("//", "/");
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_where_it_is_said() {
        let mut paths = ChatPaths {
            chat: "/v1/chat/completions".into(),
            completion: "/v1/completions".into(),
            embedding: "/v1/embeddings".into(),
        };
        for (route, path, expected) in [
            ("/", "/v1/chat/completions", Some(Api::Chat)),
            ("/", "//v1///chat/completions/", Some(Api::Chat)),
            ("/openai", "/openai/v1/chat/completions", Some(Api::Chat)),
            ("/openai", "/openai/v1/completions?x=/v1/embeddings", Some(Api::Completion)),
            // A route may have taken the version into its prefix.
            ("/v1", "/v1/chat/completions", Some(Api::Chat)),
            ("/", "/v1/embeddings", Some(Api::Embedding)),
            ("/a", "/a/v1/audio/transcriptions", Some(Api::Audio)),
            ("/", "/v1/audio", None),
            ("/", "/v2/chat/completions", None),
            ("/", "/v1/chat/completions/7", None),
            ("/", "/openai/v1/chat/completions", None),
            ("/", "/v1/images/generations", None),
        ] {
            assert_eq!(Api::of(path, route, &paths), expected, "{route} {path}");
        }
        paths.chat = "/openai/api/chat/".into();
        let chat = Api::of("/openai/api/chat", "/openai", &paths);
        assert_eq!(chat, Some(Api::Chat), "as the example of openai-forward writes it");
    }
}
