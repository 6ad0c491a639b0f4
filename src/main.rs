//! The command line: what is asked, where the configuration is, how the process ends.
//!
//! Exit codes: 0 done, 1 it failed, 2 the configuration or the command line is wrong.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use aifd::config::compat::{self, Forward, Found};
use aifd::config::{self, Config, Faults, Listen};
use aifd::console::{self, Console};
use aifd::convert;
use aifd::demo;
use aifd::server::{House, Outcome, Stop};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use cli::{Command, Form, GenConfig, Run, Source, Typed};

mod banner;
mod begin;
mod cli;

// A log line is made on one thread and freed on another, a request in two hundred small pieces: the
// C library's allocator spends a twelfth of a request's CPU time on that, this one hardly any.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Where a configuration is looked for, in this order.
const PLACES: [&str; 2] = ["aifd.toml", "/etc/aifd/aifd.toml"];

const WRONG: u8 = 2;

fn main() -> ExitCode {
    let cli = cli::read();
    let console = match console::start() {
        Ok(console) => console,
        Err(error) => return complain(&format!("the log cannot be started: {error}"), 1),
    };
    let code = match cli.command {
        Command::Run(run) => serve(&run, &console),
        Command::Check(source) => {
            load(&source, &[]).map_or_else(|code| code, |it| check(&it.config, &it.path))
        }
        Command::Config(source) => {
            let text = |it: Loaded| it.preface + &config::show(&it.config);
            load(&source, &[]).map_or_else(|code| code, |it| say(&text(it)))
        }
        Command::Convert(args) => convert_logs(args),
        Command::GenConfig(args) => begin(&args),
        Command::Demo(demo) => show(&demo),
        Command::RunWeb { .. } => complain(&format!("run_web: {}", cli::NO_WEB), WRONG),
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
    /// What openai-forward would have read, if that is where it came from.
    forward: Option<Forward>,
}

fn load(source: &Source, typed: &[Typed<'_>]) -> Result<Loaded, ExitCode> {
    let found = source
        .config
        .clone()
        .or_else(|| PLACES.iter().map(PathBuf::from).find(|place| place.exists()));
    let wrong = |faults: Faults| complain(faults.to_string().trim_end(), WRONG);
    if let Some(path) = found {
        if let Some(Typed { option, toml, .. }) = typed.first() {
            let text =
                format!("{option}: {} is the configuration; write {toml} there", path.display());
            return Err(complain(&text, WRONG));
        }
        let config = config::load(&path).map_err(wrong)?;
        return Ok(Loaded { config, path, preface: String::new(), forward: None });
    }
    let Some(found) = environment(typed) else {
        let (places, name) = (PLACES.join(" or "), cli::own_name());
        let text = format!(
            "no configuration: write {places}, or give one with --config FILE; or begin with a .env \
            of openai-forward: {name} gen_config"
        );
        return Err(complain(&text, WRONG));
    };
    let mut found = found.map_err(wrong)?;
    if let Some(Typed { option, .. }) = typed.first()
        && found.source.ends_with(".yaml")
    {
        let text = format!("{option}: {} is the configuration; write it there", found.source);
        return Err(complain(&text, WRONG));
    }
    for Typed { option, variable, .. } in typed.iter().filter(|typed| typed.secret) {
        let text = format!(
            "{option}: everybody on this machine can read it among the processes; write {variable}=... \
            into .env"
        );
        found.config.notices.push(text);
    }
    let preface = found.to_set();
    let path = PathBuf::from(found.source);
    Ok(Loaded { config: found.config, path, preface, forward: Some(found.forward) })
}

/// What openai-forward reads, below what was typed.
fn environment(typed: &[Typed<'_>]) -> Option<Result<Found, Faults>> {
    let find = |more: Option<&str>| {
        compat::find(Path::new("."), &|name| {
            let typed = typed.iter().find(|typed| typed.variable == name);
            let said = typed.map(|typed| typed.value.to_owned());
            said.or_else(|| std::env::var(name).ok())
                .or_else(|| (more == Some(name)).then(|| "false".to_owned()))
        })
    };
    // A key alone may be anybody's, but who types one means it: then there is a configuration.
    find(None).or_else(|| if typed.is_empty() { None } else { find(Some("LOG_CHAT")) })
}

fn serve(run: &Run, console: &Console) -> ExitCode {
    let typed = run.variables.typed();
    let Loaded { mut config, path, forward, .. } = match load(&run.source, &typed) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    config.notices.extend(run.web.notice());
    if let Err(why) = override_with(&mut config, run) {
        return complain(&why, WRONG);
    }
    let served = runtime(config.server.workers).and_then(|runtime| {
        let banner = |house: &House| banner::text(&config, house, &path, forward.as_ref());
        let outcome = runtime.block_on(serve_until_told(&config, &banner, console));
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
    banner: &dyn Fn(&House) -> String,
    console: &Console,
) -> anyhow::Result<Outcome> {
    // First of all: a signal that comes while the doors open must not kill.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let house = House::open(config).await?;
    say(&banner(&house));
    for notice in &config.notices {
        log::warn!("{notice}");
    }
    console.flush(Duration::from_secs(2));
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

fn begin(args: &GenConfig) -> ExitCode {
    let file = match args.format {
        Form::Env => begin::ENV,
        Form::Toml => begin::TOML,
    };
    match begin::write(&args.dir, file) {
        Ok(said) => say(&said),
        Err(why) => complain(&why, 1),
    }
}

fn convert_logs(args: cli::Convert) -> ExitCode {
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

fn show(demo: &cli::Demo) -> ExitCode {
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
