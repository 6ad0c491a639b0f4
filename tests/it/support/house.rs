//! The proxy under test: the real house on the test's own runtime, on ports of its own.
//!
//! Why in process: it starts in milliseconds, and everything but the command line is the same.
//! The trap: it ends with its `House`; a test that wants to see the end calls `stop`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use aifd::config::{self, Config};
use aifd::server::{self, Outcome, Stop};
use http::Request;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::client::{Answer, Client};
use super::openai;
use super::upstream::Upstream;
use super::within;

/// The forward key every house knows, and the key of every upstream.
pub(crate) const KEY: &str = "fk-ann-0123456789";
pub(crate) const UPSTREAM_KEY: &str = "sk-upstream-0123456789";

/// A configuration in the making: dotted keys first, then tables.
pub(crate) struct Conf {
    keys: String,
    upstream: String,
    tables: String,
}

/// A running proxy.
pub(crate) struct House {
    addresses: Vec<String>,
    admin: SocketAddr,
    tell: watch::Sender<Stop>,
    running: JoinHandle<Outcome>,
    dir: TempDir,
}

// === impl Conf ===

impl Conf {
    /// One upstream with one key, spoken to as it wants, one forward key, all defaults.
    pub(crate) fn to(upstream: &Upstream) -> Self {
        let conf = Self::to_hosts(&[&upstream.url()]);
        if upstream.is_h2c() { conf.upstream("http = \"2\"") } else { conf }
    }

    /// As `to`, for hosts that need not exist.
    pub(crate) fn to_hosts(hosts: &[&str]) -> Self {
        Self {
            keys: String::new(),
            upstream: format!(
                "[[upstream]]\nname = \"up\"\nhosts = {hosts:?}\nkeys = [\"{UPSTREAM_KEY}\"]\n"
            ),
            tables: format!("[[key]]\nname = \"ann\"\nsecret = \"{KEY}\"\n"),
        }
    }

    /// A dotted key: `server.max_body = 100`.
    pub(crate) fn with(mut self, key: &str) -> Self {
        self.keys.push_str(key);
        self.keys.push('\n');
        self
    }

    /// A key of the upstream: `http = "2"`.
    pub(crate) fn upstream(mut self, key: &str) -> Self {
        self.upstream.push_str(key);
        self.upstream.push('\n');
        self
    }

    /// One more table, or more keys of the forward key, which comes last.
    pub(crate) fn table(mut self, table: &str) -> Self {
        self.tables.push_str(table);
        self.tables.push('\n');
        self
    }

    /// The TOML; what it does not say of listeners and files is filled in.
    pub(crate) fn text(&self, dir: &Path) -> String {
        let mut text = self.keys.clone();
        for (key, value) in [
            ("server.listen", "[\"127.0.0.1:0\"]".to_owned()),
            ("server.workers", "1".to_owned()),
            ("admin.listen", "\"127.0.0.1:0\"".to_owned()),
            ("chat_log.dir", format!("{:?}", dir.join("Log"))),
        ] {
            if !text.contains(key) {
                text.push_str(&format!("{key} = {value}\n"));
            }
        }
        format!("{text}{}{}", self.upstream, self.tables)
    }
}

// === impl House ===

impl House {
    /// Opens and runs it.
    pub(crate) async fn start(conf: Conf) -> Self {
        let dir = TempDir::new().unwrap();
        let text = conf.text(dir.path());
        let config =
            config::parse(&text, "test").unwrap_or_else(|faults| panic!("{faults}\n{text}"));
        Self::run(&config, dir).await
    }

    /// Opens and runs it as openai-forward's users do: all it is told is this `.env`.
    pub(crate) async fn of_env(env: &str) -> Self {
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join(".env"), env).unwrap();
        let found = config::compat::find(dir.path(), &|_| None).expect("it speaks its words");
        let mut config = found.unwrap_or_else(|faults| panic!("{faults}\n{env}")).config;
        let any = "127.0.0.1:0".parse().unwrap();
        config.server.listen = vec![config::Listen::Plain(any)];
        config.server.workers = 1;
        config.admin = Some(config::Admin { listen: any, token: None });
        config.chat_log.dir = dir.path().join("Log");
        Self::run(&config, dir).await
    }

    async fn run(config: &Config, dir: TempDir) -> Self {
        let house = server::House::open(config).await.unwrap();
        let (tell, told) = watch::channel(Stop::No);
        Self {
            addresses: house.addresses().to_vec(),
            admin: house.admin_address().unwrap(),
            tell,
            #[expect(clippy::disallowed_methods, reason = "the proxy runs beside its test")]
            running: tokio::spawn(house.run(told)),
            dir,
        }
    }

    /// In front of `upstream`, with all defaults.
    pub(crate) async fn before(upstream: &Upstream) -> Self {
        Self::start(Conf::to(upstream)).await
    }

    /// The first TCP listener.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr_of(0)
    }

    /// The TCP listener at this place of the configuration.
    pub(crate) fn addr_of(&self, place: usize) -> SocketAddr {
        let (_, addr) = self.addresses[place].split_once("://").unwrap();
        addr.parse().unwrap()
    }

    /// The admin listener.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Where a test may put files.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The current file of the chat log.
    pub(crate) fn log_file(&self) -> PathBuf {
        self.dir.path().join("Log/chat.jsonl")
    }

    /// A fresh HTTP/1.1 connection.
    pub(crate) async fn client(&self) -> Client {
        Client::h1(self.addr()).await
    }

    /// A request with the forward key, over a fresh connection, read to its end.
    pub(crate) async fn ask(&self, request: Request<bytes::Bytes>) -> Answer {
        self.client().await.ask(keyed(request)).await
    }

    /// A GET of the admin listener, as text.
    pub(crate) async fn admin_text(&self, path: &str) -> String {
        let answer = Client::h1(self.admin).await.ask(openai::get(path)).await;
        answer.text().to_owned()
    }

    /// `/status`.
    pub(crate) async fn status(&self) -> Value {
        serde_json::from_str(&self.admin_text("/status").await).unwrap()
    }

    /// Waits until the status satisfies `wanted`.
    pub(crate) async fn status_is(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        within(format!("the status: {what}"), async {
            loop {
                let status = self.status().await;
                if wanted(&status) {
                    return status;
                }
            }
        })
        .await
    }

    /// Asks it to end, and lets live requests end.
    pub(crate) fn tell(&self, stop: Stop) {
        self.tell.send_replace(stop);
    }

    /// Ends it and gives every whole line of the chat log.
    pub(crate) async fn log(mut self) -> Vec<Value> {
        self.tell(Stop::Gently);
        within("the end of the proxy", &mut self.running).await.unwrap();
        let text = std::fs::read_to_string(self.log_file()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A request with the forward key as it stands on the wire of HTTP/1.1, for clients that misbehave.
pub(crate) fn wire_post(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// With the forward key, and a JSON content type if none is said.
pub(crate) fn keyed<B>(mut request: Request<B>) -> Request<B> {
    let key = format!("Bearer {KEY}");
    request.headers_mut().entry(AUTHORIZATION).or_insert(key.parse().unwrap());
    let json = "application/json".parse().unwrap();
    request.headers_mut().entry(CONTENT_TYPE).or_insert(json);
    request
}
