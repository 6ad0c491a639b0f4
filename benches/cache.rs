//! The cache through the whole of aifd, over sockets: the memory of 100,000 answers that differ, and
//! how long a hit takes.
//!
//! Why the binary and not a room: what is kept lies beside what is under way, in one allocator.
//!
//! `cargo bench --bench cache`, on a machine that has nothing else to do.

#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a bench of its own")]

use std::error::Error;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fastrand::Rng;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const CLIENTS: usize = 8;
const ANSWERS: usize = 100_000;
const HITS: usize = 20_000;
const SIZE_MIB: u64 = 256;

/// Ends with the bench.
struct Aifd {
    child: Child,
    at: SocketAddr,
}

/// One connection that asks again and again.
struct Client {
    socket: BufReader<TcpStream>,
    control: &'static str,
}

impl Aifd {
    async fn start(host: SocketAddr) -> Outcome<Self> {
        let free = TcpListener::bind("127.0.0.1:0").await?;
        let at = free.local_addr()?;
        drop(free);
        let text = format!(
            "server.listen = ['{at}']\nserver.workers = 2\nadmin.listen = 'off'\nchat_log.on = false\n\
             cache = {{ store = 'memory', default = true, size = '{SIZE_MIB}MiB' }}\n\
             [[upstream]]\nname = 'up'\nhosts = ['http://{host}']\n\
             [[key]]\nname = 'k'\nsecret = 'fk-0123456789'\n"
        );
        let file = std::env::temp_dir().join(format!("aifd-bench-{}.toml", std::process::id()));
        std::fs::write(&file, text)?;
        let child = Command::new(env!("CARGO_BIN_EXE_aifd"))
            .args(["run", "--config"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let aifd = Self { child, at };
        while TcpStream::connect(at).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
        std::fs::remove_file(file)?;
        Ok(aifd)
    }

    /// Memory in use, bytes.
    fn resident(&self) -> Outcome<u64> {
        let pages = std::fs::read_to_string(format!("/proc/{}/statm", self.child.id()))?;
        let pages = pages.split(' ').nth(1).ok_or("statm has a second field")?;
        Ok(pages.parse::<u64>()? * 4096)
    }
}

impl Drop for Aifd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Client {
    async fn connect(to: SocketAddr, control: &'static str) -> Outcome<Self> {
        Ok(Self { socket: BufReader::new(TcpStream::connect(to).await?), control })
    }

    async fn ask(&mut self, question: usize) -> Outcome<()> {
        let body = format!("{{\"model\":\"m\",\"messages\":[],\"seed\":{question}}}");
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer fk-0123456789\r\n\
             content-type: application/json\r\n{}content-length: {}\r\n\r\n{body}",
            self.control,
            body.len()
        );
        self.socket.get_mut().write_all(request.as_bytes()).await?;
        read(&mut self.socket).await.map(|_| ())
    }
}

/// Reads one message with a length; its body's length, `None` at the end of the connection.
async fn read(socket: &mut BufReader<TcpStream>) -> Outcome<Option<usize>> {
    let (mut length, mut line) = (0, String::new());
    loop {
        line.clear();
        if socket.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    socket.read_exact(&mut body).await?;
    Ok(Some(length))
}

/// Answers everything with as much as chance says, 4 KiB in the mean.
async fn serve(host: TcpListener) -> Outcome<()> {
    loop {
        let mut socket = BufReader::new(host.accept().await?.0);
        tokio::spawn(async move {
            let mut random = Rng::new();
            while let Ok(Some(_)) = read(&mut socket).await {
                let said = "x".repeat(random.usize(0..8 * 1024));
                let body = format!(
                    "{{\"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":\
                     \"{said}\"}},\"finish_reason\":\"stop\"}}]}}"
                );
                let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
                let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
                if socket.get_mut().write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// Everybody asks their share of so many questions.
async fn ask_all(to: SocketAddr, questions: usize, control: &'static str) -> Outcome<()> {
    let mut clients = JoinSet::new();
    for nth in 0..CLIENTS {
        clients.spawn(async move {
            let mut client = Client::connect(to, control).await?;
            for question in (nth..questions).step_by(CLIENTS) {
                client.ask(question).await?;
            }
            Outcome::Ok(())
        });
    }
    clients.join_all().await.into_iter().collect()
}

async fn memory(aifd: &Aifd) -> Outcome<()> {
    ask_all(aifd.at, 2 * HITS, "cache-control: no-store\r\n").await?;
    let (before, mut most) = (aifd.resident()?, 0);
    let mut asking = tokio::spawn(ask_all(aifd.at, ANSWERS, ""));
    loop {
        tokio::select! {
            asked = &mut asking => break asked??,
            () = sleep(Duration::from_millis(50)) => most = aifd.resident()?.max(most),
        }
    }
    let grown = most.saturating_sub(before);
    println!(
        "{ANSWERS} answers that differ, size {SIZE_MIB} MiB: {} MiB before, {} MiB at most, {:+.1} % of size",
        before >> 20,
        most >> 20,
        (grown as f64 / (SIZE_MIB << 20) as f64 - 1.0) * 100.0
    );
    Ok(())
}

async fn hits(aifd: &Aifd) -> Outcome<()> {
    let mut client = Client::connect(aifd.at, "").await?;
    client.ask(ANSWERS).await?;
    let mut took = Vec::with_capacity(HITS);
    for _ in 0..HITS {
        let begun = Instant::now();
        client.ask(ANSWERS).await?;
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    let at = |share: f64| took[(took.len() as f64 * share) as usize].as_micros();
    println!(
        "a hit, one client, {HITS} times: half within {} us, 99 % within {} us, 99.9 % within {} us",
        at(0.5),
        at(0.99),
        at(0.999)
    );
    Ok(())
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let host = TcpListener::bind("127.0.0.1:0").await?;
    let aifd = Aifd::start(host.local_addr()?).await?;
    tokio::spawn(serve(host));
    memory(&aifd).await?;
    hits(&aifd).await
}
