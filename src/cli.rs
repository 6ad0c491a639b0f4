//! The command line as it is typed: every command and option, under every name it ever had.
//!
//! Why so many names: who comes from openai-forward types what they always typed, `_` or `-` in it.
//! The trap: it took `-webui` for one option, where others read seven letters.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use aifd::convert::Layout;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// A streaming-first proxy between OpenAI clients and several LLM hosts.
#[derive(Parser)]
#[command(name = "aifd", version, about, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Serve.
    Run(Box<Run>),
    /// Say what is wrong with a configuration, and nothing else.
    Check(Source),
    /// Print the effective configuration as TOML, secrets hidden.
    Config(Source),
    /// Turn chat logs, those of openai-forward too, into JSON.
    Convert(Convert),
    /// Write a configuration to begin with; never over one that is there.
    #[command(name = "gen_config", alias = "gen-config")]
    GenConfig(GenConfig),
    /// Show aifd at work against an upstream of its own: nothing to install, nothing to configure.
    Demo(Demo),
    /// The web page of openai-forward, which there is none of.
    #[command(name = "run_web", alias = "run-web", hide = true)]
    RunWeb {
        #[arg(allow_hyphen_values = true, trailing_var_arg = true)]
        _rest: Vec<OsString>,
    },
}

#[derive(Args)]
pub(crate) struct Source {
    /// The configuration file [default: ./aifd.toml, else /etc/aifd/aifd.toml, else what
    /// openai-forward reads: ./.env and the environment].
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) source: Source,
    /// Port of the first TCP listener, instead of the configured one.
    #[arg(short, long)]
    pub(crate) port: Option<u16>,
    /// Worker threads, instead of the configured number (0: one per core).
    #[arg(short, long)]
    pub(crate) workers: Option<usize>,
    /// Whether calls are written to the chat log, instead of what is configured.
    #[arg(short, long = "log_chat", alias = "log-chat", value_name = "BOOL", num_args = 0..=1,
          default_missing_value = "true", value_parser = truth)]
    pub(crate) log_chat: Option<bool>,
    #[command(flatten)]
    pub(crate) variables: Variables,
    #[command(flatten)]
    pub(crate) web: Web,
}

/// Options of openai-forward 0.4 and before, each instead of a variable of the environment.
#[derive(Args)]
#[command(next_help_heading = "Instead of a variable that openai-forward reads")]
pub(crate) struct Variables {
    /// OPENAI_BASE_URL
    #[arg(long = "openai_base_url", value_name = "URLS", hide_short_help = true,
          aliases = ["openai-base-url", "base_url", "base-url"])]
    base_url: Option<String>,
    /// OPENAI_ROUTE_PREFIX
    #[arg(long = "openai_route_prefix", value_name = "PREFIXES", hide_short_help = true,
          aliases = ["openai-route-prefix", "route_prefix", "route-prefix"])]
    route_prefix: Option<String>,
    /// EXTRA_BASE_URL
    #[arg(
        long = "extra_base_url",
        value_name = "URLS",
        hide_short_help = true,
        alias = "extra-base-url"
    )]
    extra_base_url: Option<String>,
    /// EXTRA_ROUTE_PREFIX
    #[arg(
        long = "extra_route_prefix",
        value_name = "PREFIXES",
        hide_short_help = true,
        alias = "extra-route-prefix"
    )]
    extra_route_prefix: Option<String>,
    /// OPENAI_API_KEY
    #[arg(long = "api_key", value_name = "KEYS", hide_short_help = true, alias = "api-key")]
    api_key: Option<String>,
    /// FORWARD_KEY
    #[arg(
        long = "forward_key",
        value_name = "KEYS",
        hide_short_help = true,
        alias = "forward-key"
    )]
    forward_key: Option<String>,
    /// PROXY
    #[arg(long, value_name = "URL", hide_short_help = true)]
    proxy: Option<String>,
    /// IP_WHITELIST
    #[arg(
        long = "ip_whitelist",
        value_name = "IPS",
        hide_short_help = true,
        alias = "ip-whitelist"
    )]
    ip_whitelist: Option<String>,
    /// IP_BLACKLIST
    #[arg(
        long = "ip_blacklist",
        value_name = "IPS",
        hide_short_help = true,
        alias = "ip-blacklist"
    )]
    ip_blacklist: Option<String>,
}

/// One of [`Variables`] that was typed.
pub(crate) struct Typed<'a> {
    /// As it is best called.
    pub(crate) option: &'static str,
    /// What it stands for.
    pub(crate) variable: &'static str,
    /// What says the same in a TOML file.
    pub(crate) toml: &'static str,
    /// Whether nobody else should read it.
    pub(crate) secret: bool,
    pub(crate) value: &'a str,
}

/// Options of openai-forward's web page.
#[derive(Args)]
pub(crate) struct Web {
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "true", value_parser = truth)]
    webui: Option<bool>,
    #[arg(long = "start_ui", alias = "start-ui", hide = true, num_args = 0..=1,
          default_missing_value = "true", value_parser = truth)]
    start_ui: Option<bool>,
    #[arg(long = "ui_port", alias = "ui-port", hide = true)]
    ui_port: Option<u16>,
}

#[derive(Args)]
pub(crate) struct Convert {
    /// The folder to convert [default: each one below ./Log that has a chat log].
    #[arg(long = "log_folder", alias = "log-folder", value_name = "FOLDER")]
    pub(crate) folder: Option<PathBuf>,
    /// The file to write [default: ./Log/chat_openai.json and the like, or FOLDER.json].
    #[arg(long = "target_path", alias = "target-path", value_name = "FILE")]
    pub(crate) target: Option<PathBuf>,
    /// The fields of an item, named by the one that tells them apart.
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) layout: Layout,
    /// Blanks of one step of indentation.
    #[arg(long, value_name = "N", default_value_t = 4,
          value_parser = clap::value_parser!(u8).range(0..=16))]
    pub(crate) indent: u8,
}

#[derive(Args)]
pub(crate) struct GenConfig {
    /// The folder to write it into.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub(crate) dir: PathBuf,
    /// A `.env` in openai-forward's words, or an `aifd.toml`.
    #[arg(long, value_enum, default_value = "env")]
    pub(crate) format: Form,
}

/// What is written.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    Env,
    Toml,
}

#[derive(Args)]
pub(crate) struct Demo {
    /// End after the tour, with 0 when every step went well.
    #[arg(long)]
    pub(crate) once: bool,
}

/// Reads the command line of this process; ends it when that is wrong, or asks for help.
pub(crate) fn read() -> Cli {
    let args = std::env::args_os();
    Cli::parse_from(args.map(|arg| if arg == "-webui" { "--webui".into() } else { arg }))
}

/// What it was called: `aifd`, or the name of a link to it.
pub(crate) fn own_name() -> String {
    let path = std::env::args_os().next().map(PathBuf::from);
    let name = path.as_deref().and_then(|path| path.file_name()).and_then(OsStr::to_str);
    name.unwrap_or("aifd").to_owned()
}

/// Python's spelling is one of them.
fn truth(text: &str) -> Result<bool, String> {
    match &*text.to_ascii_lowercase() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("neither true nor false".to_owned()),
    }
}

// === impl Variables ===

impl Variables {
    /// Those that were typed.
    pub(crate) fn typed<'a>(&'a self) -> Vec<Typed<'a>> {
        let hosts = "[[upstream]] hosts = [\"https://...\"]";
        let prefix = "[[route]] prefix = \"/...\"";
        let all = [
            (&self.base_url, "--openai_base_url", "OPENAI_BASE_URL", hosts, false),
            (&self.route_prefix, "--openai_route_prefix", "OPENAI_ROUTE_PREFIX", prefix, false),
            (&self.extra_base_url, "--extra_base_url", "EXTRA_BASE_URL", hosts, false),
            (&self.extra_route_prefix, "--extra_route_prefix", "EXTRA_ROUTE_PREFIX", prefix, false),
            (
                &self.api_key,
                "--api_key",
                "OPENAI_API_KEY",
                "[[upstream]] keys = [\"env:NAME\"]",
                true,
            ),
            (
                &self.forward_key,
                "--forward_key",
                "FORWARD_KEY",
                "[[key]] secret = \"env:NAME\"",
                true,
            ),
            (&self.proxy, "--proxy", "PROXY", "[[upstream]] proxy = \"http://...\"", true),
            (&self.ip_whitelist, "--ip_whitelist", "IP_WHITELIST", "[access] allow_ips", false),
            (&self.ip_blacklist, "--ip_blacklist", "IP_BLACKLIST", "[access] deny_ips", false),
        ];
        let typed = |(value, option, variable, toml, secret): (&'a Option<String>, _, _, _, _)| {
            value.as_deref().map(|value| Typed { option, variable, toml, secret, value })
        };
        all.into_iter().filter_map(typed).collect()
    }
}

// === impl Web ===

impl Web {
    /// What to say to who wants a web page.
    pub(crate) fn notice(&self) -> Option<String> {
        let asked = [
            (self.webui == Some(true), "--webui"),
            (self.start_ui == Some(true), "--start_ui"),
            (self.ui_port.is_some(), "--ui_port"),
        ];
        let (_, option) = asked.into_iter().find(|(asked, _)| *asked)?;
        Some(format!("{option}: {NO_WEB}"))
    }
}

/// What to say to who wants a web page.
pub(crate) const NO_WEB: &str = "there is no web page; the configuration is a file, chats are in \
    the chat log, and numbers come from [admin]: /status and /metrics";
