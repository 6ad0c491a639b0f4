//! What becomes of the configurations of openai-forward, by golden files.
//!
//! A case in `tests/golden/compat/` is `NAME.env` or `NAME.yaml`. `NAME.txt` is what aifd says of it:
//! its faults or its notices; and `NAME.toml`, where there are no faults, is what `aifd config`
//! prints. `AIFD_BLESS=1 cargo test --test it compat` writes both anew; read the diff.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use aifd::config::compat::{Found, find};
use aifd::config::{Faults, parse_with, show};

/// A folder with a file of openai-forward in it.
fn folder(name: &str, text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), text).unwrap();
    folder
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/compat");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_case = |path: &PathBuf| path.extension().is_some_and(|it| it == "env" || it == "yaml");
    let mut cases: Vec<_> = paths.filter(is_case).collect();
    cases.sort();
    cases
}

fn read(case: &Path) -> Result<Found, Faults> {
    let name =
        if case.extension().unwrap() == "env" { ".env" } else { "openai-forward-config.yaml" };
    find(folder(name, &fs::read_to_string(case).unwrap()).path(), &|_| None).unwrap()
}

/// As `aifd config` prints it, on a machine with no certain number of cores.
fn shown(found: &Found) -> String {
    let workers = format!("workers = {}\n", found.config.server.workers);
    let text = found.to_set() + &show(&found.config);
    text.replace(&workers, "workers = CORES\n")
}

#[test]
fn golden() {
    let bless = std::env::var_os("AIFD_BLESS").is_some();
    let mut wrong = Vec::new();
    for case in cases() {
        let found = read(&case);
        let notices = |found: &Found| {
            found.config.notices.iter().map(|notice| format!("notice: {notice}\n")).collect()
        };
        let (said, toml) = match &found {
            Ok(found) => (notices(found), Some(shown(found))),
            Err(faults) => (format!("{faults}\n"), None),
        };
        for secret in ["-key", "hush", "sk-secret", "fk-secret", "another-program"] {
            let told = format!("{said}{}", toml.as_deref().unwrap_or_default());
            assert!(!told.contains(secret), "{}: {secret} is shown\n{told}", case.display());
            assert!(!format!("{found:?}").contains(secret), "{}: {found:?}", case.display());
        }
        for (ending, text) in [("txt", Some(said)), ("toml", toml)] {
            let file = case.with_extension(ending);
            match text {
                Some(text) if bless => fs::write(&file, text).unwrap(),
                text => {
                    let expected = fs::read_to_string(&file).ok();
                    if expected != text {
                        wrong.push(format!(
                            "{}\n--- expected\n{expected:?}\n+++ said\n{text:?}",
                            file.display()
                        ));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `aifd config > aifd.toml`, the secrets set as it says: the same configuration.
#[test]
fn what_is_shown_is_read_again() {
    for case in cases() {
        let Ok(found) = read(&case) else { continue };
        let texts = |name: &str| {
            let forward = &found.forward;
            let mut texts = Vec::new();
            let upstream = forward.upstream_keys.iter().map(|key| &key.secret);
            texts.extend(
                upstream.enumerate().map(|(at, key)| (format!("OPENAI_API_KEY_{}", at + 1), key)),
            );
            texts.extend(upstream_of_one(&texts, "OPENAI_API_KEY"));
            let keys = forward.forward_keys.iter().map(|key| &key.secret).enumerate();
            let keys: Vec<_> =
                keys.map(|(at, key)| (format!("FORWARD_KEY_{}", at + 1), key)).collect();
            texts.extend(upstream_of_one(&keys, "FORWARD_KEY"));
            texts.extend(keys);
            texts.extend(forward.proxy.iter().map(|proxy| ("PROXY".to_owned(), proxy)));
            let store = forward.limits.store.iter();
            texts.extend(store.map(|store| ("REQ_RATE_LIMIT_BACKEND".to_owned(), store)));
            let text = texts.iter().find(|(known, _)| known == name);
            text.map(|(_, secret)| secret.expose().to_owned())
        };
        let toml = found.to_set() + &show(&found.config);
        let mut again =
            parse_with(&toml, "shown", &texts).unwrap_or_else(|faults| panic!("{faults}\n{toml}"));
        again.notices.clone_from(&found.config.notices);
        assert_eq!(again, found.config, "{}", case.display());
    }
}

/// The only key goes without a number.
fn upstream_of_one<S: Copy>(texts: &[(String, S)], name: &str) -> Option<(String, S)> {
    match texts {
        [(_, only)] => Some((name.to_owned(), *only)),
        _ => None,
    }
}

/// Runs aifd in a folder, with these variables and no others; its exit code and what it said.
fn aifd(folder: &Path, arguments: &[&str], env: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aifd"));
    let output = command.args(arguments).current_dir(folder).env_clear().envs(env.iter().copied());
    let output = output.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_environment_is_the_configuration_where_there_is_no_file() {
    let folder = folder(".env", "OPENAI_API_KEY=sk-one-key\nFORWARD_KEY=fk-one-key, fk-two-key\n");
    let path = folder.path();
    assert_eq!(aifd(path, &["check"], &[]), (0, ".env: good\n".to_owned(), String::new()));
    let (code, toml, _) = aifd(path, &["config"], &[("OPENAI_BASE_URL", "http://10.0.0.5:8080")]);
    assert!(code == 0 && toml.contains("hosts = [\"http://10.0.0.5:8080\"]\n"), "{toml}");
    assert!(toml.starts_with("# OPENAI_API_KEY: to be set"), "{toml}");
    let (code, _, said) = aifd(path, &["check"], &[("TIMEOUT", "soon")]);
    assert!(code == 2 && said.contains("TIMEOUT = \"soon\""), "{said}");
    // What is shown is a file that says the same, once its secrets are set.
    fs::write(path.join("aifd.toml"), &toml).unwrap();
    let (code, _, said) = aifd(path, &["check"], &[]);
    assert!(code == 2 && said.starts_with("aifd.toml: 3 faults"), "{said}");
    let secrets = [
        ("OPENAI_API_KEY", "sk-one-key"),
        ("FORWARD_KEY_1", "fk-one-key"),
        ("FORWARD_KEY_2", "fk-two-key"),
    ];
    assert_eq!(
        aifd(path, &["check"], &secrets),
        (0, "aifd.toml: good\n".to_owned(), String::new())
    );
    let (_, again, _) = aifd(path, &["config"], &secrets);
    let comments = |line: &&str| !line.starts_with('#');
    assert_eq!(
        again.lines().collect::<Vec<_>>(),
        toml.lines().filter(comments).collect::<Vec<_>>()
    );
}

#[test]
fn a_file_that_is_named_is_never_mixed_with_the_environment() {
    let folder = folder(".env", "TIMEOUT=soon\nLOG_CHAT=true\n");
    let toml = "access.unknown_keys = 'pass'\nupstream = [{ name = 'a', hosts = ['http://a'] }]\n";
    fs::write(folder.path().join("mine.toml"), toml).unwrap();
    let (code, said, _) =
        aifd(folder.path(), &["check", "--config", "mine.toml"], &[("FORWARD_KEY", "fk")]);
    assert_eq!((code, &*said), (0, "mine.toml: good\n"));
    let (code, _, said) = aifd(folder.path(), &["check", "--config", "none.toml"], &[]);
    assert!(code == 2 && said.contains("cannot be read"), "{said}");
}

#[test]
fn without_any_configuration_it_is_said_where_one_is_looked_for() {
    let folder = folder(".env", "SOMETHING=else\n");
    let (code, _, said) = aifd(folder.path(), &["run"], &[("OPENAI_API_KEY", "sk-one-key")]);
    assert!(code == 2 && said.starts_with("no configuration: write aifd.toml"), "{said}");
}
