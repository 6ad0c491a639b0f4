//! How even paced streams are: a hundred of them at a time through the whole of aifd, over sockets.
//!
//! Why lateness and not gaps: a gap is short when the one before was long. Each event is held against
//! its due time, reckoned from the earliest one of its stream.
//!
//! `cargo bench --bench pace`, on a machine that has nothing else to do.

#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a bench of its own")]

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use aifd::config;
use aifd::server::{House, Stop};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const STREAMS: usize = 100;
const SECONDS: usize = 6;

const EVENT: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"word\"}}]}\n\n";

/// Answers everything with so many events in one write.
async fn serve(host: TcpListener, events: usize) -> Outcome<()> {
    loop {
        let (mut socket, _) = host.accept().await?;
        let body = EVENT.repeat(events);
        tokio::spawn(async move {
            let mut request = vec![0; 4096];
            let _ = socket.read(&mut request).await;
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n";
            let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
            let _ = socket.write_all(answer.as_bytes()).await;
            let _ = socket.shutdown().await;
        });
    }
}

/// When each event of one stream came.
async fn stream(to: SocketAddr) -> Outcome<Vec<Instant>> {
    let mut socket = TcpStream::connect(to).await?;
    let body = "{\"model\":\"m\",\"stream\":true,\"messages\":[]}";
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer fk-0123456789\r\n\
        content-type: application/json\r\nconnection: close\r\n";
    let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    socket.write_all(request.as_bytes()).await?;
    let (mut piece, mut came) = (vec![0; 16 * 1024], Vec::new());
    loop {
        let read = socket.read(&mut piece).await?;
        if read == 0 {
            return Ok(came);
        }
        let events = piece[..read].windows(6).filter(|bytes| bytes == b"data: ").count();
        came.extend(std::iter::repeat_n(Instant::now(), events));
    }
}

/// Mean rate, and how late each event was.
fn judge(came: &[Instant], gap: Duration) -> (f64, Vec<Duration>) {
    let turn = |nth: usize| gap * nth as u32;
    let start = came.iter().enumerate().map(|(nth, at)| *at - turn(nth)).min();
    let start = start.expect("a stream has events");
    let late = came.iter().enumerate().map(|(nth, at)| *at - turn(nth) - start).collect();
    let all = *came.last().expect("as above") - came[0];
    ((came.len() - 1) as f64 / all.as_secs_f64(), late)
}

async fn measure(per_second: usize) -> Outcome<()> {
    let host = TcpListener::bind("127.0.0.1:0").await?;
    let text = format!(
        "server.listen = ['127.0.0.1:0']\nserver.workers = 1\nadmin.listen = 'off'\nchat_log.on = false\n\
         [[upstream]]\nname = 'up'\nhosts = ['http://{}']\n\
         [[key]]\nname = 'k'\nsecret = 'fk-0123456789'\npace = '{per_second}/second'\n",
        host.local_addr()?
    );
    let serving = tokio::spawn(serve(host, per_second * SECONDS));
    let house =
        House::open(&config::parse(&text, "bench").map_err(|faults| faults.to_string())?).await?;
    let to = house.addresses()[0].trim_start_matches("http://").parse()?;
    let (stop, stopping) = watch::channel(Stop::No);
    let running = tokio::spawn(house.run(stopping));
    let mut streams = JoinSet::new();
    for _ in 0..STREAMS {
        streams.spawn(stream(to));
    }
    let (mut rates, mut late) = (Vec::new(), Vec::new());
    while let Some(came) = streams.join_next().await {
        let (rate, its) = judge(&came??, Duration::from_secs(1) / per_second as u32);
        rates.push(rate);
        late.extend(its);
    }
    stop.send_replace(Stop::Now);
    running.await?;
    serving.abort();
    rates.sort_by(f64::total_cmp);
    late.sort_unstable();
    let at = |part: f64| late[((late.len() - 1) as f64 * part) as usize];
    println!(
        "{per_second:>4}/s, {STREAMS} streams: rate {:.2} to {:.2}, late by {:?} (half), {:?} (99 %), {:?} (all)",
        rates[0],
        rates[rates.len() - 1],
        at(0.5),
        at(0.99),
        at(1.0)
    );
    Ok(())
}

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> Outcome<()> {
    for per_second in [5, 20, 60, 200] {
        measure(per_second).await?;
    }
    Ok(())
}
