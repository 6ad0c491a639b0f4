//! The command line and the banner of openai-forward, by the binary that takes its place.
//!
//! A case of the banner is `tests/golden/banner/NAME.env`; `NAME.txt` is what stands before our own
//! lines. `AIFD_BLESS=1 cargo test --test it service::forward` writes them anew; read the diff.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::support::client::Client;
use crate::support::house::keyed;
use crate::support::openai::{chat, chat_answer, get, post};
use crate::support::process::{Process, Said, Site};
use crate::support::upstream::{Reply, Upstream};

/// A folder with a `.env`.
fn with_env(text: &str) -> Site {
    let site = Site::empty();
    fs::write(site.dir().join(".env"), text).unwrap();
    site
}

/// What stands before our own lines.
fn boxes(banner: &str) -> &str {
    let own = concat!("aifd ", env!("CARGO_PKG_VERSION"), " (");
    &banner[..banner.find(own).unwrap()]
}

async fn banner_of(env: &str) -> String {
    let mut process = with_env(env).serve(&["--port", "0"]).await;
    boxes(&process.banner().await).to_owned()
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/banner");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|ending| ending == "env")).collect();
    cases.sort();
    cases
}

#[tokio::test]
async fn the_boxes_are_as_they_were() {
    for case in cases() {
        let said = banner_of(&fs::read_to_string(&case).unwrap()).await;
        for secret in ["-key", "hush"] {
            assert!(!said.contains(secret), "{said}");
        }
        let file = case.with_extension("txt");
        if std::env::var_os("AIFD_BLESS").is_some() {
            fs::write(&file, &said).unwrap();
        }
        assert_eq!(said, fs::read_to_string(&file).unwrap(), "{}", case.display());
    }
}

/// What its README shows, blanks and edges apart.
#[tokio::test]
async fn the_rows_of_the_readme_stand_there_in_their_order() {
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/banner/readme.env");
    let said = banner_of(&fs::read_to_string(case).unwrap()).await;
    let rows = said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let rows: Vec<String> = rows.filter(|row| row.starts_with("│ ") && row.len() > 8).collect();
    let expected = [
        "│ base url https://api.openai.com │",
        "│ route prefix / │",
        "│ api keys False │",
        "│ forward keys False │",
        "│ cache_backend MEMORY │",
        "│ backend memory │",
        "│ strategy moving-window │",
        "│ global rate limit 100/minute (req) │",
        "│ /v1/chat/completions 100/2minutes (req) │",
        "│ /v1/completions 60/minute;600/hour (req) │",
        "│ /v1/chat/completions 60/second (token) │",
        "│ /v1/completions 60/second (token) │",
    ];
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn the_boxes_come_once_and_before_our_own_lines() {
    let site =
        with_env("CACHE_OPENAI=true\nLOG_GENERAL=true\nFORWARD_KEY_CONFIG={\"fk-one-key\": 0}\n");
    let mut process = site.serve(&["--port", "0", "--workers", "2"]).await;
    let banner = process.banner().await;
    assert_eq!(banner.matches("is ready to serve").count(), 1, "{banner}");
    let own = banner.strip_prefix(boxes(&banner)).unwrap();
    for line in
        ["  listening  http://0.0.0.0:", "  cache      memory, 256 MiB\n", "  workers    2\n"]
    {
        assert!(own.contains(line), "no {line} in {own}");
    }
    assert!(!own.contains("  route "), "the boxes have said it: {own}");
    process.err("a notice", |said| said.contains("LOG_GENERAL: general routes")).await;
}

#[tokio::test]
async fn every_name_of_an_option_is_taken() {
    let logs = "  chat log   Log/";
    let silent = "  chat log   off\n";
    let url = "base url            http://127.0.0.1:9 ";
    for (args, words) in [
        (vec!["-p", "0", "-w", "3"], "workers    3\n"),
        (vec!["--port=0", "--log_chat=True"], logs),
        (vec!["--port=0", "--log-chat", "TRUE"], logs),
        (vec!["-p0", "-l"], logs),
        (vec!["-p0", "-l", "False"], silent),
        (vec!["-p0", "--openai_base_url", "http://127.0.0.1:9"], url),
        (vec!["-p0", "--base-url", "http://127.0.0.1:9"], url),
        (vec!["-p0", "--openai_route_prefix", "/openai"], "route prefix        /openai "),
        (
            vec!["-p0", "--extra_base_url=http://h", "--extra-route-prefix=/h"],
            "base url            http://h ",
        ),
        (vec!["-p0", "--api_key", "sk-of-mine,sk-of-yours"], "api keys            True "),
        (vec!["-p0", "--forward-key", "fk-of-mine-0123"], "forward keys        True "),
        (vec!["-p0", "--proxy", "http://me:hush@h:1"], "proxy               http://••••@h:1 "),
        (vec!["-p0", "--ip_whitelist", "10.0.0.7", "--ip-blacklist="], "is ready to serve"),
    ] {
        let mut process = with_env("LOG_CHAT=false\n").serve(&args).await;
        let banner = process.banner().await;
        assert!(banner.contains(words), "{args:?}: {banner}");
        assert!(!banner.contains("sk-of") && !banner.contains("hush"), "{banner}");
    }
}

#[tokio::test]
async fn a_key_that_is_typed_is_a_configuration_and_told_of() {
    let mut process = Site::empty().serve(&["-p0", "--api_key", "sk-of-mine"]).await;
    assert!(process.banner().await.contains("api keys            True "));
    let warned = |said: &str| said.contains("--api_key: everybody on this machine can read it");
    process.err("a warning", warned).await;
}

#[tokio::test]
async fn beside_a_file_an_option_of_theirs_is_told_what_to_write() {
    let site = Site::of_text(
        "access.unknown_keys = 'pass'\nupstream = [{ name = 'a', hosts = ['http://a'] }]\n",
    );
    for (option, words) in [
        ("--openai_base_url", "[[upstream]] hosts ="),
        ("--forward_key", "[[key]] secret = \"env:NAME\""),
        ("--ip_blacklist", "[access] deny_ips"),
    ] {
        let said = site.run(&["run", option, "value"]).await;
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{}", said.err);
        assert!(said.err.starts_with(option) && said.err.contains(words), "{}", said.err);
    }
    let site = with_env("");
    fs::write(site.dir().join("openai-forward-config.yaml"), "timeout: 5\n").unwrap();
    let said = site.run(&["run", "--api_key", "sk-of-mine"]).await;
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""));
    let expected = "--api_key: openai-forward-config.yaml is the configuration; write it there\n";
    assert_eq!(said.err, expected);
}

#[tokio::test]
async fn who_wants_the_web_page_is_told_that_there_is_none() {
    for args in [
        vec!["--webui"],
        vec!["-webui"],
        vec!["--webui=True"],
        vec!["--start_ui", "true"],
        vec!["--ui-port", "8001"],
    ] {
        let args = [&["-p0"], &args[..]].concat();
        let mut process = with_env("LOG_CHAT=false\n").serve(&args).await;
        process.err("a notice", |said| said.contains(": there is no web page; ")).await;
    }
    for args in [vec!["run_web"], vec!["run-web", "--port", "8001", "--wait", "False"]] {
        let said = Site::empty().run(&args).await;
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""));
        assert!(said.err.starts_with("run_web: there is no web page"), "{}", said.err);
    }
}

#[tokio::test]
async fn an_unknown_command_is_told_how_to_write_one() {
    let said = Site::empty().run(&["frob"]).await;
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""));
    for words in ["'frob'", "Usage: aifd <COMMAND>", "--help"] {
        assert!(said.err.contains(words), "{}", said.err);
    }
}

#[tokio::test]
async fn it_answers_to_the_names_of_old() {
    for name in ["openai-forward", "openai_forward"] {
        let site = with_env("LOG_CHAT=false\n");
        let link = site.dir().join(name);
        symlink(env!("CARGO_BIN_EXE_aifd"), &link).unwrap();
        let said = called(&link, &["frob"], site.dir());
        assert!(said.err.contains(&format!("Usage: {name} <COMMAND>")), "{}", said.err);
        let said = called(&link, &["check"], site.dir());
        assert_eq!((said.code, said.out.as_str()), (Some(0), ".env: good\n"), "{}", said.err);
        let said = called(&link, &["check"], Path::new("/"));
        assert!(said.err.contains(&format!("{name} gen_config")), "{}", said.err);
    }
}

fn called(binary: &Path, args: &[&str], folder: &Path) -> Said {
    let mut command = std::process::Command::new(binary);
    let output = command.args(args).current_dir(folder).env_clear().output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A chat, asked of a process by who has any key.
async fn answers(process: &Process) {
    let request = keyed(post("/v1/chat/completions", &chat("m", false, "hi")));
    let answer = Client::h1(process.addr()).await.ask(request).await;
    assert_eq!(answer.status, 200);
    let text = answer.json()["choices"][0]["message"]["content"].clone();
    assert_eq!(text, "hello");
}

#[tokio::test]
async fn what_gen_config_writes_serves() {
    let up = Upstream::start(|_| Reply::json(200, &chat_answer("hello"))).await;
    for (command, format, file) in [
        ("gen_config", "env", ".env"),
        ("gen-config", "env", ".env"),
        ("gen_config", "toml", "aifd.toml"),
    ] {
        let site = Site::empty();
        let said = site.run(&[command, "--dir", ".", "--format", format]).await;
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{}", said.out);
        assert!(said.out.starts_with(&format!("./{file}: written")), "{}", said.out);
        let file = site.dir().join(file);
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        // Its host is far away, so another stands in for it; nothing else is changed.
        let text = fs::read_to_string(&file).unwrap();
        let far = if format == "env" { "https://api.openai.com" } else { "http://127.0.0.1:11434" };
        assert!(text.contains(far));
        fs::write(&file, text.replace(far, &up.url())).unwrap();
        answers(&site.serve(&["--port", "0"]).await).await;
    }
}

#[tokio::test]
async fn gen_config_never_writes_over_what_is_there() {
    let site = with_env("mine\n");
    let said = site.run(&["gen_config"]).await;
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
    assert_eq!(said.err, "./.env: is there already and stays as it is\n");
    assert_eq!(fs::read_to_string(site.dir().join(".env")).unwrap(), "mine\n");
    let said = site.run(&["gen_config", "--dir", "none"]).await;
    assert_eq!(said.code, Some(1));
    assert!(said.err.starts_with("none/.env: cannot be written: "), "{}", said.err);
    let site = Site::of_text("");
    let said = site.run(&["gen_config"]).await;
    assert_eq!(said.out, "./.env: written, but ./aifd.toml is read before it\n");
}

/// Each line that it leaves out may be put in.
#[tokio::test]
async fn every_line_of_the_written_file_can_be_read() {
    let site = Site::empty();
    site.run(&["gen_config"]).await;
    let file = site.dir().join(".env");
    let text = fs::read_to_string(&file).unwrap();
    let bare = |line: &str| {
        let said = line.strip_prefix("# ").filter(|line| {
            let name = line.split('=').next().unwrap_or_default();
            line.contains('=') && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
        });
        said.unwrap_or(line).to_owned()
    };
    let all: Vec<String> = text.lines().map(bare).collect();
    assert!(all.iter().filter(|line| line.starts_with(|first: char| first != '#')).count() > 20);
    fs::write(&file, all.join("\n")).unwrap();
    let said = site.run(&["check"]).await;
    assert_eq!((said.code, said.out.as_str()), (Some(0), ".env: good\n"), "{}", said.err);
    assert!(!said.err.contains("LOG_CHAT"), "{}", said.err);
}

/// Each surface, printed as TOML, and run from that.
#[tokio::test]
async fn the_printed_configuration_serves_the_same() {
    let up = Upstream::start(|_| Reply::json(200, &chat_answer("hello"))).await;
    let url = up.url();
    let (lists, json, yaml) = (
        format!(
            "OPENAI_BASE_URL={url}\nOPENAI_API_KEY=sk-one-key,sk-two-key\nFORWARD_KEY=fk-one-key\n\
            CACHE_CHAT_COMPLETION=true\nREQ_RATE_LIMIT={{\"/v1\": \"9/minute\"}}\n"
        ),
        format!(
            "FORWARD_CONFIG=[{{\"base_url\":\"{url}\",\"route\":\"/\",\"type\":\"openai\"}}]\n\
            OPENAI_API_KEY_CONFIG={{\"sk-one-key\":[0],\"sk-two-key\":[0]}}\nFORWARD_KEY_CONFIG={{\"fk-one-key\":0}}\n\
            CACHE_OPENAI=true\nCACHE_BACKEND=LMDB\n"
        ),
        format!(
            "forward: [{{base_url: \"{url}\", route: /, type: openai}}]\n\
            api_key: {{openai_key: {{sk-one-key: [0], sk-two-key: [0]}}, forward_key: {{0: fk-one-key}}}}\n"
        ),
    );
    for (name, text) in [(".env", lists), (".env", json), ("openai-forward-config.yaml", yaml)] {
        let site = Site::empty();
        fs::write(site.dir().join(name), &text).unwrap();
        let shown = site.run(&["config"]).await;
        assert_eq!(shown.code, Some(0), "{}", shown.err);
        for secret in ["sk-one", "sk-two", "fk-one"] {
            assert!(!shown.out.contains(secret), "{}", shown.out);
        }
        for told in
            ["# OPENAI_API_KEY_1 to OPENAI_API_KEY_2: to be set", "# FORWARD_KEY: to be set"]
        {
            assert!(shown.out.contains(told), "{}", shown.out);
        }
        let site = Site::of_text(&shown.out)
            .env("OPENAI_API_KEY_1", "sk-one-key")
            .env("OPENAI_API_KEY_2", "sk-two-key")
            .env("FORWARD_KEY", "fk-one-key");
        let again = site.run(&["config"]).await;
        let bare = |text: &str| -> Vec<String> {
            text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
        };
        assert_eq!(bare(&again.out), bare(&shown.out));
        let mut process = site.serve(&["--port", "0"]).await;
        answers(&process).await;
        let banner = process.banner().await;
        assert!(banner.contains("1, others passed on") && !banner.contains('│'), "{banner}");
        assert_eq!(banner.contains("\n  cache "), text.contains("CACHE"), "{banner}");
        assert_eq!(Client::h1(process.addr()).await.ask(get("/healthz")).await.status, 200);
    }
}
