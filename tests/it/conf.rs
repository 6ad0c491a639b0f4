//! Every rule of the configuration by golden files, and every file of `conf/`.
//!
//! A rule is a pair in `tests/golden/config/`: `NAME.toml` breaks it, `NAME.txt` is what aifd says.
//! `AIFD_BLESS=1 cargo test --test it conf` writes the answers anew; read the diff.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use aifd::config::{Config, Faults, load, parse_with};

fn files(folder: &str, ending: &str) -> BTreeSet<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let paths = fs::read_dir(folder)
        .expect("the folder is part of the source")
        .map(|entry| entry.expect("the folder can be listed").path());
    paths.filter(|path| path.extension().is_some_and(|found| found == ending)).collect()
}

fn parse(text: &str, source: &str) -> Result<Config, Faults> {
    let env = |name: &str| match name {
        "EMPTY" => Some(String::new()),
        "SPACED" => Some("sk two words".to_owned()),
        "UNSET" => None,
        _ => Some(format!("secret-of-{name}")),
    };
    parse_with(text, source, &env)
}

/// What aifd says about a text: its faults, or its notices.
fn verdict(text: &str, source: &str) -> String {
    match parse(text, source) {
        Err(faults) => format!("{faults}\n"),
        Ok(config) => config.notices.iter().map(|notice| format!("notice: {notice}\n")).collect(),
    }
}

#[test]
fn golden() {
    let bless = std::env::var_os("AIFD_BLESS").is_some();
    let rules = files("tests/golden/config", "toml");
    let mut wrong = Vec::new();
    for rule in &rules {
        let answer = rule.with_extension("txt");
        let name = rule.file_name().unwrap().to_str().unwrap();
        let said = verdict(&fs::read_to_string(rule).unwrap(), name);
        assert!(!said.is_empty(), "{name} breaks no rule");
        if bless {
            fs::write(&answer, &said).unwrap();
        }
        let expected = fs::read_to_string(&answer).unwrap_or_else(|_| panic!("{name} has no .txt"));
        if said != expected {
            wrong.push(format!("--- expected\n{expected}+++ said\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let answered = files("tests/golden/config", "txt");
    let answered: BTreeSet<_> = answered.iter().map(|path| path.with_extension("toml")).collect();
    assert_eq!(answered, rules, "a .txt without its .toml");
}

#[test]
fn every_file_of_conf_is_whole() {
    let recipes = files("conf", "toml");
    assert!(recipes.len() >= 6, "{recipes:?}");
    for recipe in recipes {
        let text = fs::read_to_string(&recipe).unwrap();
        let config = parse(&text, &recipe.display().to_string());
        let config = config.unwrap_or_else(|faults| panic!("{faults}"));
        assert_eq!(config.notices, [""; 0], "{}", recipe.display());
    }
}

#[test]
fn a_file_that_is_not_there_is_a_fault() {
    let faults = load(Path::new("/no/such/aifd.toml")).unwrap_err();
    assert_eq!(faults.source, "/no/such/aifd.toml");
    assert!(faults.to_string().contains("the file    cannot be read: No such file"), "{faults}");
}

#[test]
fn a_file_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("aifd.toml");
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/minimal.toml"), &path).unwrap();
    assert_eq!(load(&path).unwrap().upstreams[0].name, "gpu");
}

#[test]
fn a_secret_from_a_file_loses_its_line_end_and_is_best_kept_private() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    fs::write(&path, "sk-from-a-file\r\n").unwrap();
    let text = format!(
        "access.unknown_keys = 'pass'\n\
        upstream = [{{ name = 'a', hosts = ['http://a'], keys = ['file:{}'] }}]",
        path.display()
    );
    for (mode, notices) in [(0o600, 0), (0o640, 0), (0o644, 1)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let config = parse(&text, "text").unwrap();
        assert_eq!(config.upstreams[0].keys[0].secret.expose(), "sk-from-a-file");
        assert_eq!(config.notices.len(), notices, "{mode:o}: {:?}", config.notices);
    }
}

#[test]
fn a_certificate_makes_bare_listeners_tls() {
    use aifd::config::Listen::{Plain, Tls};

    let folder = tempfile::tempdir().unwrap();
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    fs::write(&cert, pair.cert.pem()).unwrap();
    fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    let text = format!(
        "access.unknown_keys = 'pass'\n\
        upstream = [{{ name = 'a', hosts = ['http://a'] }}]\n\
        [server]\ntls = {{ cert = '{}', key = '{}' }}\n\
        listen = ['0.0.0.0:443', 'https://0.0.0.0:444', 'http://0.0.0.0:80']",
        cert.display(),
        key.display()
    );
    let config = parse(&text, "text").unwrap();
    let address = |text: &str| text.parse().unwrap();
    let expected =
        [Tls(address("0.0.0.0:443")), Tls(address("0.0.0.0:444")), Plain(address("0.0.0.0:80"))];
    assert_eq!(config.server.listen, expected);
    let shown = aifd::config::show(&config);
    assert_eq!(parse(&shown, "shown").unwrap(), config, "{shown}");

    let swapped =
        text.replace("cert = ", "k = ").replace("key = ", "cert = ").replace("k = ", "key = ");
    let said = parse(&swapped, "text").unwrap_err().to_string();
    assert!(said.contains("has no PEM block \"CERTIFICATE\""), "{said}");
    assert!(said.contains("has no PEM block \"PRIVATE KEY\""), "{said}");
}
