//! A Redis of one test.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use super::within;

/// It keeps nothing, and is killed when it is dropped.
pub(crate) struct Redis {
    port: u16,
    child: Child,
}

impl Redis {
    pub(crate) async fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"])
            .arg(port.to_string())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("redis-server is needed: apt-get install redis-server");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        within("redis-server", async {
            while !lines.next_line().await.unwrap().unwrap().contains("Ready to accept") {}
        })
        .await;
        Self { port, child }
    }

    /// A key of `[limits]`.
    pub(crate) fn key(&self) -> String {
        format!("limits.store = \"redis://127.0.0.1:{}/0\"", self.port)
    }

    /// Ends it.
    pub(crate) async fn stop(mut self) {
        self.child.kill().await.unwrap();
    }
}
