//! The binary itself as a process: its command line, its signals, what it prints, how it ends.
//!
//! Why not in process: exit codes, signals and standard streams are to be had nowhere else.
//! The trap: a free port that a test picks may be gone before the process binds it. So the process
//! picks, and its banner says which.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use bytes::Bytes;
use http::Request;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::client::{Answer, Client};
use super::house::{Conf, keyed};
use super::openai;
use super::within;

/// A directory with a configuration, for one process after another.
pub(crate) struct Site {
    dir: TempDir,
    env: Vec<(String, String)>,
}

/// A process that serves; it is killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    out: Printed,
    err: Printed,
}

/// What a process printed, and how it ended; no code when a signal ended it.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// One of the two streams of a process, read as it comes.
struct Printed {
    text: watch::Receiver<Vec<u8>>,
    reader: JoinSet<()>,
}

// === impl Site ===

impl Site {
    /// With `conf`, and ports that the process picks.
    pub(crate) fn of(conf: &Conf) -> Self {
        let site = Self::empty();
        std::fs::write(site.conf(), conf.text(site.dir())).unwrap();
        site
    }

    /// With this file, word for word.
    pub(crate) fn of_text(text: &str) -> Self {
        let site = Self::empty();
        std::fs::write(site.conf(), text).unwrap();
        site
    }

    /// With nothing in it.
    pub(crate) fn empty() -> Self {
        Self { dir: TempDir::new().unwrap(), env: Vec::new() }
    }

    /// One more variable; nothing else of the tests' environment is passed on.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The working directory of its processes.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The configuration: where it is looked for when nobody says.
    pub(crate) fn conf(&self) -> PathBuf {
        self.dir().join("aifd.toml")
    }

    /// The current file of the chat log.
    pub(crate) fn log_file(&self) -> PathBuf {
        self.dir().join("Log/chat.jsonl")
    }

    /// Runs `aifd ARGS` to its end.
    pub(crate) async fn run(&self, args: &[&str]) -> Said {
        self.spawn(args).ended().await
    }

    /// Runs `aifd run ARGS` until it says that it serves.
    pub(crate) async fn serve(&self, args: &[&str]) -> Process {
        let mut process = self.spawn(&[&["run"], args].concat());
        process.banner().await;
        process
    }

    /// Begins `aifd ARGS`.
    pub(crate) fn spawn(&self, args: &[&str]) -> Process {
        Process::new(self.command(args).spawn().unwrap())
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aifd"));
        command.args(args).current_dir(self.dir());
        command.env_clear().envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.kill_on_drop(true);
        command
    }

    /// As `serve`, with a stderr that nobody reads: it is given out instead.
    pub(crate) async fn serve_unheard(&self) -> (Process, ChildStderr) {
        let mut child = self.command(&["run"]).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let mut process = Process::new(child);
        process.banner().await;
        (process, stderr)
    }
}

// === impl Process ===

impl Process {
    fn new(mut child: Child) -> Self {
        let out = Printed::read(child.stdout.take());
        let err = Printed::read(child.stderr.take());
        Self { child, out, err }
    }

    /// The banner, once it is all there; its last line is about workers.
    pub(crate) async fn banner(&mut self) -> String {
        let whole = |text: &str| text.contains("\n  workers ") && text.ends_with('\n');
        match self.out.until("the banner", whole).await {
            Ok(banner) => banner,
            Err(banner) => panic!("no banner but {banner:?}; stderr: {}", self.err.now()),
        }
    }

    /// The first address on this line of the banner.
    fn address(&self, name: &str) -> SocketAddr {
        let banner = self.out.now();
        let line = banner.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap();
        let url = line.split(',').next().unwrap();
        url.split_once("://").unwrap().1.parse().unwrap()
    }

    /// The first listener.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.address("listening")
    }

    /// The admin listener.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.address("admin")
    }

    /// A request with the forward key, over a fresh connection, read to its end.
    pub(crate) async fn ask(&self, request: Request<Bytes>) -> Answer {
        Client::h1(self.addr()).await.ask(keyed(request)).await
    }

    /// A GET of the admin listener.
    pub(crate) async fn admin_get(&self, path: &str) -> Answer {
        Client::h1(self.admin()).await.ask(openai::get(path)).await
    }

    /// Waits until `/status` satisfies `wanted`.
    pub(crate) async fn status_is(&self, what: &str, wanted: impl Fn(&Value) -> bool) {
        within(format!("the status: {what}"), async {
            while !wanted(&self.admin_get("/status").await.json()) {}
        })
        .await;
    }

    /// Sends it a signal, by its name without SIG.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().expect("it has not been waited for");
        let kill = format!("kill -s {name} {pid}");
        let sent = std::process::Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(sent.success(), "{kill}");
    }

    /// Whether it has not ended yet.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until its stdout satisfies `wanted`, and gives it.
    pub(crate) async fn out(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let got = self.out.until(what, wanted).await;
        got.unwrap_or_else(|all| panic!("stdout ended without {what}: {all}"))
    }

    /// Waits until its stderr satisfies `wanted`, and gives it.
    pub(crate) async fn err(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let got = self.err.until(what, wanted).await;
        got.unwrap_or_else(|all| panic!("stderr ended without {what}: {all}"))
    }

    /// Waits for its end.
    pub(crate) async fn ended(mut self) -> Said {
        let ended = within("the end of the process", self.child.wait()).await.unwrap();
        Said { code: ended.code(), out: self.out.whole().await, err: self.err.whole().await }
    }

    /// Asks it to end, and waits for that.
    pub(crate) async fn stop(self) -> Said {
        self.signal("TERM");
        self.ended().await
    }
}

// === impl Printed ===

impl Printed {
    fn read(pipe: Option<impl AsyncRead + Send + Unpin + 'static>) -> Self {
        let (heard, text) = watch::channel(Vec::new());
        let mut reader = JoinSet::new();
        if let Some(mut pipe) = pipe {
            reader.spawn(async move {
                let mut some = [0; 4096];
                while let Ok(read @ 1..) = pipe.read(&mut some).await {
                    heard.send_modify(|all| all.extend_from_slice(&some[..read]));
                }
            });
        }
        Self { text, reader }
    }

    fn now(&self) -> String {
        lossy(&self.text.borrow())
    }

    /// Waits until the text satisfies `wanted`; all of it as an error when it ended before.
    async fn until(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> Result<String, String> {
        let told = self.text.wait_for(|text| wanted(&lossy(text)));
        let told = within(what, told).await.is_ok();
        if told { Ok(self.now()) } else { Err(self.now()) }
    }

    async fn whole(mut self) -> String {
        within("the end of what it prints", async {
            while self.reader.join_next().await.is_some() {}
        })
        .await;
        self.now()
    }
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}
