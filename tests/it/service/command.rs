//! The command line: exit codes, what is said on which stream, what overrides what.

use std::path::Path;

use crate::support::certs::Certs;
use crate::support::client::Client;
use crate::support::house::{Conf, KEY, UPSTREAM_KEY};
use crate::support::openai::{chat, chat_answer, get, post};
use crate::support::process::{Said, Site};
use crate::support::upstream::{Reply, Upstream};

const NOBODY: &str = "http://127.0.0.1:9";

/// A start that failed: one line for the operator, and not more.
fn is_one_clear_line(said: &Said, words: &[&str]) {
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{}", said.err);
    assert_eq!(said.err.lines().count(), 1, "{}", said.err);
    assert!(!said.err.contains("panicked"), "{}", said.err);
    for word in words {
        assert!(said.err.contains(word), "no {word} in {}", said.err);
    }
}

#[tokio::test]
async fn a_start_that_fails_says_which_key_and_why() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let (socket, file) = (dir.path().join("live.sock"), dir.path().join("file"));
    let _live = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::fs::write(&file, "").unwrap();
    let (one, other) = (Certs::new(), Certs::new());
    for (key, words) in [
        (format!("server.listen = [\"{addr}\"]"), ["server.listen", &addr, "in use"]),
        (format!("admin.listen = \"{addr}\""), ["admin.listen", &addr, "in use"]),
        (
            format!("server.listen = [\"unix:{}\"]", socket.display()),
            ["server.listen", "live.sock", "in use"],
        ),
        (
            format!("chat_log.dir = \"{}\"", file.display()),
            ["chat_log.dir", "file", "cannot be written"],
        ),
        (
            format!(
                "server.tls = {{ cert = {:?}, key = {:?} }}",
                one.cert_file(),
                other.key_file()
            ),
            ["server.tls", "key.pem", "is unusable"],
        ),
    ] {
        let site = Site::of(&Conf::to_hosts(&[NOBODY]).with(&key));
        is_one_clear_line(&site.run(&["run"]).await, &words);
    }
}

#[tokio::test]
async fn a_wrong_configuration_is_told_whole() {
    let wrong = "server.wrokers = 1\nserver.max_body = \"0\"\nchat_log.full = \"perhaps\"\n\
                 [[upstream]]\nname = \"up\"\nhosts = [\"ftp://x\"]\n";
    let site = Site::of_text(wrong);
    for command in ["run", "check", "config"] {
        let said = site.run(&[command]).await;
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{command}: {}", said.err);
        for key in ["aifd.toml", "wrokers", "max_body", "chat_log.full", "hosts", "ftp://x"] {
            assert!(said.err.contains(key), "{command}: no {key} in {}", said.err);
        }
    }
    let said = site.run(&["check", "--config", "elsewhere.toml"]).await;
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("elsewhere.toml"), "{}", said.err);
}

#[tokio::test]
async fn a_good_configuration_is_called_so() {
    let site = Site::of(&Conf::to_hosts(&[NOBODY]).table("requests = \"0/minute\""));
    let path = site.conf().display().to_string();
    for args in [vec!["check"], vec!["check", "--config", &path]] {
        let said = site.run(&args).await;
        assert_eq!(said.code, Some(0), "{}", said.err);
        assert!(said.out.ends_with("aifd.toml: good\n"), "{}", said.out);
        assert!(said.err.contains("requests"), "no notice in {:?}", said.err);
    }
    assert!(!site.dir().join("Log").exists(), "a check that leaves something behind");
}

#[tokio::test]
async fn without_a_configuration_it_says_where_one_belongs() {
    assert!(!Path::new("/etc/aifd/aifd.toml").exists(), "this test needs a machine without one");
    let site = Site::empty();
    for command in ["run", "check", "config"] {
        let said = site.run(&[command]).await;
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{}", said.err);
        for word in ["aifd.toml", "/etc/aifd/aifd.toml", "--config"] {
            assert!(said.err.contains(word), "{}", said.err);
        }
    }
}

#[tokio::test]
async fn a_wrong_command_line_is_a_wrong_one() {
    let site = Site::of(&Conf::to_hosts(&[NOBODY]));
    for args in [
        vec!["serve"],
        vec!["run", "--port", "70000"],
        vec!["run", "--log_chat", "maybe"],
        vec!["check", "--port", "1"],
        vec![],
    ] {
        let said = site.run(&args).await;
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{args:?}");
        assert!(!said.err.contains("panicked") && !said.err.is_empty(), "{args:?}: {}", said.err);
    }
    let said = site.run(&["--version"]).await;
    assert_eq!((said.code, said.out), (Some(0), format!("aifd {}\n", env!("CARGO_PKG_VERSION"))));
}

#[tokio::test]
async fn the_effective_configuration_is_one_and_shows_no_secret() {
    let secrets =
        ["sk-up-from-env-1", "sk-up-from-file-2", "fk-ann-from-env-3", "token-from-env-4"];
    let text = "admin.token = \"env:TOKEN\"\n\
        [[upstream]]\nname = \"up\"\nhosts = [\"https://user.example/v1\", \"http://[::1]:1\"]\n\
        keys = [\"env:UP\", \"file:up.key\"]\ntimeouts = { idle = \"90s\" }\n\
        [[route]]\nprefix = \"/\"\nupstream = \"up\"\n\
        [[route]]\nprefix = \"/raw\"\nkind = \"general\"\n\
        [[key]]\nname = \"ann\"\nsecret = \"env:ANN\"\nmodels = [\"a*\"]\n\
        [[key]]\nname = \"bob\"\nsecret = \"sha256:\
        0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"\n";
    let site =
        Site::of_text(text).env("UP", secrets[0]).env("ANN", secrets[2]).env("TOKEN", secrets[3]);
    std::fs::write(site.dir().join("up.key"), secrets[1]).unwrap();
    let shown = site.run(&["config"]).await;
    assert_eq!(shown.code, Some(0), "{}", shown.err);
    for secret in secrets {
        assert!(!format!("{shown:?}").contains(secret), "{secret} in {shown:?}");
    }
    std::fs::write(site.dir().join("shown.toml"), &shown.out).unwrap();
    let checked = site.run(&["check", "--config", "shown.toml"]).await;
    assert_eq!(checked.code, Some(0), "{}", checked.err);
    let again = site.run(&["config", "--config", "shown.toml"]).await;
    assert_eq!(again.out, shown.out);
}

#[tokio::test]
async fn secrets_that_are_written_out_are_dots() {
    let site = Site::of(&Conf::to_hosts(&[NOBODY]).with("admin.token = \"token-0123456789\""));
    let shown = site.run(&["config"]).await;
    assert_eq!(shown.code, Some(0), "{}", shown.err);
    assert!(shown.out.contains("••••"), "{}", shown.out);
    for secret in [KEY, UPSTREAM_KEY, "token-0123456789"] {
        assert!(!format!("{shown:?}").contains(secret), "{shown:?}");
    }
}

#[tokio::test]
async fn options_override_the_configuration() {
    let up = Upstream::start(|_| Reply::json(200, &chat_answer("hello"))).await;
    let cores = std::thread::available_parallelism().unwrap();
    let cores = format!("workers    {cores}\n");
    let (logs, silent) = ("chat_log.on = true", "chat_log.on = false");
    for (conf, args, banner) in [
        (logs, vec![], "Log/chat.jsonl\n"),
        (logs, vec!["--workers", "3"], "workers    3\n"),
        (logs, vec!["--workers", "0"], &cores),
        (logs, vec!["--log_chat", "false"], "chat log   off\n"),
        (logs, vec!["--log-chat", "false"], "chat log   off\n"),
        (logs, vec!["--log-chat=false"], "chat log   off\n"),
        (silent, vec![], "chat log   off\n"),
        (silent, vec!["--log_chat"], "Log/chat.jsonl\n"),
        (silent, vec!["--log_chat", "true"], "Log/chat.jsonl\n"),
    ] {
        let site = Site::of(&Conf::to(&up).with(conf));
        let mut process = site.serve(&args).await;
        let said = process.banner().await;
        assert!(said.contains(banner), "{args:?}: {said}");
        let answer = process.ask(post("/v1/chat/completions", &chat("m", false, "hi"))).await;
        assert_eq!(answer.status, 200);
        assert_eq!(process.stop().await.code, Some(0));
        let lines = std::fs::read_to_string(site.log_file()).unwrap_or_default().lines().count();
        assert_eq!(lines, usize::from(!said.contains("chat log   off")), "{args:?}");
    }
}

#[tokio::test]
async fn a_port_overrides_that_of_the_first_tcp_listener() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let port = taken.local_addr().unwrap().port().to_string();
    let listen = |list: &str| Conf::to_hosts(&[NOBODY]).with(&format!("server.listen = [{list}]"));
    // Port 0 is any free one, so the configured one, which is taken, was not asked for.
    let site = Site::of(&listen(&format!("\"{addr}\"")));
    let process = site.serve(&["--port", "0"]).await;
    assert_ne!(process.addr().to_string(), addr);
    assert_eq!(Client::h1(process.addr()).await.ask(get("/healthz")).await.status, 200);
    let site = Site::of(&listen("\"127.0.0.1:0\""));
    is_one_clear_line(&site.run(&["run", "--port", &port]).await, &[&addr, "in use"]);
    let site = Site::of(&listen("\"unix:/no/such/aifd.sock\""));
    let said = site.run(&["run", "--port", &port]).await;
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""));
    assert!(said.err.contains("--port"), "{}", said.err);
}

#[tokio::test]
async fn the_banner_says_what_is_served_where() {
    let up = Upstream::start(|_| Reply::json(200, &chat_answer("hello"))).await;
    let sockets = Site::empty();
    let socket = sockets.dir().join("aifd.sock");
    let unix = format!("unix:{}", socket.display());
    let conf = Conf::to(&up)
        .with(&format!("server.listen = [\"127.0.0.1:0\", \"{unix}\", \"[::1]:0\"]"))
        .table(
            "[[route]]\nprefix = \"/\"\n[[route]]\nprefix = \"/raw\"\nkind = \"general\"\n\
             [[key]]\nname = \"bob\"\nsecret = \"fk-bob-0123456789\"",
        );
    let site = Site::of(&conf);
    let mut process = site.serve(&[]).await;
    let banner = process.banner().await;
    let log = site.log_file().display().to_string();
    let (root, raw) =
        (format!("/ -> up [{}]", up.url()), format!("/raw -> up [{}] (general)", up.url()));
    for words in [
        concat!("aifd ", env!("CARGO_PKG_VERSION"), " (aifd.toml)\n"),
        &format!(", {unix}, http://[::1]:"),
        &format!("http://{}", process.admin()),
        &root,
        &raw,
        "2, others refused",
        &log,
    ] {
        assert!(banner.contains(words), "no {words:?} in {banner}");
    }
    assert!(!banner.contains(":0\n") && !banner.contains(":0,"), "no port in {banner}");
    for secret in [KEY, UPSTREAM_KEY, "fk-bob-0123456789"] {
        assert!(!banner.contains(secret), "{banner}");
    }
    for mut client in [
        Client::h1(process.addr()).await,
        Client::unix(&socket).await,
        Client::h1(process.admin()).await,
    ] {
        assert_eq!(client.ask(get("/healthz")).await.status, 200);
    }
}
