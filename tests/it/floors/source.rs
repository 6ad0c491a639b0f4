//! A Rust file boiled down to the paths it names, resolved from the crate's root.
//!
//! Why not a real parser: one more heavy dependency for what tokens can tell.

use super::blank::blank;

/// What a file says, as far as the law of the house cares.
#[derive(Debug)]
pub(super) struct Source {
    /// Where the file stands: `src/limit/window.rs` is limit, window.
    module: Vec<String>,
    /// Every module name in or around it.
    pub(super) modules: Vec<String>,
    pub(super) names_pingora: bool,
    pub(super) said: Vec<Said>,
}

/// One path that the file names.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) written: Vec<String>,
    /// From the crate's root; `None` for what is not ours.
    pub(super) resolved: Option<Vec<String>>,
    /// By `as`, in a `use`.
    pub(super) renamed: bool,
    pub(super) in_tests: bool,
}

/// Reads tokens from left to right, and keeps count of the modules it is in.
struct Reader<'a> {
    tokens: &'a [String],
    at: usize,
    depth: usize,
    /// Modules written inside the file, with the depth of their braces.
    inline: Vec<(String, usize)>,
    source: Source,
}

// === impl Source ===

impl Source {
    pub(super) fn read(path: &str, text: &str) -> Self {
        let tokens = tokens(&blank(text));
        let module = module_of(path);
        let source = Self {
            modules: module.clone(),
            module,
            names_pingora: tokens.iter().any(|token| token.starts_with("pingora")),
            said: Vec::new(),
        };
        let mut reader = Reader { tokens: &tokens, at: 0, depth: 0, inline: Vec::new(), source };
        reader.run();
        reader.source
    }

    /// The room the file belongs to; `lib` and `main` count as rooms.
    pub(super) fn room(&self) -> &str {
        self.module.first().map_or("lib", |room| room)
    }
}

fn module_of(path: &str) -> Vec<String> {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    match path {
        "lib" => Vec::new(),
        _ => path.split('/').map(str::to_owned).collect(),
    }
}

// === impl Reader ===

impl Reader<'_> {
    fn run(&mut self) {
        while let Some(token) = self.peek(0) {
            match token {
                "{" => self.depth += 1,
                "}" => self.close(),
                "mod" => self.enter(),
                "use" if self.peek(1) != Some("<") => {
                    self.at += 1;
                    self.tree(&mut Vec::new());
                }
                _ if is_name(token) && self.peek(1) == Some("::") => {
                    let path = self.path();
                    self.say(path, false);
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    fn peek(&self, ahead: usize) -> Option<&str> {
        self.tokens.get(self.at + ahead).map(String::as_str)
    }

    fn close(&mut self) {
        if self.inline.last().is_some_and(|(_, depth)| *depth == self.depth) {
            self.inline.pop();
        }
        self.depth = self.depth.saturating_sub(1);
    }

    fn enter(&mut self) {
        let Some(name) = self.peek(1).filter(|name| is_name(name)).map(str::to_owned) else {
            return;
        };
        self.source.modules.push(name.clone());
        if self.peek(2) == Some("{") {
            self.inline.push((name, self.depth + 1));
        }
    }

    /// `a::b::c`, left at its last token.
    fn path(&mut self) -> Vec<String> {
        let mut path = vec![self.tokens[self.at].clone()];
        while self.peek(1) == Some("::") && self.peek(2).is_some_and(is_name) {
            self.at += 2;
            path.push(self.tokens[self.at].clone());
        }
        path
    }

    /// A tree of `use` below `stem`, left at what follows it.
    fn tree(&mut self, stem: &mut Vec<String>) {
        let height = stem.len();
        while let Some(token) = self.peek(0).map(str::to_owned) {
            match &*token {
                "::" => self.at += 1,
                "{" => return self.group(stem, height),
                name if is_name(name) || name == "*" => {
                    stem.push(token);
                    self.at += 1;
                    if self.peek(0) != Some("::") {
                        return self.leaf(stem, height);
                    }
                }
                _ => return,
            }
        }
    }

    fn group(&mut self, stem: &mut Vec<String>, height: usize) {
        self.at += 1;
        while let Some(token) = self.peek(0) {
            match token {
                "}" => break,
                "," => self.at += 1,
                _ => self.tree(stem),
            }
        }
        self.at += 1;
        stem.truncate(height);
    }

    fn leaf(&mut self, stem: &mut Vec<String>, height: usize) {
        let renamed = self.peek(0) == Some("as");
        if renamed {
            self.at += 2;
        }
        let mut path = stem.clone();
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        self.say(path, renamed);
        stem.truncate(height);
    }

    fn say(&mut self, written: Vec<String>, renamed: bool) {
        let inline = self.inline.iter().map(|(name, _)| name.clone());
        let module: Vec<_> = self.source.module.iter().cloned().chain(inline).collect();
        let in_tests = module.iter().any(|name| name == "tests");
        let resolved = resolve(module, &written);
        self.source.said.push(Said { written, resolved, renamed, in_tests });
    }
}

/// The path from the crate's root; the bin calls the crate by its name.
fn resolve(mut module: Vec<String>, written: &[String]) -> Option<Vec<String>> {
    let (first, mut rest) = written.split_first()?;
    match &**first {
        "crate" | "aifd" => module.clear(),
        "self" => {}
        "super" => drop(module.pop()),
        _ => return None,
    }
    while let Some((_, after)) = rest.split_first().filter(|(next, _)| *next == "super") {
        module.pop();
        rest = after;
    }
    module.extend(rest.iter().filter(|name| *name != "*").cloned());
    Some(module)
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn tokens(code: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let size = match word {
            0 if rest.starts_with("::") => 2,
            0 => first.len_utf8(),
            word => word,
        };
        tokens.push(rest[..size].to_owned());
        rest = rest[size..].trim_start();
    }
    tokens
}
