//! A Redis of one test, started and ended with it.
//!
//! Why here: each room that keeps something in Redis is tested against a real one.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

/// It keeps nothing, and is killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    port: u16,
}

// === impl Server ===

impl Server {
    pub(crate) fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        Self::start_at(port, &[])
    }

    /// With more of its options.
    pub(crate) fn start_at(port: u16, more: &[&str]) -> Self {
        let mut child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"])
            .arg(port.to_string())
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .expect("redis-server is needed: apt-get install redis-server");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let is_ready = |line: String| line.contains("Ready to accept connections");
        assert!(lines.by_ref().map_while(Result::ok).any(is_ready), "redis-server ended");
        // Whoever writes to a pipe that nobody reads would wait one day.
        std::thread::spawn(move || lines.count());
        Self { child, port }
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
