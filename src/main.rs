//! The command line: what is asked, where the configuration is, how the process ends.
//!
//! Exit codes: 0 done, 1 it failed, 2 the configuration or the command line is wrong.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use aifd::config::{self, Config, Faults, Listen, compat};
use aifd::console::{self, Console};
use aifd::convert;
use aifd::demo;
use aifd::server::{House, Outcome, Stop};
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

mod banner;

// A log line is made on one thread and freed on another, a request in two hundred small pieces: the
// C library's allocator spends a twelfth of a request's CPU time on that, this one hardly any.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A streaming-first proxy between OpenAI clients and several LLM hosts.
#[derive(Parser)]
#[command(version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve.
    Run(Run),
    /// Say what is wrong with a configuration, and nothing else.
    Check(Source),
    /// Print the effective configuration as TOML, secrets hidden.
    Config(Source),
    /// Turn chat logs, those of openai-forward too, into JSON.
    Convert(Convert),
    /// Show aifd at work against an upstream of its own: nothing to install, nothing to configure.
    Demo(Demo),
}

#[derive(Args)]
struct Source {
    /// The configuration file [default: ./aifd.toml, else /etc/aifd/aifd.toml, else what
    /// openai-forward reads: ./.env and the environment].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Args)]
struct Run {
    #[command(flatten)]
    source: Source,
    /// Port of the first TCP listener, instead of the configured one.
    #[arg(long)]
    port: Option<u16>,
    /// Worker threads, instead of the configured number (0: one per core).
    #[arg(long)]
    workers: Option<usize>,
    /// Whether calls are written to the chat log, instead of what is configured.
    #[arg(long = "log_chat", alias = "log-chat", value_name = "BOOL", num_args = 0..=1,
          default_missing_value = "true")]
    log_chat: Option<bool>,
}

#[derive(Args)]
struct Convert {
    /// The folder to convert [default: each one below ./Log that has a chat log].
    #[arg(long = "log_folder", alias = "log-folder", value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// The file to write [default: ./Log/chat_openai.json and the like, or FOLDER.json].
    #[arg(long = "target_path", alias = "target-path", value_name = "FILE")]
    target: Option<PathBuf>,
    /// The fields of an item, named by the one that tells them apart.
    #[arg(long, value_enum, default_value = "auto")]
    layout: convert::Layout,
    /// Blanks of one step of indentation.
    #[arg(long, value_name = "N", default_value_t = 4,
          value_parser = clap::value_parser!(u8).range(0..=16))]
    indent: u8,
}

#[derive(Args)]
struct Demo {
    /// End after the tour, with 0 when every step went well.
    #[arg(long)]
    once: bool,
}

/// Where a configuration is looked for, in this order.
const PLACES: [&str; 2] = ["aifd.toml", "/etc/aifd/aifd.toml"];

const WRONG: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let console = match console::start() {
        Ok(console) => console,
        Err(error) => return complain(&format!("the log cannot be started: {error}"), 1),
    };
    let code = match cli.command {
        Command::Run(run) => serve(&run, &console),
        Command::Check(source) => {
            load(&source).map_or_else(|code| code, |it| check(&it.config, &it.path))
        }
        Command::Config(source) => {
            let text = |it: Loaded| it.preface + &config::show(&it.config);
            load(&source).map_or_else(|code| code, |it| say(&text(it)))
        }
        Command::Convert(args) => convert_logs(args),
        Command::Demo(demo) => show(&demo),
    };
    console.flush(Duration::from_secs(2));
    code
}

fn check(config: &Config, path: &Path) -> ExitCode {
    for notice in &config.notices {
        complain(&format!("{}: {notice}", path.display()), 0);
    }
    say(&format!("{}: good\n", path.display()))
}

/// A configuration, where it came from, and what to say before it when it is shown.
struct Loaded {
    config: Config,
    path: PathBuf,
    preface: String,
}

fn load(source: &Source) -> Result<Loaded, ExitCode> {
    let found = source
        .config
        .clone()
        .or_else(|| PLACES.iter().map(PathBuf::from).find(|place| place.exists()));
    let wrong = |faults: Faults| complain(faults.to_string().trim_end(), WRONG);
    if let Some(path) = found {
        let config = config::load(&path).map_err(wrong)?;
        return Ok(Loaded { config, path, preface: String::new() });
    }
    let Some(found) = compat::find(Path::new("."), &|name| std::env::var(name).ok()) else {
        let places = PLACES.join(" or ");
        let text = format!("no configuration: write {places}, or give one with --config FILE");
        return Err(complain(&text, WRONG));
    };
    let found = found.map_err(wrong)?;
    let preface = found.to_set();
    Ok(Loaded { config: found.config, path: found.source.into(), preface })
}

fn serve(run: &Run, console: &Console) -> ExitCode {
    let Loaded { mut config, path, .. } = match load(&run.source) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    if let Err(why) = override_with(&mut config, run) {
        return complain(&why, WRONG);
    }
    let served = runtime(config.server.workers).and_then(|runtime| {
        let outcome = runtime.block_on(serve_until_told(&config, &path, console));
        runtime.shutdown_timeout(Duration::from_millis(100));
        outcome
    });
    match served {
        Ok(Outcome::Drained) => ExitCode::SUCCESS,
        Ok(Outcome::Cut(requests)) => {
            log::warn!("ended with {requests} requests cut");
            ExitCode::SUCCESS
        }
        Err(error) => complain(&format!("{error:#}"), 1),
    }
}

fn override_with(config: &mut Config, run: &Run) -> Result<(), String> {
    if let Some(port) = run.port {
        let address = config.server.listen.iter_mut().find_map(|listen| match listen {
            Listen::Plain(address) | Listen::Tls(address) => Some(address),
            Listen::Unix(_) => None,
        });
        address.ok_or("--port: the configuration has no TCP listener")?.set_port(port);
    }
    if let Some(workers) = run.workers {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        config.server.workers = if workers == 0 { cores } else { workers };
    }
    if let Some(on) = run.log_chat {
        config.chat_log.on = on;
    }
    Ok(())
}

fn runtime(workers: usize) -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Ok(builder.worker_threads(workers.max(1)).thread_name("worker").enable_all().build()?)
}

async fn serve_until_told(
    config: &Config,
    path: &Path,
    console: &Console,
) -> anyhow::Result<Outcome> {
    // First of all: a signal that comes while the doors open must not kill.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let house = House::open(config).await?;
    for notice in &config.notices {
        log::warn!("{notice}");
    }
    console.flush(Duration::from_secs(2));
    say(&banner::text(config, &house, path));
    let (tell, told) = watch::channel(Stop::No);
    let mut running = std::pin::pin!(house.run(told));
    loop {
        tokio::select! {
            outcome = &mut running => return Ok(outcome),
            _ = terminate.recv() => listen_to(&tell),
            _ = interrupt.recv() => listen_to(&tell),
        }
    }
}

/// The first signal asks, the second one insists.
fn listen_to(tell: &watch::Sender<Stop>) {
    tell.send_modify(|stop| {
        *stop = match *stop {
            Stop::No => {
                log::info!("ending: no new connections; live requests may end (again to cut them)");
                Stop::Gently
            }
            Stop::Gently | Stop::Now => Stop::Now,
        };
    });
}

fn convert_logs(args: Convert) -> ExitCode {
    let options = convert::Options {
        root: PathBuf::from("./Log"),
        folder: args.folder,
        target: args.target,
        layout: args.layout,
        indent: args.indent.into(),
    };
    match convert::run(&options, &mut std::io::stdout(), &mut std::io::stderr()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(convert::Failed::Asked(why)) => complain(&why, WRONG),
        Err(convert::Failed::File(error)) => complain(&error.to_string(), 1),
    }
}

fn show(demo: &Demo) -> ExitCode {
    let shown = runtime(2).and_then(|runtime| runtime.block_on(demo::run(demo.once)));
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&format!("the demo failed: {error:#}"), 1),
    }
}

#[expect(clippy::print_stdout, reason = "what a command says")]
fn say(text: &str) -> ExitCode {
    print!("{text}");
    ExitCode::SUCCESS
}

#[expect(clippy::print_stderr, reason = "what a command complains of")]
fn complain(text: &str, code: u8) -> ExitCode {
    eprintln!("{text}");
    ExitCode::from(code)
}
